"""Recordings of Udacity's self-driving-car simulator: ``driving_log.csv`` beside ``IMG/``, oddities included.

A row is ``centre, left, right, steering, throttle, brake, speed``, with or without a header, with or without blanks
after the commas. Paths are those of the machine that recorded (Windows, Linux, bare names): only the file name counts.
The time is in the name, ``center_2019_05_31_15_27_50_216.jpg``, its milliseconds not padded (``_45_11`` is 45.011 s).
Steering is -1..1 of 25 degrees, positive right; speed is in mph. Only the centre camera is read.

Camera and vehicle are those of the simulator's own car: a front camera of 60 degrees vertical field, 0.97 m up; axles
2.87 m apart (github.com/udacity/self-driving-car-sim, Assets/1_SelfDrivingCar/Prefabs/Car.prefab). The pitch while
driving, the response of the turn and the delay of the log were measured on five recordings, see
``data/udacity_sim/README.md``.

A row or a picture that cannot be used is reported by name and reason, and the stretch ends there.

Shapes: N rows of a log.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime
import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import find_drives
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Problems, Recording, assemble, read_image
from worldmodel.datasets.steering import SteeredVehicle
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import Camera, Tags

VEHICLE = SteeredVehicle(wheelbase_m=2.87, full_scale_deg=25.0, right_positive=True, response_s=0.15, lead_s=-0.03)
VERTICAL_FOV_DEG, HORIZON, CAMERA_HEIGHT_M = 60.0, 0.405, 0.97
MPS_PER_MPH = 0.44704
#: A longer pause between rows is a new take.
PAUSE_S = 1.0
_STAMP = re.compile(
    r"_(\d{4})_(\d{1,2})_(\d{1,2})_(\d{1,2})_(\d{1,2})_(\d{1,2})_(\d{1,3})\.(?:jpe?g|png)$", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class UdacitySim:
    """A folder with a ``driving_log.csv``, or with folders that have one; a ``source.Source``."""

    root: Path
    name: str = "udacity_sim"

    def _logs(self) -> dict[str, Path]:
        return find_drives(Path(self.root), "driving_log.csv")

    def drives(self) -> list[str]:
        """Folders with a log, named by their path from the root, sorted."""
        logs = self._logs()
        if not logs:
            raise ValueError(f"{self.root}: no driving_log.csv in it, nor in its folders")
        return sorted(logs)

    def open(self, drive_id: str) -> Recording:
        """Open one log; errors name the file."""
        log = self._logs()[drive_id]
        problems = Problems(log)
        rows = _read_log(log, problems)
        if not rows:
            raise ValueError(f"{log}: no usable row; {'; '.join(problems.lines()) or 'the file is empty'}")
        images = [_find_image(log.parent, row.image) for row in rows]
        usable = np.ones(len(rows), bool)
        for index, (row, image) in enumerate(zip(rows, images)):
            reason = "image missing" if image is None else "empty image" if image.stat().st_size == 0 else ""
            if reason:
                usable[index] = False
                problems.add(reason, row.image)
        first = next((image for image, good in zip(images, usable) if good and image is not None), None)
        if first is None:
            raise ValueError(f"{log}: none of its {len(rows)} images is there; they belong into {log.parent / 'IMG'}")
        height_px, width_px = read_image(first).shape[:2]
        t_s = np.array([(row.time - rows[0].time).total_seconds() for row in rows])
        steps = np.diff(t_s)
        breaks = np.concatenate([[True], (steps <= 0) | (steps > PAUSE_S)])
        speed = np.array([row.speed_mph for row in rows]) * MPS_PER_MPH
        steering = np.array([row.steering for row in rows])
        motion = VEHICLE.motion_of_runs(t_s, speed, steering, breaks)
        found = problems.lines()
        return assemble(
            drive_id,
            t_s=t_s,
            motion=motion,
            yaw_rate_source="inferred",
            camera=camera(width_px, height_px),
            frames=ImageFrames(images, (height_px, width_px, 3), found),
            where=log,
            breaks=breaks,
            pause_s=PAUSE_S,
            usable=usable,
            tags=Tags.named(traffic="none"),
            licence="not stated in the log",
            problems=found,
        )


def camera(width_px: int, height_px: int) -> Camera:
    """The simulator's front camera at the given size: Unity keeps the vertical field of view."""
    focal_px = height_px / (2 * math.tan(math.radians(VERTICAL_FOV_DEG) / 2))
    horizontal = math.degrees(2 * math.atan(width_px / (2 * focal_px)))
    level = nominal_camera(width_px, height_px, horizontal, horizon=HORIZON)
    return dataclasses.replace(level, height_m=CAMERA_HEIGHT_M)


@dataclasses.dataclass(frozen=True)
class _Row:
    image: str
    time: datetime.datetime
    steering: float
    speed_mph: float


def _read_log(log: Path, problems: Problems) -> list[_Row]:
    try:
        data = log.read_bytes()
    except OSError as error:
        raise ValueError(f"{log}: {error.strerror or error}") from error
    rows = []
    for number, line in enumerate(data.splitlines(), start=1):
        where = f"line {number}"
        if b"\0" in line:
            problems.add("NUL bytes", where)
        elif line.strip():
            try:
                cells = [cell.strip() for cell in next(csv.reader([line.decode("utf-8", errors="replace")]), [])]
                if number == 1 and cells[:1] == ["center"]:
                    continue
                rows.append(_read_row(cells))
            except (ValueError, csv.Error) as error:
                problems.add(str(error), where)
                continue
            if math.isnan(rows[-1].speed_mph) or math.isnan(rows[-1].steering):
                problems.add("steering or speed missing, motion unknown", where)
    return rows


def _read_row(cells: Sequence[str]) -> _Row:
    image = re.split(r"[\\/]", cells[0] if cells else "")[-1]
    stamp = _STAMP.search(image)
    if not stamp:
        raise ValueError("no time in the image's name")
    year, month, day, hour, minute, second, milliseconds = (int(group) for group in stamp.groups())
    try:
        time = datetime.datetime(year, month, day, hour, minute, second, milliseconds * 1000)
    except ValueError as error:
        raise ValueError("impossible time in the image's name") from error
    return _Row(image, time, _number(cells, 3, 1.0), _number(cells, 6, 200.0))


def _number(cells: Sequence[str], place: int, bound: float) -> float:
    """A field as a number; NaN where the row ends before it."""
    if len(cells) <= place or not cells[place]:
        return math.nan
    try:
        value = float(cells[place])
    except ValueError as error:
        raise ValueError(f"field {place + 1} is not a number") from error
    if math.isnan(value):
        return value
    if not abs(value) <= bound * 1.001:
        raise ValueError(f"field {place + 1} is beyond {bound:g}")
    return value


def _find_image(folder: Path, name: str) -> Path | None:
    for path in (folder / "IMG" / name, folder / name):
        if path.is_file():
            return path
    return None
