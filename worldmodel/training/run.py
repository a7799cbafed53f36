"""The order of things: data, tokenizer, its depth, drift and what reads roads, latent cache, looks, dynamics, model.

Stages resume where they were killed. What a run leaves in its folder: ``tokenizer/``, ``depth/``, ``drift/``,
``astray/``, ``look/``, ``laying/`` and ``dynamics/`` (``last.ckpt`` to resume from, ``metrics.csv``), ``pictures/`` to
look at, and the finished model's safetensors files.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, split
from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.model import Training, WorldModel, load_tokenizer, save_tokenizer
from worldmodel.nn.component import content_hash
from worldmodel.nn.transformer import compile_blocks
from worldmodel.perception.network import Perceiver
from worldmodel.perception.reader import load_perceiver, save_perceiver
from worldmodel.text.encoder import TextEncoder, save_encoder
from worldmodel.tokenizer.tokenizer import LATER, Tokenizer
from worldmodel.training import wording
from worldmodel.training.astray import AstrayStage
from worldmodel.training.config import TrainConfig
from worldmodel.training.distilling import DistilStage, distilled_sampler
from worldmodel.training.fitting import fit, steps_done
from worldmodel.training.latents import cached_latents, device_of, latents_of
from worldmodel.training.laying import LayingStage, teach_laying
from worldmodel.training.live import Live
from worldmodel.training.looks import in_two_looks
from worldmodel.training.perceiving import ClipsWithTruth, PerceptionStage, calibrate, clip_length, new_perceiver
from worldmodel.training.pictures import Depths, Drifts, Reconstructions, SampleDrives
from worldmodel.training.relighting import LookStage, teach_look
from worldmodel.training.resident import ResidentWindows, Store
from worldmodel.training.sources import live_set, load_sets
from worldmodel.training.stages import (
    DepthStage,
    DriftStage,
    DynamicsStage,
    TokenizerStage,
    freeze,
)
from worldmodel.training.with_boxes import BoxedBatch, WithBoxes
from worldmodel.training.wording import SentenceBatches, TextStage, new_encoder

Sets = dict[str, list[MemoryEpisode]] | Live
Windows = ClipWindows | ResidentWindows


def run(config: TrainConfig) -> Path:
    """Train a world model, perception, or the reader of prompts, and return the folder it was saved to.

    Raises:
        ValueError: settings that contradict each other, or data that cannot be trained on.
    """
    config.validate()
    if device_of(config) == "cuda":
        torch.set_float32_matmul_precision("high")
    if config.threads:
        torch.set_num_threads(config.threads)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    if config.trains == "text":
        train_text(config)
        return out
    train, held_out = _sets(config)
    if config.trains == "perception":
        train_perception(config, train, held_out)
        return out
    tokenizer = train_tokenizer(config, train, held_out)
    dynamics = train_dynamics(config, tokenizer, train, held_out)
    stretches = _all(train)
    hours = sum(s.t_s[-1] - s.t_s[0] for s in stretches) / 3600
    summary = {
        "tokenizer_steps": steps_done(config, TokenizerStage),
        "tokenizer_batch": config.tokenizer_stage.batch,
        "dynamics_steps": steps_done(config, DynamicsStage),
        "dynamics_batch": config.dynamics_stage.batch,
        "distil_steps": steps_done(config, DistilStage),
        "distil_rows": config.distil.rows,
        "hours_of_driving": round(hours, 2),
        "drives": _recipe(config, train),
        "torch": torch.__version__,
    }
    dt_s = float(np.median([np.median(np.diff(s.t_s)) for s in stretches]))
    if _goes_along(config):
        kept = WorldModel.from_pretrained(config.init)
        dt_s = kept.dt_s
        taught = [s for s, learned in ((LookStage, config.learns_look), (LayingStage, config.learns_laying)) if learned]
        if taught and not steps_done(config, TokenizerStage):  # and where it comes from
            summary = {**kept.training_record.summary} | {
                key: value
                for stage in taught
                for key, value in (
                    (f"{stage.name}_steps", steps_done(config, stage)), (f"{stage.name}_drives", summary["drives"])
                )
            }  # fmt: skip
    model = WorldModel(
        tokenizer,
        dynamics,
        dt_s=dt_s,
        camera_height_m=config.camera_height_m,
        training=Training(data=config.data.source, summary=summary),
        sampler=distilled_sampler(config) if config.distil_stage.steps else config.sampler,
    )
    model.save(out)
    print(f"saved {out}/tokenizer.safetensors and {out}/dynamics.safetensors")
    return out


def _sets(config: TrainConfig) -> tuple[Sets, list[MemoryEpisode]]:
    """What is trained on, and what is held out of it; of a live run, both will grow."""
    if config.data.live:
        live = live_set(config, device=device_of(config))
        return live, live.held_out
    train, held_out = {}, []
    for name, stretches in load_sets(config).items():
        train[name], out_of_set = split(stretches, held_out=config.data.validation_share)
        held_out += out_of_set
    return train, held_out or [stretches[-1] for stretches in train.values()]


def _all(train: Sets) -> list[MemoryEpisode]:
    """All stretches that are trained on, so far."""
    return train.train if isinstance(train, Live) else [s for some in train.values() for s in some]


def _recipe(config: TrainConfig, train: Sets) -> dict[str, Any]:
    """What it takes to render the same drives again, of the reference world; else nothing."""
    names = ("drives", "drive_s", "every", "options", "render_scale", "first_seed", "validation_share")
    names += ("other_share", "other_options") if config.data.other_share else ()
    recipe = {name: getattr(config.data, name) for name in names} if config.data.source == "reference" else {}
    if isinstance(train, Live):  # as many as were finished before the training was
        recipe["drives"] = len(train.train) + len(train.held_out)
    return recipe


def train_tokenizer(config: TrainConfig, train: Sets, held_out: list[MemoryEpisode]) -> Tokenizer:
    """The first stage; a finished tokenizer in the run's folder, or that of ``init``, is taken as it is."""
    out = Path(config.out)
    if (out / "tokenizer.safetensors").is_file():
        tokenizer = load_tokenizer(out)
        lacks = [name for name in LATER if getattr(config.tokenizer, name) and not getattr(tokenizer.config, name)]
        if tokenizer.config.shaped_like(config.tokenizer) and not lacks:
            return tokenizer
        raise ValueError(f"{out}/tokenizer.safetensors has another shape than this configuration; choose another out=")
    torch.manual_seed(config.seed)
    network = Tokenizer(config.tokenizer)
    if config.init:
        found = _tokenizer_of_init(config)
        along = {name: getattr(found.config, name) for name in LATER if not getattr(config.tokenizer, name)}
        network = Tokenizer(dataclasses.replace(config.tokenizer, **along))
        network.load_state_dict(network.state_dict() | found.state_dict())
    if config.tokenizer_stage.steps:
        weights = config.reconstruction
        stage = TokenizerStage(
            config,
            network,
            load_perceiver("driver") if weights.seen else None,
            _tokenizer_of_init(config) if weights.kept else None,
        )
        if config.compile:
            compile_blocks(network)
        make = WithBoxes(_windows(config, train, 1, config.tokenizer_stage.batch))
        fit(config, stage, make, config.tokenizer_stage, [Reconstructions(out / "pictures", held_out)])
    if network.depth is not None and config.depth_stage.steps:
        stage = DepthStage(config, network.depth)
        windows = _windows(config, train, DepthStage.length, config.depth_stage.batch)
        fit(config, stage, windows.batch, config.depth_stage, [Depths(out / "pictures", held_out)])
    if network.drift is not None and config.learns_drift:
        freeze(network)
        stage = DriftStage(config, network.drift.requires_grad_(True).train(), network)
        windows = WithBoxes(_windows(config, train, DriftStage.length, config.drift_stage.batch))
        fit(config, stage, windows, config.drift_stage, [Drifts(out / "pictures", held_out)])
    if network.astray is not None and config.learns_astray:
        freeze(network)
        stage = AstrayStage(config, network.astray.requires_grad_(True).train(), network)
        fit(config, stage, WithBoxes(_windows(config, train, 1, config.astray_stage.batch)), config.astray_stage, [])
    save_tokenizer(network, out)
    # Read back, so that latents are those of the weights as they are shipped.
    return load_tokenizer(out)


