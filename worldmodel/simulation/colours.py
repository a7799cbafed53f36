"""Dense truth as colours to look at. Knows arrays, not where they come from.

Shapes: H, W pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray, FrameArray

NEAREST_M, FARTHEST_M = 3.0, 200.0
_SKY = 24


def depth_colours(depth_m: FloatArray | NDArray[np.float32]) -> FrameArray:
    """``(H, W)`` metres as ``(H, W, 3)``: red near, blue far, on a logarithmic scale; dark where nothing is."""
    known = np.asarray(np.isfinite(depth_m))
    near = np.where(known, np.clip(depth_m, NEAREST_M, FARTHEST_M), FARTHEST_M)
    share = 1 - np.log(near / NEAREST_M) / math.log(FARTHEST_M / NEAREST_M)
    colours = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(known[..., None], colours, _SKY).astype(np.uint8)


def flow_colours(flow_px: FloatArray | NDArray[np.float32], *, full_px: float = 12.0) -> FrameArray:
    """``(H, W, 2)`` motion in pixels (right, down) as ``(H, W, 3)``: hue is direction, brightness is length.

    The hue circle is that of OpenCV's samples: red to the right, then yellow down, cyan left. Dark where unknown;
    brightness grows with the square root of length and is full at ``full_px``.
    """
    known = np.asarray(np.isfinite(flow_px).all(axis=-1))
    right, down = np.moveaxis(np.where(known[..., None], flow_px, 0.0), -1, 0)
    hue = np.mod(np.arctan2(down, right), 2 * math.pi) / (2 * math.pi) * 179
    value = np.sqrt(np.clip(np.hypot(right, down) / full_px, 0, 1)) * (255 - _SKY) + _SKY
    coded = np.stack([hue, np.where(known, 230, 0), np.where(known, value, _SKY)], axis=-1).astype(np.uint8)
    return np.asarray(cv2.cvtColor(coded, cv2.COLOR_HSV2RGB), dtype=np.uint8)
