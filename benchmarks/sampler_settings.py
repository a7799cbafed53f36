"""Which settings of the sampler does a model drive best with? Held-out drives continued under each, read by the judge.

    python benchmarks/sampler_settings.py MODEL --settings "guidance=1;guidance=2.3;guidance=2.3,past_tau=0.7"

Each of ``--drives`` drives of the reference world gives the model its first 1.6 s, then nothing but its motion (and, to
one that can be told of it, a map of the road, unless it is ``--mapless``). A line
a setting, beside the same of true video and of the tokenizer's reconstructions: error and gain of speed and yaw rate in
the first and the second half, how sharp and contrasty the frames are at the end of each, and what is seen in the last
1.2 s of each: the drives whose weather and whose time of day are read as they were told, frames with somebody ahead,
road users found in a frame. ``--out`` gets a sheet of frames for each. Runs on a GPU where there is one, without av or
hydra. Choose on other drives than those you report (``--first 50``): a tag of 16 drives is known to some 12 %, a speed
error to some 0.2 m/s.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Sequence
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
from worldmodel.perception.reader import Reader, Readings, load_perceiver
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.simulation.session import Session
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.training.corpus import shrink
from worldmodel.types import VOCABULARY, Clip, EgoMotion

#: Frames of context, frames that tags and road users are read from, and where sheets are looked at, in seconds.
CONTEXT, LOOK, SHEET_S = 16, 12, (0, 0.5, 1, 2, 5, 10, 20, 30, 60)
HEADER = (
    f"{'speed and yaw rate: error, gain':36s} | first half | second half | sharpness, contrast | "
    "weather; time of day right | somebody ahead; users"
)
FIRST_SEED = 900_000


def held_out(number: int, *, size: tuple[int, int], frames: int) -> Clip:
    ego = ("good", "brisk", "sloppy", "lane_changing")[number % 4]
    scale = max(1, 128 // size[0])
    camera = canonical_camera(size[0] * scale, size[1] * scale, height_m=1.4)
    return shrink(render_drive(draw_options(FIRST_SEED + number, ego=ego), frames, camera=camera).clip(), scale)


def line(name: str, frames: NDArray[np.uint8], judge: Reader, clips: Sequence[Clip]) -> str:
    """One line of the table: of ``(N, S + 1, H, W, 3)`` frames from each clip's last of context on."""
    steps = frames.shape[1] - 1
    half, rows = steps // 2, slice(CONTEXT - 1, CONTEXT + steps)
    readings = [judge.read(film, c.t_s[rows], c.camera) for film, c in zip(frames, clips)]
    cells = [obeyed(readings, clips, part) for part in (slice(0, half), slice(half, steps))]
    ends = frames[:, [half, -1]].reshape(-1, *frames.shape[2:])
    looks = (f(ends).reshape(-1, 2).mean(axis=0) for f in (sharpness, contrast))
    cells.append("  ".join(f"{first:6.1f} {last:6.1f}" for first, last in looks))
    cells += ["  ".join(some) for some in zip(*(seen(readings, clips, end) for end in (half, steps)))]
    return " | ".join([f"{name:36s}", *cells])


def obeyed(readings: Sequence[Readings], clips: Sequence[Clip], part: slice) -> str:
    """Error and gain of speed and yaw rate in a part of the steps."""
    cells = []
    for rate, form, unit in (("speed_mps", "6.2f", "m/s"), ("yaw_rate_radps", "6.4f", "rad/s")):
        told = np.stack([getattr(clip.motion, rate)[CONTEXT - 1 :][part] for clip in clips])
        said = np.stack([getattr(reading.motion, rate)[part] for reading in readings])
        gain = (said * told).sum() / max(1e-9, (told * told).sum())
        cells.append(f"{np.abs(said - told).mean():{form}} {unit} ×{gain:5.2f}")
    return "  ".join(cells)


def seen(readings: Sequence[Readings], clips: Sequence[Clip], end: int) -> tuple[str, str]:
    """Tags that are read as told, and who is seen, in the last frames until one."""
    look, names = slice(max(0, end + 1 - LOOK), end + 1), list(VOCABULARY)
    right = [
        np.mean([
            reading.tag_codes(tag, frames=LOOK)[end] == clip.tags.codes[CONTEXT - 1 + end, names.index(tag)]
            for reading, clip in zip(readings, clips)
        ])
        for tag in ("weather", "time_of_day")
    ]  # fmt: skip
    users = [0.0 if r.boxes is None else (r.boxes.score[look] > 0.5).sum(axis=1).mean() for r in readings]
    ahead = [(reading.flags["has_gap"][look] > 0.5).mean() for reading in readings]
    return "; ".join(f"{100 * share:3.0f} %" for share in right), f"{100 * np.mean(ahead):3.0f} %; {np.mean(users):.2f}"


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
    add("--first", type=int, default=0, help="of the drives, as a number")
    add("--seconds", type=float, default=10.0)
    add("--mapless", action="store_true", help="do not tell where the road lies")
    add("--out", type=Path, default=Path("outputs/settings"))
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, judge = WorldModel.from_pretrained(asked.model), Reader(load_perceiver(asked.judge).to(device))
    size, steps = (model.camera().height_px, model.camera().width_px), round(asked.seconds / model.dt_s)
    make = functools.partial(held_out, size=size, frames=CONTEXT + steps)
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(min(asked.drives, os.cpu_count() or 1)) as pool:
        clips = pool.map(make, range(asked.first, asked.first + asked.drives), chunksize=1)
    asked.out.mkdir(parents=True, exist_ok=True)
    after = slice(CONTEXT - 1, CONTEXT - 1 + steps)
    told = np.stack([[c.motion.speed_mps[after], c.motion.yaw_rate_radps[after]] for c in clips], axis=1)
    true = np.stack([c.frames[CONTEXT - 1 :] for c in clips])
    print(HEADER, flush=True)
    print(line("true video", true, judge, clips), flush=True)
    tokenizer = model.tokenizer.to(device)
    with torch.no_grad():
        latents = [tokenizer.encode(to_network(torch.from_numpy(drive).to(device))) for drive in true]
        again = np.stack([to_frames(tokenizer.decode(z)).cpu().numpy() for z in latents])
    print(line("reconstructed", again, judge, clips), flush=True)
    begun = [dataclasses.replace(c[:CONTEXT], **({"road": None} if asked.mapless else {})) for c in clips]
    at = [round(second / model.dt_s) for second in SHEET_S if second <= asked.seconds]
    for words in asked.settings.split(";"):
        world = Session(model, sampler=setting_of(words, model.sampler), device=device, precision="auto")
        frames = [world.start(begun, seed=0)]
        for step in range(steps):
            made = world.step(EgoMotion(told[0, :, step], told[1, :, step]))
            assert made is not None
            frames.append(made)
        drawn = np.stack(frames, axis=1)
        print(line(words or "its own", drawn, judge, clips), flush=True)
        rows = [np.hstack([film[t] for t in at]) for pair in zip(true, drawn) for film in pair]
        name = words.replace("=", "").replace(",", "_") or "own"
        cv2.imwrite(str(asked.out / f"{name}.png"), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
