"""Paints solid faces and plants over the ground, far to near, on a canvas finer than the picture.

All corners are projected in one go; faces seen from behind, too small or outside are dropped before the loop. The
canvas is ``SCALE`` times finer each way, so averaging it down smooths every edge. Fog and headlights are worked out
per face. Knows nothing of what the faces mean. Shapes: F faces, K corners of a face, P plants, O objects.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light
from worldmodel.reference.sprites import Plant
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

NEAR_M = 0.25
_SHIFT = 4
#: A detail starts to show at this many fine pixels and is fully drawn at twice as many.
_DETAIL_PX = 1.6
_F = np.float32


@dataclasses.dataclass(frozen=True)
class Drawable:
    """Faces ready to paint: fine-pixel corners, colours, depth of their object, their place in line.

    Attributes:
        points: ``(F, K, 2)`` int32, with ``_SHIFT`` fractional bits.
        colour: ``(F, 3)`` uint8-valued floats.
        depth_m: ``(F,)`` of the object, for painting far to near.
        index: ``(F,)`` which of the incoming faces each is.
    """

    points: NDArray[np.int32]
    colour: NDArray[np.float32]
    depth_m: NDArray[np.float64]
    index: NDArray[np.int64]


class Painter:
    """Draws onto one canvas for one camera and light."""

    def __init__(self, view: View, light: Light, scale: int) -> None:
        self.view, self.light, self.scale = view, light, scale
        camera = view.camera
        self.size = (camera.height_px * scale, camera.width_px * scale)
        self._haze_lut = np.arange(256, dtype=np.float32)

    def project(
        self,
        corners: FloatArray,
        colour: NDArray[np.float32],
        far_colour: NDArray[np.float32],
        glow: NDArray[np.float32],
        detail_m: NDArray[np.float32],
        normal: NDArray[np.float32],
        object_depth_m: FloatArray,
        pose: FloatArray,
        attitude: tuple[float, float],
        fade: NDArray[np.float32] | None = None,
    ) -> Drawable:
        """Project ``corners (F, K, 3)`` and decide what is seen and in which colour."""
        seen_by = self.view.to_camera(corners, pose, attitude)
        z = seen_by[..., 2]
        crossing = (z < NEAR_M).any(1) & (z > NEAR_M).any(1)
        if crossing.any():
            seen_by = seen_by.copy()
            for face in np.flatnonzero(crossing):
                seen_by[face] = _clip_near(seen_by[face])
            z = seen_by[..., 2]
        keep = z.min(1) >= NEAR_M - 1e-9
        index = np.flatnonzero(keep)
        seen_by, z = seen_by[index], z[index]
        fine = self.view.pixels(seen_by) * self.scale + (self.scale - 1) / 2
        u, v = fine[..., 0], fine[..., 1]
        height, width = self.size
        following = np.concatenate([fine[:, 1:], fine[:, :1]], 1)
        area = (u * following[..., 1] - v * following[..., 0]).sum(1) / 2
        inside = (u.max(1) > -1) & (u.min(1) < width) & (v.max(1) > -1) & (v.min(1) < height)
        distance = np.maximum(z.mean(1), 0.5)
        focal = self.view.camera.fx_px * self.scale
        sharp = np.where(
            detail_m[index] > 0, np.clip(detail_m[index] * focal / distance / _DETAIL_PX - 1, 0, 1), 1
        ).astype(_F)
        # Anticlockwise from the front in world axes is clockwise on a screen whose rows go down: negative area here.
        chosen = np.flatnonzero((area < -0.05) & inside & (sharp > 0))
        index, fine, seen_by, distance = index[chosen], fine[chosen], seen_by[chosen], distance[chosen].astype(_F)
        sharp = sharp[chosen, None]
        shown = far_colour[index] + (colour[index] - far_colour[index]) * sharp
        shown = self.shade(shown, glow[index] * sharp[:, 0], seen_by.mean(1).astype(_F), distance)
        if fade is not None:
            shown += (self.light.haze - shown) * fade[index, None]
        points = np.clip(fine * (1 << _SHIFT), -(2**22), 2**22).astype(np.int32)
        del normal
        return Drawable(points, np.clip(shown, 0, 255), object_depth_m[index], index)

    def shade(
        self,
        tone: NDArray[np.float32],
        glow: NDArray[np.float32],
        centre: NDArray[np.float32],
        distance: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Headlights and haze for colours ``(F, 3)`` of faces centred at ``(F, 3)`` in camera axes."""
        light = self.light
        shown = tone
        if light.headlight:
            beam = headlight_beam(centre[:, 0], centre[:, 2], centre[:, 1] - _F(0.6)) * _F(light.headlight)
            base = light.ambient.mean()
            gain = 1 + (1 - glow) * beam * _F(0.9 / base)
            shown = shown * gain[:, None]
        clear = np.exp(-distance / _F(light.haze_m))
        clear = np.where(glow > 0, np.sqrt(clear), clear)[:, None]
        return light.haze + (shown - light.haze) * clear

    def paint(
        self,
        canvas: NDArray[np.uint8],
        faces: list[Drawable],
        plants: list[tuple[float, Plant, float, float, float, bool]],
    ) -> None:
        """Paint far to near. A plant is (depth_m, picture, fine u of its foot, fine v, fine height, mirrored)."""
        depth = np.concatenate([*(f.depth_m for f in faces), np.array([p[0] for p in plants])])
        points = [p for f in faces for p in f.points]
        colours = [c for f in faces for c in f.colour.tolist()]
        count = len(points)
        fill = cv2.fillConvexPoly
        for i in np.argsort(-depth, kind="stable").tolist():
            if i < count:
                fill(canvas, points[i], colours[i], cv2.LINE_8, _SHIFT)
            else:
                self._plant(canvas, *plants[i - count])

    def _plant(
        self, canvas: NDArray[np.uint8], depth_m: float, plant: Plant, u: float, v: float, height: float, mirrored: bool
    ) -> None:
        level = 0
        while level + 1 < len(plant.pictures) and plant.pictures[level + 1].shape[0] >= height:
            level += 1
        picture = plant.pictures[level]
        rows, columns = picture.shape[:2]
        scale = height / rows
        half = columns * scale / 2
        x0, x1 = max(0, int(u - half)), min(self.size[1], int(u + half) + 2)
        y0, y1 = max(0, int(v - height)), min(self.size[0], int(v) + 1)
        if x1 <= x0 or y1 <= y0:
            return
        step = (-1 if mirrored else 1) / scale
        matrix = np.array(
            [[step, 0, (x0 - u) * step + columns / 2 - 0.5], [0, 1 / scale, (y0 - v) / scale + rows - 0.5]]
        )
        patch = cv2.warpAffine(
            picture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )  # fmt: skip
        light = self.light
        clear = float(np.exp(-depth_m / light.haze_m))
        gain = 1.0
        if light.headlight:
            x = (u / self.scale - self.view.camera.cx_px) / self.view.camera.fx_px * depth_m
            beam = headlight_beam(_F(x), _F(depth_m), _F(-1.0))
            gain += float(beam) * light.headlight * 0.9 / float(light.ambient.mean())
        matrix = np.zeros((3, 5), np.float32)
        matrix[0, 0] = matrix[1, 1] = matrix[2, 2] = clear * gain
        matrix[:, 4] = light.haze * (1 - clear)
        tinted = cv2.transform(patch, matrix)
        mask = cv2.compare(cv2.extractChannel(patch, 3), 120, cv2.CMP_GT)
        cv2.copyTo(tinted, mask, canvas[y0:y1, x0:x1])


