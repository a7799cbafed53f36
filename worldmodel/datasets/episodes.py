"""Episodes on disk: one uninterrupted stretch of driving is one mp4 and one table. Writing, and reading by seek.

Frames are in the canonical view; motion at row t is what happens from frame t to frame t+1, and the last row is
unknown. The file layout and ``meta/`` are ``lerobot``'s business, choosing frames ``prepare``'s.

Shapes: T frames of an episode; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.datasets import lerobot
from worldmodel.datasets.timing import MAX_STEP_S, MIN_STEP_S, motion_between
from worldmodel.datasets.video import GOP, FrameSequence, VideoReader, VideoWriter
from worldmodel.types import VOCABULARY, Camera, Clip, Drive, EgoMotion, FloatArray, FrameArray, MotionSource, Tags


@dataclasses.dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode as a whole.

    Attributes:
        drive_id, place_id: splits are by these.
        camera: of the stored frames.
        valid_mask: ``(H, W)`` false where the source camera saw nothing.
        speed_source, yaw_rate_source: how each channel of motion was obtained.
        caption, licence: free text.
        source: name of the dataset it came from.
        split: the publisher's, ``train``, ``val`` or ``test``; empty when there is none.
    """

    drive_id: str
    place_id: str
    camera: Camera
    valid_mask: NDArray[np.bool_]
    speed_source: MotionSource = "unknown"
    yaw_rate_source: MotionSource = "unknown"
    caption: str = ""
    licence: str = ""
    source: str = ""
    split: str = ""

    def validate(self) -> EpisodeInfo:
        """Raise ``ValueError`` naming the field on an empty id, an unknown motion source or a mask of another size."""
        for field in ("drive_id", "place_id"):
            if not getattr(self, field):
                raise ValueError(f"EpisodeInfo.{field}: expected a name, got an empty string")
        for field in ("speed_source", "yaw_rate_source"):
            if getattr(self, field) not in get_args(MotionSource):
                raise ValueError(
                    f"EpisodeInfo.{field}: expected one of {get_args(MotionSource)}, got {getattr(self, field)!r}"
                )
        size = (self.camera.height_px, self.camera.width_px)
        if self.valid_mask.shape != size:
            raise ValueError(f"EpisodeInfo.valid_mask: expected shape {size}, got {self.valid_mask.shape}")
        self.camera.validate()
        return self


