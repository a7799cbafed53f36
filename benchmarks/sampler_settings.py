"""Which settings of the sampler does a model drive best with? Held-out drives continued under each, read by the judge.

    python benchmarks/sampler_settings.py MODEL --settings "guidance=1;guidance=2.3;guidance=2.3,past_tau=0.7"

Each of ``--drives`` drives of the reference world gives the model its first 1.6 s, then nothing but its motion. A line
a setting: error and gain of speed and yaw rate in the first and the second half, and how sharp and contrasty the frames
are at the end of each; beside the same of true video and of the tokenizer's reconstructions. ``--out`` gets a sheet of
frames for each. Runs on a GPU where there is one, without av or hydra. Choose on other drives than those you report.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.datasets.workers import one_thread_each
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.metrics.image import contrast, sharpness
from worldmodel.model import WorldModel
from worldmodel.perception.network import Look, Perceiver
from worldmodel.perception.reader import load_perceiver
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.simulation.session import Session
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.training.corpus import shrink
from worldmodel.types import Clip, EgoMotion

#: Frames of context, and where sheets are looked at, in seconds.
CONTEXT, SHEET_S = 16, (0, 0.5, 1, 2, 5, 10, 20, 30, 60)
FIRST_SEED = 900_000


def held_out(number: int, *, size: tuple[int, int], frames: int) -> Clip:
    ego = ("good", "brisk", "sloppy", "lane_changing")[number % 4]
    scale = max(1, 128 // size[0])
    camera = canonical_camera(size[0] * scale, size[1] * scale, height_m=1.4)
    return shrink(render_drive(draw_options(FIRST_SEED + number, ego=ego), frames, camera=camera).clip(), scale)


@torch.no_grad()
def read(judge: Perceiver, frames: NDArray[np.uint8], *, dt_s: float, height_m: float) -> NDArray[np.float64]:
    """Speed and yaw rate ``(2, T - 1)`` between frames ``(T, H, W, 3)``."""
    x = to_network(torch.from_numpy(frames).to(judge.calibration.device))
    looks = judge.look(judge.sized(x))
    percept = judge(Look(*(part[:-1] for part in looks)), Look(*(part[1:] for part in looks)))
    speed, yaw = percept.mean["chord_heights"] * height_m / dt_s, percept.mean["turn_rad"] / dt_s
    return torch.stack([speed, yaw]).double().cpu().numpy()


def line(name: str, frames: NDArray[np.uint8], told: NDArray[np.float64], judge: Perceiver, clip: Clip) -> str:
    """One line of the table, of ``(N, T + 1, H, W, 3)`` frames and what was told ``(2, N, T)``."""
    dt_s, height_m = float(np.median(np.diff(clip.t_s))), clip.camera.height_m
    said = np.stack([read(judge, drive, dt_s=dt_s, height_m=height_m) for drive in frames], axis=1)
    cells, half = [], told.shape[2] // 2
    for part in (slice(0, half), slice(half, None)):
        error = np.abs(said - told)[..., part].mean(axis=(1, 2))
        gains = [(s * t).sum() / max(1e-9, (t * t).sum()) for s, t in zip(said[..., part], told[..., part])]
        cells.append(f"{error[0]:6.2f} m/s ×{gains[0]:5.2f}  {error[1]:6.4f} rad/s ×{gains[1]:5.2f}")
    ends = frames[:, [half, -1]].reshape(-1, *frames.shape[2:])
    looks = (f(ends).reshape(-1, 2).mean(axis=0) for f in (sharpness, contrast))
    shown = "  ".join(f"{first:6.1f} {last:6.1f}" for first, last in looks)
    return f"{name:36s} | {cells[0]} | {cells[1]} | {shown}"


def setting_of(words: str, own: SamplerConfig) -> SamplerConfig:
    """The model's own settings with ``key=value`` parted by commas laid over them."""
    values = dict(word.split("=") for word in words.split(",") if word)
    kinds = {name: type(getattr(own, name)) for name in values}
    return dataclasses.replace(own, **{name: kinds[name](float(value)) for name, value in values.items()}).validate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("model")
    add("--settings", default="", help="parted by semicolons; an empty one is the model's own")
    add("--judge", default="judge")
    add("--drives", type=int, default=8)
    add("--seconds", type=float, default=10.0)
    add("--out", type=Path, default=Path("outputs/settings"))
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, judge = WorldModel.from_pretrained(asked.model), load_perceiver(asked.judge).to(device)
    size, steps = (model.camera().height_px, model.camera().width_px), round(asked.seconds / model.dt_s)
    make = functools.partial(held_out, size=size, frames=CONTEXT + steps)
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(min(asked.drives, os.cpu_count() or 1)) as pool:
        clips = pool.map(make, range(asked.drives), chunksize=1)
    asked.out.mkdir(parents=True, exist_ok=True)
    after = slice(CONTEXT - 1, CONTEXT - 1 + steps)
    told = np.stack([[c.motion.speed_mps[after], c.motion.yaw_rate_radps[after]] for c in clips], axis=1)
    true = np.stack([c.frames[CONTEXT - 1 :] for c in clips])
    print(f"{'speed and yaw rate: error, gain':36s} | first half | second half | sharpness, contrast", flush=True)
    print(line("true video", true, told, judge, clips[0]), flush=True)
    tokenizer = model.tokenizer.to(device)
    with torch.no_grad():
        latents = [tokenizer.encode(to_network(torch.from_numpy(drive).to(device))) for drive in true]
        again = np.stack([to_frames(tokenizer.decode(z)).cpu().numpy() for z in latents])
    print(line("reconstructed", again, told, judge, clips[0]), flush=True)
    begun = [Clip(c.frames[:CONTEXT], c.t_s[:CONTEXT], c.motion[:CONTEXT], c.tags[:CONTEXT], c.camera, c.valid_mask)
             for c in clips]  # fmt: skip
    at = [round(second / model.dt_s) for second in SHEET_S if second <= asked.seconds]
    for words in asked.settings.split(";"):
        world = Session(model, sampler=setting_of(words, model.sampler), device=device, precision="auto")
        frames = [world.start(begun, seed=0)]
        for step in range(steps):
            made = world.step(EgoMotion(told[0, :, step], told[1, :, step]))
            assert made is not None
            frames.append(made)
        drawn = np.stack(frames, axis=1)
        print(line(words or "its own", drawn, told, judge, clips[0]), flush=True)
        rows = [np.hstack([film[t] for t in at]) for pair in zip(true, drawn) for film in pair]
        name = words.replace("=", "").replace(",", "_") or "own"
        cv2.imwrite(str(asked.out / f"{name}.png"), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