def headlight_beam(
    right_m: NDArray[np.float32], ahead_m: NDArray[np.float32], down_m: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Brightness, about 1 at its best, of the own dipped headlights on a thing at camera-axes coordinates."""
    z = np.maximum(ahead_m, _F(1.0))
    side = (right_m - _F(0.02) * z) / (_F(1.6) + _F(0.24) * z)
    spread = np.exp(-side * side)
    reach = _F(1) / (_F(1) + (z / _F(26)) ** 2) * np.clip((z - _F(1.0)) / _F(6.0), 0, 1)
    # Dipped beams end at about the height of the lamps; above it there is only stray light.
    above = np.clip(-down_m / (_F(0.6) + _F(0.02) * z), 0, 1)
    return spread * reach * (_F(1) - _F(0.82) * above)


def _clip_near(corners: FloatArray) -> FloatArray:
    """A face cut at the near plane, its corner count kept by repeating or merging corners."""
    count = len(corners)
    result: list[FloatArray] = []
    for i in range(count):
        a, b = corners[i - 1], corners[i]
        if (a[2] < NEAR_M) != (b[2] < NEAR_M):
            result.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
        if b[2] >= NEAR_M:
            result.append(b)
    while len(result) < count:
        result.append(result[-1])
    return np.array(result[:count])