def _tokenizer_of_init(config: TrainConfig) -> Tokenizer:
    """That of ``init``, which must be shaped as configured, but may have a drift, or none, against what is."""
    found = WorldModel.from_pretrained(config.init).tokenizer
    if not found.config.shaped_like(config.tokenizer):
        raise ValueError(f"init={config.init}: its tokenizer is {found.config}, configured is {config.tokenizer}")
    return found


def train_dynamics(config: TrainConfig, tokenizer: Tokenizer, train: Sets, held_out: list[MemoryEpisode]) -> Dynamics:
    """The second stage, on latents that are cached or, of a live run, kept on the device; without a step of it, that of
    ``init`` as it is."""
    freeze(tokenizer).to(device_of(config))
    if _goes_along(config):
        return _with_parts(config, tokenizer, WorldModel.from_pretrained(config.init).dynamics, train)
    if isinstance(train, Live):
        train.forget_frames()
        latents = train.store(lambda stretch: latents_of(config, tokenizer, stretch))
        latents.sync(wait=True)
        sample = latents.sample(10)[:, :1].float().cpu().numpy()
        longest = round(config.data.drive_s / np.median(np.diff(train.train[0].t_s)))
    else:
        latents = cached_latents(config, tokenizer, train)
        some = [s for stretches in latents.values() for s in stretches]
        sample = np.concatenate([s.frames[::10, :1] for s in some]).astype(np.float32)
        longest = max(stretch.length for stretch in some)
    torch.manual_seed(config.seed)  # here, so that it does not matter what ran before
    found = WorldModel.from_pretrained(config.init).dynamics if config.init else None
    shape = config.dynamics
    if found is not None:  # what says what frames lack comes along
        along = {name: getattr(shape, name) or getattr(found.config, name) for name in ("look_width", "laying_width")}
        shape = dataclasses.replace(shape, **along)
    network = Dynamics(shape, tokens=config.tokenizer.tokens, channels=config.tokenizer.channels)
    network.latent_mean.copy_(torch.from_numpy(sample.mean(axis=(0, 1, 2))))
    network.latent_std.copy_(torch.from_numpy(sample.std(axis=(0, 1, 2)).clip(min=1e-3)))
    if found is not None:
        state = found.state_dict()
        if config.tokenizer_stage.steps and not config.reconstruction.kept:  # latents have a scale of their own now
            state = {name: x for name, x in state.items() if name not in ("latent_mean", "latent_std")}
        network.load_state_dict(state, strict=False)
    network = _with_parts(config, tokenizer, network, train)
    windows: dict[int, WithBoxes] = {}
    if config.dynamics_stage.steps or (config.distil_stage.steps and config.distil.rehearsed):
        clips = latents
        if isinstance(latents, dict) and config.looks.share:
            clips = {**latents, "looks": in_two_looks(config, tokenizer, latents)}
        for length, batch in {clip_shape(config, k) for k in range(max(1, config.clips.long_every))}:
            windows[length] = WithBoxes(_windows(config, clips, length, batch))

    def make(k: int) -> BoxedBatch:
        return windows[clip_shape(config, k)[0]](k)

    stage = DynamicsStage(config, network)
    if config.compile:
        compile_blocks(network)
    pictures = SampleDrives(Path(config.out) / "pictures", held_out, tokenizer)
    if config.dynamics_stage.steps:
        fit(config, stage, make, config.dynamics_stage, [pictures])
    if config.distil_stage.steps:
        lives = WithBoxes(_windows(config, latents, min(config.distil.life, longest), 1))
        clips = windows.get(clip_shape(config, 0)[0])
        teacher, listener = (_named_dynamics(config, tokenizer, role) for role in ("teacher", "listener"))
        stage = DistilStage(config, network, tokenizer, lives, teacher, clips, listener)
        fit(config, stage, lambda k: (), config.distil_stage, [pictures])
        network.load_state_dict(stage.average.state_dict())
    return network


