"""The folder layout of LeRobot datasets, version 3.0, and its ``meta/``, rebuilt from the episodes that are complete.

One episode is one mp4 and one parquet. The parquet is moved to its name last, so where it is, the episode is complete;
its footer says everything about the episode, and ``meta/`` is nothing but the sum of footers. Episode e of drive d is
``chunk-d/file-e``: workers never agree on numbers. Knows files and columns, not frames.

Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3 (info, episodes, tasks, stats; paths by chunk and file).
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.types import VOCABULARY, VOCABULARY_VERSION

CODEBASE_VERSION = "v3.0"
VIDEO_KEY = "observation.images.front"
#: Nominal frame rate of every set here: LeRobot has one per set. True times are in ``t_source_s``.
FPS = 10
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
FOOTER_KEY = b"worldmodel"
FOOTER_VERSION = 1

_INDEX_COLUMNS = ("episode_index", "index", "task_index")
_TEXT_FIELDS = (
    *("episode_id", "drive_id", "place_id", "caption", "licence", "source"),
    *("speed_source", "yaw_rate_source", "camera", "valid_mask", "frames_hash"),
)


def data_file(root: Path, chunk: int, file: int) -> Path:
    """Path of an episode's table."""
    return root / DATA_PATH.format(chunk_index=chunk, file_index=file)


def video_file(root: Path, chunk: int, file: int) -> Path:
    """Path of an episode's video."""
    return root / VIDEO_PATH.format(video_key=VIDEO_KEY, chunk_index=chunk, file_index=file)


def read_footer(path: Path) -> dict[str, Any]:
    """What an episode's table says about the episode.

    Raises:
        ValueError: not one of our tables, or of a later format.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid) as error:
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error
    if FOOTER_KEY not in metadata:
        raise ValueError(f"{path}: not written by this project; its footer has no {FOOTER_KEY.decode()!r}")
    footer = json.loads(metadata[FOOTER_KEY])
    if footer["format"] > FOOTER_VERSION:
        raise ValueError(f"{path}: format {footer['format']} is newer than this program's {FOOTER_VERSION}; update it")
    return footer


def write_table(path: Path, table: pa.Table, footer: Mapping[str, Any]) -> None:
    """Write an episode's table with its footer, durably and atomically."""
    metadata = {**(table.schema.metadata or {}), FOOTER_KEY: json.dumps(footer).encode()}
    _replace(path, lambda temporary: pq.write_table(table.replace_schema_metadata(metadata), temporary))


def complete_episodes(root: Path) -> list[tuple[int, int, Path]]:
    """(chunk, file, path) of every complete episode, in the order in which LeRobot reads them: that of sorted paths."""
    found = []
    for path in sorted(root.glob("data/chunk-*/file-*.parquet")):
        chunk, file = int(path.parent.name[6:]), int(path.stem[5:])
        if video_file(root, chunk, file).exists():
            found.append((chunk, file, path))
    return found


def features(height_px: int, width_px: int, columns: Mapping[str, str]) -> dict[str, Any]:
    """The ``features`` of ``info.json``: video, motion as the action, tags, times, and further scalar columns."""

    def scalar(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [1], "names": None}

    video = {
        "dtype": "video",
        "shape": [height_px, width_px, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": height_px,
            "video.width": width_px,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": FPS,
            "video.channels": 3,
            "has_audio": False,
        },
    }
    return {
        VIDEO_KEY: video,
        "action": {"dtype": "float32", "shape": [2], "names": ["speed_mps", "yaw_rate_radps"]},
        "tags": {"dtype": "int64", "shape": [len(VOCABULARY)], "names": list(VOCABULARY)},
        "t_source_s": scalar("float64"),
        "source_frame": scalar("int64"),
        **{name: scalar(dtype) for name, dtype in columns.items()},
        "timestamp": scalar("float32"),
        **{name: scalar("int64") for name in ("frame_index", *_INDEX_COLUMNS)},
    }


