"""A world model is its components: a tokenizer and the dynamics that was trained on that tokenizer's latents.

Each component is one safetensors file whose metadata holds the format version, the component's configuration and a hash
of its content; dynamics names the hash of the tokenizer it needs, and anything else is refused. There are no pickles.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from worldmodel.dynamics.conditioning import between
from worldmodel.dynamics.dynamics import Dynamics, DynamicsConfig
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.nn.component import BUNDLED_DIR, config_from, content_hash, load_component, save_component
from worldmodel.tokenizer.drift import STEPS_AGO, Earlier
from worldmodel.tokenizer.moving import move_latents
from worldmodel.tokenizer.tokenizer import Tokenizer, TokenizerConfig
from worldmodel.types import Camera


@dataclasses.dataclass(frozen=True)
class Training:
    """Where a model comes from, for its card and its drives' provenance.

    Attributes:
        data: what it was trained on.
        summary: free text figures, e.g. steps, hardware, minutes.
    """

    data: str = "unknown"
    summary: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class WorldModel(nn.Module):
    """Tokenizer and dynamics that fit each other, and the time step and camera height they were trained for."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        dynamics: Dynamics,
        *,
        dt_s: float = 0.1,
        camera_height_m: float = NOMINAL_HEIGHT_M,
        training: Training | None = None,
        sampler: SamplerConfig | None = None,
    ) -> None:
        super().__init__()
        self.tokenizer, self.dynamics = tokenizer, dynamics
        self.dt_s, self.camera_height_m = dt_s, camera_height_m
        self.training_record = training or Training()
        #: How this model's frames are best drawn.
        self.sampler = (sampler or SamplerConfig()).validate()

    def camera(self) -> Camera:
        """The canonical camera of the frames this model makes."""
        c = self.tokenizer.config
        return canonical_camera(c.height_px, c.width_px, height_m=self.camera_height_m)

    def hashes(self) -> dict[str, str]:
        """Content hash of each component, as it would be saved."""
        return {name: content_hash(module) for name, module in self._components().items()}

    def _components(self) -> dict[str, nn.Module]:
        return {"tokenizer": self.tokenizer, "dynamics": self.dynamics}

    def save(self, directory: str | Path) -> Path:
        """Write both components to a directory, each under a temporary name first. Weights are kept as fp16."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tokenizer_hash = save_tokenizer(self.tokenizer, directory)
        d = self.dynamics
        save_component(
            d,
            directory / "dynamics.safetensors",
            {
                "config": dataclasses.asdict(d.config),
                "latents": {"tokens": d.tokens, "channels": d.channels, "views": d.views},
                "tokenizer_hash": tokenizer_hash,
                "dt_s": self.dt_s,
                "camera_height_m": self.camera_height_m,
                "training": dataclasses.asdict(self.training_record),
                "sampler": dataclasses.asdict(self.sampler),
            },
        )
        return directory

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *, device: str = "cpu") -> WorldModel:
        """Load a directory, a bundled name, or (with the ``hub`` extra) a Hub repository ``owner/name``.

        Raises:
            ValueError: nothing of that name, a damaged file, a newer format, or components that do not match.
        """
        directory = find_model(name_or_path)
        tokenizer = load_tokenizer(directory)
        tensors, about = load_component(directory / "dynamics.safetensors")
        found = content_hash(tokenizer)
        if about["tokenizer_hash"] != found:
            raise ValueError(
                f"{directory}: dynamics needs tokenizer {about['tokenizer_hash'][:12]}, but tokenizer.safetensors is "
                f"{found[:12]}; put the tokenizer it was trained with beside it, or train dynamics anew"
            )
        dynamics = Dynamics(config_from(DynamicsConfig, about["config"]), **about["latents"])
        dynamics.load_state_dict(tensors)
        model = cls(
            tokenizer,
            dynamics,
            dt_s=about["dt_s"],
            camera_height_m=about["camera_height_m"],
            training=Training(**about["training"]),
            sampler=config_from(SamplerConfig, about["sampler"]),
        )
        return model.eval().to(device)


class Past(NamedTuple):
    """What came before the newest frames, for ``move_ahead``.

    Attributes:
        frames_BVCHW: decoded, from ``STEPS_AGO`` = K steps before the newest, to see what moves by itself.
        motion_BKF: ``(B, K, 4)`` motion channels of the steps since; NaN where there was no such frame.
    """

    frames_BVCHW: Tensor
    motion_BKF: Tensor


class Ahead(NamedTuple):
    """Frames as the motion would leave them; NaN where it is not known.

    Attributes:
        z_BVNC: normalised latents.
        memory_BV4HW: what ``move_ahead`` is to go on from when the next frames are there; no views of a model that
            remembers nothing.
    """

    z_BVNC: Tensor
    memory_BV4HW: Tensor


def no_memory(dynamics: Dynamics, tokenizer: Tokenizer, batch: int, *, like: Tensor) -> Tensor:
    """The memory of drives that have not begun."""
    views = dynamics.views if dynamics.config.newest < 1 else 0
    shape = (batch, views, 4, tokenizer.config.height_px, tokenizer.config.width_px)
    return like.new_full(shape, torch.nan, dtype=torch.float32)


def decoded(tokenizer: Tokenizer, dynamics: Dynamics, z_BVNC: Tensor) -> Tensor:
    """Pictures ``(B, V, C, H, W)`` in about [-1, 1] of normalised latents."""
    latents = dynamics.denormalise(z_BVNC).clamp(-1, 1)
    return torch.stack([tokenizer.decode(z) for z in latents.unbind(1)], dim=1)


def move_ahead(
    tokenizer: Tokenizer,
    dynamics: Dynamics,
    z_BVNC: Tensor,
    motion_BF: Tensor,
    past: Past | None,
    memory_BV4HW: Tensor,
    *,
    frames_BVCHW: Tensor | None = None,
    in_turn: bool = False,
    road_BEK2: Tensor | None = None,
    righted: float = 0.0,
) -> Ahead:
    """Frames, and what is remembered of those before, as the motion would leave them (``tokenizer.moving``).

    Args:
        tokenizer, dynamics: that fit each other.
        z_BVNC: normalised latents of the frames before the motion.
        motion_BF: ``(B, 4)`` motion channels (``dynamics.conditioning``).
        past: frames from before those; ``None`` where there are none.
        memory_BV4HW: what this returned a frame ago, or ``no_memory``.
        frames_BVCHW: those of ``z_BVNC``, where somebody has decoded them already.
        in_turn: whether rows are one drive's frames, one after the other; the memory is that of the first.
        road_BEK2: windows of maps about the frames, by which their road is put right (``tokenizer.astray``); NaN where
            not known, ``None`` for nowhere.
        righted: share of it that is put right.
    """
    displacement_m, turn_rad, _, height_m = motion_BF.unbind(-1)
    latents, remembers = dynamics.denormalise(z_BVNC), dynamics.config.newest < 1
    frames = [None] * latents.shape[1] if frames_BVCHW is None else frames_BVCHW.unbind(1)
    earlier = [None] * latents.shape[1]
    memory = memory_BV4HW.unbind(1) if remembers else [None] * latents.shape[1]
    if past is not None:
        steps_B = torch.full_like(past.motion_BKF[:, 0, 0], STEPS_AGO)
        since = between(past.motion_BKF, torch.zeros_like(steps_B), steps_B)
        earlier = [Earlier(x, *since, steps_B) for x in past.frames_BVCHW.unbind(1)]
    views = [
        move_latents(
            tokenizer, z, displacement_m, turn_rad, height_m,
            frames_BCHW=x, earlier=y, memory_B4HW=m, newest=dynamics.config.newest, in_turn=in_turn,
            road_BEK2=road_BEK2, righted=righted,
        )
        for z, x, y, m in zip(latents.unbind(1), frames, earlier, memory)
    ]  # fmt: skip
    moved_BVNC, kept_BV4HW = (torch.stack(parts, dim=1) for parts in zip(*views))
    return Ahead(dynamics.normalise(moved_BVNC), kept_BV4HW if remembers else memory_BV4HW)


def save_tokenizer(tokenizer: Tokenizer, directory: str | Path) -> str:
    """Write ``tokenizer.safetensors`` and return its content hash."""
    path = Path(directory) / "tokenizer.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    return save_component(tokenizer, path, {"config": dataclasses.asdict(tokenizer.config)})


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """Read ``tokenizer.safetensors`` of a model directory.

    Raises:
        ValueError: no such file, or a damaged one.
    """
    tensors, about = load_component(Path(directory) / "tokenizer.safetensors")
    tokenizer = Tokenizer(config_from(TokenizerConfig, about["config"]))
    tokenizer.load_state_dict(tensors)
    return tokenizer.eval()


def find_model(name_or_path: str | Path) -> Path:
    """The directory of a model given by path, bundled name or Hub repository."""
    path = Path(name_or_path)
    if (path / "dynamics.safetensors").is_file():
        return path
    bundled = BUNDLED_DIR / str(name_or_path)
    if (bundled / "dynamics.safetensors").is_file():
        return bundled
    if str(name_or_path).count("/") == 1 and not path.exists() and not str(name_or_path).startswith((".", "/")):
        if importlib.util.find_spec("huggingface_hub") is None:
            raise ValueError(
                f"model {str(name_or_path)!r}: no such directory; to fetch it from the Hub, "
                "pip install 'worldmodel[hub]'"
            )
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]

        return Path(snapshot_download(str(name_or_path), allow_patterns=["*.safetensors"]))
    names = sorted(p.parent.name for p in BUNDLED_DIR.glob("*/dynamics.safetensors"))
    raise ValueError(
        f"model {str(name_or_path)!r}: no directory with dynamics.safetensors and no bundled model of that name "
        f"(bundled: {', '.join(names) or 'none'})"
    )
