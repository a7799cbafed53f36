"""Opens worlds by name, and says what they are made of and where they run.

Knows where models and machines are described, nothing of drives.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from importlib import metadata
from typing import Any, Literal

import torch

import worldmodel
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.model import WorldModel
from worldmodel.simulation.networks import Precision
from worldmodel.simulation.session import Session
from worldmodel.types import World

Device = Literal["auto", "cpu", "cuda"]


@dataclasses.dataclass(frozen=True)
class WorldConfig:
    """A learned world: the part of a mode's settings that says what draws the frames, and how.

    Attributes:
        model: bundled name, folder or Hub repository.
        steps_per_frame: denoising steps, a power of two; ``None`` for the model's own choice, as in the next eight.
        past_tau: signal level at which finished frames are kept.
        moved_tau: signal level at which the frame before, moved by what is told, is shown.
        shortcuts: whether steps are told how large they are.
        guidance: how much further than what is told leads; 1 for no further.
        prompt_guidance: the same of tags, those a prompt is read into among them.
        righted: share of how far a road has gone astray from its map that each frame puts right.
        relit: share of what each frame lacks to look as it is told, in weather and light, that is added to it.
        relaid: share of what the ground lacks to show the road where its map has it, that is added to it.
        device: ``auto`` takes cuda where there is one.
        precision: ``fp32``, ``bf16``, or ``auto`` for what the device is fastest in.
        compile: take most of a minute at first to draw frames twice as fast.
        threads: of torch on a CPU; 0 for all cores. One is nearly as fast for a small model, does not stall beside
            other work as spinning threads do, and gives the same bytes whatever the number of cores.
    """

    model: str = "nano"
    steps_per_frame: int | None = None
    past_tau: float | None = None
    moved_tau: float | None = None
    shortcuts: bool | None = None
    guidance: float | None = None
    prompt_guidance: float | None = None
    righted: float | None = None
    relit: float | None = None
    relaid: float | None = None
    device: Device = "auto"
    precision: Precision = "auto"
    compile: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if self.threads < 0:
            raise ValueError(f"threads: expected a number from 0, got {self.threads}")

    def sampler(self, own: SamplerConfig) -> SamplerConfig:
        """The model's own settings with those that are asked for here."""
        asked = {
            "steps": self.steps_per_frame,
            "past_tau": self.past_tau,
            "moved_tau": self.moved_tau,
            "shortcuts": self.shortcuts,
            "guidance": self.guidance,
            "prompt_guidance": self.prompt_guidance,
            "righted": self.righted,
            "relit": self.relit,
            "relaid": self.relaid,
        }
        return dataclasses.replace(own, **{name: value for name, value in asked.items() if value is not None})


def open_world(config: WorldConfig) -> tuple[World, dict[str, Any]]:
    """A learned world, and the part of a drive's provenance that describes it. Sets the threads of torch.

    Raises:
        ValueError: no such model, a damaged one, or a device, precision or sampler that is not there.
    """
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    device = config.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device}: this machine has no CUDA device that torch {torch.__version__} can use")
    weights = WorldModel.from_pretrained(config.model, device=device)
    sampler = config.sampler(weights.sampler)
    world = Session(weights, sampler=sampler, device=device, precision=config.precision, compiled=config.compile)
    about = {
        "world": "learned",
        "model": config.model,
        "components": weights.hashes(),
        "sampler": dataclasses.asdict(sampler),
        "device": device,
        "precision": world.precision,
        "compiled": config.compile,
    }
    return world, about


def surroundings() -> dict[str, Any]:
    """Versions, machine and date, for a drive's provenance."""
    packages = ("torch", "numpy", "opencv-python", "av", "highway-env")
    versions = {"worldmodel": worldmodel.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    machine = {
        "system": platform.platform(terse=True),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"versions": versions, "machine": machine, "begun": now}
