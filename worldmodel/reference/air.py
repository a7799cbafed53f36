"""What is in the air and in the lens: falling rain and snow, glow around lamps, their streaks on a wet road.

Drops and flakes hang in a box of air that travels with the camera; each has its own place in the world and wraps round
at the box's sides, so they stream past by the ego's motion and their own fall. Knows nothing of the road.
Shapes: D drops; H, W pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light
from worldmodel.reference.streams import stream
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

_BOX_M = np.array([26.0, 14.0, 7.0])
_EXPOSURE_S = 1 / 60


class Air:
    """Weather particles and glow of one drive."""

    def __init__(self, seed: int, view: View, light: Light) -> None:
        rng = stream(seed, "air")
        self._view, self._light = view, light
        count = {"rain": 700, "snow": 900}.get(light.weather, 0)
        self._count = int(count * rng.uniform(0.5, 1.0))
        self._place = rng.random((count, 3))[: self._count] * _BOX_M
        wind = rng.normal(0, 1.0, 2)
        self._fall = np.array([*(wind * 0.8), -7.5]) if light.weather == "rain" else np.array([*wind, -1.3])
        self._sway = rng.uniform(0, 2 * np.pi, (count, 2))[: self._count]
        self._size = rng.uniform(0.6, 1.4, count)[: self._count]

    def particles(
        self, image: NDArray[np.uint8], pose: FloatArray, attitude: tuple[float, float], time_s: float, speed_mps: float
    ) -> None:
        """Draw what falls onto ``image (H, W, 3)``, in place."""
        if not self._count:
            return
        camera = self._view.camera
        place = self._place + self._fall * time_s
        if self._light.weather == "snow":
            place[:, :2] += 0.25 * np.sin(1.7 * time_s + self._sway)
        ahead = np.array([math.cos(pose[2]), math.sin(pose[2]), 0.0])
        middle = np.array([pose[0], pose[1], camera.height_m + 0.6]) + ahead * (0.42 * _BOX_M[0])
        # The box is world-fixed cells: its wrap is round the middle, seen from ego axes so that it fills the view.
        offset = place - middle
        offset -= np.round(offset / _BOX_M) * _BOX_M
        now = middle + offset
        moved = self._fall * _EXPOSURE_S - ahead * (speed_mps * _EXPOSURE_S)
        tail = self._view.to_camera(now - moved, pose, attitude)
        head = self._view.to_camera(now, pose, attitude)
        seen = (head[:, 2] > 0.7) & (tail[:, 2] > 0.7)
        depth = head[seen, 2]
        a, b = self._view.pixels(head[seen]), self._view.pixels(tail[seen])
        scale = camera.fx_px / 200.0
        rain = self._light.weather == "rain"
        strength = np.clip((120 if rain else 240) * self._size[seen] / (0.4 + depth / (5 if rain else 9)), 0, 230)
        if not rain:
            width = 0.028 * self._size[seen] * camera.fx_px / depth
            strength = np.clip(strength * np.clip(width, 0.3, 1), 0, 240)
            a, b = (a + b) / 2 + (a - b) * 0.35, (a + b) / 2 - (a - b) * 0.35
        else:
            width = np.full(len(depth), 0.8 * scale)
        inside = (a[:, 0] > -8) & (a[:, 0] < camera.width_px + 8) & (a[:, 1] > -8) & (a[:, 1] < camera.height_px + 8)
        inside &= strength > 3
        veil = np.zeros(image.shape[:2], np.uint8)
        points = np.clip(np.stack([a, b], 1)[inside] * 16, -(2**15), 2**15).astype(np.int32)
        for (p, q), tone, wide in zip(points.tolist(), strength[inside].tolist(), width[inside].tolist()):
            cv2.line(veil, p, q, tone, max(1, min(3, round(wide))), cv2.LINE_AA, 4)
        light = self._light
        tone = np.minimum(light.haze * 1.25 + 14, 235) if rain else np.minimum(light.haze * 1.3 + 30.0, 250)
        share = veil.astype(np.float32)[..., None] * np.float32(1 / 255)
        if light.headlight > 0.9:
            # In the dark only what the headlights reach is seen: the lower middle of the view.
            rows = np.linspace(-0.7, 1.0, image.shape[0], dtype=np.float32)[:, None, None]
            columns = np.linspace(-1, 1, image.shape[1], dtype=np.float32)[None, :, None]
            share = share * np.exp(-(columns**2) * 1.6 - (rows - 0.1) ** 2 * 2.2)
            tone = np.array([150, 154, 162], np.float32)
        image[:] = np.clip(image + (tone - image) * share, 0, 255).astype(np.uint8)

    def glow(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``image`` with light bleeding around what is bright, wider in fog and rain."""
        light = self._light
        if not light.lamps or light.time_of_day == "day":
            return image
        bright = cv2.subtract(image, np.full_like(image, 196))
        small = cv2.resize(bright, (image.shape[1] // 2, image.shape[0] // 2), interpolation=cv2.INTER_AREA)
        scale = self._view.camera.fx_px / 200.0
        wide = {"clear": 2.2, "rain": 3.2, "fog": 5.5, "snow": 4.0}[light.weather] * scale
        gain = {"clear": 1.8, "rain": 2.6, "fog": 4.5, "snow": 2.4}[light.weather]
        if light.time_of_day == "dusk":
            gain *= 0.5
        halo = cv2.GaussianBlur(small, (0, 0), wide)
        close = cv2.GaussianBlur(small, (0, 0), 0.8 * scale)
        halo = cv2.addWeighted(halo, gain, close, 0.8, 0)
        halo = cv2.resize(halo, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.add(image, halo), dtype=np.uint8)

    @staticmethod
    def streaks(
        ground: NDArray[np.float32],
        paved: NDArray[np.float32],
        row0: int,
        lamps: list[tuple[float, float, float, tuple[float, float, float]]],
    ) -> None:
        """Add reflections of lamps to the wet road ``ground (3, H - row0, W)``, as far as ``paved`` says it is road.

        Each lamp is (u, top row, length in rows, colour).
        """
        height, width = ground.shape[1:]
        for u, top, length, tone in lamps:
            half = max(1.0, 0.12 * length)
            x0, x1 = max(0, int(u - 2 * half)), min(width, int(u + 2 * half) + 2)
            y0, y1 = max(0, int(top - row0)), min(height, int(top - row0 + length) + 1)
            if x1 <= x0 or y1 <= y0:
                continue
            across = np.exp(-(((np.arange(x0, x1) - u) / half) ** 2)).astype(np.float32)
            along = (np.arange(y0, y1) - (top - row0)).astype(np.float32) / length
            along = np.clip(along * 6, 0, 1) * np.clip(1 - along, 0, 1)
            share = along[:, None] * across * paved[y0:y1, x0:x1]
            ground[:, y0:y1, x0:x1] += share * np.array(tone, np.float32)[:, None, None]
