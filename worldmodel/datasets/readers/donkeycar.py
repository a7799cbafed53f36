"""donkeycar tubs (version 2): ``manifest.json``, ``*.catalog`` and ``images/`` of model cars.

``manifest.json`` is five lines of JSON, the last with the catalogs' names and the deleted indexes; a catalog is a line
of JSON per record. Deleted records are left out, as are lines of NUL bytes and empty images, each told by name. The
stretch ends there, and where a session, the count or the time jumps.

A tub has a steering command (-1..1, positive right) and a throttle, but no speed: motion stays unknown. The command
leads the turn in the pictures by ``LEAD_S`` (servo and steering take their time); the column ``steering`` holds the
mean of the command that acts from a row to the next, left positive, so shifted.

Format: https://github.com/autorope/donkeycar, donkeycar/parts/tub_v2.py and datastore_v2.py.

Shapes: N records of a tub.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.files import find_drives, number, parse_json, read_bytes
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Problems, Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import FloatArray, Tags

#: Measured against the turn in the pictures, see data/donkeycar/README.md.
LEAD_S = 0.22
#: A Raspberry Pi wide camera looking down at the track; by eye.
HORIZONTAL_FOV_DEG, HORIZON = 120.0, 0.26
#: A longer pause between records is a new take.
PAUSE_S = 0.5


@dataclasses.dataclass(frozen=True)
class Donkeycar:
    """A tub, or a folder of tubs; a ``source.Source``.

    Attributes:
        root: the folder.
        lead_s: how much earlier than the turn in the pictures the command is logged.
        hfov_deg, horizon: of the camera: field of view, and row of the horizon over the height.
    """

    root: Path
    lead_s: float = LEAD_S
    hfov_deg: float = HORIZONTAL_FOV_DEG
    horizon: float = HORIZON
    name: str = "donkeycar"

    def _tubs(self) -> dict[str, Path]:
        return find_drives(Path(self.root), "manifest.json")

    def drives(self) -> list[str]:
        """Tubs, named by their path from the root, sorted."""
        tubs = {name: path for name, path in self._tubs().items() if list(path.parent.glob("*.catalog"))}
        if not tubs:
            raise ValueError(f"{self.root}: no manifest.json beside *.catalog files, in it nor in its folders")
        return sorted(tubs)

    def open(self, drive_id: str) -> Recording:
        """Open one tub; errors name the file."""
        manifest = self._tubs()[drive_id]
        catalogs, deleted = _manifest(manifest)
        problems = Problems(manifest.parent)
        records = [r for name in catalogs for r in _catalog(manifest.parent / name, problems)]
        records = list({record.index: record for record in records}.values())
        if not records:
            raise ValueError(f"{manifest}: no usable record; {'; '.join(problems.lines()) or 'its catalogs are empty'}")
        records.sort(key=lambda record: record.index)
        paths: list[Path | None] = []
        for record in records:
            path = manifest.parent / "images" / record.image
            reason = "" if path.is_file() and path.stat().st_size else "image missing or empty"
            reason = "deleted by its driver" if record.index in deleted else reason
            paths.append(None if reason else path)
            if reason:
                problems.add(reason, record.index)
        index = np.array([record.index for record in records])
        session = np.array([record.session for record in records])
        t_s = np.array([record.t_s for record in records])
        breaks = np.concatenate([[True], (np.diff(index) != 1) | (session[1:] != session[:-1])])
        breaks[1:] |= (np.diff(t_s) <= 0) | (np.diff(t_s) > PAUSE_S)
        lines = problems.lines()
        frames = ImageFrames.of(paths, lines, manifest.parent / "images")
        height_px, width_px = frames.shape[:2]
        return assemble(
            drive_id,
            t_s=t_s - t_s[0],
            camera=nominal_camera(width_px, height_px, self.hfov_deg, horizon=self.horizon),
            frames=frames,
            where=manifest,
            breaks=breaks,
            usable=np.array([path is not None for path in paths]),
            tags=Tags.named(traffic="none"),
            columns={"steering": acting(t_s, [-record.angle for record in records], self.lead_s, breaks)},
            licence="not stated in the tub",
            problems=lines,
        )


@dataclasses.dataclass(frozen=True)
class _Record:
    index: int
    session: str
    t_s: float
    image: str
    angle: float


def acting(t_s: FloatArray, command: Any, lead_s: float, breaks: Any) -> FloatArray:
    """Mean of a command ``(N,)`` that acts from each row to the next, when it acts ``lead_s`` after it was logged.

    NaN at the ends of a run, where what acts was logged outside it.
    """
    command = np.asarray(command, dtype=np.float64)
    out = np.full(len(t_s), np.nan)
    for run in np.split(np.arange(len(t_s)), np.flatnonzero(breaks[1:]) + 1):
        out[run] = mean_between(t_s[run] + lead_s, command[run], t_s[run])
    return out


def _manifest(path: Path) -> tuple[list[str], set[int]]:
    """Names of the catalogs and deleted indexes; of several lines that have them the last counts."""
    found: dict[str, Any] | None = None
    for line in read_bytes(path).replace(b"\0", b"").splitlines():
        if b'"paths"' in line:
            found = parse_json(line, path)
    if not isinstance(found, dict):
        raise ValueError(f"{path}: no line names the catalogs ('paths'); is it a tub of version 1? convert it first")
    names, deleted = found.get("paths"), found.get("deleted_indexes", [])
    if not (isinstance(names, list) and all(isinstance(n, str) and Path(n).name == n for n in names)):
        raise ValueError(f"{path}: 'paths': expected file names, got {str(names)[:80]}")
    if not (isinstance(deleted, list) and all(isinstance(i, int) for i in deleted)):
        raise ValueError(f"{path}: 'deleted_indexes': expected whole numbers, got {str(deleted)[:80]}")
    return names, set(deleted)


def _catalog(path: Path, problems: Problems) -> list[_Record]:
    try:
        data = read_bytes(path)
    except ValueError as error:
        problems.add(str(error), path.name)
        return []
    records = []
    for line_number, line in enumerate(data.splitlines(), start=1):
        where = f"{path.name} line {line_number}"
        if b"\0" in line:
            problems.add("NUL bytes", where)
        elif line.strip():
            try:
                records.append(_record(parse_json(line, where)))
            except ValueError as error:
                problems.add(str(error).removeprefix(f"{where}: "), where)
    return records


def _record(record: Any) -> _Record:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    index, image = record.get("_index"), record.get("cam/image_array")
    if not (isinstance(index, int) and 0 <= index < 2**40):
        raise ValueError("'_index' is no whole number")
    if not (isinstance(image, str) and image and Path(image).name == image and "\0" not in image):
        raise ValueError("'cam/image_array' is no file name")
    if not (image.split("_")[0] == str(index) or not image.split("_")[0].isdigit()):
        raise ValueError("'cam/image_array' belongs to another '_index'")
    angle = record.get("user/angle", math.nan)
    angle = math.nan if angle is None else float(angle) if isinstance(angle, (int, float)) else math.nan
    angle = angle if abs(angle) <= 1.001 else math.nan
    return _Record(
        index,
        str(record.get("_session_id", "")),
        number(record.get("_timestamp_ms"), "'_timestamp_ms'") / 1e3,
        image,
        angle,
    )
