"""Held-out drives continued by both, in the table of ``benchmarks/sampler_settings.py``.

The first 1.6 s are shown, then nothing but motion is told, and the tags of the last frame that was shown. How true the
drives are is what ``sampler_settings`` says: error and gain of speed and yaw rate as the judge reads them, sharpness
and contrast, tags and road users, of the first half and of the second.
Legend: see the package docstring.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.next_token.drawing import DrawConfig, continue_drives
from benchmarks.next_token.fsq import FsqTokenizer
from benchmarks.next_token.gpt import Gpt
from benchmarks.next_token.stage import codes_of
from benchmarks.sampler_settings import CONTEXT, HEADER, SHEET_S, held_out, line, setting_of
from worldmodel.datasets.workers import one_thread_each
from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.model import WorldModel
from worldmodel.perception.reader import Reader, load_perceiver
from worldmodel.simulation.session import Session
from worldmodel.tokenizer.tokenizer import Tokenizer, to_frames, to_network
from worldmodel.types import Clip, EgoMotion

Frames = NDArray[np.uint8]


def compare_drives(
    asked: argparse.Namespace, model: WorldModel, tokenizer: FsqTokenizer, network: Gpt, device: str
) -> list[str]:
    """The lines of the table, printed as they come; sheets go to ``asked.out``."""
    size, steps = (model.camera().height_px, model.camera().width_px), round(asked.drive_seconds / model.dt_s)
    clips = _clips(range(asked.first, asked.first + asked.drives), size, CONTEXT + steps)
    judge = Reader(load_perceiver(asked.judge).to(device))
    after = slice(CONTEXT - 1, CONTEXT - 1 + steps)
    told = np.stack([[c.motion.speed_mps[after], c.motion.yaw_rate_radps[after]] for c in clips], axis=1)
    true = np.stack([c.frames[CONTEXT - 1 :] for c in clips])
    lines = [HEADER]
    print(lines[0], flush=True)

    def add(name: str, frames: Frames) -> None:
        lines.append(line(name, frames, judge, clips))
        print(lines[-1], flush=True)

    add("true video", true)
    add("reconstructed, continuous", _reconstructed(model.tokenizer, true, device))
    add("reconstructed, discrete", _reconstructed(tokenizer, true, device))
    began = time.perf_counter()
    compared = _compared(model, clips, told, device)
    took = [("compared model", time.perf_counter() - began)]
    add("compared model", compared)
    at = [round(second / model.dt_s) for second in SHEET_S if second <= asked.drive_seconds]
    for words in asked.draw.split(";"):
        config = setting_of(words, cast(Any, DrawConfig()))
        began = time.perf_counter()
        drawn = drive(network, tokenizer, clips, cast(DrawConfig, config), device=device, progress=True)
        took.append((f"next token, {words}", time.perf_counter() - began))
        add(f"next token, {words}", drawn)
        name = "sheet_" + (words.replace("=", "").replace(",", "_") or "own")
        _sheet(asked.out / f"{name}.png", (true, compared, drawn), at)
    for name, seconds in took:
        lines.append(f"{name}: {1000 * seconds / steps / len(clips):.0f} ms a frame, {len(clips)} drives at once")
        print(lines[-1], flush=True)
    return lines


def _clips(numbers: range, size: tuple[int, int], frames: int) -> list[Clip]:
    make = functools.partial(held_out, size=size, frames=frames)
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(min(len(numbers), os.cpu_count() or 1)) as pool:
        return pool.map(make, numbers, chunksize=1)


@torch.no_grad()
def _reconstructed(tokenizer: Tokenizer, drives: Frames, device: str) -> Frames:
    tokenizer.to(device)
    again = [to_frames(tokenizer.decode(tokenizer.encode(to_network(torch.from_numpy(x).to(device))))) for x in drives]
    return np.stack([x.cpu().numpy() for x in again])


def _compared(model: WorldModel, clips: list[Clip], told: NDArray[np.float64], device: str) -> Frames:
    """What the compared model makes of them, at its own sampler's settings."""
    begun = [Clip(c.frames[:CONTEXT], c.t_s[:CONTEXT], c.motion[:CONTEXT], c.tags[:CONTEXT], c.camera, c.valid_mask)
             for c in clips]  # fmt: skip
    world = Session(model, device=device)
    frames = [world.start(begun, seed=0)]
    for step in range(told.shape[2]):
        made = world.step(EgoMotion(told[0, :, step], told[1, :, step]))
        assert made is not None
        frames.append(made)
    return np.stack(frames, axis=1)


@torch.no_grad()
def drive(
    network: Gpt,
    tokenizer: FsqTokenizer,
    clips: list[Clip],
    config: DrawConfig,
    *,
    device: str = "cpu",
    context: int = CONTEXT,
    progress: bool = False,
) -> Frames:
    """Frames ``(B, T, H, W, 3)`` from the last of ``context`` frames on, of clips whose motion is told to their end."""
    network.to(device)
    tokenizer.to(device)
    codes = torch.stack([codes_of(tokenizer, c.frames[:context], device) for c in clips]).to(device)
    outgoing = [
        motion_channels(
            torch.from_numpy(c.motion.speed_mps),
            torch.from_numpy(c.motion.yaw_rate_radps),
            torch.from_numpy(np.append(np.diff(c.t_s), np.nan)),
            torch.tensor(c.camera.height_m, dtype=torch.float64),
        )
        for c in clips
    ]
    tags = torch.from_numpy(np.stack([c.tags.codes for c in clips]))
    tags[:, context:] = tags[:, context - 1 : context]  # what is yet to come is not told
    drawn = continue_drives(
        network, codes, incoming(torch.stack(outgoing)).to(device), tags.to(device), config, progress=progress
    )
    latents = tokenizer.latents(drawn[:, context - 1 :])
    return np.stack([to_frames(tokenizer.decode(z)).cpu().numpy() for z in latents])


def _sheet(path: Path, films: tuple[Frames, ...], at: list[int]) -> None:
    """Of each drive a row per film, at the given frames."""
    rows = [np.hstack([film[t] for t in at]) for drives in zip(*films) for film in drives]
    temporary = path.with_name(f".partial_{path.name}")
    cv2.imwrite(str(temporary), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    os.replace(temporary, path)
