"""The ground seen as a plane: which pixels show it, how it moves under the car, and the contrast it carries.

Knows a level pinhole camera at a known height and nothing of roads, networks or files. Small pitch of the body is an
unknown that callers may search over.

Shapes: T frames; H, W pixels; R rows of a band of ground.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import Camera, FloatArray, FrameArray

Image = NDArray[np.float32]
#: Width of the smallest contrast that is followed, in pixels of a 128-row picture.
_FINE_PX = 3.0


def require_level(camera: Camera) -> Camera:
    """The camera itself, if the ground can be placed from it.

    Raises:
        ValueError: unknown height, lens distortion, or a mount that is not level (warp into the canonical view first).
    """
    camera.validate()
    if math.isnan(camera.height_m):
        raise ValueError("Camera.height_m: expected a number to place the ground, got nan")
    if any(camera.distortion):
        raise ValueError(f"Camera.distortion: expected a canonical view without any, got {camera.distortion}")
    angles = (camera.pitch_rad, camera.roll_rad, camera.yaw_rad)
    if any(angles):
        raise ValueError(f"Camera.pitch_rad, roll_rad, yaw_rad: expected a level canonical view, got {angles}")
    return camera


def require_frames(frames: FrameArray, t_s: FloatArray, camera: Camera) -> None:
    """Raise ``ValueError`` unless frames ``(T, H, W, 3)`` are uint8, of the camera's size, and times increase."""
    expected = (camera.height_px, camera.width_px, 3)
    if frames.ndim != 4 or frames.shape[1:] != expected or frames.dtype != np.uint8:
        raise ValueError(f"frames: expected uint8 of shape (T, {expected}), got {frames.dtype} {frames.shape}")
    if np.shape(t_s) != (len(frames),):
        raise ValueError(f"t_s: expected shape ({len(frames)},), got {np.shape(t_s)}")
    if not (np.diff(t_s) > 0).all():
        raise ValueError(f"t_s: expected increasing times, got a step of {float(np.diff(t_s).min())}")


def nearest_visible_m(camera: Camera) -> float:
    """Distance ahead at which the ground leaves the picture at its lower edge."""
    return camera.fy_px * camera.height_m / (camera.height_px - 1 - camera.cy_px)


def rows_between(camera: Camera, near_m: float, far_m: float) -> slice:
    """Image rows that show the ground from ``far_m`` to ``near_m`` ahead."""
    top = math.ceil(camera.cy_px + camera.fy_px * camera.height_m / far_m)
    bottom = math.floor(camera.cy_px + camera.fy_px * camera.height_m / near_m)
    return slice(top, min(bottom + 1, camera.height_px))


def local_contrast(frame: FrameArray) -> Image:
    """``(H, W)`` grey picture without its slow parts and with equal strength everywhere, clipped at 2.5."""
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    sigma = _FINE_PX * frame.shape[0] / 128
    fine = grey - cv2.GaussianBlur(grey, (0, 0), sigma)
    strength = np.sqrt(cv2.GaussianBlur(fine * fine, (0, 0), 2 * sigma) + 1.0)
    return np.clip(fine / strength, -2.5, 2.5).astype(np.float32)


class GroundBand:
    """Pixels of a band of ground in one frame, and where the same ground is in the next.

    Args:
        camera: level, of known height.
        near_m, far_m: extent of the band ahead.
        stride: take every so many columns, and rows where there are plenty.
    """

    def __init__(self, camera: Camera, near_m: float, far_m: float, *, stride: int = 1) -> None:
        rows = rows_between(camera, near_m, far_m)
        v, u = np.mgrid[rows.start : rows.stop : stride, 0 : camera.width_px : stride].astype(np.float32)
        self.index = (slice(rows.start, rows.stop, stride), slice(0, None, stride))
        self._camera = camera
        self._down = (v - np.float32(camera.cy_px)) / np.float32(camera.fy_px)
        self._right = (u - np.float32(camera.cx_px)) / np.float32(camera.fx_px)

    def moved(
        self, forward_m: float, turn_rad: float, dive_rad: float = 0.0, dive_change_rad: float = 0.0
    ) -> tuple[Image, Image]:
        """Columns and rows ``(R, W)`` of this ground in the next frame.

        Args:
            forward_m: chord of the motion in between.
            turn_rad: left positive.
            dive_rad: nose-down pitch of the body in this frame; dive_change_rad: more of it in the next.
        """
        camera = self._camera
        height = np.float32(camera.height_m)
        ahead = height / np.maximum(self._down + np.float32(dive_rad), np.float32(1e-3))
        left = -self._right * ahead
        ahead = ahead - np.float32(forward_m * math.cos(turn_rad / 2))
        left = left - np.float32(forward_m * math.sin(turn_rad / 2))
        cos, sin = np.float32(math.cos(turn_rad)), np.float32(math.sin(turn_rad))
        ahead, left = np.maximum(cos * ahead + sin * left, np.float32(0.5)), cos * left - sin * ahead
        tilt = np.float32(dive_rad + dive_change_rad)
        columns = np.float32(camera.cx_px) - np.float32(camera.fx_px) * left / ahead
        rows = np.float32(camera.cy_px) + np.float32(camera.fy_px) * (height / ahead - tilt)
        return columns, rows

    def inside(self, columns: Image, rows: Image) -> NDArray[np.bool_]:
        """``(R, W)`` true where a place is within the picture."""
        camera = self._camera
        return (columns >= 0) & (columns <= camera.width_px - 1) & (rows >= 0) & (rows <= camera.height_px - 1)


def sample(image: Image, columns: Image, rows: Image) -> Image:
    """Bilinear values ``(R, W)`` of an image at fractional places."""
    return np.asarray(cv2.remap(image, columns, rows, cv2.INTER_LINEAR), dtype=np.float32)


def agreement(a: Image, b: Image) -> float:
    """Normalised product of two sets of contrasts of mean near zero: 1 equal, 0 unrelated."""
    return float(np.sum(a * b) / np.sqrt(float(np.sum(a * a)) * float(np.sum(b * b)) + 1e-6))