class OpenEpisode:
    """An episode being written: ``add`` its frames, then ``finish`` with its table, or ``abort``."""

    def __init__(self, root: Path, info: EpisodeInfo, drive: int, part: int, crf: int) -> None:
        self.info = info.validate()
        self._root, self._slot, self._path = root, (drive, part), lerobot.data_file(root, drive, part)
        self._path.unlink(missing_ok=True)
        self._video = VideoWriter(
            lerobot.video_file(root, drive, part),
            info.camera.height_px,
            info.camera.width_px,
            fps=lerobot.FPS,
            crf=crf,
        )
        self._hash = hashlib.blake2b(digest_size=16)
        self._pixels: list[NDArray[np.float64]] = []

    @property
    def count(self) -> int:
        """Frames added so far."""
        return self._video.count

    def add(self, frame: FrameArray) -> None:
        """Append one ``(H, W, 3)`` uint8 frame."""
        if self.count % GOP == 0:
            flat = frame.reshape(-1, 3) / 255.0
            self._pixels.append(np.stack([flat.min(0), flat.max(0), flat.mean(0), (flat**2).mean(0)]))
        self._hash.update(frame.tobytes())
        self._video.write(frame)

    def finish(
        self,
        t_s: FloatArray,
        motion: EgoMotion,
        tags: Tags,
        *,
        source_frame: NDArray[np.int64] | None = None,
        columns: Mapping[str, NDArray[Any]] | None = None,
    ) -> Path:
        """Complete the episode; returns the path of its table.

        Args:
            t_s: ``(T,)`` seconds in the source's own time.
            motion: ``(T,)``; the last row is stored as unknown.
            tags: ``(T,)``, or ``()`` for all frames alike.
            source_frame: ``(T,)`` row of each frame in the source; its own index when not given.
            columns: further ``(T,)`` columns, such as truth; names without a slash.

        Raises:
            ValueError: lengths that differ from the frames added, or steps outside 60–150 ms.
        """
        length = self.count
        t_s = np.asarray(t_s, dtype=np.float64)
        codes = np.broadcast_to(tags.validate().codes, (length, len(VOCABULARY)))
        source_frame = np.arange(length) if source_frame is None else np.asarray(source_frame)
        columns = {name: np.asarray(column) for name, column in (columns or {}).items()}
        given = {"t_s": t_s, "motion": motion.speed_mps, "source_frame": source_frame, **columns}
        for name, column in given.items():
            if column.shape != (length,):
                raise ValueError(f"{self._path}: {name}: expected shape ({length},), got {column.shape}")
        steps = np.diff(t_s)
        if length and ((steps < MIN_STEP_S - 1e-6) | (steps > MAX_STEP_S + 1e-6)).any():
            bad = steps[(steps < MIN_STEP_S - 1e-6) | (steps > MAX_STEP_S + 1e-6)][0]
            raise ValueError(f"{self._path}: t_s: a step of {bad:.3f} s; an episode has steps of 0.06 to 0.15 s")
        action = np.stack([motion.validate().speed_mps, motion.yaw_rate_radps], axis=-1).astype(np.float32)
        action[-1:] = np.nan
        self._video.close()
        arrays: dict[str, NDArray[Any]] = {
            "action": action,
            "tags": codes,
            "t_source_s": t_s,
            "source_frame": source_frame.astype(np.int64),
            **columns,
            "timestamp": (np.arange(length) / lerobot.FPS).astype(np.float32),
            "frame_index": np.arange(length),
            **{name: np.full(length, -1) for name in ("episode_index", "index", "task_index")},
        }
        info = self.info
        footer = {
            "format": lerobot.FOOTER_VERSION,
            "episode_id": f"{info.drive_id}#{self._slot[1]:03d}",
            **{f.name: getattr(info, f.name) for f in dataclasses.fields(info)},
            "camera": json.dumps(dataclasses.asdict(info.camera)),
            "valid_mask": lerobot.pack_mask(info.valid_mask),
            "frames_hash": self._hash.hexdigest(),
            "length": length,
            "source_first": int(source_frame[0]),
            "size": [info.camera.height_px, info.camera.width_px],
            "columns": {name: str(column.dtype) for name, column in columns.items()},
            "stats": {
                lerobot.VIDEO_KEY: self._video_stats(),
                **{k: lerobot.column_stats(v) for k, v in arrays.items()},
            },
        }
        table = pa.table({name: lerobot.to_arrow(array) for name, array in arrays.items()})
        lerobot.write_table(self._path, table, footer)
        return self._path

    def abort(self) -> None:
        """Give up: nothing of this episode is left on disk."""
        self._video.abort()

    def _video_stats(self) -> dict[str, Any]:
        low, high, mean, square = np.moveaxis(np.stack(self._pixels), 1, 0)
        std = np.sqrt(np.maximum(square.mean(0) - mean.mean(0) ** 2, 0))
        channels = {"min": low.min(0), "max": high.max(0), "mean": mean.mean(0), "std": std}
        return {k: v.reshape(3, 1, 1).tolist() for k, v in channels.items()} | {"count": [len(self._pixels)]}


