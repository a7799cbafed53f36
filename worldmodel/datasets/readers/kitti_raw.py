"""KITTI raw: ``<date>/<date>_drive_NNNN_sync/`` with ``image_02/data``, ``oxts/data`` and their ``timestamps.txt``.

Image n is at line n of its timestamps; an oxts file holds the state of the inertial system at line n of its own. The
turn comes from the yaw angle (positive left, from east) and the speed from ``vf`` and ``vl``, both at the images' own
times, moved to the camera. ``calib_cam_to_cam.txt`` of the date gives the camera. What is missing is told: times are
then one frame every 0.1037 s, calibration is nominal, motion unknown. Also read: images without a drive's folder.

Format: https://www.cvlibs.net/datasets/kitti/raw_data.php, its devkit's readme and ``oxts/dataformat.txt``.

Shapes: N images of a drive; M states.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.files import numbers, read_lines
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.readers.kitti_odometry import (
    FRAME_S,
    LICENCE,
    TAGS,
    increasing,
    nominal_projection,
    numbered_images,
    rectified_camera,
)
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.types import Camera, EgoMotion, FloatArray

#: Colour cameras first.
CAMERAS = ("image_02", "image_03", "image_00", "image_01")
#: The cameras are this far before the inertial system (0.81 m to the laser scanner, 0.27 m from there; calib_*.txt).
LEVER_M = 1.08
#: Columns of an oxts file, and how many it has.
YAW, VF, VL, COLUMNS = 5, 8, 9, 30
#: Beyond this in time from the last state, motion is not known.
_EDGE_S, _GAP_S = 0.06, 0.35
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,9})?")


@dataclasses.dataclass(frozen=True)
class KittiRaw:
    """A folder of dates, a date, or a drive; a ``source.Source``.

    Attributes:
        root: the folder.
        camera: ``image_02`` or another; the first that is there when empty.
    """

    root: Path
    camera: str = ""
    name: str = "kitti_raw"

    def _drives(self) -> dict[str, Path]:
        root = Path(self.root)
        found: dict[str, Path] = {}
        for camera in [self.camera] if self.camera else CAMERAS:
            for depth in ("", "*/", "*/*/"):
                for folder in sorted(root.glob(f"{depth}{camera}/data")):
                    drive = folder.parents[1]
                    name = drive.resolve().name if drive == root else drive.name
                    found.setdefault(name, folder.parent)
        return found

    def drives(self) -> list[str]:
        """Names of the drives' folders, sorted."""
        found = self._drives()
        if not found:
            raise ValueError(f"{self.root}: no image_02/data (nor 03, 00, 01) in it, nor two folders below")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one drive; errors name the file."""
        folder = self._drives()[drive_id]
        problems: list[str] = []
        images = numbered_images(folder / "data")
        index = np.array(list(images))
        frames = ImageFrames.of(list(images.values()), problems, folder)
        t_s = _times(folder / "timestamps.txt", index, problems)
        return assemble(
            drive_id,
            t_s=t_s,
            motion=_motion(folder.parent / "oxts", t_s, problems),
            camera=_camera(folder, frames.shape, problems),
            frames=frames,
            breaks=np.concatenate([[True], np.diff(index) != 1]),
            where=folder,
            tags=TAGS,
            licence=LICENCE,
            problems=problems,
        )


def _times(path: Path, index: NDArray[np.int64], problems: list[str]) -> FloatArray:
    """Seconds of day of the images with these numbers."""
    if not path.exists():
        problems.append(f"{path}: missing; a frame every {FRAME_S} s is assumed")
        return np.multiply(index, FRAME_S, dtype=np.float64)
    times = _stamps(path)
    if len(times) <= index[-1]:
        raise ValueError(f"{path}: {len(times)} times, but there is an image {index[-1]}")
    return increasing(times, path)[index]


def _stamps(path: Path) -> FloatArray:
    """``2011-09-26 13:02:25.964389445``, one a line, as seconds of that day; drives end before midnight."""
    seconds = []
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            try:
                if not _STAMP.fullmatch(line.strip()):
                    raise ValueError(line)
                time = datetime.datetime.fromisoformat(line.strip()[:26])
            except ValueError as error:
                raise ValueError(f"{path}: line {number}: {line[:40]!r} is not a time") from error
            seconds.append(time.timestamp() if time.tzinfo else time.replace(tzinfo=datetime.UTC).timestamp())
    return np.array(seconds)


def _camera(folder: Path, shape: tuple[int, ...], problems: list[str]) -> Camera:
    name = f"P_rect_{folder.name[-2:]}"
    path = next((p / "calib_cam_to_cam.txt" for p in folder.parents[:3] if (p / "calib_cam_to_cam.txt").exists()), None)
    if path is None:
        problems.append(f"{folder}: no calib_cam_to_cam.txt of its date; the nominal calibration is taken")
        return rectified_camera(nominal_projection(shape), shape, folder)
    for line in read_lines(path):
        if line.startswith(f"{name}:"):
            projection = numbers(line.split(":", 1)[1].split(), f"{path}: {name}", (12,)).reshape(3, 4)
            return rectified_camera(projection, shape, f"{path}: {name}")
    raise ValueError(f"{path}: projection {name!r} is missing")


def _motion(folder: Path, t_s: FloatArray, problems: list[str]) -> EgoMotion | None:
    stamps = folder / "timestamps.txt"
    if not (folder / "data").is_dir() or not stamps.exists():
        problems.append(f"{folder}: no data with timestamps.txt in it, motion unknown")
        return None
    at_s, there = _stamps(stamps), len(list((folder / "data").glob("*.txt")))
    if len(at_s) != there:  # a line is lost, and those below it stand for other states
        problems.append(f"{stamps}: {len(at_s)} times of {there} states in data/, motion unknown")
        return None
    states = np.full((len(at_s), COLUMNS), np.nan)
    for row in range(len(at_s)):
        path = folder / "data" / f"{row:010d}.txt"
        try:
            states[row] = numbers(read_lines(path)[0].split(), path, (COLUMNS,))
        except ValueError as error:
            problems.append(f"{error}; motion unknown there")
    known = np.isfinite(states[:, [YAW, VF, VL]]).all(axis=1) & (np.abs(states[:, YAW]) < 7)
    known &= np.append(True, np.diff(at_s) > 0)
    if known.sum() < 2:
        problems.append(f"{folder}: fewer than two usable states, motion unknown")
        return None
    at_s, states = at_s[known], states[known]
    # The first and last image may be a few milliseconds outside the states, which are matched to the laser's scans.
    padded = np.concatenate([[at_s[0] - _EDGE_S], at_s, [at_s[-1] + _EDGE_S]])
    turned = np.unwrap(states[:, YAW])
    rate = np.diff(turned) / np.diff(at_s)
    edges = turned[0] - rate[0] * _EDGE_S, turned[-1] + rate[-1] * _EDGE_S
    heading = _interpolate(padded, np.concatenate([edges[:1], turned, edges[1:]]), t_s)
    vf = mean_between(padded, np.pad(states[:, VF], 1, mode="edge"), t_s, max_gap_s=_GAP_S)
    vl = mean_between(padded, np.pad(states[:, VL], 1, mode="edge"), t_s, max_gap_s=_GAP_S)
    with np.errstate(invalid="ignore", divide="ignore"):
        yaw_rate = np.append(np.diff(heading) / np.where(np.diff(t_s) > 0, np.diff(t_s), np.nan), np.nan)
    speed = np.where(vf < 0, -1.0, 1.0) * np.hypot(vf, vl + LEVER_M * yaw_rate)
    return EgoMotion(speed, yaw_rate)


def _interpolate(at_s: FloatArray, values: FloatArray, t_s: FloatArray) -> FloatArray:
    """Linear between samples; NaN outside them and in gaps."""
    right = np.clip(np.searchsorted(at_s, t_s), 1, len(at_s) - 1)
    inside = (t_s >= at_s[0]) & (t_s <= at_s[-1]) & (at_s[right] - at_s[right - 1] <= _GAP_S)
    return np.where(inside, np.interp(t_s, at_s, values), np.nan)
