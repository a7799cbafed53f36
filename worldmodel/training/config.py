"""Settings of a training run: frozen dataclasses, filled from ``conf/train`` by the command line."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from worldmodel.dynamics.dynamics import DynamicsConfig
from worldmodel.dynamics.objective import ObjectiveConfig
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.perception.network import PerceptionConfig
from worldmodel.text.encoder import TextConfig
from worldmodel.tokenizer.losses import ReconstructionLossConfig
from worldmodel.tokenizer.tokenizer import TokenizerConfig


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What to train on.

    Attributes:
        source: ``reference`` renders the reference world; ``episodes`` reads prepared sets.
        paths: prepared sets, for ``episodes``.
        weights: of the sets when mixed; empty for by size.
        drives, drive_s: how many drives of which length to render, for ``reference``.
        every: of which only one frame in so many is kept. A tokenizer learns more from many drives than from each frame
            of a few; what learns motion needs them all.
        options: options of the reference world to hold fixed, e.g. ``{weather: clear}``; a list draws among its values.
        other_share, other_options: the share of the reference drives that has those options instead, such as what the
            world has too little of to be learned; ``events`` are pairs of a kind and seconds, a list of such lists.
            Each of the groups of options has an equal part of the share.
        render_scale: the reference world is rendered so many times larger and averaged down, which is its antialiasing
            at small sizes.
        first_seed: of the rendered drives.
        validation_share: share of drives, by their id, held out of training.
        processes: that render or decode; 0 for all cores.
        in_memory: hold decoded frames in memory; false maps them from disk.
        cache: folder for decoded frames and latents.
        live: train while the reference world is still being rendered, what has been rendered lying in the accelerator's
            memory (``resident``): a run then takes no longer than its training, and is not the same to the bit again.
        live_from: frames to wait for before training begins, for ``live``.
    """

    source: Literal["reference", "episodes"] = "reference"
    paths: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    drives: int = 200
    drive_s: float = 30.0
    every: int = 1
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    other_share: float = 0.0
    other_options: tuple[dict[str, Any], ...] | dict[str, Any] = ()
    render_scale: int = 1
    first_seed: int = 0
    validation_share: float = 0.05
    processes: int = 0
    in_memory: bool = True
    cache: str = "data/cache"
    live: bool = False
    live_from: int = 2000


@dataclasses.dataclass(frozen=True)
class StageConfig:
    """One stage of training.

    Attributes:
        steps: optimizer steps; 0 skips the stage.
        batch: frames (tokenizer), pairs (depth) or clips (dynamics) in a step.
        learning_rate: peak, after ``warmup_share`` and before ``decay_share`` of the steps (trapezium).
        weight_decay: of AdamW, on matrices.
        clip_norm: gradients are clipped to this norm.
        checkpoint_every, log_every, picture_every: in steps.
        seconds: the stage, its schedule with it, ends after so long if its steps have not ended it before; 0 for never.
            For machines that are paid for by the minute: what comes out depends on how fast they are.
    """

    steps: int = 1000
    batch: int = 16
    learning_rate: float = 1.5e-3
    warmup_share: float = 0.03
    decay_share: float = 0.4
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    checkpoint_every: int = 200
    log_every: int = 10
    picture_every: int = 200
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class ClipsConfig:
    """Lengths of the clips dynamics trains on. A batch holds the same number of frames whatever their length.

    Attributes:
        short, long: frames of a clip; long is at least three windows, so that a wrapped cache is nothing new.
        long_every: one batch in so many is of long clips, fewer of them.
        shortcut_from: share of the steps after which larger steps are trained.
    """

    short: int = 16
    long: int = 48
    long_every: int = 4
    shortcut_from: float = 0.6


@dataclasses.dataclass(frozen=True)
class LooksConfig:
    """Drives that are shown in another weather or light than is told (``looks``), besides the true ones.

    Attributes:
        share: of the true drives, that are rendered once more in another look; 0 for none. Dynamics alone is trained
            on them.
        asked: share of a clip's frames that are as they are told, and asked for; the others are shown nearly clean.
        whole: share of the clips that are shown otherwise in every frame, all of one level, and asked for wholly.
    """

    share: float = 0.0
    asked: float = 0.3
    whole: float = 0.5


