"""Decoded drives, in memory or mapped from disk, and batches that are pure functions of (seed, k).

Every source ends here: one uint8 ``.npy`` of frames and one ``.npz`` of columns per drive, each written under a
temporary name and renamed, so a killed preparation goes on where it was. Latents are cached beside the frames, keyed
by the tokenizer's content.
Legend: T frames of a drive, L frames of a clip, B batch, N tokens, C channels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import Clip, EgoMotion, Tags


@dataclasses.dataclass(frozen=True)
class DriveRecord:
    """One uninterrupted drive.

    Attributes:
        drive_id: whose split it follows.
        name: of its file, unique in the corpus; names its latents in the cache.
        frames: ``(T, H, W, 3)`` uint8.
        speed_mps, yaw_rate_radps: ``(T,)`` outgoing motion, NaN unknown.
        t_s: ``(T,)``.
        tags: ``(T, channels)`` codes.
        valid_mask: ``(H, W)``.
        camera_height_m: NaN unknown.
    """

    drive_id: str
    name: str
    frames: NDArray[np.uint8]
    speed_mps: NDArray[np.float32]
    yaw_rate_radps: NDArray[np.float32]
    t_s: NDArray[np.float64]
    tags: NDArray[np.int64]
    valid_mask: NDArray[np.bool_]
    camera_height_m: float

    def __len__(self) -> int:
        return len(self.t_s)

    @property
    def dt_s(self) -> NDArray[np.float64]:
        """``(T,)`` time to the next frame; the last is NaN."""
        return np.append(np.diff(self.t_s), np.nan)

    def clip(self, start: int, length: int) -> Clip:
        """A stretch as a ``Clip``."""
        rows = slice(start, start + length)
        height, width = self.frames.shape[1:3]
        return Clip(
            frames=np.array(self.frames[rows]),
            t_s=self.t_s[rows],
            motion=EgoMotion(self.speed_mps[rows], self.yaw_rate_radps[rows]),
            tags=Tags(self.tags[rows]),
            camera=canonical_camera(height, width, height_m=self.camera_height_m),
            valid_mask=self.valid_mask,
        )


def write_drive(folder: Path, name: str, drive_id: str, clip: Clip) -> None:
    """Put one clip into a corpus folder; its columns are written last and mark it complete."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, save in (
        (".npy", lambda file: np.save(file, clip.frames)),
        (
            ".npz",
            lambda file: np.savez(
                file,
                drive_id=np.array(drive_id),
                speed_mps=clip.motion.speed_mps.astype(np.float32),
                yaw_rate_radps=clip.motion.yaw_rate_radps.astype(np.float32),
                t_s=clip.t_s,
                tags=clip.tags.codes,
                valid_mask=clip.valid_mask,
                camera_height_m=np.array(clip.camera.height_m),
            ),
        ),
    ):
        temporary = folder / f".{name}{suffix}.partial"
        with open(temporary, "wb") as file:
            save(file)
        os.replace(temporary, folder / f"{name}{suffix}")


def read_drive(folder: Path, name: str, *, in_memory: bool = True) -> DriveRecord:
    """One drive of a corpus folder, its frames in memory or mapped from disk."""
    with np.load(folder / f"{name}.npz") as columns:
        values = {key: columns[key] for key in columns.files}
    return DriveRecord(
        drive_id=str(values.pop("drive_id")),
        name=f"{folder.name}_{name}",
        frames=np.load(folder / f"{name}.npy", mmap_mode=None if in_memory else "r"),
        camera_height_m=float(values.pop("camera_height_m")),
        **values,
    )


def build_corpus(
    folder: Path,
    names: Sequence[str],
    make: Callable[[str], tuple[str, Clip]],
    *,
    processes: int,
    progress: bool,
    what: str,
    in_memory: bool = True,
) -> list[DriveRecord]:
    """Make what is missing of ``names`` in parallel, then open all of it.

    Args:
        folder: of the corpus.
        names: one per drive.
        make: name to drive id and clip; runs in a worker process, so it must be picklable.
        processes: 0 for all cores.
        progress: show a bar.
        what: its label.
        in_memory: hold the frames in memory rather than mapping them from disk.
    """
    missing = [name for name in names if not (folder / f"{name}.npz").is_file()]
    if missing:
        jobs = [(folder, name, make) for name in missing]
        workers = processes or os.cpu_count() or 1
        # Spawned, not forked: the parent may hold threads of torch or OpenCV.
        with multiprocessing.get_context("spawn").Pool(min(workers, len(jobs))) as pool:
            for _ in tqdm(pool.imap_unordered(_make_one, jobs), total=len(jobs), desc=what, disable=not progress):
                pass
    return [read_drive(folder, name, in_memory=in_memory) for name in names]


