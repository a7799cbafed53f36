"""comma2k19: ``<dongle>|<time>/<segment>/`` with ``video.hevc``, ``global_pose/``, ``processed_log/``; in chunk zips.

The zips are read where they lie. Every log is a pair of numpy arrays, ``t`` and ``value``. Poses are those of the
camera in the earth's frame, one per frame of the video: a position, and a quaternion that takes the device's axes
(forwards, right, down) there. Where poses are missing, the speed comes from the car's CAN and the turn from the
gyroscope (same axes: about down is right-positive). The road camera is the EON's, 1164x874 with a focal length of
910; where it points is read from the direction of travel.

Format: https://github.com/commaai/comma2k19 (README, notebooks/processed_readers.ipynb, notebooks/lib/camera.py).

Shapes: N frames of a segment.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import Tree, numbers, parse_array
from worldmodel.datasets.poses import motion_of_poses, rotation_of_quaternion
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.stream import StreamFrames
from worldmodel.datasets.timing import mean_between
from worldmodel.types import Camera, EgoMotion, FloatArray, Tags

#: github.com/commaai/comma2k19, notebooks/lib/camera.py; the height is openpilot's (1.22 m).
WIDTH_PX, HEIGHT_PX, FOCAL_PX, HEIGHT_M = 1164, 874, 910.0, 1.22
#: From the device's axes (forwards, right, down) to ours.
_FLIP = np.diag([1.0, -1.0, -1.0])
_TIMES = "global_pose/frame_times"


@dataclasses.dataclass(frozen=True)
class Comma2k19:
    """A folder of chunk zips, or of unpacked routes; a ``source.Source``."""

    root: Path
    name: str = "comma2k19"

    def drives(self) -> list[str]:
        """Routes and segments, as ``dongle|time/number``, sorted."""
        found = segments(Path(self.root))
        if not found:
            raise ValueError(f"{self.root}: no <route>/<segment>/{_TIMES} in it, nor in a zip of it")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one segment; errors name the file."""
        tree, folder = segments(Path(self.root))[drive_id]
        video = f"{folder}video.hevc"
        if not tree.has(video):
            raise ValueError(f"{tree.where(video)}: missing; the logs alone are nothing to learn from")
        return self._recording(drive_id, tree, folder, StreamFrames(tree, video, "hevc"))

    def _recording(self, drive_id: str, tree: Tree, folder: str, frames: StreamFrames) -> Recording:
        where, problems = tree.where(folder), frames.problems
        t_s = _array(tree, f"{folder}{_TIMES}", (-1,))
        height_px, width_px = frames.size()
        motion, camera = read_motion(tree, folder, t_s, problems)
        scale = width_px / WIDTH_PX
        if abs(height_px / HEIGHT_PX - scale) > 0.02 * scale:
            raise ValueError(f"{frames.tree.where(frames.name)}: {width_px}x{height_px} is no size of the EON's camera")
        camera = dataclasses.replace(
            camera,
            width_px=width_px,
            height_px=height_px,
            fx_px=FOCAL_PX * scale,
            fy_px=FOCAL_PX * scale,
            cx_px=(width_px - 1) / 2,
            cy_px=(height_px - 1) / 2,
        )
        return assemble(
            drive_id,
            place_id=drive_id.split("/")[0],
            t_s=t_s,
            motion=motion,
            camera=camera,
            frames=frames,
            where=where,
            tags=Tags.named(road_kind="motorway"),
            licence="MIT (comma.ai)",
            problems=problems,
        )


@functools.lru_cache(maxsize=4)
def segments(root: Path) -> dict[str, tuple[Tree, str]]:
    """Where every segment below a folder is: a tree, and the folder in it. Kept: archives list thousands of files."""
    found: dict[str, tuple[Tree, str]] = {}
    for tree in [Tree(root)] + [Tree(path) for path in sorted(root.glob("*.zip"))]:
        patterns = ["*/global_pose/frame_times"] if tree.is_zip else [f"{'*/' * n}{_TIMES}" for n in range(4)]
        for name in [name for pattern in patterns for name in tree.names(pattern)]:
            folder = name[: -len(_TIMES)]
            parts = [part for part in folder.split("/") if part]
            found.setdefault("/".join(parts[-2:]) or root.resolve().name, (tree, folder))
    return found


def read_motion(tree: Tree, folder: str, t_s: FloatArray, problems: list[str]) -> tuple[EgoMotion, Camera]:
    """Motion ``(N,)`` of a segment's frames, and the nominal camera at the angles it travels at."""
    camera = Camera(WIDTH_PX, HEIGHT_PX, FOCAL_PX, FOCAL_PX, (WIDTH_PX - 1) / 2, (HEIGHT_PX - 1) / 2, height_m=HEIGHT_M)
    try:
        positions = _array(tree, f"{folder}global_pose/frame_positions", (len(t_s), 3))
        quaternions = _array(tree, f"{folder}global_pose/frame_orientations", (len(t_s), 4))
    except ValueError as error:
        problems.append(f"{error}; speed from the CAN log, turn from the gyroscope")
        speed = _log(tree, f"{folder}processed_log/CAN/speed/", t_s, problems)
        yaw_rate = _log(tree, f"{folder}processed_log/IMU/gyro/", t_s, problems, column=2)
        return EgoMotion(speed, -yaw_rate), camera
    rotations = rotation_of_quaternion(quaternions) @ _FLIP
    motion = motion_of_poses(t_s, positions, rotations)
    with np.errstate(invalid="ignore", over="ignore"):
        travel = (np.swapaxes(rotations[:-1], -1, -2) @ np.diff(positions, axis=0)[..., None])[..., 0]
        straight = (np.abs(motion.speed_mps[:-1] - 50) < 45) & (np.abs(motion.yaw_rate_radps[:-1]) < 0.02)
    if straight.sum() >= 20:
        with np.errstate(over="ignore"):
            length = np.linalg.norm(travel[straight], axis=1, keepdims=True)
        ahead, left, up = np.median(travel[straight] / length, axis=0)
        # Travelling down and to the right in its own axes, a camera looks up and to the left.
        pitch, yaw = math.atan2(-up, ahead), math.atan2(-left, ahead)
        if max(abs(pitch), abs(yaw)) < math.radians(10):
            camera = dataclasses.replace(camera, pitch_rad=pitch, yaw_rad=yaw)
        else:
            problems.append(f"{tree.where(folder)}: travels {pitch:.2f}, {yaw:.2f} rad aside; taken as straight ahead")
    return motion, camera


def _array(tree: Tree, name: str, shape: tuple[int, ...]) -> FloatArray:
    return numbers(parse_array(tree.read(name), tree.where(name)), tree.where(name), shape)


def _log(tree: Tree, folder: str, t_s: FloatArray, problems: list[str], column: int = 0) -> FloatArray:
    """One column of a log as a mean between frames; NaN when it cannot be read."""
    try:
        at_s = _array(tree, f"{folder}t", (-1,))
        values = parse_array(tree.read(f"{folder}value"), tree.where(f"{folder}value"))
        values = numbers(values.reshape(len(at_s), -1)[:, column], tree.where(f"{folder}value"), (len(at_s),))
    except (ValueError, IndexError) as error:
        problems.append(f"{tree.where(folder)}: {error}; unknown")
        return np.full(len(t_s), np.nan)
    return mean_between(at_s, values, t_s, max_gap_s=0.2)
