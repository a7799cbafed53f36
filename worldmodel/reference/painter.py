"""Paints solid faces and plants over the ground, far to near, on a canvas finer than the picture.

All corners are projected in one go; faces seen from behind, too small or outside are dropped before the loop. The
canvas is ``SCALE`` times finer each way, so averaging it down smooths every edge. Fog and headlights are worked out
per face. Knows nothing of what the faces mean. Shapes: F faces, K corners of a face, P plants, O objects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light, headlight_beam
from worldmodel.reference.scene import Batch, Plants
from worldmodel.reference.sprites import plants
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

NEAR_M = 0.25
#: Fractional bits of painted coordinates.
SHIFT = 4
#: A detail starts to show at this many fine pixels and is fully drawn at twice as many.
_DETAIL_PX = 1.6
#: Plants up to this many fine pixels are kept ready at whole sizes.
_STORE_PX = 48
#: Shades of haze that plants are kept in.
_HAZE_STEPS = 14
_F = np.float32


@dataclasses.dataclass(frozen=True)
class Drawable:
    """Faces ready to paint: fine-pixel corners, colours, depth of their object, their place in line.

    Attributes:
        points: ``(F, K, 2)`` int32, with ``SHIFT`` fractional bits.
        colour: ``(F, 3)`` uint8-valued floats.
        depth_m: ``(F,)`` of the object, for painting far to near.
        index: ``(F,)`` which of the incoming faces each is.
    """

    points: NDArray[np.int32]
    colour: NDArray[np.float32]
    depth_m: NDArray[np.float64]
    index: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Placed:
    """Plants to paint, each ``(P,)``: depth, kind, feet and height in fine pixels, whether mirrored, which they are."""

    depth_m: NDArray[np.float64]
    kind: NDArray[np.int64]
    u: NDArray[np.float64]
    v: NDArray[np.float64]
    height: NDArray[np.float64]
    mirrored: NDArray[np.bool_]
    index: NDArray[np.int64]


class Painter:
    """Draws onto one canvas for one camera and light."""

    def __init__(self, view: View, light: Light, scale: int) -> None:
        self.view, self.light, self.scale = view, light, scale
        self.plants = plants(light)
        self._store: dict[tuple, tuple] = {}
        camera = view.camera
        self.size = (camera.height_px * scale, camera.width_px * scale)

    def project(self, batch: Batch, pose: FloatArray, attitude: tuple[float, float]) -> Drawable:
        """Project faces and decide what is seen and in which colour."""
        corners, detail_m = batch.corners, batch.detail_m
        seen_by = self.view.to_camera(corners, pose, attitude)
        z = seen_by[..., 2]
        crossing = (z < NEAR_M).any(1) & (z > NEAR_M).any(1)
        if crossing.any():
            # A cut can add a corner.
            seen_by = np.concatenate([seen_by, seen_by[:, -1:]], axis=1)
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
        shown = (batch.far_colour[index] + (batch.colour[index] - batch.far_colour[index]) * sharp).astype(_F)
        shown = self.shade(shown, batch.glow[index] * sharp[:, 0], seen_by.mean(1).astype(_F), distance)
        shown += (self.light.haze - shown) * batch.fade[index, None]
        points = np.clip(fine * (1 << SHIFT), -(2**22), 2**22).astype(np.int32)
        return Drawable(points, np.clip(shown, 0, 255), batch.depth_m[index], index)

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
            gain = 1 + (1 - glow) * beam * _F(1.15 / base)
            shown = shown * gain[:, None]
        clear = np.exp(-distance / _F(light.haze_m))
        clear = np.where(glow > 0, np.sqrt(clear), clear)[:, None]
        return (light.haze + (shown - light.haze) * clear).astype(_F)

    def place(self, plants: Plants | None) -> Placed | None:
        """Plants on the canvas; those outside or too small to see are left out."""
        if plants is None:
            return None
        z = plants.foot[:, 2]
        fine = self.view.pixels(plants.foot) * self.scale + (self.scale - 1) / 2
        height = plants.height_m * self.view.camera.fy_px * self.scale / z
        kept = np.flatnonzero((fine[:, 0] > -height) & (fine[:, 0] < self.size[1] + height) & (height > 2.5))
        return Placed(
            z[kept], plants.kind[kept], fine[kept, 0], fine[kept, 1], height[kept], plants.mirrored[kept], kept
        )

    def paint(self, canvas: NDArray[np.uint8], faces: list[Drawable], plants: Placed | None) -> None:
        """Paint far to near."""
        depth = [f.depth_m for f in faces]
        if plants is not None:
            depth.append(plants.depth_m)
        points = [p for f in faces for p in f.points]
        colours = [c for f in faces for c in f.colour.tolist()]
        count = len(points)
        draw = self._plant_drawer(canvas, plants) if plants is not None else None
        fill, line, shift = cv2.fillConvexPoly, cv2.LINE_8, SHIFT
        for i in np.argsort(-np.concatenate(depth), kind="stable").tolist():
            if i < count:
                fill(canvas, points[i], colours[i], line, shift)
            elif draw is not None:
                draw(i - count)

    def stamp(self, canvas: NDArray[np.int32], plants: Placed, index: int, label: int) -> None:
        """Paint one plant's outline with a label."""
        kind, u, v, height = int(plants.kind[index]), plants.u[index], plants.v[index], plants.height[index]
        half = height * self.plants[kind].aspect / 2
        x0, x1 = max(0, int(u - half)), min(self.size[1], int(u + half) + 2)
        y0, y1 = max(0, int(v - height)), min(self.size[0], int(v) + 1)
        if x1 > x0 and y1 > y0:
            mirrored = bool(plants.mirrored[index])
            _, mask = self._warped(kind, mirrored, u - x0, v - y0, height, (x1 - x0, y1 - y0), _HAZE_STEPS, 8)
            canvas[y0:y1, x0:x1][mask > 0] = label

    def _plant_drawer(self, canvas: NDArray[np.uint8], plants: Placed) -> Callable[[int], None]:
        """A function that draws the n-th plant: near ones warped to the fraction of a pixel, far ones from a store."""
        light = self.light
        camera = self.view.camera
        clear = np.exp(-plants.depth_m / light.haze_m)
        gain = np.ones(len(clear))
        if light.headlight:
            x = (plants.u / self.scale - camera.cx_px) / camera.fx_px * plants.depth_m
            beam = headlight_beam(x.astype(_F), plants.depth_m.astype(_F), np.full(len(x), -1.0, _F))
            gain = gain + beam * light.headlight * 1.15 / float(light.ambient.mean())
        rows = list(
            zip(
                plants.kind.tolist(), plants.mirrored.tolist(), plants.u.tolist(), plants.v.tolist(),
                plants.height.tolist(), np.rint(clear * _HAZE_STEPS).astype(int).tolist(),
                np.rint(gain * 8).astype(int).tolist(),
            )
        )  # fmt: skip

        lines, columns = canvas.shape[:2]

        def draw(index: int) -> None:
            kind, mirrored, u, v, height, clear_step, gain_step = rows[index]
            if height > _STORE_PX:
                self._plant(canvas, kind, mirrored, u, v, height, clear_step, gain_step)
                return
            key = (kind, mirrored, int(height + 0.5), clear_step, gain_step)
            stored = self._store.get(key)
            if stored is None:
                if len(self._store) > 4000:
                    self._store.clear()
                stored = self._store[key] = self._small(*key)
            picture, mask, half = stored
            h, w = mask.shape
            x, y = int(u - half + 0.5), int(v + 1.5) - h
            if x >= 0 and y >= 0 and x + w <= columns and y + h <= lines:
                cv2.copyTo(picture, mask, canvas[y : y + h, x : x + w])
                return
            x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, columns), min(y + h, lines)
            if x1 > x0 and y1 > y0:
                cut = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
                cv2.copyTo(picture[cut], mask[cut], canvas[y0:y1, x0:x1])

        return draw

    def _small(self, kind: int, mirrored: bool, height: int, clear: int, gain: int) -> tuple:
        half = height * self.plants[kind].aspect / 2
        width, rows = 2 * int(half + 1) + 1, height + 1
        size = (width, rows)
        picture, mask = self._warped(kind, mirrored, half + 0.5, float(height), float(height), size, clear, gain)
        return picture, mask, half + 0.5

    def _plant(
        self,
        canvas: NDArray[np.uint8],
        kind: int,
        mirrored: bool,
        u: float,
        v: float,
        height: float,
        clear: int,
        gain: int,
    ) -> None:
        half = height * self.plants[kind].aspect / 2
        x0, x1 = max(0, int(u - half)), min(self.size[1], int(u + half) + 2)
        y0, y1 = max(0, int(v - height)), min(self.size[0], int(v) + 1)
        if x1 <= x0 or y1 <= y0:
            return
        picture, mask = self._warped(kind, mirrored, u - x0, v - y0, height, (x1 - x0, y1 - y0), clear, gain)
        cv2.copyTo(picture, mask, canvas[y0:y1, x0:x1])

    def _warped(
        self, kind: int, mirrored: bool, u: float, v: float, height: float, size: tuple[int, int], clear: int, gain: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Picture and mask of ``size`` (columns, rows) of a plant whose foot is at (u, v)."""
        pictures = self.plants[kind].pictures
        level = 0
        while level + 1 < len(pictures) and pictures[level + 1].shape[0] >= height:
            level += 1
        picture = pictures[level]
        rows, columns = picture.shape[:2]
        scale = height / rows
        step = (-1 if mirrored else 1) / scale
        matrix = np.array([[step, 0, -u * step + columns / 2 - 0.5], [0, 1 / scale, -v / scale + rows - 0.5]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        patch = cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=cv2.BORDER_CONSTANT)
        tint = np.zeros((3, 5), np.float32)
        tint[0, 0] = tint[1, 1] = tint[2, 2] = clear / _HAZE_STEPS * gain / 8
        tint[:, 4] = self.light.haze * (1 - clear / _HAZE_STEPS)
        _, mask = cv2.threshold(cv2.extractChannel(patch, 3), 120, 255, cv2.THRESH_BINARY)
        return np.asarray(cv2.transform(patch, tint), dtype=np.uint8), np.asarray(mask, dtype=np.uint8)


def _clip_near(corners: FloatArray) -> FloatArray:
    """A face cut at the near plane; its corner count is kept by repeating the last, which is given twice."""
    count = len(corners)
    result: list[FloatArray] = []
    for i in range(count - 1):
        a, b = corners[i - 1 if i else count - 2], corners[i]
        if (a[2] < NEAR_M) != (b[2] < NEAR_M):
            result.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
        if b[2] >= NEAR_M:
            result.append(b)
    while len(result) < count:
        result.append(result[-1])
    return np.array(result[:count])
