"""Frames a model was trained on, read as generated ones are, to look for copies of them.

A few stretches of each training drive, rendered or decoded again, are kept in files of their own: features, thumbnails
and a video. So a library of any size is made drive by drive, goes on where it was, and shows what was copied. Knows
training records and data sets, nothing of how copies are told.

Shapes: L frames; F features; h, w pixels of thumbnails.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.datasets.video import FrameSequence, StreamingVideoWriter
from worldmodel.datasets.windows import split
from worldmodel.evaluation.control import stretches_of
from worldmodel.evaluation.hands import Hands
from worldmodel.evaluation.held_out import shrunk
from worldmodel.geometry.camera import canonical_camera
from worldmodel.metrics.neighbours import thumbnails
from worldmodel.model import WorldModel
from worldmodel.nn.component import config_from
from worldmodel.perception.reader import Reader
from worldmodel.training.config import DataConfig
from worldmodel.training.sources import REFERENCE_HZ, options_of
from worldmodel.types import Camera, FloatArray, FrameArray

#: Stretches of a training drive and frames of each: 2 s, so that it holds clips of 1 s at eleven moments.
STRETCHES, STRETCH = 4, 20


@dataclasses.dataclass(frozen=True)
class TrainingDrive:
    """One drive a model was trained on.

    Attributes:
        name: of its files.
        camera: of the model.
        seed: of the reference world's drive, drawn as ``recipe`` says; or
        episode: of the prepared set at ``path``.
    """

    name: str
    camera: Camera
    seed: int | None = None
    recipe: DataConfig | None = None
    path: str = ""
    episode: str = ""


@dataclasses.dataclass(frozen=True)
class Library:
    """Frames of the training set, all that is known of them.

    Attributes:
        features: ``(L, F)`` of the judge.
        thumbs: ``(L, h, w)`` of ``neighbours.thumbnails``.
        stretch: ``(L,)`` number of the uninterrupted stretch a frame is of.
        videos: files and how many frames each has, in the order of the frames; empty where there are none.
    """

    features: FloatArray
    thumbs: NDArray[np.uint8]
    stretch: NDArray[np.int64]
    videos: tuple[tuple[Path, int], ...] = ()

    @classmethod
    def of(cls, features: Sequence[FloatArray], thumbs: Sequence[NDArray[np.uint8]]) -> Library:
        """A library of stretches."""
        numbers = [np.full(len(part), i) for i, part in enumerate(features)]
        return cls(np.concatenate(features), np.concatenate(thumbs), np.concatenate(numbers))

    def __len__(self) -> int:
        return len(self.features)

    def place(self, index: int) -> tuple[Path, int]:
        """The video a frame is in, and its number there."""
        for path, count in self.videos:
            if index < count:
                return path, index
            index -= count
        raise IndexError(index)

    def picture(self, index: int) -> FrameArray:
        """A frame ``(H, W, 3)`` as it was kept."""
        path, row = self.place(index)
        return FrameSequence(path)[row]


def training_drives(model: WorldModel, camera: Camera, paths: str, frames: int) -> list[TrainingDrive]:
    """So many of the drives a model was trained on that ``frames`` of them can be read; none if nobody knows which.

    Args:
        model: whose record says which drives of the reference world they were.
        camera: of the model.
        paths: prepared sets it was trained on, parted by commas, instead of what its record says.
        frames: wanted.
    """
    wanted = max(1, round(frames / (STRETCHES * STRETCH)))
    drives: list[TrainingDrive] = []
    recipe = model.training_record.summary.get("drives") or {}
    if paths:
        from worldmodel.datasets.episodes import EpisodeDataset

        for number, path in enumerate(paths.split(",")):
            kept, _ = split(list(EpisodeDataset(path)))
            names = [s.episode_id for s in kept if s.length > STRETCHES * STRETCH]
            drives += [TrainingDrive(f"{number}_{n}", camera, path=path, episode=n) for n in names]
    elif model.training_record.data == "reference" and recipe:
        data = config_from(DataConfig, recipe)
        seeds = range(data.first_seed, data.first_seed + data.drives)
        drives = [TrainingDrive(f"drive_{seed:06d}", camera, seed=seed, recipe=data) for seed in seeds]
    random.Random(0).shuffle(drives)
    return drives[:wanted]


def begin(drives: Sequence[TrainingDrive], folder: Path, reader: Reader, hands: Hands) -> list[Future[None]]:
    """Have what is missing of some training drives read."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [drive for drive in drives if not (folder / f"{drive.name}.npz").is_file()]
    return [hands.submit(keep_training, drive, folder, reader) for drive in missing]


