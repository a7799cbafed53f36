"""Your own recordings: a folder of mp4 files, each with a table beside it, or none.

``<name>.mp4`` may have ``<name>.parquet`` or ``<name>.csv`` (one row per frame: ``t`` in seconds, and any of
``segment``, ``speed_mps``, ``yaw_rate``, ``steering``) and ``<name>.json`` (licence, and overrides of the profile).
Without a table, times are the video's own and motion is unknown.

What a file cannot say of itself comes from a *profile*: JSON objects whose ``match`` is a pattern of names, later ones
and the sidecar overriding earlier ones:

- ``camera``: ``hfov_deg``, ``horizon`` (row of the horizon over the height), ``centre`` (column of the optical axis
  over the width), ``height_m``. A nominal guess where nobody calibrated: 65 degrees and 0.5.
- ``steering``: the fields of ``steering.SteeredVehicle``. With it and a known speed, unknown yaw rate is inferred.
- ``tags``, ``place``, ``caption``, ``licence``.

Rows of ``speed_mps`` and ``yaw_rate`` are forward differences (row t: from frame t to t+1), as our contract has it.
Speeds beside a steering column are instantaneous readings, and become the mean of both ends.

Shapes: N rows of a table.
"""

from __future__ import annotations

import csv
import dataclasses
import fnmatch
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.datasets.frames import VideoFrames
from worldmodel.datasets.source import Recording
from worldmodel.datasets.steering import SteeredVehicle
from worldmodel.datasets.video import VideoReader
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import Camera, EgoMotion, FloatArray, MotionSource, Tags

#: Used where no profile says otherwise.
DEFAULT_PROFILE: Mapping[str, Any] = {"camera": {"hfov_deg": 65.0, "horizon": 0.5}}
_NUMBERS = ("t", "segment", "speed_mps", "yaw_rate", "steering")


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A folder of recordings; a ``worldmodel.datasets.source.Source``.

    Attributes:
        root: the folder.
        profiles: see the module's docstring.
    """

    root: Path
    profiles: Sequence[Mapping[str, Any]] = ()
    name: str = "recordings"

    def drives(self) -> list[str]:
        """Names of the mp4 files, sorted."""
        found = sorted(path.stem for path in Path(self.root).glob("*.mp4"))
        if not found:
            raise ValueError(f"{self.root}: no *.mp4 file; name the folder that holds your recordings")
        return found

    def open(self, drive_id: str) -> Recording:
        """Open one recording; errors name the file."""
        video_path = Path(self.root) / f"{drive_id}.mp4"
        profile = self._profile(drive_id)
        with VideoReader(video_path) as video:
            times, height_px, width_px = video.times_s, video.height_px, video.width_px
        count = len(times)
        table, problems = _read_table(video_path.with_suffix(""))
        if table is None:
            table = {"t": times}
        rows = len(table["t"])
        if rows != count:
            used = min(_whole(table["t"][:count]), _whole(times[:rows]))
            problems.append(f"{video_path}: {count} frames but {rows} table rows; the first {used} are used")
            table = {name: column[:used] for name, column in table.items()}
        t_s = table["t"]
        segment = table.get("segment", np.zeros(len(t_s)))
        breaks = np.concatenate([[True], (np.diff(segment) != 0) | (np.diff(t_s) <= 0)])
        motion, speed_source, yaw_source = _motion(table, profile.get("steering"), breaks, video_path)
        try:
            camera = camera_of(profile["camera"], width_px, height_px)
            tags = Tags.named(**profile.get("tags", {}))
        except (ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise ValueError(
                f"{video_path}: its profile (or .json) has an unusable camera or tag: {error!r}"
            ) from error
        return Recording(
            drive_id=drive_id,
            place_id=str(profile.get("place", profile.get("track", drive_id))),
            t_s=t_s,
            motion=motion,
            speed_source=speed_source,
            yaw_rate_source=yaw_source,
            camera=camera,
            frames=VideoFrames(video_path, problems=problems),
            breaks=breaks,
            usable=np.ones(len(t_s), bool),
            tags=Tags(np.tile(tags.codes, (len(t_s), 1))),
            caption=str(profile.get("caption", "")),
            licence=str(profile.get("licence", profile.get("license", ""))),
            problems=problems,
        )

    def _profile(self, drive_id: str) -> dict[str, Any]:
        path = Path(self.root) / f"{drive_id}.json"
        layers = [DEFAULT_PROFILE, *(p for p in self.profiles if fnmatch.fnmatch(drive_id, p.get("match", "*")))]
        if path.exists():
            try:
                sidecar = json.loads(path.read_text())
            except (ValueError, OSError) as error:
                raise ValueError(f"{path}: not readable as JSON: {error}") from error
            if not isinstance(sidecar, dict):
                raise ValueError(f"{path}: expected a JSON object, got {type(sidecar).__name__}")
            layers.append(sidecar)
        merged: dict[str, Any] = {}
        for layer in layers:
            for key, value in layer.items():
                old = merged.get(key)
                merged[key] = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        return merged


def camera_of(spec: Mapping[str, Any], width_px: int, height_px: int) -> Camera:
    """A nominal camera from a profile's ``camera``."""
    camera = nominal_camera(width_px, height_px, float(spec["hfov_deg"]), horizon=float(spec["horizon"]))
    return dataclasses.replace(
        camera,
        cx_px=float(spec.get("centre", 0.5)) * width_px - 0.5,
        height_m=float(spec.get("height_m", math.nan)),
    ).validate()


