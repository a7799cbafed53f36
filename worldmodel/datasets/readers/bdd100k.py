"""BDD100K: ``videos/<split>/*.mov``, a phone's readings in ``info/100k/<split>/*.json``, attributes in ``labels/``.

``locations`` of an info file has a reading a second: ``timestamp`` (ms), ``speed`` (m/s) and ``course`` (degrees
clockwise from north), -1 where the phone knew neither. The video begins at ``startTime``. Between readings speed and
course are taken as linear, so motion is ``interpolated``; below walking pace a course means nothing, and the turn is
unknown. Weather, scene and time of day of the labelled frame become tags of the whole video.

Format: https://doc.bdd100k.com/download.html, https://github.com/bdd100k/bdd100k (labels are in Scalabel's format); the
info files as read by https://github.com/JinkyuKimUCB/explainable-deep-driving.

Shapes: N frames of a video; M readings.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import field, number, read_json
from worldmodel.datasets.frames import VideoFrames
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.datasets.video import VideoReader
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import EgoMotion, FloatArray, Tags

#: Phones of many kinds behind many windscreens; the horizon by eye.
HORIZONTAL_FOV_DEG, HORIZON = 65.0, 0.55
#: Slower than this a course is noise; a longer pause between readings is a gap.
WALKING_MPS, GAP_S = 1.5, 2.5
_WEATHER = {"clear": "clear", "partly cloudy": "clear", "rainy": "rain", "snowy": "snow", "foggy": "fog"}
_TIME = {"daytime": "day", "night": "night", "dawn/dusk": "dusk"}
_SCENE = {"highway": "motorway", "city street": "town", "residential": "town"}


@dataclasses.dataclass(frozen=True)
class BDD100K:
    """The folder ``bdd100k`` with ``videos`` and ``info`` in it; a ``source.Source``."""

    root: Path
    name: str = "bdd100k"

    def drives(self) -> list[str]:
        """Videos as ``split/name``, sorted."""
        found = _videos(Path(self.root))
        if not found:
            raise ValueError(f"{self.root}: no videos/<split>/*.mov beside info/")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one video; errors name the file."""
        path = _videos(Path(self.root))[drive_id]
        with VideoReader(path) as video:
            t_s, height_px, width_px = video.times_s, video.height_px, video.width_px
        problems: list[str] = []
        split = path.parent.name if path.parent.name in ("train", "val", "test") else ""
        folder = Path(self.root) / "info"
        places = [folder / part / f"{path.stem}.json" for part in (f"100k/{path.parent.name}", path.parent.name, "")]
        found = [p for p in places if p.is_file()]
        motion, place = None, drive_id
        if not found:
            problems.append(f"{self.root}/info: no {path.stem}.json, motion unknown")
        else:
            try:
                motion, place = read_info(found[0], t_s)
            except ValueError as error:
                problems.append(f"{error}; motion unknown")
        return assemble(
            drive_id,
            place_id=place,
            t_s=t_s,
            motion=motion,
            speed_source="interpolated",
            yaw_rate_source="interpolated",
            camera=nominal_camera(width_px, height_px, HORIZONTAL_FOV_DEG, horizon=HORIZON),
            frames=VideoFrames(path, problems=problems),
            where=path,
            tags=tags_of(_attributes(Path(self.root)).get(path.stem, {})),
            licence="BSD 3-clause with terms (bdd-data.berkeley.edu)",
            split=split,
            problems=problems,
        )


@functools.lru_cache(maxsize=2)
def _videos(root: Path) -> dict[str, Path]:
    """Videos as ``split/name``. Kept: there are 100,000."""
    if not (root / "info").is_dir():
        return {}
    kinds = [f"videos/{depth}*.{ending}" for ending in ("mov", "mp4") for depth in ("", "*/")]
    paths = [path for kind in kinds for path in sorted(root.glob(kind))]
    return {p.relative_to(root / "videos").with_suffix("").as_posix(): p for p in paths}


def read_info(path: Path, t_s: FloatArray) -> tuple[EgoMotion, str]:
    """Motion ``(N,)`` of an info file at the times of its video, and the ride, of which many videos are cut.

    Raises:
        ValueError: no start, or fewer than two readings.
    """
    info = read_json(path)
    start = number(field(info, "startTime", path), f"{path}: startTime")
    locations = field(info, "locations", path)
    if not isinstance(locations, list):
        raise ValueError(f"{path}: 'locations' is no list")
    names = ("timestamp", "speed", "course")
    rows = [[number(field(row, n, f"{path}: locations[{i}]"), f"{path}: locations[{i}].{n}") for n in names]
            for i, row in enumerate(locations)]  # fmt: skip
    readings = np.array(rows, dtype=np.float64).reshape(-1, 3)
    readings = readings[(readings[:, 1] >= 0) & (readings[:, 2] >= 0) & (readings[:, 2] <= 360)]
    _, first = np.unique(readings[:, 0], return_index=True)
    readings = readings[first]
    if len(readings) < 2:
        raise ValueError(f"{path}: {len(readings)} usable readings in 'locations'")
    at_s, speed = (readings[:, 0] - start) / 1e3, readings[:, 1]
    heading = np.unwrap(np.radians(-readings[:, 2]))  # a course is clockwise
    # The rate within a second is constant; where the car hardly moves at either end it is unknown.
    slow = (speed[:-1] < WALKING_MPS) | (speed[1:] < WALKING_MPS) | (np.diff(at_s) > GAP_S)
    place = np.clip(np.searchsorted(at_s, t_s, side="right") - 1, 0, len(at_s) - 2)
    inside = (t_s >= at_s[0]) & (t_s <= at_s[-1])
    turned = np.where(inside & ~slow[place], np.interp(t_s, at_s, heading), np.nan)
    steps = np.diff(t_s)
    yaw_rate = np.append(np.diff(turned) / np.where(steps > 0, steps, np.nan), np.nan)
    return EgoMotion(mean_between(at_s, speed, t_s, max_gap_s=GAP_S), yaw_rate), str(info.get("rideID") or path.stem)


def tags_of(attributes: dict[str, str]) -> Tags:
    """Tags from the publisher's attributes; those our vocabulary does not have are unknown."""
    return Tags.named(
        weather=_WEATHER.get(str(attributes.get("weather")), "unknown"),
        time_of_day=_TIME.get(str(attributes.get("timeofday")), "unknown"),
        road_kind=_SCENE.get(str(attributes.get("scene")), "unknown"),
    )


@functools.lru_cache(maxsize=2)
def _attributes(root: Path) -> dict[str, dict[str, str]]:
    """Attributes by name of the video, from all label files."""
    found: dict[str, dict[str, str]] = {}
    for path in [*sorted(root.glob("labels/*.json")), *sorted(root.glob("labels/det_20/*.json"))]:
        for row in read_json(path, list):
            name, attributes = field(row, "name", path), row.get("attributes")
            if isinstance(name, str) and isinstance(attributes, dict):
                found[Path(name).stem] = attributes
    return found
