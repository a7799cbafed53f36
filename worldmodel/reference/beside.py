"""Moments of a drive as the ego would see them from beside its way: from poses that it might have had.

Traffic goes its way; only where the camera stands is another. What differs between two such pictures is what a picture
owes to where the ego is on its road.
Legend: S moments, P poses of each.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import wrap_angle
from worldmodel.geometry.road import AHEAD_M, BEHIND_M, window
from worldmodel.reference.drive import driven, start_drive
from worldmodel.reference.options import DriveOptions
from worldmodel.reference.streams import stream
from worldmodel.types import Camera, Clip, EgoMotion, FloatArray, FrameArray, Tags

#: Deviations sideways and in heading of the median pose, how far some go beyond others, and how far the last.
_ASIDE_M, _TURNED_RAD, _SPREAD, _MOST_M, _MOST_RAD = 1.1, 0.08, 0.7, 7.0, 0.5
#: A map reaches so much further than a window, as the ego may stand ahead of its place on the road or behind it.
_SPARE_M = 20.0


@dataclasses.dataclass(frozen=True)
class Beside:
    """Frames of a drive's moments, P of each, one after the other.

    Attributes:
        frames: ``(S P, H, W, 3)`` uint8.
        road: ``(S P, 2, K, 2)`` the window of the map (``geometry.road``) in the axes of each.
        tags: ``(S P,)`` of the drive.
        camera: of the frames.
    """

    frames: FrameArray
    road: NDArray[np.float32]
    tags: Tags
    camera: Camera

    def clip(self) -> Clip:
        """As a ``Clip`` in which no motion leads from frame to frame."""
        unknown = np.full(len(self.frames), np.nan)
        valid = np.ones(self.frames.shape[1:3], dtype=bool)
        t_s = np.arange(len(self.frames), dtype=np.float64)
        return Clip(self.frames, t_s, EgoMotion(unknown, unknown.copy()), self.tags, self.camera, valid, self.road)


def render_beside(options: DriveOptions, n_frames: int, *, camera: Camera, every: int = 1, poses: int = 3) -> Beside:
    """Drive ``options`` and look, at every ``every``-th of ``n_frames``, from poses beside the ego's own.

    Args:
        options: of the drive.
        n_frames: as of ``drive.render_drive``, at the same moments.
        camera: of the frames.
        every: only one moment in so many is looked at.
        poses: from which each is.

    Raises:
        ValueError: impossible options, camera or length.
    """
    random, frames, roads = stream(options.seed, "beside"), [], []
    world, driver = start_drive(options, camera=camera, dt_s=0.1)
    for index, _ in enumerate(driven(world, driver, n_frames)):
        if index % every:
            continue
        road_m = world.road_map(behind_m=BEHIND_M + _SPARE_M, ahead_m=AHEAD_M + _SPARE_M)
        for _ in range(poses):
            pose = beside(world.pose, random)
            frames.append(world.render_from(pose))
            roads.append(window(road_m, pose))
    codes = np.repeat(options.tags.codes[None], len(frames), axis=0)
    return Beside(np.stack(frames), np.stack(roads), Tags(codes), camera)


def beside(pose: FloatArray, random: np.random.Generator) -> FloatArray:
    """Some other pose ``(3,)``, mostly near one, sometimes well off the road."""
    size = math.exp(random.normal(0, _SPREAD))
    aside_m, turned_rad = random.normal(size=2) * size * (_ASIDE_M, _TURNED_RAD)
    aside_m = float(np.clip(aside_m, -_MOST_M, _MOST_M))
    x_m, y_m, heading = (float(value) for value in pose)
    turned = heading + float(np.clip(turned_rad, -_MOST_RAD, _MOST_RAD))
    return np.array([x_m - math.sin(heading) * aside_m, y_m + math.cos(heading) * aside_m, wrap_angle(turned)])
