"""Waymo Open Dataset, perception, version 2: parquet files per component and segment; the front camera, 10 Hz.

``camera_image/<segment>.parquet`` holds JPEG images of five cameras with the car's pose at each, ``camera_calibration``
their calibration, ``stats`` weather and time of day. Read with pyarrow alone, pictures a few rows at a time.

Format: https://github.com/waymo-research/waymo-open-dataset, src/waymo_open_dataset/v2/perception/camera_image.py,
context.py and base.py (a column is ``[CameraImageComponent].pose.transform``, a key ``key.frame_timestamp_micros``).

Shapes: N images of a segment.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.datasets.files import number, numbers, read_columns
from worldmodel.datasets.poses import BODY_OF_CAMERA, checked_rotation, motion_of_poses, mounted
from worldmodel.datasets.source import Recording, assemble, decode_image
from worldmodel.types import Camera, FloatArray, FrameArray, Tags

FRONT = 1
_IMAGE, _CAMERA, _STATS = "[CameraImageComponent].", "[CameraCalibrationComponent].", "[StatsComponent]."
_INTRINSICS = ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")
_TIMES = {"Day": "day", "Dawn/Dusk": "dusk", "Night": "night"}
_WEATHER = {"sunny": "clear", "rain": "rain"}


@dataclasses.dataclass(frozen=True)
class Waymo:
    """The folder of ``camera_image``, or of ``training``, ``validation``, ``testing``; a ``source.Source``."""

    root: Path
    name: str = "waymo"

    def _segments(self) -> dict[str, Path]:
        root = Path(self.root)
        found = [p for depth in ("", "*/") for p in sorted(root.glob(f"{depth}camera_image/*.parquet"))]
        return {"/".join([*p.parents[1].relative_to(root).parts, p.stem]): p for p in found}

    def drives(self) -> list[str]:
        """Segments, sorted."""
        found = self._segments()
        if not found:
            raise ValueError(f"{self.root}: no camera_image/*.parquet in it, nor in its folders")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one segment; errors name the file."""
        path = self._segments()[drive_id]
        problems: list[str] = []
        names = ("key.frame_timestamp_micros", "key.camera_name", f"{_IMAGE}pose.transform", f"{_IMAGE}pose_timestamp")
        columns = read_columns(path, names)
        front = np.array([camera == FRONT for camera in columns["key.camera_name"]])
        places = np.flatnonzero(front)
        if len(places) < 2:
            raise ValueError(f"{path}: {len(places)} images of the front camera (key.camera_name 1)")
        keys = numbers([columns[names[0]][p] for p in places], f"{path}: {names[0]}", (-1,))
        if not np.isfinite(keys).all():
            raise ValueError(f"{path}: {names[0]}: a row has none")
        order = np.argsort(keys, kind="stable")
        places, keys = places[order], keys[order]
        # Poses are at their own moment, a few milliseconds from the key; that is also when the picture is.
        t_s = numbers([columns[names[3]][p] for p in places], f"{path}: {names[3]}")
        odd = ~(np.abs(t_s - keys / 1e6) < 0.2)
        if odd.any():
            problems.append(f"{path}: {int(odd.sum())} pose_timestamps far from their frames; the frames' times taken")
            t_s = np.where(odd, keys / 1e6, t_s)
        transforms = _transforms([columns[names[2]][p] for p in places], f"{path}: {names[2]}", problems)
        transforms[odd] = np.nan
        camera, lever = _camera(path.parents[1] / "camera_calibration" / path.name)
        motion = motion_of_poses(t_s, transforms[:, :3, 3], checked_rotation(transforms[:, :3, :3]), lever)
        tags, location = _stats(path.parents[1] / "stats" / path.name, problems)
        splits = {"training": "train", "validation": "val", "testing": "test"}
        return assemble(
            drive_id,
            t_s=t_s - t_s[0],
            motion=motion,
            camera=camera,
            frames=_Rows(path, places, (camera.height_px, camera.width_px, 3), problems),
            where=path,
            pause_s=0.5,
            tags=tags,
            caption=location,
            licence="Waymo Dataset Licence Agreement, non-commercial (waymo.com/open/terms)",
            split=splits.get(path.parents[1].name, ""),
            problems=problems,
        )


def _transforms(rows: list, where: str, problems: list[str]) -> FloatArray:
    out = np.full((len(rows), 4, 4), np.nan)
    for place, row in enumerate(rows):
        try:
            out[place] = numbers(row if row is not None else [], where, (16,)).reshape(4, 4)
        except ValueError as error:
            problems.append(f"{error} (row {place}); this pose is unknown")
    return out


def _camera(path: Path) -> tuple[Camera, tuple[float, float, float]]:
    names = [f"{_CAMERA}intrinsic.{name}" for name in _INTRINSICS]
    extrinsic, sizes = f"{_CAMERA}extrinsic.transform", (f"{_CAMERA}width", f"{_CAMERA}height")
    columns = read_columns(path, ["key.camera_name", *names, extrinsic, *sizes])
    if FRONT not in columns["key.camera_name"]:
        raise ValueError(f"{path}: no calibration of the front camera (key.camera_name 1)")
    row = columns["key.camera_name"].index(FRONT)
    fx, fy, cx, cy, k1, k2, p1, p2, k3 = (number(columns[name][row], f"{path}: {name}") for name in names)
    width, height = (int(number(columns[name][row], f"{path}: {name}")) for name in sizes)
    transform = numbers(columns[extrinsic][row] or [], f"{path}: {extrinsic}", (16,)).reshape(4, 4)
    place = tuple(transform[:3, 3].tolist())
    try:
        camera = Camera(width, height, fx, fy, cx, cy, (k1, k2, p1, p2, k3), height_m=place[2])
        # Waymo's camera axes are those of a body: x out of the lens, y left, z up.
        return mounted(camera, transform[:3, :3] @ BODY_OF_CAMERA), place
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _stats(path: Path, problems: list[str]) -> tuple[Tags, str]:
    try:
        columns = read_columns(path, [f"{_STATS}{name}" for name in ("time_of_day", "weather", "location")])
    except ValueError as error:
        problems.append(f"{error}; weather and time of day unknown")
        return Tags.unknown(), ""
    time, weather, location = (str(column[0]) if column else "" for column in columns.values())
    tags = Tags.named(
        time_of_day=_TIMES.get(time, "unknown"), weather=_WEATHER.get(weather.lower(), "unknown"), road_kind="town"
    )
    return tags, location.removeprefix("location_")


@dataclasses.dataclass(frozen=True)
class _Rows:
    """``FrameReader`` over the image column, a few rows in memory at a time."""

    path: Path
    places: NDArray[np.int64]
    shape: tuple[int, int, int]
    problems: list[str]

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        images = self._images()
        at, data = -1, b""
        for row in rows:
            where, wanted = f"{self.path}: image {row}", int(self.places[row])
            try:
                if wanted < at:
                    images, at = self._images(), -1
                while at < wanted:
                    at, data = next(images)
                frame = decode_image(data or b"", where)
                if frame.shape != self.shape:
                    raise ValueError(f"{where}: size {frame.shape[:2]}, calibrated is {self.shape[:2]}")
            except (ValueError, OSError, pa.ArrowException, StopIteration) as error:
                self.problems.append(f"{where}: {error or 'the file ends before it'}")
                yield None
            else:
                yield frame

    def _images(self) -> Iterator[tuple[int, bytes]]:
        with pq.ParquetFile(self.path) as file:
            batches = file.iter_batches(batch_size=16, columns=[f"{_IMAGE}image"])
            yield from enumerate(image for batch in batches for image in batch.column(0).to_pylist())
