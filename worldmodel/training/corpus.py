"""The frames of a run, decoded or rendered once, kept on disk and held in memory as ``MemoryEpisode``s.

Every source ends here: one uint8 ``.npy`` of frames and one ``.npz`` of columns per stretch, each written under a
temporary name and renamed, so a killed preparation goes on where it was. Which windows make a batch is the business of
``datasets.windows``; latents take the place of frames in the same episodes.
Legend: T frames of a stretch, H W pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.datasets.workers import one_thread_each
from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import Clip, EgoMotion, Tags

#: Columns of truth are kept under this prefix.
_TRUTH = "truth_"


class Made(NamedTuple):
    """One stretch, made: whose drive and place, its frames, columns ``(T, ...)`` of what else is true, the split."""

    drive_id: str
    place_id: str
    clip: Clip
    truth: Mapping[str, NDArray] = {}
    split: str = ""


#: Makes one stretch from its name. Runs in worker processes: picklable.
Maker = Callable[[str], Made]


def write_stretch(folder: Path, name: str, made: Made) -> None:
    """Put one stretch into a corpus folder; its columns are written last and mark it complete."""
    drive_id, place_id, clip, truth, publishers_split = made
    columns = {
        "drive_id": np.array(drive_id),
        "place_id": np.array(place_id),
        "split": np.array(publishers_split),
        "speed_mps": clip.motion.speed_mps,
        "yaw_rate_radps": clip.motion.yaw_rate_radps,
        "t_s": clip.t_s,
        "tags": clip.tags.codes,
        "valid_mask": clip.valid_mask,
        "camera_height_m": np.array(clip.camera.height_m),
        **{_TRUTH + key: column for key, column in truth.items()},
    }
    _write(folder / f"{name}.npy", lambda file: np.save(file, clip.frames))
    _write(folder / f"{name}.npz", lambda file: np.savez(file, **columns))


def read_stretch(folder: Path, name: str, *, in_memory: bool = True) -> MemoryEpisode:
    """One stretch of a corpus folder, its frames in memory or mapped from disk."""
    frames = np.load(folder / f"{name}.npy", mmap_mode=None if in_memory else "r")
    with np.load(folder / f"{name}.npz") as columns:
        values = {key: columns[key] for key in columns.files}
    height, width = values["valid_mask"].shape
    clip = Clip(
        frames=frames,
        t_s=values["t_s"],
        motion=EgoMotion(values["speed_mps"], values["yaw_rate_radps"]),
        tags=Tags(values["tags"]),
        camera=canonical_camera(height, width, height_m=float(values["camera_height_m"])),
        valid_mask=values["valid_mask"],
    )
    return MemoryEpisode.of(
        clip,
        drive_id=str(values["drive_id"]),
        place_id=str(values["place_id"]),
        split=str(values.get("split", "")),
        episode_id=f"{folder.name}_{name}",
        truth={key.removeprefix(_TRUTH): column for key, column in values.items() if key.startswith(_TRUTH)},
    )


def build_corpus(
    folder: Path,
    names: Sequence[str],
    make: Maker,
    *,
    processes: int,
    progress: bool,
    what: str,
    in_memory: bool = True,
) -> list[MemoryEpisode]:
    """Make what is missing of ``names`` in parallel, then open all of it.

    Args:
        folder: of the corpus.
        names: one per stretch.
        make: name to what it holds.
        processes: 0 for all cores.
        progress: show a bar.
        what: its label.
        in_memory: hold the frames in memory rather than mapping them from disk.
    """
    missing = [name for name in names if not (folder / f"{name}.npz").is_file()]
    if missing:
        jobs = [(folder, name, make) for name in missing]
        workers = min(processes or os.cpu_count() or 1, len(jobs))
        for _ in tqdm(_in_workers(jobs, workers), total=len(jobs), desc=what, disable=not progress):
            pass
    return [read_stretch(folder, name, in_memory=in_memory) for name in names]


class Arriving:
    """Stretches that processes make in the background; each call hands over those finished since the last.

    Args:
        folder, names, make, processes: as in ``build_corpus``.
    """

    def __init__(self, folder: Path, names: Sequence[str], make: Maker, *, processes: int) -> None:
        self._folder, self._failure = folder, None
        self._finished: queue.SimpleQueue[str] = queue.SimpleQueue()
        jobs = [(folder, name, make) for name in names]
        workers = min(processes or os.cpu_count() or 1, len(jobs))
        threading.Thread(target=self._work, args=(jobs, workers), daemon=True).start()

    def _work(self, jobs: Sequence[tuple[Path, str, Maker]], workers: int) -> None:
        try:
            with one_thread_each(), multiprocessing.get_context("spawn").Pool(workers) as pool:
                for name in pool.imap(_make_missing, jobs):  # in order: how many says which
                    self._finished.put(name)
        except Exception as error:
            self._failure = error

    def __call__(self) -> list[MemoryEpisode]:
        """What is new.

        Raises:
            RuntimeError: a stretch could not be made.
        """
        if self._failure is not None:
            raise RuntimeError(f"{self._folder}: a stretch could not be made") from self._failure
        names = [self._finished.get() for _ in range(self._finished.qsize())]
        return [read_stretch(self._folder, name, in_memory=False) for name in names]


def _make_missing(job: tuple[Path, str, Maker]) -> str:
    folder, name, _ = job
    if not (folder / f"{name}.npz").is_file():
        _make_one(job)
    return name


def _in_workers(jobs: Sequence[tuple[Path, str, Maker]], workers: int) -> Iterator[None]:
    """Do the jobs in processes that are spawned, not forked: the parent may hold threads of torch or OpenCV."""
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_make_one, jobs)


def _make_one(job: tuple[Path, str, Maker]) -> None:
    folder, name, make = job
    cv2.setNumThreads(1)  # one process per core already
    write_stretch(folder, name, make(name))


def _write(path: Path, save: Callable[[Any], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # names of episodes are paths in many a dataset: split/city/drive
    temporary = path.with_name(f".{path.name}.partial")
    with open(temporary, "wb") as file:
        save(file)
    os.replace(temporary, path)


def clip_of(episode: MemoryEpisode, start: int, length: int) -> Clip:
    """A stretch of an episode's frames as a ``Clip``."""
    rows = slice(start, start + length)
    return Clip(
        frames=np.asarray(episode.frames[rows]),
        t_s=episode.t_s[rows],
        motion=episode.motion[rows],
        tags=episode.tags[rows],
        camera=episode.info.camera,
        valid_mask=episode.info.valid_mask,
        road=episode.truth["road"][rows] if "road" in episode.truth else None,
    )


def shrink(clip: Clip, scale: int) -> Clip:
    """The same clip seen ``scale`` times smaller, each pixel the mean of those it covers."""
    if scale == 1:
        return clip
    length, height, width, _ = clip.frames.shape
    blocks = clip.frames.reshape(length, height // scale, scale, width // scale, scale, 3)
    frames = blocks.mean(axis=(2, 4), dtype=np.float32).round().astype(np.uint8)
    valid = clip.valid_mask.reshape(height // scale, scale, width // scale, scale).all(axis=(1, 3))
    camera = canonical_camera(height // scale, width // scale, height_m=clip.camera.height_m)
    return dataclasses.replace(clip, frames=frames, camera=camera, valid_mask=valid)


def corpus_folder(cache: str, *key: Any) -> Path:
    """The folder of a corpus in the cache, named after everything that determines it."""
    return Path(cache) / hashlib.sha256(repr(key).encode()).hexdigest()[:16]