def _goes_along(config: TrainConfig) -> bool:
    """Whether the dynamics of ``init`` stays as it is, but for what says what frames lack."""
    return bool(config.init and not config.dynamics_stage.steps and not config.distil_stage.steps)


def _with_parts(config: TrainConfig, tokenizer: Tokenizer, network: Dynamics, train: Sets) -> Dynamics:
    """The network with what says what frames lack, of their look and of their road, where the run teaches that."""
    if isinstance(train, Live):
        return network
    if config.learns_look:
        network = teach_look(config, tokenizer, network, train)
    return teach_laying(config, tokenizer, network, train) if config.learns_laying else network


def _named_dynamics(config: TrainConfig, tokenizer: Tokenizer, role: str) -> Dynamics | None:
    """The dynamics that teaches or listens in the last stage, where ``distil`` names one."""
    if not (name := getattr(config.distil, role)):
        return None
    model = WorldModel.from_pretrained(name)
    if content_hash(model.tokenizer) != content_hash(tokenizer):
        raise ValueError(f"distil.{role}={name}: its tokenizer is not the one of this run")
    return model.dynamics


def train_perception(config: TrainConfig, train: Sets, held_out: list[MemoryEpisode]) -> Perceiver:
    """The network that reads pixels, from scratch or from that of ``init``; calibrated on the drives held out.

    Raises:
        ValueError: a cached reference drive without its truth, or an ``init`` of another shape.
    """
    if config.data.source == "reference" and not isinstance(train, Live):
        bare = [s.episode_id for stretches in train.values() for s in stretches if not s.truth]
        if bare:
            raise ValueError(f"{config.data.cache}: {bare[0]} was rendered without its truth; delete its folder there")
    network = new_perceiver(config)
    if config.init:
        found = load_perceiver(config.init)
        if found.config != config.perception:
            raise ValueError(f"init={config.init}: its shape is {found.config}, configured is {config.perception}")
        network.load_state_dict(found.state_dict())
    stage = PerceptionStage(config, network)
    length = clip_length(config.perception)
    windows = _windows(config, train, length, config.perception_stage.batch)
    fit(config, stage, ClipsWithTruth(windows), config.perception_stage, [])
    network.to(device_of(config))
    held_out = held_out or _all(train)[-1:]
    calibrate(network, ClipsWithTruth(ClipWindows(held_out, length=length, batch_size=24, seed=config.seed)))
    network.cpu()
    about = {
        "data": config.data.source,
        "first_seed": config.data.first_seed,
        "drives": len(_all(train)),
        "steps": steps_done(config, PerceptionStage),
        "batch": config.perception_stage.batch,
        "torch": torch.__version__,
    }
    path = save_perceiver(network, config.out, about)
    print(f"saved {path}")
    return network