def _whole(t_s: FloatArray) -> int:
    """How many rows come before the first odd step: there one may be lost or doubled, and those below have moved."""
    steps = np.diff(t_s)
    odd = np.flatnonzero((steps <= 0) | (steps > 1.5 * np.median(steps))) if len(steps) else np.empty(0, int)
    return int(odd[0]) + 1 if len(odd) else len(t_s)


def _read_table(stem: Path) -> tuple[dict[str, FloatArray] | None, list[str]]:
    """Columns ``(N,)`` of the parquet or csv beside a recording, and what was wrong with single rows."""
    parquet, comma = stem.with_name(stem.name + ".parquet"), stem.with_name(stem.name + ".csv")
    problems: list[str] = []
    if parquet.exists():
        try:
            table = pq.read_table(parquet)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise ValueError(f"{parquet}: not a readable parquet file: {error}") from error
        path, columns = parquet, {n: table.column(n).to_pylist() for n in table.column_names if n in _NUMBERS}
    elif comma.exists():
        path, columns = comma, _read_csv(comma, problems)
    else:
        return None, problems
    if "t" not in columns:
        raise ValueError(f"{path}: column 't' (seconds) is missing; it has {sorted(columns) or 'none that is known'}")
    numbers = {name: _to_numbers(values, f"{path}: column {name!r}") for name, values in columns.items()}
    bad = ~np.isfinite(numbers["t"])
    if bad.any():
        raise ValueError(f"{path}: row {int(np.argmax(bad))}: 't' is not a number; times cannot be guessed")
    if len(bad) == 0:
        raise ValueError(f"{path}: no rows")
    for name, bound in (("speed_mps", 100.0), ("yaw_rate", 5.0)):
        if name in numbers:
            wild = np.isfinite(numbers[name]) & (np.abs(numbers[name]) > bound) | np.isinf(numbers[name])
            if wild.any():
                row = int(np.argmax(wild))
                problems.append(f"{path}: {int(wild.sum())} rows with an impossible {name}, first {row}; set unknown")
                numbers[name][wild] = np.nan
    return numbers, problems


def _read_csv(path: Path, problems: list[str]) -> dict[str, list[Any]]:
    """Known columns of a csv with a header. A row that cannot be read ends the table there: rows stand for frames."""
    try:
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    lines = text.splitlines()
    if not lines:
        raise ValueError(f"{path}: empty file")
    names = [name.strip() for name in lines[0].split(",")]
    places = {name: names.index(name) for name in _NUMBERS if name in names}
    columns: dict[str, list[Any]] = {name: [] for name in places}
    for number, line in enumerate(lines[1:], start=2):
        try:
            cells = next(csv.reader([line.replace("\0", "")]), [])
        except csv.Error as error:
            raise ValueError(f"{path}: line {number}: {error}") from error
        if "\0" in line or len(cells) < len(names) or any(cell.strip() for cell in cells[len(names) :]):
            why = "NUL bytes" if "\0" in line else f"{len(cells)} of {len(names)} fields"
            problems.append(f"{path}: line {number}: {why}; {len(lines) - number + 1} lines from there on are not used")
            break
        for name, place in places.items():
            columns[name].append(cells[place].strip() or None)
    return columns


def _to_numbers(values: Sequence[Any], where: str) -> FloatArray:
    out = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            try:
                out[row] = float(value)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{where}: row {row}: {value!r} is not a number") from error
    return out


def _motion(
    table: Mapping[str, FloatArray], steering: Mapping[str, Any] | None, breaks: NDArray[np.bool_], path: Path
) -> tuple[EgoMotion, MotionSource, MotionSource]:
    t_s = table["t"]
    unknown = np.full(len(t_s), np.nan)
    speed, yaw_rate = table.get("speed_mps", unknown), table.get("yaw_rate", unknown)
    speed_source: MotionSource = "measured" if np.isfinite(speed).any() else "unknown"
    yaw_source: MotionSource = "measured" if np.isfinite(yaw_rate).any() else "unknown"
    try:
        motion = EgoMotion(speed, yaw_rate).validate()
        if steering and yaw_source == "unknown" and speed_source != "unknown" and "steering" in table:
            motion = SteeredVehicle(**steering).motion_of_runs(t_s, speed, table["steering"], breaks).validate()
            yaw_rate = motion.yaw_rate_radps
            yaw_source = "inferred" if np.isfinite(yaw_rate).any() else "unknown"
    except (ValueError, TypeError, ArithmeticError) as error:
        raise ValueError(f"{path}: {error}") from error
    return motion, speed_source, yaw_source
