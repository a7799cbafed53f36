"""What is told, drawn onto what is seen: the way ahead on the road, time, speed and turning; tiles side by side.

The road is taken to be flat, and the camera level, as in the canonical view. Knows pixels and motion, nothing of where
they come from.

Shapes: H, W pixels; N steps of motion; K points of a path.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.geometry.motion import dead_reckon
from worldmodel.simulation.sheet import STRIP_PX
from worldmodel.types import Camera, EgoMotion, FrameArray

#: Colour of the way ahead.
TOLD = (80, 220, 120)
_AHEAD_S, _TRACK_M, _DARK, _LIGHT = 3.0, 1.7, 24, 235
#: The smallest picture a label can be read on.
_LEAST_HEIGHT_PX, _LEAST_WIDTH_PX = 192, 384
#: A turn that fills half of the turning bar.
_FULL_TURN_RADPS = 0.5
#: A path is drawn on the road from here on; nearer ground is below the picture.
_NEAR_M = 0.8


def way_ahead(motion: EgoMotion, step: int, dt_s: float, *, ahead_s: float = _AHEAD_S) -> NDArray[np.float64]:
    """Poses ``(K, 3)`` of the coming seconds, seen from the ego at ``step``; they end where motion is unknown."""
    part = motion[step : step + round(ahead_s / dt_s)]
    known = part.is_known
    count = int(np.argmin(known)) if not known.all() else len(known)
    return dead_reckon(part[:count].of_frames(), dt_s * np.arange(count + 1, dtype=np.float64))


def project(points_m: NDArray[np.float64], camera: Camera) -> NDArray[np.float64]:
    """Pixels ``(K, 2)`` (column, row) of ground points ``(K, 2)`` (forwards, left); NaN behind the camera."""
    depth = np.where(points_m[:, 0] > _NEAR_M, points_m[:, 0], np.nan)
    height_m = NOMINAL_HEIGHT_M if math.isnan(camera.height_m) else camera.height_m
    return np.stack(
        [
            camera.cx_px - camera.fx_px * points_m[:, 1] / depth,
            camera.cy_px + camera.fy_px * height_m / depth,
        ],
        axis=-1,
    )


def draw_way(picture: FrameArray, camera: Camera, poses: NDArray[np.float64], colour=TOLD) -> FrameArray:
    """A picture with the strip of road that poses ``(K, 3)`` will cover, its sides drawn.

    Args:
        picture: ``(H, W, 3)``, of the camera's view at any size.
        camera: canonical; of unknown height is taken to have the nominal one.
        poses: x forwards, y left, heading.
        colour: RGB.
    """
    scale = picture.shape[1] / camera.width_px
    # From the ego itself: without it a slow car has no way in the picture.
    aside = np.stack([-np.sin(poses[:, 2]), np.cos(poses[:, 2])], axis=-1) * _TRACK_M / 2
    sides = []
    for sign in (1, -1):
        pixels = project(poses[:, :2] + sign * aside, camera)
        sides.append((pixels[np.isfinite(pixels[:, 0])] + 0.5) * scale - 0.5)
    left, right = sides
    if min(len(left), len(right)) < 2:
        return picture
    sixteenths = [np.clip(np.round(side * 16), -(2**20), 2**20).astype(np.int32) for side in (left, right)]
    painted = picture.copy()
    cv2.fillPoly(painted, [np.concatenate([sixteenths[0], sixteenths[1][::-1]])], colour, cv2.LINE_AA, 4)
    mixed = cv2.addWeighted(painted, 0.3, picture, 0.7, 0)
    cv2.polylines(mixed, sixteenths, False, colour, 1, cv2.LINE_AA, 4)
    return np.asarray(mixed, dtype=np.uint8)


def tile(
    frame: FrameArray,
    camera: Camera,
    title: str,
    *,
    t_s: float,
    told: EgoMotion,
    way: NDArray[np.float64] | None = None,
    note: str = "",
) -> FrameArray:
    """One labelled picture: title and note above, the way ahead in it, time, speed and a bar of turning below.

    Args:
        frame: ``(H, W, 3)``.
        camera: of it.
        title: on the left above. note: on the right.
        t_s: since the context ended.
        told: motion ``()`` of this step; unknown shows dashes.
        way: poses ``(K, 3)`` as ``way_ahead`` gives them.
    """
    scale = max(1, math.ceil(_LEAST_HEIGHT_PX / frame.shape[0]), math.ceil(_LEAST_WIDTH_PX / frame.shape[1]))
    size = frame.shape[1] * scale, frame.shape[0] * scale
    picture = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    if way is not None and len(way) > 1:
        picture = draw_way(picture, camera, way)
    above, below = (np.full((STRIP_PX, picture.shape[1], 3), _DARK, dtype=np.uint8) for _ in range(2))
    _write(above, title, 6)
    _write(above, note, picture.shape[1] - 6 - _width(note))
    speed = f"{float(told.speed_mps):5.1f} m/s" if np.isfinite(told.speed_mps) else "  -  m/s"
    _write(below, f"{t_s:5.1f} s {speed}", 6)
    _turning(below, float(told.yaw_rate_radps))
    return np.concatenate([above, picture, below])


def _turning(strip: NDArray[np.uint8], yaw_rate_radps: float) -> None:
    """A bar from the middle of the right half, towards the side the ego turns to."""
    width = strip.shape[1]
    middle, reach = int(width * 0.72), int(width * 0.24)
    cv2.line(strip, (middle, 4), (middle, STRIP_PX - 5), (_LIGHT, _LIGHT, _LIGHT), 1)
    if math.isfinite(yaw_rate_radps):
        share = max(-1.0, min(1.0, yaw_rate_radps / _FULL_TURN_RADPS))
        end = round(middle - share * reach)
        cv2.rectangle(strip, (min(middle, end), 7), (max(middle, end), STRIP_PX - 8), TOLD, -1)


def _write(strip: NDArray[np.uint8], text: str, column: int) -> None:
    place = max(2, column), STRIP_PX - 7
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (_LIGHT,) * 3, 1, cv2.LINE_AA)


def _width(text: str) -> int:
    return cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
