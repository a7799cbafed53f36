"""LeRobot datasets, versions 2.1 and 3.0, through a mapping that says which columns are the motion of a car.

A mapping is a JSON object:

- ``video``: the video's key, as ``observation.images.front_left``; ``camera``: ``hfov_deg``, ``horizon`` and, where
  known, ``height_m``.
- ``speed``, ``yaw_rate``, ``heading``, ``steering``: each ``{"column": …, "index": …, "scale": …, "kind": …}``.
  ``scale`` makes it m/s, rad/s, rad or 1, left positive. ``kind`` is ``reading`` (at the frame; the default) or
  ``step`` (from the frame to the next). A heading, where there is no yaw rate, is differenced.
- ``time``: ``{"column": …, "scale": …}`` where ``timestamp`` (seconds from the start) is not the true one.
- ``caption``: a column of text; ``licence``.

Format: https://huggingface.co/docs/lerobot/lerobot-dataset-v3, and for 2.1
https://github.com/huggingface/lerobot at v0.3.3, ``lerobot/datasets/utils.py``. Ready mappings: ``data/lerobot``.

Shapes: N frames of an episode.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.files import field, number, numbers, parse_json, read_columns, read_json, read_lines
from worldmodel.datasets.frames import VideoFrames
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.datasets.video import VideoReader
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import EgoMotion, FloatArray

_TEMPLATE = re.compile(r"(?:[^{}\0]|\{\w+(?::\d{1,2}d)?\})+")


@dataclasses.dataclass(frozen=True)
class LeRobot:
    """The folder with ``meta/info.json``; a ``source.Source``.

    Attributes:
        root: the folder.
        mapping: see the module's docstring.
    """

    root: Path
    mapping: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = "lerobot"

    def drives(self) -> list[str]:
        """Episodes as ``episode_000000``, sorted."""
        path = Path(self.root) / "meta" / "info.json"
        if not path.exists():
            raise ValueError(f"{path}: missing; name the folder of a LeRobot dataset")
        return sorted(_episodes(Path(self.root)))

    def open(self, drive_id: str) -> Recording:
        """Open one episode; errors name the file."""
        root = Path(self.root)
        episode = _episodes(root)[drive_id]
        info = read_json(root / "meta" / "info.json")
        video_key = str(field(self.mapping, "video", "mapping"))
        table, video, begins_s = _files(root, info, episode, video_key)
        index = episode["episode_index"]
        wanted = ("time", "speed", "yaw_rate", "heading", "steering")
        asked = {name: self.mapping[name] for name in wanted if self.mapping.get(name)}
        caption = self.mapping.get("caption")
        names = dict.fromkeys(["episode_index", "frame_index", "timestamp"])
        names |= dict.fromkeys(str(field(rule, "column", f"mapping: {name}")) for name, rule in asked.items())
        columns = read_columns(table, [*names, *([caption] if caption else [])])
        places = [place for place, value in enumerate(columns["episode_index"]) if value == index]
        if len(places) < 2:
            raise ValueError(f"{table}: {len(places)} rows of episode {index}")
        rows = {name: [values[place] for place in places] for name, values in columns.items()}
        frame_index = numbers(rows["frame_index"], f"{table}: frame_index", (-1,))
        if (np.diff(frame_index) != 1).any() or frame_index[0] != 0:
            raise ValueError(f"{table}: frame_index of episode {index} does not count from 0 by one")
        problems: list[str] = []
        with VideoReader(video) as reader:
            times, height_px, width_px = reader.times_s, reader.height_px, reader.width_px
        stamps = numbers(rows["timestamp"], f"{table}: timestamp", (-1,)) + begins_s
        first = int(np.argmin(np.abs(times - stamps[0])))
        here = times[first : first + len(places)]
        off = np.abs(here - stamps[: len(here)]) > 0.6 * float(np.median(np.diff(times)) if len(times) > 1 else 1.0)
        if len(here) < len(places) or off.any():
            raise ValueError(f"{video}: its frames are not at the times of {table} (episode {index}); fetch both anew")
        t_s = stamps - stamps[0]
        signals = {n: _signal(rows[rule["column"]], rule, f"{table}: {rule['column']}") for n, rule in asked.items()}
        if "time" in signals:
            t_s = signals["time"] - signals["time"][0]
        camera = self.mapping.get("camera", {})
        level = nominal_camera(
            width_px, height_px, float(camera.get("hfov_deg", 65.0)), horizon=float(camera.get("horizon", 0.5))
        )
        steering = _steps(t_s, signals["steering"], asked["steering"]) if "steering" in signals else None
        return assemble(
            drive_id,
            t_s=t_s,
            motion=_motion(t_s, signals, asked),
            camera=dataclasses.replace(level, height_m=float(camera.get("height_m", np.nan))),
            frames=VideoFrames(video, first, problems),
            where=table,
            caption=str(rows[caption][0] or "") if caption else str((episode.get("tasks") or [""])[0]),
            licence=str(self.mapping.get("licence", "")),
            columns={} if steering is None else {"steering": steering},
            problems=problems,
        )


def _motion(t_s: FloatArray, signals: dict[str, FloatArray], rules: dict[str, Any]) -> EgoMotion:
    speed = _steps(t_s, signals["speed"], rules["speed"]) if "speed" in signals else np.full(len(t_s), np.nan)
    if "yaw_rate" in signals:
        yaw_rate = _steps(t_s, signals["yaw_rate"], rules["yaw_rate"])
    elif "heading" in signals:
        dt_s = np.diff(t_s)
        turn = np.diff(np.unwrap(signals["heading"]))
        yaw_rate = np.append(turn / np.where(dt_s > 0, dt_s, np.nan), np.nan)
    else:
        yaw_rate = np.full(len(t_s), np.nan)
    return EgoMotion(speed, yaw_rate)


def _steps(t_s: FloatArray, values: FloatArray, rule: Mapping[str, Any]) -> FloatArray:
    if rule.get("kind", "reading") == "step":
        return np.append(values[:-1], np.nan)
    return mean_between(t_s, values, t_s, max_gap_s=0.5) if (np.diff(t_s) > 0).all() else np.full(len(t_s), np.nan)


def _signal(values: list[Any], rule: Mapping[str, Any], where: str) -> FloatArray:
    index = rule.get("index")
    try:
        picked = values if index is None else [None if value is None else value[index] for value in values]
    except (TypeError, IndexError, KeyError) as error:
        raise ValueError(f"{where}: no element {index!r}") from error
    return numbers(picked, where, (-1,)) * float(rule.get("scale", 1.0))


@functools.lru_cache(maxsize=2)
def _episodes(root: Path) -> dict[str, dict[str, Any]]:
    """Rows of ``meta/episodes`` (3.0) or ``meta/episodes.jsonl`` (2.1) by name."""
    lines, rows = root / "meta" / "episodes.jsonl", []
    tables = sorted(root.glob("meta/episodes/*/*.parquet"))
    if tables:
        for path in tables:
            names = [name for name in _columns_of(path) if name in ("episode_index", "tasks") or "/" in name]
            names = [name for name in names if not name.startswith("stats/")]
            columns = read_columns(path, ["episode_index", *[n for n in names if n != "episode_index"]])
            rows += [dict(zip(columns, values)) for values in zip(*columns.values())]
    elif lines.exists():
        rows = [parse_json(line, lines) for line in read_lines(lines) if line.strip()]
    else:
        raise ValueError(f"{root}/meta: neither episodes/*/*.parquet (version 3.0) nor episodes.jsonl (2.1)")
    found = {}
    for row in rows:
        index = field(row, "episode_index", f"{root}/meta/episodes")
        if not isinstance(index, int) or index < 0:
            raise ValueError(f"{root}/meta/episodes: episode_index {index!r} is no whole number")
        found[f"episode_{index:06d}"] = row
    return found


def _columns_of(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path).names
    except (OSError, ValueError, pa.ArrowException) as error:  # names may be no text
        raise ValueError(f"{path}: not a readable parquet file: {error}") from error


def _files(root: Path, info: dict[str, Any], episode: dict[str, Any], key: str) -> tuple[Path, Path, float]:
    """Table and video of an episode, and when in the video it begins."""
    where = f"{root}/meta"
    if key not in field(info, "features", f"{where}/info.json"):
        videos = [name for name in info["features"] if "image" in name]
        raise ValueError(f"{where}/info.json: no feature {key!r}, which the mapping names; it has {videos}")
    index, begins_s = episode["episode_index"], 0.0
    values: dict[str, Any] = {"episode_index": index, "video_key": key}
    video_values = dict(values)
    try:
        if "data/chunk_index" in episode:
            values |= {"chunk_index": episode["data/chunk_index"], "file_index": episode["data/file_index"]}
            at = f"videos/{key}"
            video_values |= {n: field(episode, f"{at}/{n}", f"{where}/episodes") for n in ("chunk_index", "file_index")}
            begins_s = number(field(episode, f"{at}/from_timestamp", f"{where}/episodes"), f"{where}/episodes")
        else:
            chunk = index // max(1, int(info.get("chunks_size", 1000)))
            values["episode_chunk"] = video_values["episode_chunk"] = chunk
        table, video = _filled(info["data_path"], values), _filled(info["video_path"], video_values)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{where}/info.json: its paths cannot be filled in: {error!r}") from error
    return root / table, root / video, begins_s


def _filled(template: Any, values: dict[str, Any]) -> str:
    """A path of ``info.json`` with its names and padded numbers filled in; no other format, and no endless name."""
    if not (isinstance(template, str) and len(template) < 300 and _TEMPLATE.fullmatch(template)):
        raise ValueError(f"{str(template)[:80]!r} is no path of the kind 'chunk-{{chunk_index:03d}}/…'")
    return template.format(**values)
