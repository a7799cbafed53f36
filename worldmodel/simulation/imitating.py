"""Trains the imitation driver: ``python -m worldmodel.simulation.imitating --budget small --out
outputs/imitation/small``.

It renders drives of the reference world, driven well and badly, and asks at every frame what the driver who knows the
truth would do there: so it learns the way back to the lane too. Three budgets make three grades of driver. Nothing of
it is bundled.

Shapes: N frames; H, W pixels.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.datasets.workers import one_thread_each
from worldmodel.nn.component import save_component
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.simulation.policies.imitation import (
    BUDGETS,
    FILE,
    FOLDER,
    LEAST_SPEED_MPS,
    UNITS_MPS2,
    ImitationConfig,
    ImitationNetwork,
)
from worldmodel.simulation.policies.style import STYLES, controls_of
from worldmodel.simulation.starting import parse_tags

#: Seeds of its drives, far from those of training sets and of held-out drives.
_FIRST_SEED = 9_000_000_000
_FRAMES_PER_S = 5
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Lessons:
    """What is learned from: frames ``(N, H, W, 3)``, speeds ``(N,)``, and what is right ``(N, 2)`` in
    ``UNITS_MPS2``."""

    frames: NDArray[np.uint8]
    speed_mps: NDArray[np.float32]
    right: NDArray[np.float32]


#: A drive to render: its number, seconds, fixed options, and the shape of the network.
_Job = tuple[int, float, dict[str, str], ImitationConfig]


def lessons_of(job: _Job) -> Lessons:
    """Of one drive."""
    number, drive_s, fixed, config = job
    drive = render_drive(draw_options(_FIRST_SEED + number, **fixed, sensor=False), round(drive_s * 10))
    every = np.arange(0, len(drive) - 1, 10 // _FRAMES_PER_S)
    size = (config.width_px, config.height_px)
    frames = np.stack([cv2.resize(drive.frames[i], size, interpolation=cv2.INTER_AREA) for i in every])
    speed = np.nan_to_num(drive.motion.speed_mps[every])
    controls = controls_of(STYLES["normal"], {name: column[every] for name, column in drive.columns.items()}, speed)
    lateral = controls.curvature_1pm * np.maximum(speed, LEAST_SPEED_MPS) ** 2
    right = np.stack([controls.accel_mps2 / UNITS_MPS2[0], np.clip(lateral, -7, 7) / UNITS_MPS2[1]], axis=1)
    # Off the road, or in a contact, nobody knows what is right.
    usable = ~(drive.columns["off_road"][every] | drive.columns["collision"][every])
    return Lessons(frames[usable], speed[usable].astype(np.float32), right[usable].astype(np.float32))


def train(
    folder: Path,
    *,
    drives: int,
    steps: int,
    drive_s: float = 16.0,
    tags: str = "",
    device: str = "auto",
    workers: int = 0,
    seed: int = 0,
) -> Path:
    """Render, train and write ``imitation.safetensors``; returns its path.

    Args:
        folder: to write to.
        drives: to learn from.
        steps: of the optimiser.
        drive_s: length of a drive.
        tags: kept fixed in the drives, as ``weather=clear,traffic=none``.
        device: ``auto`` takes cuda where there is one.
        workers: processes that render; 0 for as many as there are cores, at most 16.
        seed: of the network and the order.
    """
    config = ImitationConfig()
    fixed = {k: v for k, v in parse_tags(tags).names().items() if v != "unknown" and k != "event"}
    jobs = [(number, drive_s, fixed, config) for number in range(drives)]
    workers = min(workers or os.cpu_count() or 1, 16, drives)
    lessons = list(tqdm(_rendered(jobs, workers), "rendering", total=drives, unit="drive"))
    device = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    network = ImitationNetwork(config).to(device).train()
    frames, speed, right = (
        torch.from_numpy(np.concatenate([getattr(lesson, field.name) for lesson in lessons]))
        for field in dataclasses.fields(Lessons)
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    rng = np.random.default_rng(seed)
    bar = tqdm(range(steps), "training", unit="step")
    for _ in bar:
        at = torch.from_numpy(rng.integers(0, len(frames), _BATCH))
        x = frames[at].to(device).movedim(-1, 1).float() / 127.5 - 1
        x = x * torch.empty(_BATCH, 1, 1, 1, device=device).uniform_(0.8, 1.2)
        said = network(x, speed[at].to(device))
        loss = torch.nn.functional.smooth_l1_loss(said, right[at].to(device), beta=0.3)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"drives": drives, "steps": steps, "tags": tags, "first_seed": _FIRST_SEED}
    save_component(network.cpu(), path, {"config": dataclasses.asdict(config), "training": about})
    return path


def _rendered(jobs: list[_Job], workers: int) -> Iterator[Lessons]:
    if workers == 1:
        yield from map(lessons_of, jobs)
        return
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap(lessons_of, jobs)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.simulation.imitating", description=__doc__)
    parser.add_argument("--budget", choices=BUDGETS, default="small", help="drives and steps to learn from")
    parser.add_argument("--out", type=Path, help=f"folder; by default {FOLDER}/BUDGET")
    parser.add_argument("--tags", default="", help="kept fixed in its drives, as weather=clear,traffic=none")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes that render; 0 for one a core")
    arguments = parser.parse_args()
    drives, steps = BUDGETS[arguments.budget]
    try:
        folder = arguments.out or FOLDER / arguments.budget
        print(
            train(
                folder,
                drives=drives,
                steps=steps,
                tags=arguments.tags,
                device=arguments.device,
                workers=arguments.workers,
            )
        )
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
