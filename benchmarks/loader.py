"""Frames per second that reach the training process at 128x256, in windows of 32: from mp4, and from a run's caches.

    python benchmarks/loader.py [a set prepared at 128x256] [--workers 2] [--batches 12]

Goals on two cores: 1,200 frames/s from mp4, 5,000 from the uint8 or latent cache. Each figure stands twice. By the
clock: what came, with whatever else the machine was doing. By processor time: frames per second of it, all processes
together, times the workers; that is what so many cores give when nothing else wants them, and the figure to go by on
a machine that is shared. Starting the workers is left out of both: two runs of different length are subtracted.

Without a set, a synthetic one of textured frames is made first, whose files are as large as those of real recordings.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch.utils.data import DataLoader

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, Stretch
from worldmodel.geometry.camera import canonical_camera
from worldmodel.training.corpus import read_stretch, write_stretch
from worldmodel.training.episodes import episode_names, read_episode
from worldmodel.types import EgoMotion, Tags

#: Latents of a frame in the cache of a run: the frame's own and the moved one's, as many as those of `nano`.
LATENTS = (2, 64, 48)


def make_set(root: Path, episodes: int = 4, length: int = 300) -> None:
    """A prepared set of frames of a texture that slides by."""
    camera = canonical_camera()
    size = (camera.height_px, camera.width_px)
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (size[0], 2 * size[1], 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    for drive in range(episodes):
        frames = (np.roll(texture, -3 * i - 40 * drive, axis=1)[:, : size[1]] for i in range(length))
        info = EpisodeInfo(f"drive{drive}", "nowhere", camera, np.ones(size, bool))
        t_s = np.arange(length) / 10
        EpisodeWriter(root).write(
            info, frames, t_s, EgoMotion(np.full(length, 5.0), 0.0), Tags.unknown(), drive=drive, part=0
        )
    lerobot.rebuild_meta(root)


def cached(root: Path, folder: Path, most: int) -> list[MemoryEpisode]:
    """The episodes of a set as a run keeps them: uint8 frames, mapped from disk."""
    names = episode_names(root)[:most]
    for name in names:
        write_stretch(folder, name, read_episode(name, path=str(root), size=(128, 256)))
    return [read_stretch(folder, name, in_memory=False) for name in names]


def with_latents(stretch: MemoryEpisode) -> MemoryEpisode:
    """The stretch with noise in the place and shape of latents: what they hold does not matter to their speed."""
    random = np.random.default_rng(0)
    latents = random.standard_normal((stretch.length, *LATENTS)).astype(np.float16)
    return MemoryEpisode(
        stretch.episode_id, stretch.info, latents, stretch.t_s, stretch.motion, stretch.tags  # type: ignore[arg-type]
    )  # fmt: skip


def processor_s() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def deliver(windows: ClipWindows, first: int, batches: int, workers: int) -> tuple[float, float]:
    """Seconds by the clock and of the processors that so many batches take to arrive here, as tensors."""
    clock, used = time.perf_counter(), processor_s()
    loader = DataLoader(windows, batch_size=None, sampler=range(first, first + batches), num_workers=workers)
    for _ in loader:
        pass
    return time.perf_counter() - clock, processor_s() - used


def measure(what: str, goal: int, stretches: Sequence[Stretch], length: int, workers: int, batches: int) -> None:
    """Print both figures of one source."""
    windows = ClipWindows([s for s in stretches if s.length >= length], length=length, batch_size=8)
    deliver(windows, 0, workers, workers)  # whatever is only done once
    few, many = (deliver(windows, 1000, count, workers) for count in (batches, 3 * batches))
    frames = 2 * batches * 8 * length
    clock, used = (frames / (b - a) for a, b in zip(few, many))
    print(f"{what:34s} {clock:9.0f} frames/s by the clock, {workers * used:9.0f} by processor time (goal {goal})")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", type=Path, help="a prepared set")
    parser.add_argument("--length", type=int, default=32, help="frames of a window")
    parser.add_argument(
        "--batches", type=int, default=12, help="of 8 windows in the shorter run; eight times as many from caches"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=20, help="at most so many are cached")
    arguments = parser.parse_args()
    options = arguments.length, arguments.workers
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.set or Path(scratch) / "set"
        if arguments.set is None:
            make_set(root)
        measure("from mp4", 1200, list(EpisodeDataset(root)), *options, arguments.batches)
        kept = cached(root, Path(scratch) / "cache", arguments.episodes)
        measure("from uint8, mapped from disk", 5000, kept, *options, 8 * arguments.batches)
        measure("from latents in memory", 5000, [with_latents(s) for s in kept], *options, 8 * arguments.batches)


if __name__ == "__main__":
    main()
