"""Shadows on the ground: soft dark under vehicles, and what the sun casts.

Shadows are outlines of boxes laid on the ground away from the sun, painted into a mask that the ground's colours are
multiplied by. Knows nothing of materials. Shapes: H, W pixels; B boxes, P plants; N outlines of K corners.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light
from worldmodel.reference.vehicles import SIZES_M, Seen, rectangle
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

_SHIFT, _NEAR_M = 4, 0.4


class Shadows:
    """Paints the mask of light that is left, 255 for all of it."""

    def __init__(self, view: View, light: Light) -> None:
        self._view, self._light = view, light
        sun = light.sun_direction
        level = max(float(np.hypot(sun[0], sun[1])), 1e-6)
        #: Where the shadow of something one metre up falls. Low suns are held up a little, or shadows had no end.
        self._per_metre = -sun[:2] / level / max(float(sun[2]) / level, 0.22)
        self._across = np.array([sun[1], -sun[0]]) / level
        self._cast = int(255 * (1 - light.shadow))
        self._under = (150, 96, 52) if light.time_of_day != "night" else (190, 140, 90)
        angle = np.arange(10) * (2 * np.pi / 10)
        self._ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def mask(
        self,
        pose: FloatArray,
        attitude: tuple[float, float],
        row0: int,
        seen: list[Seen],
        plant_xy: FloatArray,
        plant_height_m: FloatArray,
        box_xy: FloatArray,
        box_height_m: FloatArray,
    ) -> NDArray[np.float32] | None:
        """``(H - row0, W)`` share of light left on the ground, or None where nothing takes any.

        ``plant_xy (P, 2)`` are feet of plants near the ego; ``box_xy (B, 4, 2)`` ground plans of houses.
        """
        camera = self._view.camera
        mask = np.full((camera.height_px - row0, camera.width_px), 255, np.uint8)
        cast: list[FloatArray] = []
        under: list[FloatArray] = []
        if self._light.shadow > 0:
            if len(plant_xy):
                cast += self._plants(plant_xy, plant_height_m)
            cast += [self._hull(plan, height) for plan, height in zip(box_xy, box_height_m)]
            cast += [self._hull(v.footprint, SIZES_M[v.kind][2]) for v in seen]
        for v in seen:
            length, width, _ = SIZES_M[v.kind]
            plan = rectangle(v.x_m, v.y_m, v.heading_rad, length, width)
            middle = plan.mean(0)
            # Growing a rectangle is scaling it; seen from above a hand's breadth of error in a blurred edge is nothing.
            under += [middle + (plan - middle) * (1 + grow / (0.5 * (length + width))) for grow in (0.3, 0.05, -0.25)]
        tones = [self._cast] * len(cast) + list(self._under) * len(seen)
        if not tones:
            return None
        for points, tone in zip(self._project(cast + under, pose, attitude, row0, mask.shape), tones):
            if points is not None:
                cv2.fillConvexPoly(mask, points, tone, cv2.LINE_8, _SHIFT)
        return np.asarray(cv2.blur(mask, (3, 3)), dtype=np.float32) * np.float32(1 / 255)

    def _plants(self, xy: FloatArray, height_m: FloatArray) -> list[FloatArray]:
        """An ellipse for every crown and a strip for every trunk."""
        height = height_m[:, None, None]
        centre = xy[:, None] + self._per_metre * 0.6 * height
        crown = (
            centre
            + self._ring[:, :1] * self._per_metre * 0.3 * height
            + self._ring[:, 1:] * self._across * 0.26 * height
        )
        side = self._across * 0.03 * height
        foot = xy[:, None]
        trunk = np.concatenate([foot - side, foot + side, centre + side, centre - side], axis=1)
        return [*trunk, *crown]

    def _hull(self, plan: FloatArray, height_m: float) -> FloatArray:
        points = np.concatenate([plan, plan + self._per_metre * height_m]).astype(np.float32)
        return np.asarray(cv2.convexHull(points))[:, 0].astype(np.float64)

    def _project(
        self, plans: list[FloatArray], pose: FloatArray, attitude: tuple[float, float], row0: int, size: tuple[int, ...]
    ) -> list[NDArray[np.int32] | None]:
        """Outlines on the ground as fixed-point pixels of the mask; None for those out of sight."""
        corners = max(len(p) for p in plans)
        padded = np.zeros((len(plans), corners, 3))
        for i, plan in enumerate(plans):
            padded[i, : len(plan), :2] = plan
            padded[i, len(plan) :, :2] = plan[-1]
        seen_by = self._view.to_camera(padded, pose, attitude)
        z = seen_by[..., 2]
        crossing = (z < _NEAR_M).any(1) & (z >= _NEAR_M).any(1)
        safe = seen_by.copy()
        safe[..., 2] = np.maximum(z, _NEAR_M)
        pixels = self._view.pixels(safe) - (0, row0)
        u, v = pixels[..., 0], pixels[..., 1]
        shown = (z >= _NEAR_M).all(1) & (u.max(1) > 0) & (u.min(1) < size[1]) & (v.max(1) > 0) & (v.min(1) < size[0])
        fixed = np.clip(pixels * (1 << _SHIFT), -(2**20), 2**20).astype(np.int32)
        result: list[NDArray[np.int32] | None] = [p if s else None for p, s in zip(fixed, shown)]
        for i in np.flatnonzero(crossing):
            cut = self._view.pixels(_cut(seen_by[i])) - (0, row0)
            result[i] = np.clip(cut * (1 << _SHIFT), -(2**20), 2**20).astype(np.int32)
        return result


def _cut(corners: FloatArray) -> FloatArray:
    """A convex outline cut at the near plane."""
    result = []
    for i in range(len(corners)):
        a, b = corners[i - 1], corners[i]
        if (a[2] < _NEAR_M) != (b[2] < _NEAR_M):
            result.append(a + (b - a) * ((_NEAR_M - a[2]) / (b[2] - a[2])))
        if b[2] >= _NEAR_M:
            result.append(b)
    return np.array(result)