@dataclasses.dataclass(frozen=True)
class DistilConfig:
    """How a model learns from its own long drives, with a teacher in place of a truth (``distilling``).

    Attributes:
        teacher: a model with the same tokenizer, whose dynamics teaches; empty for the run's own as the stage begins.
        listener: a model with the same tokenizer that says what difference tags make, in the teacher's place; empty for
            the teacher itself. For teachers that have gone deaf to them (``looks``).
        rows: own drives that go on beside each other.
        true_frames, life: frames a drive begins with, and after which it follows another true one.
        beginners, beginner_life: of the rows, those that begin with no true frame, and after how many frames the last
            of them begins anew; the k-th of n after k of n parts of it.
        followers, follower_life: of the rows, those that soon follow another true drive, and after how many frames of
            their own the last of them does; the k-th of n after k of n parts of it.
        truth: how far frames of drives that are at most ``follower_life`` frames away from true ones are pulled to the
            truth, from 0 to 1: nobody else knows as well where the road is that has been seen.
        rehearsed: weight of the loss of ordinary training in each step, on a batch of its clips, those of ``looks``
            among them.
        frames: by which every drive goes on with a step, and which learn from it.
        clip: frames of the clips that are told likely from unlikely.
        steps: from noise to clean, of the model that comes out; without guidance.
        guidance, tag_guidance: of the teacher, on motion and on tags; the latter falls to 1 with the signal level.
        critic_rate: learning rate of the critic over the model's. Where the critic is slow, all drives swing together,
            between bright and dark for instance.
        critic_passes: times that the critic looks at the clips of a step, each at other levels.
        average: decay of the average over steps that the finished model is.
    """

    teacher: str = ""
    listener: str = ""
    rows: int = 12
    true_frames: int = 8
    life: int = 180
    beginners: int = 4
    beginner_life: int = 24
    followers: int = 0
    follower_life: int = 16
    truth: float = 0.0
    rehearsed: float = 0.0
    frames: int = 4
    clip: int = 8
    steps: int = 4
    guidance: float = 2.3
    tag_guidance: float = 2.5
    critic_rate: float = 6.0
    critic_passes: int = 2
    average: float = 0.99


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """A whole run.

    Attributes:
        name: of the run and of the model.
        trains: a world ``model``, the ``perception`` that reads drives back from their pixels, or the ``text`` encoder
            that reads prompts.
        out: folder for checkpoints, pictures, logs and the model.
        seed: of everything random.
        init: a model whose weights to start from (its tokenizer must have the configured shape); empty for none.
        tokenizer, reconstruction, tokenizer_stage: the first component and its training.
        depth_stage: training of the tokenizer's depth, after the rest of it; its batch is in pairs of frames.
        drift_stage: training of its drift after that, where it has one and boxes are known; its batch is in clips.
        astray_stage: training of what reads how far roads have gone astray from their maps, after that, where it has it
            and the road is known; its batch is in frames.
        look_stage: training of what says what frames lack to look as they are told, before the rest of dynamics, where
            it has it; its batch is in frames.
        laying_stage: the same of what says what the ground lacks to show the road where its map has it.
        dynamics, objective, clips, looks, dynamics_stage: the second.
        distil, distil_stage: a last stage on the model's own drives; its steps are 0 where there is none.
        perception, perception_stage: the network that reads pixels, and its training; its batch is in clips of three.
        text, text_stage: the network that reads sentences, and its training; its batch is in sentences.
        sampler: how the finished model draws frames unless told otherwise; own drives are drawn so too.
        precision: ``32-true``, ``bf16-mixed``, or ``auto`` for the latter where the device has instructions for it, and
            the former elsewhere.
        device: ``auto``, ``cpu`` or ``cuda``.
        compile: the blocks of tokenizer and dynamics, with ``torch.compile``.
        threads: of torch on a CPU; 0 leaves torch's choice.
        logger: ``csv`` or ``wandb`` (offline unless WANDB_MODE says otherwise).
        progress: show a progress bar.
        camera_height_m: nominal, of the model's own camera.
    """

    name: str = "nano"
    trains: Literal["model", "perception", "text"] = "model"
    out: str = "outputs/train/nano"
    seed: int = 0
    init: str = ""
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    tokenizer: TokenizerConfig = dataclasses.field(default_factory=TokenizerConfig)
    reconstruction: ReconstructionLossConfig = dataclasses.field(default_factory=ReconstructionLossConfig)
    tokenizer_stage: StageConfig = dataclasses.field(default_factory=StageConfig)
    depth_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(1200, batch=24, learning_rate=2e-3, picture_every=400)
    )
    drift_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(4000, batch=24, learning_rate=2.5e-3, picture_every=1000)
    )
    astray_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(4000, batch=32, learning_rate=3e-3, weight_decay=1e-3, picture_every=0)
    )
    look_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(3000, batch=256, learning_rate=3e-3, picture_every=0)
    )
    laying_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(2000, batch=192, learning_rate=3e-3, picture_every=0)
    )
    dynamics: DynamicsConfig = dataclasses.field(default_factory=DynamicsConfig)
    objective: ObjectiveConfig = dataclasses.field(default_factory=ObjectiveConfig)
    clips: ClipsConfig = dataclasses.field(default_factory=ClipsConfig)
    looks: LooksConfig = dataclasses.field(default_factory=LooksConfig)
    dynamics_stage: StageConfig = dataclasses.field(default_factory=lambda: StageConfig(batch=6, learning_rate=1e-3))
    distil: DistilConfig = dataclasses.field(default_factory=DistilConfig)
    distil_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(0, learning_rate=6e-5, checkpoint_every=50)
    )
    perception: PerceptionConfig = dataclasses.field(default_factory=PerceptionConfig)
    perception_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(4000, batch=12, learning_rate=2e-3)
    )
    text: TextConfig = dataclasses.field(default_factory=TextConfig)
    text_stage: StageConfig = dataclasses.field(
        default_factory=lambda: StageConfig(3000, batch=64, learning_rate=3e-3, checkpoint_every=500)
    )
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False
    threads: int = 0
    logger: Literal["csv", "wandb"] = "csv"
    progress: bool = True
    camera_height_m: float = NOMINAL_HEIGHT_M

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames that are trained on."""
        shape = self.perception if self.trains == "perception" else self.tokenizer
        return shape.height_px, shape.width_px

    @property
    def learns_drift(self) -> bool:
        """Whether the run teaches drift; one that comes along with ``init`` stays as it is where none is configured."""
        return bool(self.trains == "model" and self.tokenizer.drift_widths and self.drift_stage.steps)

    @property
    def learns_astray(self) -> bool:
        """The same of how far roads go astray."""
        return bool(self.trains == "model" and self.tokenizer.astray_width and self.astray_stage.steps)

    @property
    def learns_look(self) -> bool:
        """The same of what frames lack to look as they are told."""
        return bool(self.trains == "model" and self.dynamics.look_width and self.look_stage.steps)

    @property
    def learns_laying(self) -> bool:
        """The same of what the ground lacks to show the road where its map has it."""
        return bool(self.trains == "model" and self.dynamics.laying_width and self.laying_stage.steps)

    def validate(self) -> TrainConfig:
        """Raise ``ValueError`` on settings that contradict each other."""
        if self.data.source == "episodes" and not self.data.paths:
            raise ValueError("data.paths: name at least one prepared set (see data/*/prepare.py)")
        if self.reconstruction.kept and not self.init:
            raise ValueError("reconstruction.kept: without init= there are no latents to keep to")
        if self.data.weights and len(self.data.weights) != len(self.data.paths):
            raise ValueError(f"data.weights: {len(self.data.weights)} weights for {len(self.data.paths)} data.paths")
        if len(set(self.data.paths)) < len(self.data.paths):
            raise ValueError(f"data.paths: a set is named twice in {list(self.data.paths)}; say data.weights instead")
        if self.data.every < 1:
            raise ValueError(f"data.every: expected at least 1, got {self.data.every}")
        if not 0 <= self.data.other_share <= 1:
            raise ValueError(f"data.other_share: expected a share, got {self.data.other_share}")
        if bool(self.data.other_share) != bool(self.data.other_options):
            raise ValueError("data.other_share and data.other_options: one without the other does nothing")
        if self.learns_drift and (self.data.source != "reference" or self.data.every > 1):
            raise ValueError(
                "drift_stage: learns from every frame of the reference world, where boxes of road users are known; say "
                "drift_stage.steps=0 or tokenizer.drift_widths=[]"
            )
        if self.learns_astray and self.data.source != "reference":
            raise ValueError(
                "astray_stage: learns from the reference world, where the road is known; say astray_stage.steps=0 or "
                "tokenizer.astray_width=0"
            )
        if self.learns_look and (self.data.source != "reference" or self.data.live):
            raise ValueError(
                "look_stage: learns from drives of the reference world that are rendered once more in another look, "
                "and not while the others still are (data.live); say look_stage.steps=0 or dynamics.look_width=0"
            )
        if self.dynamics.laying_width and not self.dynamics.road:
            raise ValueError(
                "dynamics.laying_width: of use to a model that is told of the road; say dynamics.road=true"
            )
        if self.learns_laying and (self.data.source != "reference" or self.data.live):
            raise ValueError(
                "laying_stage: learns from drives of the reference world that are looked at from beside their way, and "
                "not while they are still rendered (data.live); say laying_stage.steps=0 or dynamics.laying_width=0"
            )
        for field in dataclasses.fields(self.looks):
            share = getattr(self.looks, field.name)
            if not 0 <= share <= 1:
                raise ValueError(f"looks.{field.name}: expected a share from 0 to 1, got {share}")
        if self.looks.share and (self.data.source != "reference" or self.data.live):
            raise ValueError(
                "looks.share: drives of the reference world are rendered once more, and not while the others still are "
                "(data.live); say looks.share=0"
            )
        if self.data.live and self.data.source != "reference":
            raise ValueError(f"data.live: only the reference world is made while training, got {self.data.source!r}")
        coming = int(10 * self.data.drives * self.data.drive_s / self.data.every * (1 - self.data.validation_share))
        if self.data.live and self.data.live_from > coming:
            raise ValueError(f"data.live_from: about {coming} frames will come to train on, got {self.data.live_from}")
        if not 0 < self.dynamics.newest <= 1:
            raise ValueError(f"dynamics.newest: expected a share above 0 and at most 1, got {self.dynamics.newest}")
        window = self.dynamics.transformer.window
        if self.clips.long < 3 * window:
            raise ValueError(f"clips.long: expected at least 3 × window = {3 * window} frames, got {self.clips.long}")
        d = self.distil
        if not 0 <= d.beginners <= d.rows:
            raise ValueError(f"distil.beginners: expected 0 to distil.rows = {d.rows}, got {d.beginners}")
        if not 0 <= d.followers <= d.rows - d.beginners:
            left = d.rows - d.beginners
            raise ValueError(f"distil.followers: expected 0 to {left}, the rows less beginners, got {d.followers}")
        if d.follower_life < d.followers * d.frames:
            raise ValueError(
                f"distil.follower_life: {d.followers} followers that go on by distil.frames = {d.frames} need at least "
                f"{d.followers * d.frames} frames, got {d.follower_life}"
            )
        if d.followers and d.true_frames + d.follower_life > d.life:
            raise ValueError(
                f"distil.life: a follower needs distil.true_frames + distil.follower_life = "
                f"{d.true_frames + d.follower_life} frames, got {d.life}"
            )
        if not 0 <= d.truth <= 1:
            raise ValueError(f"distil.truth: expected a share, got {d.truth}")
        if d.rehearsed < 0:
            raise ValueError(f"distil.rehearsed: expected a weight from 0, got {d.rehearsed}")
        if d.clip <= d.frames:  # a beginner's first clip would be counted twice
            raise ValueError(f"distil.clip: expected more than distil.frames = {d.frames}, got {d.clip}")
        if d.beginner_life < d.beginners * d.frames:
            raise ValueError(
                f"distil.beginner_life: {d.beginners} beginners that go on by distil.frames = {d.frames} need at least "
                f"{d.beginners * d.frames} frames, got {d.beginner_life}"
            )
        self.tokenizer.validate()
        self.sampler.validate()
        self.perception.validate()
        return self
