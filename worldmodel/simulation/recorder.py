"""Streams a drive to disk while it happens: a video, a row per frame, and where it all came from.

    <folder>/drive.mp4          fragmented while the drive runs, an ordinary mp4 after ``finish``
    <folder>/rows.jsonl         a header and a line per frame while it runs; ``finish`` makes drive.parquet of it
    <folder>/provenance.json    what made the drive; ``complete`` tells whether it came to its end

A process that is killed at any moment leaves files that play and that ``drive_io.load_drive`` reads. Memory does not
grow with length. Knows the layout of a drive on disk, nothing of worlds or of who drives.

Shapes: H, W pixels; everything is of one row of a batch.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from worldmodel.datasets.video import StreamingVideoWriter
from worldmodel.types import Camera, Controls, EgoMotion, FrameArray, Tags

VIDEO, ROWS, TABLE, PROVENANCE = "drive.mp4", "rows.jsonl", "drive.parquet", "provenance.json"
FORMAT_VERSION = 1
#: Key of the json object in the parquet file's metadata (and the first line of the rows).
HEADER_KEY = b"worldmodel.drive"
_ROWS_PER_GROUP = 4096


class DriveRecorder:
    """Writes one drive. Use as a context manager: an exception leaves what is there, playable, and marked incomplete.

    Args:
        folder: made if absent.
        camera: of the frames.
        dt_s: between two frames.
        provenance: plain values; written at once and, completed, again at the end.
    """

    def __init__(self, folder: str | Path, *, camera: Camera, dt_s: float, provenance: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.provenance = dict(provenance)
        self.count = 0
        self._camera, self._dt_s = camera, dt_s
        self._columns: dict[str, str] = {}
        write_json(self.folder / PROVENANCE, self.provenance | {"complete": False})
        self._video = StreamingVideoWriter(self.folder / VIDEO, camera.height_px, camera.width_px, fps=1 / dt_s, crf=20)
        self._rows = (self.folder / ROWS).open("w", encoding="utf-8")

    def write(
        self,
        frame: FrameArray,
        *,
        t_s: float,
        motion: EgoMotion,
        controls: Controls | None,
        tags: Tags,
        info: Mapping[str, Any],
    ) -> None:
        """Append one ``(H, W, 3)`` frame and its row; motion, controls and tags are of shape ``()``.

        Raises:
            ValueError: a frame of another size, or other columns than in the first row.
        """
        row = row_of(t_s, motion, controls, tags, info)
        columns = {name: _kind(value) for name, value in row.items()}
        if not self.count:
            self._columns = columns
            self._line(self._header(tags.caption))
        elif columns.keys() != self._columns.keys():
            odd = sorted(columns.keys() ^ self._columns.keys())
            raise ValueError(f"{self.folder}: frame {self.count}: columns {odd} are not in every row")
        # The row first: then a killed drive has at least as many rows as frames.
        self._line({name: _plain(value) for name, value in row.items()})
        self._video.write(np.asarray(frame))
        self.count += 1

    def finish(self, more: Mapping[str, Any] | None = None) -> Path:
        """Turn what was streamed into the final files and return the folder.

        Args:
            more: joins the provenance.

        Raises:
            ValueError: no frame was written.
        """
        self._rows.close()
        self._video.finish()
        self.provenance |= dict(more or {})
        rows_to_parquet(self.folder / ROWS, self.folder / TABLE)
        write_json(self.folder / PROVENANCE, self.provenance | {"complete": True})
        (self.folder / ROWS).unlink()
        return self.folder

    def close(self) -> None:
        """End the files where they are, without completing the drive."""
        self._rows.close()
        self._video.close()

    def __enter__(self) -> DriveRecorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._rows.closed:
            self.close()

    def _header(self, caption: str) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "dt_s": self._dt_s,
            "camera": dataclasses.asdict(self._camera),
            "caption": caption,
            "columns": self._columns,
        }

    def _line(self, content: Mapping[str, Any]) -> None:
        self._rows.write(json.dumps(content) + "\n")
        self._rows.flush()


def row_of(
    t_s: float, motion: EgoMotion, controls: Controls | None, tags: Tags, info: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns of one frame: t_s, motion, controls where there are any, ``tags.*`` by name, ``info.*``."""
    row: dict[str, Any] = {
        "t_s": float(t_s),
        "speed_mps": float(motion.speed_mps),
        "yaw_rate_radps": float(motion.yaw_rate_radps),
    }
    if controls is not None:
        row |= {"accel_mps2": float(controls.accel_mps2), "curvature_1pm": float(controls.curvature_1pm)}
    row |= {f"tags.{channel}": name for channel, name in tags.names().items()}
    return row | {f"info.{name}": np.asarray(value) for name, value in info.items()}


def read_rows(path: Path) -> Iterable[dict[str, Any]]:
    """The header and then every whole row of a ``rows.jsonl``; a torn last line is left out."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


def schema_of(columns: Mapping[str, str]) -> pa.Schema:
    """The parquet schema of the columns a header lists."""
    kinds = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string()}

    def type_of(kind: str) -> pa.DataType:
        base, *dimensions = kind.split("|")
        value = kinds[base]
        for _ in dimensions:
            value = pa.list_(value)
        return value

    return pa.schema([(name, type_of(kind)) for name, kind in columns.items()])


def rows_to_parquet(source: Path, target: Path) -> None:
    """Turn a ``rows.jsonl`` into a parquet file, a few thousand rows at a time; atomic."""
    rows = iter(read_rows(source))
    header = next(rows)
    schema = schema_of(header["columns"]).with_metadata({HEADER_KEY: json.dumps(header).encode()})
    temporary = target.with_name(target.name + ".tmp")
    with pq.ParquetWriter(temporary, schema) as writer:
        group: list[dict[str, Any]] = []
        for row in rows:
            group.append(row)
            if len(group) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))
    os.replace(temporary, target)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values to a json file; atomic."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _kind(value: Any) -> str:
    """bool, int, float or str, and one bar per dimension."""
    array = np.asarray(value)
    base = {"b": "bool", "i": "int", "u": "int", "f": "float", "U": "str"}.get(array.dtype.kind)
    if base is None:
        raise ValueError(f"column value {value!r}: expected bool, int, float or str")
    return base + "|" * array.ndim


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
