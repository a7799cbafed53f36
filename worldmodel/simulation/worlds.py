"""Opens worlds by name, and says what they are made of and where they run.

Knows where models and machines are described, nothing of drives.
"""

from __future__ import annotations

import datetime
import os
import platform
from importlib import metadata
from typing import Any, Literal

import torch

import worldmodel
from worldmodel.model import WorldModel
from worldmodel.simulation.session import Session
from worldmodel.types import World

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]


def open_world(
    model: str = "nano", *, steps_per_frame: int = 4, device: str = "auto", precision: str = "fp32"
) -> tuple[World, dict[str, Any]]:
    """A learned world, and the part of a drive's provenance that describes it.

    Args:
        model: bundled name, folder or Hub repository.
        steps_per_frame: denoising steps, a power of two.
        device: ``auto`` takes cuda where there is one.
        precision: ``fp32``, or ``bf16`` on cuda.

    Raises:
        ValueError: no such model, a damaged one, or a device or precision that is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={device}: this machine has no CUDA device that torch {torch.__version__} can use")
    weights = WorldModel.from_pretrained(model, device=device)
    world = Session(weights, steps_per_frame=steps_per_frame, device=device, precision=precision)
    about = {
        "world": "learned",
        "model": model,
        "components": weights.hashes(),
        "steps_per_frame": steps_per_frame,
        "device": device,
        "precision": precision,
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
