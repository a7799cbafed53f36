"""What dynamics is trained on: every stretch with latents for frames, made once by each tokenizer and kept.

Legend: T frames of a stretch; V views; N tokens; C channels.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.conditioning import between, led_to
from worldmodel.nn.component import content_hash
from worldmodel.nn.half import has_bf16
from worldmodel.tokenizer.drift import STEPS_AGO, Earlier
from worldmodel.tokenizer.moving import move_latents
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import TrainConfig


def cached_latents(
    config: TrainConfig, tokenizer: Tokenizer, train: dict[str, list[MemoryEpisode]]
) -> dict[str, list[MemoryEpisode]]:
    """Every stretch with latents for frames."""
    latents: dict[str, list[MemoryEpisode]] = {}
    with tqdm(total=sum(map(len, train.values())), desc="latents", disable=not config.progress) as bar:
        for name, stretches in train.items():
            latents[name] = []
            for stretch in stretches:
                latents[name].append(with_latents(config, tokenizer, stretch))
                bar.update()
    return latents


def with_latents(config: TrainConfig, tokenizer: Tokenizer, stretch: MemoryEpisode) -> MemoryEpisode:
    """The stretch with latents ``(T, 2 V, N, C)`` float16 for frames, from the cache where this tokenizer made them.

    The first V are those of the frame, the others those of the frame before it, decoded, moved by the motion in between
    (and who drives by their drift, where the tokenizer reads one), put right by the map as the sampler has it, and
    encoded again; NaN where that is not known.
    """
    # Another device and precision round otherwise.
    of = f"{content_hash(tokenizer)[:16]}_{device_of(config)}_{precision_of(config)}"
    of += f"_{config.dynamics.newest:g}" if config.dynamics.newest < 1 else ""
    of += f"_righted_{config.sampler.righted:g}" if config.sampler.righted else ""
    path = Path(config.data.cache) / f"latents_moved_{of}" / f"{stretch.episode_id}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        with open(temporary, "wb") as file:
            np.save(file, latents_of(config, tokenizer, stretch).cpu().numpy())
        temporary.rename(path)
    return dataclasses.replace(stretch, frames=np.load(path))


@torch.no_grad()
def latents_of(config: TrainConfig, tokenizer: Tokenizer, stretch: MemoryEpisode) -> torch.Tensor:
    """The latents of ``with_latents``, ``(T, 2 V, N, C)`` float16 on the run's device."""
    device, bf16 = device_of(config), precision_of(config) == "bf16-mixed"
    dt_s, many = np.append(np.diff(stretch.t_s), np.nan), 32 if device == "cpu" else 512
    displacement_m = torch.from_numpy(stretch.motion.speed_mps * dt_s).float().to(device)
    turn_rad = torch.from_numpy(stretch.motion.yaw_rate_radps * dt_s).float().to(device)
    height_m = torch.full_like(turn_rad, stretch.info.camera.height_m)
    steps = torch.full_like(turn_rad, STEPS_AGO)
    since = between(led_to(torch.stack([displacement_m, turn_rad], dim=-1), STEPS_AGO), torch.zeros_like(steps), steps)
    road, parts, moved, seen, memory = None, [], [], None, None
    if config.sampler.righted and "road" in stretch.truth:
        road = torch.from_numpy(stretch.truth["road"]).float().to(device)
    for start in range(0, stretch.length, many):
        rows = slice(start, start + many)
        frames = torch.from_numpy(np.array(stretch.frames[rows])).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            parts.append(tokenizer.encode(to_network(frames)).float())
            about = (displacement_m[rows], turn_rad[rows], height_m[rows])
            pictures, earlier = None, None
            if torch.isfinite(turn_rad[rows]).any():
                pictures = tokenizer.decode(parts[-1].clamp(-1, 1))
                seen = torch.cat([pictures[:1].expand(STEPS_AGO, -1, -1, -1) if seen is None else seen, pictures])
                earlier = Earlier(seen[: len(pictures)], *(x[rows] for x in (*since, steps)))
                seen = seen[-STEPS_AGO:]
            else:  # nor is it known of what was before the next rows
                seen = None
            after = move_latents(
                tokenizer, parts[-1], *about, frames_BCHW=pictures, earlier=earlier,
                memory_B4HW=memory, newest=config.dynamics.newest, in_turn=True,
                road_BEK2=None if road is None else road[rows], righted=config.sampler.righted,
            )  # fmt: skip
            moved.append(after.latents_BND)
            memory = after.memory_B4HW[-1:]
    after_BND = torch.cat(moved)  # row t is frame t as the motion leaves it, which frame t + 1 is shown
    before_BND = torch.cat([torch.full_like(after_BND[:1], torch.nan), after_BND[:-1]])
    return torch.stack([torch.cat(parts), before_BND], dim=1).half()


def device_of(config: TrainConfig) -> str:
    """``cuda`` or ``cpu``."""
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


def precision_of(config: TrainConfig) -> Literal["32-true", "bf16-mixed"]:
    """As configured; of ``auto``, what the device is faster in."""
    if config.precision != "auto":
        return config.precision
    return "bf16-mixed" if has_bf16(device_of(config)) else "32-true"