def rebuild_meta(root: str | Path) -> int:
    """Make ``meta/`` anew from the complete episodes and swap it in; returns their number.

    Safe to call at any time and from any process. Also numbers the rows of every table (``episode_index``, ``index``,
    ``task_index``), which an episode cannot know while it is written.

    Raises:
        ValueError: no complete episode, or episodes of different size or columns in one folder.
    """
    root = Path(root)
    with _locked(root):
        found = complete_episodes(root)
        if not found:
            raise ValueError(f"{root}: no complete episode; prepare a dataset into it first")
        footers = [read_footer(path) for _, _, path in found]
        for (_, _, path), footer in zip(found, footers):
            for field in ("size", "columns"):
                if footer[field] != footers[0][field]:
                    raise ValueError(f"{path}: {field} {footer[field]}, others here have {footers[0][field]}")
        tasks = list(dict.fromkeys(footer["caption"] or "drive" for footer in footers))
        rows, start = [], 0
        for episode, ((chunk, file, path), footer) in enumerate(zip(found, footers)):
            task = footer["caption"] or "drive"
            _number_rows(path, footer, (episode, start, tasks.index(task)))
            rows.append(_episode_row(episode, start, chunk, file, task, footer))
            start += footer["length"]
        fresh = root / f"meta.tmp-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        (fresh / "episodes/chunk-000").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), fresh / "episodes/chunk-000/file-000.parquet")
        _write_tasks(fresh / "tasks.parquet", tasks)
        height_px, width_px = footers[0]["size"]
        info = {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": "car",
            "total_episodes": len(rows),
            "total_frames": start,
            "total_tasks": len(tasks),
            "chunks_size": 1000,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 500,
            "fps": FPS,
            "splits": {"train": f"0:{len(rows)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": features(height_px, width_px, footers[0]["columns"]),
        }
        vocabulary = {"version": VOCABULARY_VERSION, **{k: list(v) for k, v in VOCABULARY.items()}}
        (fresh / "tag_vocabulary.json").write_text(json.dumps(vocabulary, indent=2))
        (fresh / "stats.json").write_text(json.dumps(_sum_stats([f["stats"] for f in footers]), indent=2))
        (fresh / "info.json").write_text(json.dumps(info, indent=2))
        old = root / f"meta.old-{os.getpid()}"
        if (root / "meta").exists():
            os.replace(root / "meta", old)
        os.replace(fresh, root / "meta")
        for leftover in root.glob("meta.*-*"):
            shutil.rmtree(leftover, ignore_errors=True)
    return len(rows)


def _episode_row(episode: int, start: int, chunk: int, file: int, task: str, footer: Mapping[str, Any]) -> dict:
    length = footer["length"]
    row: dict[str, Any] = {
        "episode_index": episode,
        "tasks": [task],
        "length": length,
        "data/chunk_index": chunk,
        "data/file_index": file,
        "dataset_from_index": start,
        "dataset_to_index": start + length,
        f"videos/{VIDEO_KEY}/chunk_index": chunk,
        f"videos/{VIDEO_KEY}/file_index": file,
        f"videos/{VIDEO_KEY}/from_timestamp": 0.0,
        f"videos/{VIDEO_KEY}/to_timestamp": length / FPS,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }
    row |= {field: footer[field] for field in _TEXT_FIELDS}
    row["split"] = footer.get("split", "")  # footers of version 1 may be older than this field
    row["camera_height_m"] = json.loads(footer["camera"])["height_m"]
    row |= {f"stats/{name}/{kind}": value for name, stats in footer["stats"].items() for kind, value in stats.items()}
    return row


def content_hash(row: Mapping[str, Any]) -> str:
    """Of an episode's frames and table, from its row in ``meta/``: statistics differ where numbers do."""
    told = {name: value for name, value in sorted(row.items()) if name.startswith("stats/")}
    said = [row["frames_hash"], row["speed_source"], row["yaw_rate_source"], row["split"], told]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()


def _number_rows(path: Path, footer: dict[str, Any], numbers: tuple[int, int, int]) -> None:
    """Give every row its place in the whole set, unless it has it already."""
    if tuple(footer.get("numbers", ())) == numbers:
        return
    table = pq.read_table(path)
    episode, start, task = numbers
    length = table.num_rows
    columns = (np.full(length, episode), np.arange(start, start + length), np.full(length, task))
    for name, column in zip(_INDEX_COLUMNS, columns):
        table = table.set_column(table.column_names.index(name), name, pa.array(column, pa.int64()))
    footer["numbers"] = list(numbers)
    write_table(path, table, footer)


def _sum_stats(all_stats: list[dict[str, Any]]) -> dict[str, Any]:
    """Statistics of the whole from those of its episodes."""
    total: dict[str, Any] = {}
    for name in all_stats[0]:
        parts = [s[name] for s in all_stats if s[name]["count"][0]]
        if not parts:
            total[name] = all_stats[0][name]
            continue
        counts = np.array([p["count"][0] for p in parts], dtype=np.float64)
        share = counts / counts.sum()
        mean = np.array([p["mean"] for p in parts])
        square = np.array([p["std"] for p in parts]) ** 2 + mean**2
        mean, square = np.tensordot(share, mean, 1), np.tensordot(share, square, 1)
        total[name] = {
            "min": np.min([p["min"] for p in parts], axis=0).tolist(),
            "max": np.max([p["max"] for p in parts], axis=0).tolist(),
            "mean": mean.tolist(),
            "std": np.sqrt(np.maximum(square - mean**2, 0)).tolist(),
            "count": [int(counts.sum())],
        }
    return total


def pack_mask(mask: NDArray[np.bool_]) -> str:
    """A static mask ``(H, W)`` as text for a column."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes())).decode()


def unpack_mask(text: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of ``pack_mask``, of the given height and width."""
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8), count=size[0] * size[1])
    return bits.reshape(size).astype(bool)


def to_arrow(array: NDArray[Any]) -> pa.Array:
    """A column of ``(T,)`` or ``(T, n)`` values."""
    if array.ndim == 1:
        return pa.array(array)
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).reshape(-1)), array.shape[1])


def from_arrow(column: pa.ChunkedArray) -> NDArray[Any]:
    """The array of ``to_arrow``."""
    if pa.types.is_fixed_size_list(column.type):
        flat = column.combine_chunks().flatten()
        return flat.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    if pa.types.is_list(column.type):
        return np.array(column.to_pylist())
    return column.to_numpy()


def column_stats(array: NDArray[Any]) -> dict[str, Any]:
    """Per-channel statistics over the finite rows; zeros with a count of zero when there is none."""
    rows = array.reshape(len(array), -1).astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    rows = rows[finite] if finite.any() else np.zeros((1, rows.shape[1]))
    kinds = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    return {kind: value.tolist() for kind, value in kinds.items()} | {"count": [int(finite.sum())]}


def _write_tasks(path: Path, tasks: list[str]) -> None:
    """Task names as a pandas index, as LeRobot reads them; written without pandas."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": [{**c, "metadata": None} for c in columns]}
    pq.write_table(table.replace_schema_metadata({b"pandas": json.dumps(pandas).encode()}), path)


def _replace(path: Path, write: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
