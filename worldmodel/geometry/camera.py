"""The canonical view: every source is seen through one level pinhole camera, so equal rotation gives equal pixels.

A canonical camera has a horizontal field of 65.2 degrees (that of the comma EON's road camera) and a level horizon at
``HORIZON`` of its height; only its size comes from configuration. What a source cannot fill is masked, once, by a
static valid mask.

Shapes: H, W pixels of the target; N points.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import Camera, FrameArray

HORIZONTAL_FOV_DEG = 65.2
#: Row of the horizon over the image height: a little above the middle, because the road is what matters.
HORIZON = 0.42
#: Above the ground, of a dashcam in a car: what is assumed where nobody says.
NOMINAL_HEIGHT_M = 1.4


def canonical_camera(height_px: int = 128, width_px: int = 256, *, height_m: float = math.nan) -> Camera:
    """The level camera that every frame in training and in rollouts is seen through."""
    focal_px = width_px / (2 * math.tan(math.radians(HORIZONTAL_FOV_DEG) / 2))
    return Camera(
        width_px=width_px,
        height_px=height_px,
        fx_px=focal_px,
        fy_px=focal_px,
        cx_px=(width_px - 1) / 2,
        cy_px=HORIZON * height_px - 0.5,
        height_m=height_m,
    )


def mount_rotation(camera: Camera) -> NDArray[np.float64]:
    """``(3, 3)`` rotation that takes a ray of a level camera into this camera's own axes."""
    cp, sp = math.cos(camera.pitch_rad), math.sin(camera.pitch_rad)
    cr, sr = math.cos(camera.roll_rad), math.sin(camera.roll_rad)
    cy, sy = math.cos(camera.yaw_rad), math.sin(camera.yaw_rad)
    # Columns are camera axes x right, y down, z forwards. A nose-up camera sees the level ray (0, 0, 1) lower: y > 0.
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    roll = np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    return roll @ pitch @ yaw


def pixel_rays(camera: Camera) -> NDArray[np.float64]:
    """``(H, W, 3)`` rays with z = 1 through the pixel centres of an undistorted camera, in its own axes."""
    u, v = np.meshgrid(np.arange(camera.width_px), np.arange(camera.height_px))
    x, y = (u - camera.cx_px) / camera.fx_px, (v - camera.cy_px) / camera.fy_px
    return np.stack([x, y, np.ones(u.shape)], axis=-1).astype(np.float64)


def ground_points(camera: Camera) -> NDArray[np.float64]:
    """``(H, W, 2)`` ground coordinates (x forwards, y left) seen at each pixel of a level camera; NaN at the sky.

    Raises:
        ValueError: the camera's height is unknown.
    """
    if math.isnan(camera.height_m):
        raise ValueError("Camera.height_m: expected a number to place the ground, got nan")
    rays = pixel_rays(camera)
    down = np.where(rays[..., 1] > 1e-6, rays[..., 1], np.nan)
    scale = camera.height_m / down
    return np.stack([scale, -rays[..., 0] * scale], axis=-1)


@dataclasses.dataclass(frozen=True)
class CanonicalView:
    """A source camera's frames as the canonical camera would have seen them.

    Attributes:
        source: the calibrated camera of the incoming frames.
        target: the canonical camera, with the source's height above ground.
        map_xy: ``(H, W, 2)`` float32 source pixel of every target pixel.
        valid_mask: ``(H, W)`` true where the source saw something.
    """

    source: Camera
    target: Camera
    map_xy: NDArray[np.float32]
    valid_mask: NDArray[np.bool_]
    _shrunk_size: tuple[int, int] | None

    @classmethod
    def of(cls, source: Camera, height_px: int = 128, width_px: int = 256) -> CanonicalView:
        """Precompute the warp from ``source`` to the canonical camera of the given size.

        Raises:
            ValueError: the source camera is not a possible camera.
        """
        source.validate()
        target = canonical_camera(height_px, width_px, height_m=source.height_m)
        rays = pixel_rays(target).reshape(-1, 3) @ mount_rotation(source).T
        in_front = rays[:, 2] > 1e-6
        rays[~in_front] = (0, 0, 1)
        points, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), source.matrix, np.array(source.distortion))
        map_xy = points.reshape(height_px, width_px, 2)
        inside = (
            (map_xy[..., 0] >= -0.5)
            & (map_xy[..., 0] <= source.width_px - 0.5)
            & (map_xy[..., 1] >= -0.5)
            & (map_xy[..., 1] <= source.height_px - 0.5)
        )
        valid = inside & in_front.reshape(height_px, width_px) & _is_one_to_one(rays, source).reshape(inside.shape)
        # cv2.remap does not low-pass, so a much larger source is shrunk by area first, to the target's own scale.
        shrink = min(target.fx_px / source.fx_px, target.fy_px / source.fy_px)
        shrunk = None
        if shrink < 0.75:
            shrunk = max(1, round(source.width_px * shrink)), max(1, round(source.height_px * shrink))
            scale = np.array([shrunk[0] / source.width_px, shrunk[1] / source.height_px])
            map_xy = (map_xy + 0.5) * scale - 0.5
        return cls(source, target, map_xy.astype(np.float32), valid, shrunk)

    def apply(self, frame: FrameArray) -> FrameArray:
        """Warp one ``(h, w, 3)`` frame of the source; pixels outside the valid mask are black.

        Raises:
            ValueError: the frame is not of the source camera's size.
        """
        expected = (self.source.height_px, self.source.width_px, 3)
        if frame.shape != expected:
            raise ValueError(f"frame: expected shape {expected} of the source camera, got {frame.shape}")
        if self._shrunk_size is not None:
            frame = np.asarray(cv2.resize(frame, self._shrunk_size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        warped = cv2.remap(
            frame, self.map_xy[..., 0], self.map_xy[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        warped = np.asarray(warped, dtype=np.uint8)
        warped[~self.valid_mask] = 0
        return warped


def _is_one_to_one(rays: NDArray[np.float64], source: Camera) -> NDArray[np.bool_]:
    """False where a strong distortion polynomial has folded back, so that two rays would share a pixel."""
    k1, k2, _, _, k3 = source.distortion
    r2 = (rays[:, 0] ** 2 + rays[:, 1] ** 2) / rays[:, 2] ** 2
    return 1 + 3 * k1 * r2 + 5 * k2 * r2**2 + 7 * k3 * r2**3 > 0


def nominal_camera(width_px: int, height_px: int, horizontal_fov_deg: float, *, horizon: float = 0.5) -> Camera:
    """A level pinhole for footage without calibration: a field of view and the row of the horizon over the height."""
    focal_px = width_px / (2 * math.tan(math.radians(horizontal_fov_deg) / 2))
    return Camera(width_px, height_px, focal_px, focal_px, (width_px - 1) / 2, horizon * height_px - 0.5).validate()
