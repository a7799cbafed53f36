"""Udacity's self-driving car, challenge 2: ``interpolated.csv`` beside ``center/``, as unpacked from the bags.

The columns are ``index, timestamp, width, height, frame_id, filename, angle, torque, speed, lat, long, alt``. Three
cameras are interleaved and rows need not be in order; only ``center_camera`` is read. ``timestamp`` is in nanoseconds,
``angle`` that of the steering wheel in radians (left positive), ``speed`` in m/s. The turn is inferred from the
steering ratio and wheelbase. Also read: one camera alone in a table, and images beside it instead of in ``center/``.

Format: https://github.com/udacity/self-driving-car/tree/master/datasets/CH2, columns by
https://github.com/rwightman/udacity-driving-reader. The car is a Lincoln MKZ: wheelbase 2.85 m, steering ratio 14.8.

Shapes: N rows of the centre camera.
"""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import find_drives, number, read_lines
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Problems, Recording, assemble
from worldmodel.datasets.steering import SteeredVehicle
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import Camera, Tags

STEERING_RATIO = 14.8
#: A command of 1 is a road wheel turned by a radian.
VEHICLE = SteeredVehicle(wheelbase_m=2.85, full_scale_deg=math.degrees(1), right_positive=False)
#: A published chessboard calibration of that camera (focal length about 1157 px of 1280); the horizon by eye.
HORIZONTAL_FOV_DEG, HORIZON, CENTRE = 57.9, 0.58, 0.523
PAUSE_S = 0.5
_COLUMNS = ("timestamp", "frame_id", "filename", "angle", "speed")


@dataclasses.dataclass(frozen=True)
class UdacityCh2:
    """A folder with ``interpolated.csv``, or with folders that have one; a ``source.Source``."""

    root: Path
    name: str = "udacity_ch2"

    def _tables(self) -> dict[str, Path]:
        return find_drives(Path(self.root), "interpolated.csv")

    def drives(self) -> list[str]:
        """Folders with an ``interpolated.csv``, named by their path from the root, sorted."""
        tables = self._tables()
        if not tables:
            raise ValueError(f"{self.root}: no interpolated.csv in it, nor in its folders")
        return sorted(tables)

    def open(self, drive_id: str) -> Recording:
        """Open one table; errors name the file."""
        table = self._tables()[drive_id]
        problems = Problems(table)
        rows = _read(table, problems)
        if not rows:
            raise ValueError(f"{table}: no usable row of center_camera; {'; '.join(problems.lines()) or 'it is empty'}")
        rows = sorted({row.ns: row for row in rows}.values(), key=lambda row: row.ns)
        paths = [_find(table.parent, row.filename) for row in rows]
        for row, path in zip(rows, paths):
            if path is None:
                problems.add("image missing", row.filename)
        if not any(paths):
            raise ValueError(
                f"{table}: none of its {len(rows)} centre images is there; they belong into {table.parent}"
            )
        t_s = np.array([(row.ns - rows[0].ns) / 1e9 for row in rows])
        breaks = np.concatenate([[True], np.diff(t_s) > PAUSE_S])
        speed = np.array([row.speed_mps for row in rows])
        steering = np.array([row.angle_rad for row in rows]) / STEERING_RATIO
        lines = problems.lines()
        frames = ImageFrames.of(paths, lines, table)
        return assemble(
            drive_id,
            t_s=t_s,
            motion=VEHICLE.motion_of_runs(t_s, speed, steering, breaks),
            yaw_rate_source="inferred",
            camera=camera(frames.shape[1], frames.shape[0]),
            frames=frames,
            where=table,
            breaks=breaks,
            usable=np.array([path is not None for path in paths]),
            tags=Tags.named(time_of_day="day"),
            licence="MIT (Udacity)",
            problems=lines,
        )


def camera(width_px: int, height_px: int) -> Camera:
    """The car's centre camera at the given size."""
    level = nominal_camera(width_px, height_px, HORIZONTAL_FOV_DEG, horizon=HORIZON)
    return dataclasses.replace(level, cx_px=CENTRE * width_px - 0.5)


@dataclasses.dataclass(frozen=True)
class _Row:
    ns: int
    filename: str
    angle_rad: float
    speed_mps: float


def _read(table: Path, problems: Problems) -> list[_Row]:
    lines = read_lines(table)
    names = [name.strip() for name in lines[0].split(",")]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise ValueError(f"{table}: column {missing[0]!r} is missing; it has {names}")
    places = [names.index(name) for name in _COLUMNS]
    rows = []
    for line_number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        where = f"line {line_number}"
        try:
            cells = next(csv.reader([line.replace("\0", "")]), [])
            if "\0" in line or len(cells) != len(names):
                raise ValueError("NUL bytes" if "\0" in line else f"not {len(names)} fields")
            stamp, frame_id, filename, angle, speed = (cells[place].strip() for place in places)
            if frame_id == "center_camera":
                rows.append(_row(stamp, filename, angle, speed))
            elif frame_id not in ("left_camera", "right_camera"):
                raise ValueError("no camera of that name")
        except (ValueError, csv.Error) as error:
            problems.add(str(error), where)
    return rows


def _row(stamp: str, filename: str, angle: str, speed: str) -> _Row:
    name = Path(filename).name
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) == 19):
        raise ValueError("timestamp is not 19 digits of nanoseconds")
    # Images are named by their timestamp: a table that says otherwise is damaged.
    if Path(name).stem.isdigit() and Path(name).stem != stamp:
        raise ValueError("timestamp and file name differ")
    angle_rad, speed_mps = number(angle, "angle"), number(speed, "speed")
    if abs(angle_rad) > 12 or abs(speed_mps) > 70:
        raise ValueError("angle or speed is impossible")
    return _Row(int(stamp), filename, angle_rad, speed_mps)


def _find(folder: Path, filename: str) -> Path | None:
    for path in (folder / filename, folder / "center" / Path(filename).name, folder / Path(filename).name):
        if "\0" not in filename and path.is_file():
            return path
    return None
