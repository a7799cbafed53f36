"""Colours of one picture for another, and how much video flickers. Pure functions on uint8 RGB.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from worldmodel.types import FloatArray, FrameArray


def lab_statistics(frames: FrameArray) -> FloatArray:
    """``(2, 3)`` mean and standard deviation of frames ``(..., H, W, 3)`` in CIE L*a*b*."""
    lab = _lab(frames.reshape(-1, frames.shape[-2], 3))
    return np.stack([lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))]).astype(np.float64)


def recoloured(frame: FrameArray, statistics: FloatArray) -> FrameArray:
    """A frame ``(H, W, 3)`` with the mean and deviation ``(2, 3)`` of another's colours.

    Reinhard et al., "Color transfer between images" (2001), in CIE L*a*b*.
    """
    mean, deviation = lab_statistics(frame)
    gain = statistics[1] / np.maximum(deviation, 1e-3)
    lab = (_lab(frame) - mean) * gain + statistics[0]
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return (rgb.clip(0, 1) * 255).round().astype(np.uint8)


def flicker(frames: FrameArray, flow_px: FloatArray) -> FloatArray:
    """``(T - 1,)`` mean difference in grey levels between a frame and where the next one shows the same points.

    Lai et al., "Learning blind video temporal consistency" (2018), with the true flow in place of an estimate and
    without its mask of what is hidden: it is for comparing videos of the same motion.

    Args:
        frames: ``(T, H, W, 3)``.
        flow_px: ``(T, H, W, 2)`` right and down, from each frame to the next; the last is not looked at.
    """
    height, width = frames.shape[1:3]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    found = []
    for before, after, flow in zip(frames[:-1], frames[1:], flow_px):
        x, y = columns + flow[..., 0].astype(np.float32), rows + flow[..., 1].astype(np.float32)
        inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)  # false where the flow is not known
        again = cv2.remap(after, np.nan_to_num(x), np.nan_to_num(y), cv2.INTER_LINEAR)
        apart = np.abs(again.astype(np.float64) - before)[inside]
        found.append(apart.mean() if apart.size else np.nan)
    return np.array(found)


def _lab(frames: FrameArray) -> FloatArray:
    return cv2.cvtColor(frames.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