class EpisodeWriter:
    """Writes episodes into one folder. Any number of processes may, each its own (drive, part) slots.

    An episode exists once it is complete: a process killed at any moment leaves at most a ``.tmp`` file. When all is
    written, call ``lerobot.rebuild_meta``.

    Args:
        root: of the dataset.
        crf: quality of the video, as ``VideoWriter``'s.
    """

    def __init__(self, root: str | Path, *, crf: int = 18) -> None:
        self.root, self.crf = Path(root), crf

    def is_complete(self, drive: int, part: int) -> bool:
        """True when the episode of this slot is on disk."""
        return (
            lerobot.data_file(self.root, drive, part).exists() and lerobot.video_file(self.root, drive, part).exists()
        )

    def open(self, info: EpisodeInfo, *, drive: int, part: int) -> OpenEpisode:
        """Begin the episode of a slot, replacing what is there."""
        return OpenEpisode(self.root, info, drive, part, self.crf)

    def write(
        self,
        info: EpisodeInfo,
        frames: Iterable[FrameArray],
        t_s: FloatArray,
        motion: EgoMotion,
        tags: Tags,
        *,
        drive: int,
        part: int,
        columns: Mapping[str, NDArray[Any]] | None = None,
    ) -> Path:
        """Write a whole episode; arguments and errors as those of ``OpenEpisode.finish``."""
        episode = self.open(info, drive=drive, part=part)
        try:
            for frame in frames:
                episode.add(frame)
            return episode.finish(t_s, motion, tags, columns=columns)
        except BaseException:
            episode.abort()
            raise


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode on disk, read lazily.

    Attributes:
        episode_id: unique in its set and stable when the set grows.
        info: of the whole.
        length: frames.
        frames_hash: of the frames as they were written.
        table_path, video_path: its two files.
        content_hash: of frames and table: another one when either was made anew, as by a labelling pass.
    """

    episode_id: str
    info: EpisodeInfo
    length: int
    frames_hash: str
    table_path: Path
    video_path: Path
    content_hash: str = ""

    def __len__(self) -> int:
        return self.length

    @cached_property
    def _table(self) -> dict[str, NDArray[Any]]:
        try:
            table = pq.read_table(self.table_path)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{self.table_path}: cannot be read: {error}") from error
        for name in ("action", "tags", "t_source_s"):
            if name not in table.column_names:
                raise ValueError(f"{self.table_path}: column {name!r} is missing; prepare the dataset anew")
        return {name: lerobot.from_arrow(table.column(name)) for name in table.column_names}

    @property
    def t_s(self) -> FloatArray:
        """``(T,)`` seconds in the source's own time."""
        return self._table["t_source_s"].astype(np.float64)

    @property
    def motion(self) -> EgoMotion:
        """``(T,)``; the last row is unknown."""
        action = self._table["action"].astype(np.float64)
        return EgoMotion(action[:, 0], action[:, 1])

    @property
    def tags(self) -> Tags:
        """``(T,)``."""
        return Tags(self._table["tags"], self.info.caption)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Every other ``(T, ...)`` column, ``source_frame`` among them."""
        known = {"action", "tags", "t_source_s", "timestamp", "frame_index", "episode_index", "index", "task_index"}
        return {name: column for name, column in self._table.items() if name not in known}

    def read(self, start: int, count: int, stride: int = 1) -> FrameArray:
        """Frames ``(count, H, W, 3)`` from index ``start``, every ``stride``-th, read by seek."""
        with VideoReader(self.video_path) as video:
            return video.read(start + stride * np.arange(count))

    def clip(self, start: int = 0, length: int | None = None, stride: int = 1) -> Clip:
        """A stretch of ``length`` frames as a ``Clip``; with a stride, motion is composed over the frames left out.

        Raises:
            ValueError: it would reach beyond the episode.
        """
        length = (self.length - start + stride - 1) // stride if length is None else length
        rows = start + stride * np.arange(length)
        if length < 1 or start < 0 or stride < 1 or rows[-1] >= self.length:
            raise ValueError(
                f"{self.episode_id}: clip of {length} frames from {start} by {stride}: the episode has {self.length}"
            )
        motion = self.motion[rows] if stride == 1 else motion_between(self.motion, self.t_s, rows, rows + stride)
        frames = self.read(start, length, stride)
        return Clip(frames, self.t_s[rows], motion, self.tags[rows], self.info.camera, self.info.valid_mask)

    def drive(self) -> Drive:
        """The whole episode as a ``Drive``, its frames read lazily."""
        info = {name: column for name, column in self.columns.items() if name != "source_frame"}
        provenance = {"episode_id": self.episode_id, "source": self.info.source, "frames_hash": self.frames_hash}
        return Drive(
            frames=FrameSequence(self.video_path),
            t_s=self.t_s,
            motion=self.motion,
            controls=None,
            info=info,
            tags=self.tags,
            camera=self.info.camera,
            provenance=provenance,
        )


class EpisodeDataset:
    """A folder of episodes.

    Args:
        root: of the dataset.

    Raises:
        ValueError: there is no complete episode.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        path = self.root / lerobot.EPISODES_PATH
        if not path.exists():
            lerobot.rebuild_meta(self.root)
        self.episodes: list[Episode] = [self._episode(row) for row in pq.read_table(path).to_pylist()]

    def _episode(self, row: dict[str, Any]) -> Episode:
        camera = json.loads(row["camera"])
        camera = Camera(**{**camera, "distortion": tuple(camera["distortion"])})
        info = EpisodeInfo(
            drive_id=row["drive_id"],
            place_id=row["place_id"],
            camera=camera,
            valid_mask=lerobot.unpack_mask(row["valid_mask"], (camera.height_px, camera.width_px)),
            speed_source=row["speed_source"],
            yaw_rate_source=row["yaw_rate_source"],
            caption=row["caption"],
            licence=row["licence"],
            source=row["source"],
            split=row.get("split") or "",
        )
        slot = row["data/chunk_index"], row["data/file_index"]
        return Episode(
            row["episode_id"],
            info,
            row["length"],
            row["frames_hash"],
            lerobot.data_file(self.root, *slot),
            lerobot.video_file(self.root, *slot),
            lerobot.content_hash(row),
        )

    def __len__(self) -> int:
        return len(self.episodes)

    def __getitem__(self, index: int) -> Episode:
        return self.episodes[index]

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    def find(self, episode_id: str) -> Episode:
        """The episode of that id.

        Raises:
            ValueError: there is none.
        """
        for episode in self.episodes:
            if episode.episode_id == episode_id:
                return episode
        raise ValueError(f"{self.root}: no episode {episode_id!r} among {len(self.episodes)}")
