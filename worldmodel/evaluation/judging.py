"""What can be told of a stretch of frames, and a path from it: the reading beside the truth, under one name.

Of frames alone: speed and turning (plane geometry), lane offset and heading (markings). Trained perception adds what
geometry cannot see: the vehicle ahead, contacts, whether the ego is off the road. Knows frames and truth columns,
nothing of branches.

Shapes: T frames.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.reading import read_drive
from worldmodel.geometry.motion import dead_reckon
from worldmodel.perception.reader import Reader
from worldmodel.types import Camera, Drive, EgoMotion, FloatArray, FrameArray, Tags

#: A contact counts as one when it is this likely.
_SURE = 0.5
#: A path is dead-reckoned over gaps in the reading where at least this share was read.
_READ_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the frames say, ``(T,)`` each, NaN where they do not.

    Attributes:
        motion: from frame t to t + 1.
        path: ``(T, 3)`` dead-reckoned from the first frame; NaN throughout where too little was read.
        lane_offset_m: of the camera from the middle of its lane, left positive.
        read_share: of the steps.
        gap_m: to the vehicle ahead, NaN where there is none; ``None`` where perception was not asked.
        collision: whether the ego touches somebody; ``None`` as above.
    """

    motion: EgoMotion
    path: FloatArray
    lane_offset_m: FloatArray
    read_share: float
    gap_m: FloatArray | None = None
    collision: NDArray[np.bool_] | None = None

    def columns(self) -> dict[str, FloatArray]:
        """Everything that was read ``(T,)`` by name, as numbers; NaN where it was not, or was not asked."""
        unknown = np.full(len(self.path), np.nan)
        return {
            "speed_mps": self.motion.speed_mps,
            "yaw_rate_radps": self.motion.yaw_rate_radps,
            "x_m": self.path[:, 0],
            "y_m": self.path[:, 1],
            "lane_offset_m": self.lane_offset_m,
            "gap_m": unknown if self.gap_m is None else self.gap_m,
            "collision": unknown if self.collision is None else self.collision.astype(float),
        }


def judge(frames: FrameArray, t_s: FloatArray, camera: Camera, *, reader: Reader | None = None) -> Verdict:
    """Read frames ``(T, H, W, 3)``; everything is unknown where the camera's height is.

    Args:
        frames, t_s, camera: of the stretch.
        reader: trained perception, for video like what it was trained on; without it there is no gap and no collision.
    """
    count = len(t_s)
    nothing = np.full(count, np.nan)
    if math.isnan(camera.height_m) or count < 2:
        return Verdict(EgoMotion.unknown((count,)), np.full((count, 3), np.nan), nothing, 0.0)
    drive = Drive(list(frames), t_s, EgoMotion.unknown((count,)), None, {}, Tags.unknown((count,)), camera, {})
    reading = read_drive(drive)
    share = float(reading.motion.is_known[:-1].mean())
    verdict = Verdict(reading.motion, path_of(reading.motion, t_s), reading.lanes.lane_offset_m, share)
    if reader is None:
        return verdict
    seen = reader.read(frames, t_s, camera)
    return dataclasses.replace(verdict, gap_m=seen.numbers["gap_m"], collision=seen.flags["collision"] > _SURE)


def path_of(motion: EgoMotion, t_s: FloatArray) -> FloatArray:
    """Poses ``(T, 3)`` of a motion ``(T,)``; short gaps are bridged, NaN throughout where too much is unknown."""
    filled = []
    for channel in (motion.speed_mps[:-1], motion.yaw_rate_radps[:-1]):
        known = np.isfinite(channel)
        if not known.any() or known.mean() < _READ_SHARE:
            return np.full((len(t_s), 3), np.nan)
        filled.append(np.append(np.interp(t_s[:-1], t_s[:-1][known], channel[known]), np.nan))
    return dead_reckon(EgoMotion(*filled), t_s)


def travelled_m(path: FloatArray) -> FloatArray:
    """``(T,)`` metres along a path ``(T, 3)`` of poses."""
    steps = np.hypot(*np.diff(path[:, :2], axis=0).T)
    return np.concatenate([[0.0], np.cumsum(steps)])