def _make_one(job: tuple[Path, str, Callable[[str], tuple[str, Clip]]]) -> None:
    folder, name, make = job
    cv2.setNumThreads(1)  # one process per core already
    drive_id, clip = make(name)
    write_drive(folder, name, drive_id, clip)


def corpus_folder(cache: str, *key: Any) -> Path:
    """The folder of a corpus in the cache, named after everything that determines it."""
    return Path(cache) / hashlib.sha256(repr(key).encode()).hexdigest()[:16]


def split(drives: Sequence[DriveRecord], validation_share: float) -> tuple[list[DriveRecord], list[DriveRecord]]:
    """Training and validation drives, by a hash of the drive's id: a drive keeps its side whatever else is there."""
    held_out = [zlib.crc32(drive.drive_id.encode()) / 2**32 < validation_share for drive in drives]
    train = [drive for drive, held in zip(drives, held_out) if not held]
    validation = [drive for drive, held in zip(drives, held_out) if held]
    if not train:
        raise ValueError(f"data: all {len(drives)} drives fell into the validation split; add drives")
    return train, validation or train[-1:]


def random_frames(
    drives: Sequence[DriveRecord], batch: int, *, seed: int, k: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Batch k of single frames ``(B, H, W, 3)`` with their valid masks ``(B, H, W)``."""
    rng = random.Random(f"frames {seed} {k}")
    chosen = rng.choices(drives, weights=[len(d) for d in drives], k=batch)
    frames = np.stack([d.frames[rng.randrange(len(d))] for d in chosen])
    return frames, np.stack([d.valid_mask for d in chosen])


@dataclasses.dataclass(frozen=True)
class LatentDrive:
    """A drive with its latents ``(T, V, N, C)`` float16."""

    drive: DriveRecord
    latents: NDArray[np.float16]


@dataclasses.dataclass(frozen=True)
class LatentClips:
    """A batch of clips for dynamics: arrays over ``(B, L)``, motion being outgoing."""

    latents: NDArray[np.float32]
    speed_mps: NDArray[np.float32]
    yaw_rate_radps: NDArray[np.float32]
    dt_s: NDArray[np.float32]
    camera_height_m: NDArray[np.float32]
    tags: NDArray[np.int64]
    token_weight: NDArray[np.float32]


def random_clips(
    drives: Sequence[LatentDrive],
    batch: int,
    length: int,
    *,
    token_weights: dict[str, NDArray[np.float32]],
    seed: int,
    k: int,
) -> LatentClips:
    """Batch k of clips of ``length`` frames.

    Raises:
        ValueError: no drive is that long.
    """
    rng = random.Random(f"clips {seed} {k}")
    long_enough = [d for d in drives if len(d.drive) >= length]
    if not long_enough:
        raise ValueError(f"data: no drive has {length} frames; lower clips.long (and the window) or add longer drives")
    chosen = rng.choices(long_enough, weights=[len(d.drive) - length + 1 for d in long_enough], k=batch)
    starts = [rng.randrange(len(d.drive) - length + 1) for d in chosen]

    def rows(column: Callable[[DriveRecord], NDArray[Any]]) -> NDArray[Any]:
        return np.stack([column(d.drive)[s : s + length] for d, s in zip(chosen, starts)])

    return LatentClips(
        latents=np.stack([d.latents[s : s + length] for d, s in zip(chosen, starts)]).astype(np.float32),
        speed_mps=rows(lambda d: d.speed_mps),
        yaw_rate_radps=rows(lambda d: d.yaw_rate_radps),
        dt_s=rows(lambda d: d.dt_s).astype(np.float32),
        camera_height_m=np.array([[d.drive.camera_height_m] for d in chosen], dtype=np.float32),
        tags=rows(lambda d: d.tags),
        token_weight=np.stack([token_weights[d.drive.name] for d in chosen]),
    )


def batches_of(total: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``total`` rows."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
