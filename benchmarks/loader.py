"""Frames per second that the loader delivers: windows from mp4 with two workers, and from memory.

    python benchmarks/loader.py [prepared set]

Without a set, a synthetic one of textured frames at 128x256 is made first. Goals on two cores: 1,200 frames/s from mp4
(windows of 32) and 5,000 from memory.
"""

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.datasets.windows import ClipWindows, load_all
from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import EgoMotion, Tags


def make_set(root: Path, episodes: int = 4, length: int = 300) -> None:
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


def count_frames(windows: ClipWindows, first: int, batches: int) -> int:
    return sum(int(np.prod(windows.batch(k).frames.shape[:2])) for k in range(first, first + batches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", nargs="?", type=Path, help="a prepared set")
    parser.add_argument("--length", type=int, default=32, help="frames of a window")
    parser.add_argument("--batches", type=int, default=20, help="batches of 8 windows, per worker")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = arguments.set or Path(folder)
        if arguments.set is None:
            make_set(root)
        episodes = [e for e in EpisodeDataset(root) if e.length >= arguments.length]
        windows = ClipWindows(episodes, length=arguments.length, batch_size=8)
        with ProcessPoolExecutor(arguments.workers) as pool:
            list(
                pool.map(count_frames, [windows] * arguments.workers, range(arguments.workers), [1] * arguments.workers)
            )
            start = time.perf_counter()
            firsts = range(0, arguments.workers * arguments.batches, arguments.batches)
            counts = pool.map(
                count_frames, [windows] * arguments.workers, firsts, [arguments.batches] * arguments.workers
            )
            from_disk = sum(counts) / (time.perf_counter() - start)
        kept = load_all(sorted(episodes, key=len)[-20:])
        windows = ClipWindows(kept, length=arguments.length, batch_size=8)
        count_frames(windows, 0, 2)
        start = time.perf_counter()
        from_memory = count_frames(windows, 0, 4 * arguments.batches) / (time.perf_counter() - start)
    print(f"loader from mp4, {arguments.workers} workers: {from_disk:8.0f} frames/s (goal 1200)")
    print(f"loader from memory, 1 worker: {from_memory:8.0f} frames/s (goal 5000)")


if __name__ == "__main__":
    main()