def gather(drives: Sequence[TrainingDrive], folder: Path, jobs: Sequence[Future[None]]) -> Library | None:
    """All of some training drives, once what ``begin`` began is done; ``None`` of no drives."""
    for job in tqdm(jobs, "training frames", unit="drive", disable=all(job.done() for job in jobs)):
        job.result()
    if not drives:
        return None
    parts, stretch, videos = [], [], []
    for drive in drives:
        with np.load(folder / f"{drive.name}.npz", allow_pickle=False) as file:
            parts.append((file["features"], file["thumbs"]))
            stretch.append(file["stretch"] + STRETCHES * len(stretch))
        videos.append((folder / f"{drive.name}.mp4", len(stretch[-1])))
    features, thumbs = (np.concatenate(part) for part in zip(*parts))
    return Library(features.astype(np.float64), thumbs, np.concatenate(stretch), tuple(videos))


def keep_training(drive: TrainingDrive, folder: Path, reader: Reader) -> None:
    """Read stretches of a training drive and keep them; the file of features is written last."""
    features, frames, stretch = [], [], []
    for number, part in enumerate(_stretches(drive)):
        # The first frame has none before it to be compared with: it is read, and not kept.
        read = reader.read(part, np.arange(len(part)) / REFERENCE_HZ, drive.camera)
        features.append(read.features[1:].astype(np.float32))
        frames.append(part[1:])
        stretch.append(np.full(len(part) - 1, number))
    shown = np.concatenate(frames)
    writer = StreamingVideoWriter(folder / f"{drive.name}.mp4", *shown.shape[1:3], fps=10.0, crf=20)
    for frame in shown:
        writer.write(frame)
    writer.finish()
    temporary = folder / f".{drive.name}.npz.partial"
    with open(temporary, "wb") as file:
        columns = {"features": np.concatenate(features), "stretch": np.concatenate(stretch)}
        np.savez(file, allow_pickle=False, thumbs=thumbnails(shown), **columns)
    os.replace(temporary, folder / f"{drive.name}.npz")


def _stretches(drive: TrainingDrive) -> list[FrameArray]:
    """Stretches of one frame more than are kept, spread over the drive by chance and always the same."""
    if drive.recipe is not None and drive.seed is not None:
        total, scale = round(REFERENCE_HZ * drive.recipe.drive_s), drive.recipe.render_scale
        size = drive.camera.height_px * scale, drive.camera.width_px * scale
        camera = canonical_camera(*size, height_m=drive.camera.height_m)
        starts = _starts(total, drive.name)
        found, _ = stretches_of(options_of(drive.seed, drive.recipe), camera, starts, STRETCH + 1)
        return [shrunk(frames, drive.camera) for frames in found]
    from worldmodel.datasets.episodes import EpisodeDataset

    episode = EpisodeDataset(drive.path).find(drive.episode)
    starts = _starts(len(episode), drive.name)
    return [shrunk(episode.clip(start, STRETCH + 1).frames, drive.camera) for start in starts]


def _starts(total: int, name: str) -> list[int]:
    part = max(STRETCH + 1, total // STRETCHES)
    rng = random.Random(name)
    rooms = range(0, total - STRETCH, part)
    return [start + rng.randint(0, max(0, min(part, total - start) - STRETCH - 1)) for start in rooms][:STRETCHES]
