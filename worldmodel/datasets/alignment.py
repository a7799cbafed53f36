"""Does the labelled motion belong to the pictures it stands beside? Sign, gain and lag, read from the images.

Far away, turning moves the whole picture sideways: the shift of a strip around the horizon, over the focal length, is
the turn between two frames. Set against the labelled turn it shows an off-by-one row, a central difference, a command
that leads the wheels, or a wrong sign. Knows arrays only: neither files nor datasets.

Shapes: T frames of one uninterrupted stretch in the canonical view; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import HORIZON
from worldmodel.types import Camera, FloatArray, FrameArray


@dataclasses.dataclass(frozen=True)
class Alignment:
    """How the labelled yaw rate fits the image motion.

    Attributes:
        lag_frames: rows by which labels come late (positive) or early (negative) against the images; 0 is the contract.
        correlation: at that lag, -1..1; negative means the sign is wrong.
        gain: image turn over labelled turn at that lag; about 1 when the field of view and the vehicle are right.
        rows: that the estimate rests on.
    """

    lag_frames: float
    correlation: float
    gain: float
    rows: int

    @property
    def fits(self) -> bool:
        """True when the labels obey the contract: right sign, and less than half a frame off."""
        return self.correlation > 0.3 and abs(self.lag_frames) < 0.5


def image_turn(
    frames: FrameArray, camera: Camera, valid_mask: NDArray[np.bool_] | None = None, *, half_height: float = 0.14
) -> FloatArray:
    """``(T - 1,)`` turn in radians, left positive, from each of ``(T, H, W, 3)`` canonical frames to the next.

    Phase correlation of a strip around the horizon: ``half_height`` of the image height above it, half of that below.
    """
    horizon = HORIZON * camera.height_px
    top = max(0, round(horizon - half_height * camera.height_px))
    bottom = min(camera.height_px, round(horizon + half_height / 2 * camera.height_px))
    columns = slice(None)
    if valid_mask is not None:
        seen = np.flatnonzero(valid_mask[top:bottom].mean(axis=0) > 0.5)
        if len(seen) < camera.width_px // 4:
            raise ValueError(f"valid_mask: only {len(seen)} columns of the strip around the horizon are valid")
        columns = slice(int(seen[0]), int(seen[-1]) + 1)
    strips = np.stack([cv2.cvtColor(f[top:bottom, columns], cv2.COLOR_RGB2GRAY) for f in frames]).astype(np.float32)
    strips -= strips.mean(axis=(1, 2), keepdims=True)
    window = cv2.createHanningWindow((strips.shape[2], strips.shape[1]), cv2.CV_32F)
    shift_px = [cv2.phaseCorrelate(a, b, window)[0][0] for a, b in itertools.pairwise(strips)]
    # Turning left, the scene moves right.
    return np.arctan2(np.asarray(shift_px), camera.fx_px)


def estimate_alignment(
    image_turn_rad: FloatArray, labelled_turn_rad: FloatArray, *, max_lag_frames: int = 8, smooth: int = 3
) -> Alignment:
    """Lag, sign and gain of labelled turns ``(N,)`` against image turns ``(N,)``; NaN rows are left out.

    Both are smoothed by a box of ``smooth`` rows; the correlation over whole lags is refined by a parabola.

    Raises:
        ValueError: fewer than 30 usable rows, or labels that never change.
    """
    known = np.isfinite(image_turn_rad) & np.isfinite(labelled_turn_rad)
    if known.sum() < 30:
        raise ValueError(f"labelled_turn_rad: {int(known.sum())} known rows, at least 30 are needed")
    kernel = np.ones(smooth) / smooth
    image = np.convolve(np.where(known, image_turn_rad, 0.0), kernel, "same")
    label = np.convolve(np.where(known, labelled_turn_rad, 0.0), kernel, "same")
    if label.std() < 1e-9 or image.std() < 1e-9:
        raise ValueError("labelled_turn_rad: it never changes, so nothing can be aligned")
    count, lags = len(image), np.arange(-max_lag_frames, max_lag_frames + 1)
    pairs = [(slice(max(0, -lag), count - max(0, lag)), slice(max(0, lag), count + min(0, lag))) for lag in lags]
    scores = np.array([_correlation(image[i][known[i]], label[j][known[i]]) for i, j in pairs])
    best = int(np.argmax(np.abs(scores)))
    lag = float(lags[best])
    if 0 < best < len(lags) - 1:
        before, at, after = np.abs(scores[best - 1 : best + 2])
        bend = before - 2 * at + after
        lag += float(np.clip((before - after) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0
    i, j = pairs[best]
    gain = float(np.dot(image[i], label[j]) / np.dot(label[j], label[j]))
    return Alignment(lag, float(scores[best]), gain, int(known.sum()))


def _correlation(a: FloatArray, b: FloatArray) -> float:
    if len(a) < 3 or a.std() < 1e-12 or b.std() < 1e-12:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
