"""SullyChen's driving dataset, both forms: ``data.txt`` beside numbered images, or above a folder ``data`` of them.

A line is ``12.jpg -3.5`` (2017) or ``12.jpg -3.5,2018-07-01 17:09:45:11`` (2018, milliseconds not padded: 45.011 s):
image and angle of the steering wheel in degrees, positive right. There is no speed, so motion is unknown; the angle
is kept as the column ``steering``, left positive, 1 at 180 degrees of the wheel, mean from a row to the next. Where no
times are given the 2017 form is 30 frames a second, and that is told.

Format: https://github.com/SullyChen/driving-datasets.

Shapes: N images.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import re
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import find_drives, read_lines
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Problems, Recording, assemble
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import FloatArray, Tags

#: A dashcam's field of view and the row of its horizon, by eye.
HORIZONTAL_FOV_DEG, HORIZON = 60.0, 0.55
FPS = 30.0
#: The wheel turns this far for a steering of 1.
FULL_WHEEL_DEG = 180.0
PAUSE_S = 0.5
_LINE = re.compile(
    r"(?P<name>(?P<index>\d{1,12})\.jpe?g)\s+(?P<angle>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d{1,2})?)"
    r"(?:,(?P<date>\d{4}-\d\d-\d\d \d{1,2}:\d{1,2}:\d{1,2}):(?P<ms>\d{1,3}))?"
)


@dataclasses.dataclass(frozen=True)
class SullyChen:
    """A folder with ``data.txt``, or with folders that have one; a ``source.Source``."""

    root: Path
    name: str = "sullychen"

    def _tables(self) -> dict[str, Path]:
        return find_drives(Path(self.root), "data.txt")

    def drives(self) -> list[str]:
        """Folders with a ``data.txt``, named by their path from the root, sorted."""
        tables = self._tables()
        if not tables:
            raise ValueError(f"{self.root}: no data.txt in it, nor in its folders")
        return sorted(tables)

    def open(self, drive_id: str) -> Recording:
        """Open one table; errors name the file."""
        table = self._tables()[drive_id]
        problems = Problems(table)
        rows = _read(table, problems)
        if not rows:
            raise ValueError(f"{table}: no usable line; {'; '.join(problems.lines()) or 'it is empty'}")
        folder = table.parent / "data" if (table.parent / "data").is_dir() else table.parent
        names = {path.name for path in folder.iterdir()}
        paths = [folder / row.name if row.name in names else None for row in rows]
        for row, path in zip(rows, paths):
            if path is None:
                problems.add("image missing", row.name)
        if not any(paths):
            raise ValueError(f"{table}: none of its {len(rows)} images is there; they belong into {table.parent}")
        if math.isnan(rows[0].t_s):
            problems.add(f"no times; {FPS:g} frames a second are assumed", f"{len(rows)} lines")
        index = np.array([row.index for row in rows])
        t_s = np.array([row.t_s for row in rows])
        t_s = index / FPS if np.isnan(t_s[0]) else t_s - t_s[0]
        steps = np.diff(t_s)
        breaks = np.concatenate([[True], (np.diff(index) != 1) | (steps <= 0) | (steps > PAUSE_S)])
        lines = problems.lines()
        frames = ImageFrames.of(paths, lines, table)
        return assemble(
            drive_id,
            t_s=t_s,
            camera=nominal_camera(frames.shape[1], frames.shape[0], HORIZONTAL_FOV_DEG, horizon=HORIZON),
            frames=frames,
            where=table,
            breaks=breaks,
            usable=np.array([path is not None for path in paths]),
            tags=Tags.named(time_of_day="day"),
            columns={"steering": _steering(np.array([row.angle_deg for row in rows]), breaks)},
            licence="research only, says its author; the code beside it is MIT",
            problems=lines,
        )


@dataclasses.dataclass(frozen=True)
class _Row:
    name: str
    index: int
    angle_deg: float
    t_s: float


def _steering(angle_deg: FloatArray, breaks: np.ndarray) -> FloatArray:
    mean = np.append((angle_deg[1:] + angle_deg[:-1]) / 2, np.nan)
    return np.where(np.append(breaks[1:], True), np.nan, -mean / FULL_WHEEL_DEG)


def _read(table: Path, problems: Problems) -> list[_Row]:
    """Usable lines; all have times or none has."""
    rows: list[_Row] = []
    for number, line in enumerate(read_lines(table), start=1):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.strip())
        if not found:
            problems.add("not as 'N.jpg angle' or 'N.jpg angle,date'", f"line {number}")
            continue
        angle = float(found["angle"])
        if abs(angle) > 1000:
            problems.add("an angle beyond 1000 degrees", f"line {number}")
            continue
        t_s = math.nan
        if found["date"]:
            try:
                date = datetime.datetime.strptime(found["date"], "%Y-%m-%d %H:%M:%S")
            except ValueError:
                problems.add("an impossible time", f"line {number}")
                continue
            t_s = date.replace(tzinfo=datetime.UTC).timestamp() + int(found["ms"]) / 1e3
        if rows and math.isnan(rows[0].t_s) != math.isnan(t_s):
            problems.add("with a time, others without (or the other way round)", f"line {number}")
            continue
        rows.append(_Row(found["name"], int(found["index"]), angle, t_s))
    return rows
