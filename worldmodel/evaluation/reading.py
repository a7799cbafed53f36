"""What the pixels of a drive say: motion by plane geometry, lane markings, sharpness and contrast, frame by frame.

Reads a stretch of frames at a time, so that memory does not grow with the drive. Knows nothing of what the drive was
told to do.

Shapes: T frames of the drive.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.image import contrast, sharpness
from worldmodel.perception.lanes import LaneFit, fit_lanes
from worldmodel.perception.plane import GroundMotion, read_motion
from worldmodel.types import Drive, EgoMotion, FloatArray, FrameArray

_STRETCH = 100


@dataclasses.dataclass(frozen=True)
class DriveReading:
    """What was read, ``(T,)`` each.

    Attributes:
        motion: speed and yaw rate from frame t to t + 1; NaN where the pictures do not say.
        match: agreement of the ground of two frames; 1 equal, 0 unrelated.
        lanes: markings.
        sharpness: mean gradient in grey levels a pixel. contrast: standard deviation of luma in grey levels.
    """

    motion: EgoMotion
    match: FloatArray
    lanes: LaneFit
    sharpness: FloatArray
    contrast: FloatArray


def read_drive(drive: Drive, *, progress: Callable[[int, int], None] | None = None) -> DriveReading:
    """Read every frame of a drive; ``progress`` is told frames done and frames in all.

    Raises:
        ValueError: a camera that is not level or of unknown height, frames that are not of its size, times that do not
            increase.
    """
    count = len(drive)
    ground, lanes, looks = [], [], []
    for start in range(0, count, _STRETCH):
        # One frame more than is kept, so that the step between two stretches is read too.
        stop = min(start + _STRETCH, count)
        frames, t_s = _frames(drive, start, min(stop + 1, count)), drive.t_s[start : min(stop + 1, count)]
        kept = slice(0, stop - start)
        ground.append(_part(read_motion(frames, t_s, drive.camera), kept))
        lanes.append(fit_lanes(frames[kept], drive.camera))
        looks.append((sharpness(frames[kept]), contrast(frames[kept])))
        if progress is not None:
            progress(stop, count)
    whole, markings = _joined(GroundMotion, ground), _joined(LaneFit, lanes)
    return DriveReading(
        EgoMotion(whole.speed_mps, whole.yaw_rate_radps),
        whole.match,
        markings,
        np.concatenate([look[0] for look in looks]),
        np.concatenate([look[1] for look in looks]),
    )


def _frames(drive: Drive, start: int, stop: int) -> FrameArray:
    return np.stack([drive.frames[i] for i in range(start, stop)])


def _part(row: GroundMotion, kept: slice) -> GroundMotion:
    return GroundMotion(**{field.name: getattr(row, field.name)[kept] for field in dataclasses.fields(row)})


def _joined(kind, parts):
    columns: dict[str, NDArray] = {
        field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(kind)
    }
    return kind(**columns)