def train_text(config: TrainConfig) -> TextEncoder:
    """The network that reads prompts, on captions that are made as they are needed."""
    network = new_encoder(config.text, config.seed)
    fit(config, TextStage(config, network), SentenceBatches(network, config.text_stage.batch, 1), config.text_stage, [])
    wording.calibrate(network.cpu().eval())
    about = {"steps": steps_done(config, TextStage), "batch": config.text_stage.batch, "torch": torch.__version__}
    print(f"saved {save_encoder(network, config.out, about)}")
    return network


def _windows(config: TrainConfig, sets: Sets | Store, length: int, batch: int) -> Windows:
    """Windows of every set, mixed by the configured weights; sets without a stretch of that length are left out."""
    if isinstance(sets, (Live, Store)):
        store = sets.frames() if isinstance(sets, Live) else sets
        return ResidentWindows(store, length=length, batch_size=batch, seed=config.seed)
    usable = {name: some for name, some in sets.items() if any(s.length >= length for s in some)} or sets
    weights = dict(zip(config.data.paths, config.data.weights)) if config.data.weights else None
    weights = {name: weights[name] for name in usable} if weights else None
    return ClipWindows(usable, length=length, batch_size=batch, seed=config.seed, weights=weights)


def clip_shape(config: TrainConfig, k: int) -> tuple[int, int]:
    """Frames and clips of batch k: mostly short clips; every so often fewer long ones, of as many frames in all."""
    clips, batch = config.clips, config.dynamics_stage.batch
    if clips.long_every and k % clips.long_every == clips.long_every - 1:
        return clips.long, max(1, batch * clips.short // clips.long)
    return clips.short, batch
