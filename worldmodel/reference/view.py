"""Where the camera is and what its pixels look at: rays, the ground under them, and points to pixels.

A view is a camera, the ego's pose and the body's small pitch and roll. Knows nothing of roads or colours.
Shapes: H, W pixels; C every fourth column and one beyond; N points.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import mount_rotation
from worldmodel.types import Camera, FloatArray

#: Ground farther than this is drawn as if it were here: it is beyond the haze and less than half a pixel tall.
FAR_M = 1500.0
#: What pixels look at is worked out for every so many columns.
COLUMN_STEP = 4


@dataclasses.dataclass(frozen=True)
class Rays:
    """What the pixels of one attitude look at, in the ego's level axes (x forwards, y left).

    All of it varies smoothly along a row, so it is worked out for every fourth column and spread from there.

    Attributes:
        right, down, ahead: ``(H, C)`` float32 ray components in level axes.
        row0: first row that holds ground.
        x_m, y_m: ``(H - row0, C)`` ground points, clamped to ``FAR_M``.
        across_m: ``(H - row0, C)`` width of a pixel on the ground, across the view.
        stretch: ``(H - row0, C)`` length of a pixel along the view, as a share of the ground point's vector.
        distance_m: ``(H - row0, C)`` from the camera to the ground point.
        ground: ``(H - row0, W)`` share of a pixel that is ground, not sky.
        weights: ``(C, W)`` of ``spread``.
    """

    right: NDArray[np.float32]
    down: NDArray[np.float32]
    ahead: NDArray[np.float32]
    row0: int
    x_m: NDArray[np.float32]
    y_m: NDArray[np.float32]
    across_m: NDArray[np.float32]
    stretch: NDArray[np.float32]
    distance_m: NDArray[np.float32]
    ground: NDArray[np.float32]
    weights: NDArray[np.float32]

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values ``(rows, C)`` interpolated to all columns, ``(rows, W)``."""
        return values @ self.weights

    @functools.cached_property
    def mixed_rows(self) -> int:
        """Rows from ``row0`` down that are partly sky."""
        return int((self.ground < 1).any(1).sum())


class View:
    """A camera fixed to the ego, and what it looks at for a given attitude of the body.

    Raises:
        ValueError: the camera has no height above ground, or it has lens distortion.
    """

    def __init__(self, camera: Camera) -> None:
        camera.validate()
        if math.isnan(camera.height_m):
            raise ValueError("Camera.height_m: the reference world needs a height above ground, got nan")
        if any(camera.distortion):
            raise ValueError(f"Camera.distortion: the reference world draws pinhole cameras, got {camera.distortion}")
        self.camera = camera
        columns = COLUMN_STEP * np.arange(-(-(camera.width_px - 1) // COLUMN_STEP) + 1)
        u, v = np.meshgrid((columns - camera.cx_px) / camera.fx_px, np.arange(camera.height_px))
        rays = np.stack([u, (v - camera.cy_px) / camera.fy_px, np.ones(u.shape)], axis=-1)
        self._rays = rays.astype(np.float32)
        place = np.arange(camera.width_px) / COLUMN_STEP
        self._weights = np.maximum(1 - np.abs(place - np.arange(len(columns))[:, None]), 0).astype(np.float32)
        self._turned: tuple[tuple[float, ...], NDArray[np.float64]] | None = None
        self._kept: tuple[tuple[float, float], Rays] | None = None

    def rotation(self, attitude: tuple[float, float]) -> NDArray[np.float64]:
        """``(3, 3)`` from level camera axes to the camera's own, with the body's (pitch, roll) added to the mount's."""
        camera = self.camera
        if attitude != (0.0, 0.0):
            camera = dataclasses.replace(
                camera, pitch_rad=camera.pitch_rad + attitude[0], roll_rad=camera.roll_rad + attitude[1]
            )
        return mount_rotation(camera)

    def rays(self, attitude: tuple[float, float]) -> Rays:
        """What every pixel looks at; the last attitude's answer is kept."""
        if self._kept is not None and self._kept[0] == attitude:
            return self._kept[1]
        camera = self.camera
        level = self._rays.reshape(-1, 3) @ self.rotation(attitude).astype(np.float32)
        right, down, ahead = level.T.reshape(3, *self._rays.shape[:2])
        rows = np.flatnonzero((down > 1e-4).any(1))
        row0 = int(rows[0]) if len(rows) else camera.height_px
        low, far = down[row0:], ahead[row0:]
        height = np.float32(camera.height_m)
        scale = height / np.maximum(low, np.maximum(height * np.hypot(right[row0:], far) / np.float32(FAR_M), 1e-4))
        scale = scale.astype(np.float32)
        x, y = far * scale, -right[row0:] * scale
        share = (low * np.float32(camera.fy_px)) @ self._weights + np.float32(0.5)
        rays = Rays(
            right=right,
            down=down,
            ahead=ahead,
            row0=row0,
            x_m=x,
            y_m=y,
            across_m=scale * np.float32(1 / camera.fx_px),
            stretch=scale * np.float32(1 / (camera.fy_px * camera.height_m)),
            distance_m=np.sqrt(x * x + y * y + height * height),
            ground=np.clip(share, 0, 1),
            weights=self._weights,
        )
        self._kept = (attitude, rays)
        return rays

    def to_camera(self, points: FloatArray, pose: FloatArray, attitude: tuple[float, float]) -> NDArray[np.float64]:
        """World points ``(..., 3)`` in camera axes (right, down, forwards) for an ego pose x_m, y_m, heading_rad."""
        key = (float(pose[2]), *attitude)
        if self._turned is None or self._turned[0] != key:
            self._turned = (key, self._matrix(float(pose[2]), attitude))
        return (points - (pose[0], pose[1], self.camera.height_m)) @ self._turned[1]

    def _matrix(self, heading_rad: float, attitude: tuple[float, float]) -> NDArray[np.float64]:
        cos, sin = math.cos(heading_rad), math.sin(heading_rad)
        # Ego axes from world axes, then camera axes from ego axes, as one matrix.
        to_level = np.array([[sin, -cos, 0.0], [0.0, 0.0, -1.0], [cos, sin, 0.0]])
        return np.ascontiguousarray((self.rotation(attitude) @ to_level).T)

    def pixels(self, points_camera: FloatArray) -> NDArray[np.float64]:
        """Pixel coordinates ``(..., 2)`` of points in front of the camera, ``(..., 3)`` in its axes."""
        z = points_camera[..., 2]
        return np.stack(
            [
                self.camera.fx_px * points_camera[..., 0] / z + self.camera.cx_px,
                self.camera.fy_px * points_camera[..., 1] / z + self.camera.cy_px,
            ],
            axis=-1,
        )
