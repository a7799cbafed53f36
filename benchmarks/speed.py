"""Frames per second of loader, tokenizer and dynamics on this machine, apart and together.

    python benchmarks/speed.py [--model nano] [--seconds 3] [--json FILE]

Each figure is the median of repeated calls after a warm-up. The dynamics' fraction of this machine's fp32 matrix rate
counts 2 × weights of the linear layers × tokens of a frame for each pass (4 denoising passes and the one that leaves
the frame in the ring); the rate is that of a 2048² product measured in the same run. Nothing here fails by time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.dynamics.conditioning import motion_channels
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.sampler import commit_frame, draw_frame, shown
from worldmodel.model import Past, WorldModel, move_ahead, no_memory
from worldmodel.nn.transformer import matmul_flops_per_token
from worldmodel.simulation.session import Session
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.training.stages import matmul_rate
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags


def median_s(call: Callable[[], object], seconds: float) -> float:
    """Median duration of a call, repeated for about ``seconds`` after two calls of warm-up."""
    call(), call()
    durations, begin = [], time.perf_counter()
    while time.perf_counter() - begin < seconds or len(durations) < 3:
        start = time.perf_counter()
        call()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def a_clip(model: WorldModel, length: int) -> Clip:
    """Frames of noise at the model's size: speed does not depend on what they show."""
    camera = model.camera()
    rng = np.random.default_rng(0)
    return Clip(
        frames=rng.integers(0, 256, (length, camera.height_px, camera.width_px, 3), dtype=np.uint8),
        t_s=np.arange(length) * model.dt_s,
        motion=EgoMotion(np.full(length, 10.0), np.zeros(length)),
        tags=Tags.unknown((length,)),
        camera=camera,
        valid_mask=np.ones((camera.height_px, camera.width_px), dtype=bool),
    )


def loader_fps(model: WorldModel, seconds: float) -> dict[str, float]:
    """Windows of 32 frames from mp4 and from memory, one process."""
    from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
    from worldmodel.datasets.lerobot import rebuild_meta

    clip = a_clip(model, 320)
    smooth = np.linspace(0, 255, clip.frames[0].size).reshape(clip.frames[0].shape).astype(np.uint8)
    frames = np.stack([np.roll(smooth, t, axis=1) for t in range(len(clip))])
    with tempfile.TemporaryDirectory() as folder:
        info = EpisodeInfo("drive", "place", clip.camera, clip.valid_mask)
        EpisodeWriter(folder).write(info, frames, clip.t_s, clip.motion, clip.tags, drive=0, part=0)
        rebuild_meta(Path(folder))
        windows = ClipWindows(list(EpisodeDataset(folder)), length=32, batch_size=2)
        counter = iter(range(10**9))
        from_disk = median_s(lambda: windows.batch(next(counter)), seconds)
    windows = ClipWindows([MemoryEpisode.of(clip, drive_id="drive")], length=32, batch_size=2)
    from_memory = median_s(lambda: windows.batch(next(counter)), seconds)
    return {"loader_mp4_fps": 64 / from_disk, "loader_memory_fps": 64 / from_memory}


def world_fps(model: WorldModel, seconds: float, batch: int, precision: str, compiled: bool) -> dict[str, float]:
    """A running world of ``batch`` rows as a whole, and its parts: dynamics, moving the last frame, pixels."""
    world = Session(model, precision=precision, compiled=compiled)
    world.start(a_clip(model, 4), batch=batch)
    motion = EgoMotion(10.0, 0.05)
    together = median_s(lambda: world.step(motion), seconds)
    tokenizer, d = world.networks.tokenizer, world.networks.dynamics
    z = d.normalise(world.latents())
    told = motion_channels(*(torch.full((batch,), x) for x in (10.0, 0.05, model.dt_s, 1.4)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=world.precision == "bf16"):
        pictures = tokenizer.decode(world.latents()[:, 0])
        decoding = median_s(lambda: tokenizer.decode(world.latents()[:, 0]), seconds)
        frames = pictures[:, None]
        memory = no_memory(d, tokenizer, batch, like=frames)
        past = Past(frames, told[:, None].repeat(1, STEPS_AGO, 1))
        moving = median_s(lambda: move_ahead(tokenizer, d, z, told, past, memory, frames_BVCHW=frames), seconds)
        moved = move_ahead(tokenizer, d, z, told, None, memory).z_BVNC.float()
        tags = torch.zeros(batch, 1, len(VOCABULARY), dtype=torch.int64)
        sampler = model.sampler
        says = shown(Told(told[:, None], tags), moved, torch.randn_like(moved), sampler.moved_tau)
        ring = d.transformer.new_ring(batch, d.frame_tokens(), like=z)

        def passes() -> None:
            draw_frame(d, torch.randn_like(z), says, ring, sampler)
            commit_frame(d, z, z, says, ring, sampler.past_tau)

        dynamics = median_s(passes, seconds)
    asked = 1 + (model.sampler.guidance != 1) + (model.sampler.prompt_guidance != 1)
    passes_a_frame = model.sampler.steps * asked + 1
    flops = passes_a_frame * batch * d.frame_tokens() * matmul_flops_per_token(d.transformer)
    return {
        f"together_fps_batch{batch}": batch / together,
        f"dynamics_fps_batch{batch}": batch / dynamics,
        f"moving_fps_batch{batch}": batch / moving,
        f"decoder_fps_batch{batch}": batch / decoding,
        f"dynamics_gflops_batch{batch}": flops / dynamics / 1e9,
    }


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, default=3.0, help="per figure")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its choice")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"), help="of the running world")
    parser.add_argument("--compile", action="store_true", help="the running world: a minute for each batch")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = WorldModel.from_pretrained(arguments.model)
    camera = model.camera()
    figures = {"fp32_matmul_gflops": matmul_rate(torch.device("cpu"), seconds=arguments.seconds) / 1e9}
    figures |= loader_fps(model, arguments.seconds)
    frame = torch.zeros(1, 3, camera.height_px, camera.width_px)
    with torch.no_grad():
        figures["encoder_fps"] = 1 / median_s(lambda: model.tokenizer.encode(frame), arguments.seconds)
    for batch in (1, 8):
        figures |= world_fps(model, arguments.seconds, batch, arguments.precision, arguments.compile)
        share = figures[f"dynamics_gflops_batch{batch}"] / figures["fp32_matmul_gflops"]
        figures[f"dynamics_share_of_matmul_batch{batch}"] = share
    parameters = sum(p.numel() for p in model.dynamics.parameters()) / 1e6
    print(f"{arguments.model}: {camera.height_px}x{camera.width_px}, dynamics {parameters:.1f} M parameters, "
          f"{model.dynamics.frame_tokens()} tokens, {dataclasses.asdict(model.sampler)}")  # fmt: skip
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, value in figures.items():
        print(f"  {name:34s} {value:10.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
