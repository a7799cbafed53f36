"""Puts a drive that is in memory, or a table, on disk. Knows the recorder and tables, nothing of how they were made.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.simulation.recorder import DriveRecorder
from worldmodel.types import Camera, EgoMotion, FloatArray, FrameArray, Tags


def keep_drive(
    folder: Path,
    frames: FrameArray,
    t_s: FloatArray,
    motion: EgoMotion,
    tags: Tags,
    info: Mapping[str, NDArray[Any]],
    *,
    camera: Camera,
    provenance: Mapping[str, Any],
) -> Path:
    """Write frames ``(T, H, W, 3)`` and their ``(T,)`` columns as a drive; returns its folder."""
    dt_s = float(np.median(np.diff(t_s)))
    with DriveRecorder(folder, camera=camera, dt_s=dt_s, provenance=provenance) as recorder:
        for index, frame in enumerate(frames):
            recorder.write(
                frame,
                t_s=float(t_s[index]),
                motion=motion[index],
                controls=None,
                tags=tags[index],
                info={name: column[index] for name, column in info.items()},
            )
        return recorder.finish()


def keep_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same keys as parquet and, beside it, as csv; both atomic. Nothing is written of no rows."""
    if not rows:
        return
    columns = {name: _alike([row[name] for row in rows]) for name in rows[0]}
    temporary = path.with_name(path.name + ".tmp")
    pq.write_table(pa.table(columns), temporary)
    os.replace(temporary, path)
    temporary = path.with_suffix(".csv.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[_short(value) for value in row.values()] for row in rows])
    os.replace(temporary, path.with_suffix(".csv"))


def plain(value: Any) -> Any:
    """A value as json knows it, all the way down: numpy's as Python's, and ``None`` where a number is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def markdown(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table for people: ``columns`` maps keys of the rows to headings; what is not known is a dash."""
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row.get(name)) for name in columns) + " |")
    return "\n".join(lines) + "\n"


def _alike(values: list[Any]) -> list[Any]:
    """A column of numbers and words ("never") as words."""
    if not any(isinstance(value, str) for value in values):
        return values
    return [value if value is None or isinstance(value, str) else str(_short(value)) for value in values]


def _cell(value: Any) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return "–"
        return "never" if math.isinf(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return "–" if value is None else str(value)


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else value
