"""Reads a drive back from disk, finished or not: columns at once, frames when they are looked at.

Knows the layout ``recorder`` writes, nothing of how a drive is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldmodel.datasets.video import FrameSequence
from worldmodel.simulation.recorder import HEADER_KEY, PROVENANCE, ROWS, TABLE, VIDEO, read_rows, schema_of
from worldmodel.types import VOCABULARY, Camera, Controls, Drive, EgoMotion, Tags


def load_drive(path: str | Path) -> Drive:
    """The drive in a folder, or in the ``.partial`` folder of one that was interrupted.

    The drive of an interrupted run has as many rows as its video has frames.

    Raises:
        ValueError: no drive is there, or it had not yet a frame, or one of its files is damaged.
    """
    folder = Path(path)
    if not (folder / VIDEO).is_file():
        raise ValueError(f"{folder}: no drive is there ({VIDEO} is missing)")
    frames = FrameSequence(folder / VIDEO)
    header, table = _load_table(folder)
    if len(table) < len(frames):
        raise ValueError(f"{folder}: {len(table)} rows for {len(frames)} frames")
    table = table.slice(0, len(frames))
    columns = {name: _column(table, name) for name in table.column_names}
    controls = None
    if "accel_mps2" in columns:
        controls = Controls(columns["accel_mps2"], columns["curvature_1pm"])
    provenance = {}
    if (folder / PROVENANCE).is_file():
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    camera = header["camera"]
    return Drive(
        frames=frames,
        t_s=columns["t_s"],
        motion=EgoMotion(columns["speed_mps"], columns["yaw_rate_radps"]),
        controls=controls,
        info={name.removeprefix("info."): values for name, values in columns.items() if name.startswith("info.")},
        tags=_tags(columns, header["caption"]),
        camera=Camera(**{**camera, "distortion": tuple(camera["distortion"])}),
        provenance=provenance,
    ).validate()


def _load_table(folder: Path) -> tuple[dict[str, Any], pa.Table]:
    if (folder / TABLE).is_file():
        table = pq.read_table(folder / TABLE)
        return json.loads((table.schema.metadata or {})[HEADER_KEY]), table
    if not (folder / ROWS).is_file():
        raise ValueError(f"{folder}: neither {TABLE} nor {ROWS} is there")
    rows = iter(read_rows(folder / ROWS))
    header = next(rows, None)
    if header is None:
        raise ValueError(f"{folder / ROWS}: the drive was interrupted before its first frame")
    return header, pa.Table.from_pylist(list(rows), schema_of(header["columns"]))


def _column(table: pa.Table, name: str) -> np.ndarray:
    column = table.column(name)
    if pa.types.is_list(column.type):
        return np.array(column.to_pylist())
    return column.to_numpy()


def _tags(columns: Mapping[str, np.ndarray], caption: str) -> Tags:
    """Tags by name, so that a vocabulary that has grown since reads them alike."""
    codes = np.zeros((len(columns["t_s"]), len(VOCABULARY)), dtype=np.int64)
    for i, (channel, values) in enumerate(VOCABULARY.items()):
        names = columns.get(f"tags.{channel}")
        if names is not None:
            codes[:, i] = [values.index(name) if name in values else 0 for name in names]
    return Tags(codes, caption)
