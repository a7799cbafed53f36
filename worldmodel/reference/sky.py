"""The sky and the far land, painted once per drive on a cylinder around the world.

Columns are azimuth, rows the tangent of elevation. Clouds lie on a plane overhead, hills and woods stand on the
horizon; all of it is so far away that only turning moves it. Knows nothing of roads.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light
from worldmodel.reference.streams import stream
from worldmodel.reference.textures import tile_noise
from worldmodel.reference.view import Rays

_F = np.float32
#: Tangents of the lowest and highest elevation on the panorama.
_LOW, _HIGH = -0.02, 1.2
#: Sizes of the clouds' blobs in texels, and their weights.
_CLOUD_CELLS = ((128, 1.0), (64, 0.8), (32, 0.5), (16, 0.32), (8, 0.18), (4, 0.1))


class Sky:
    """The panorama of one drive and its look-up."""

    def __init__(self, seed: int, light: Light, road_kind: str, pixels_per_rad: float) -> None:
        self.width = int(min(4096, max(512, 2 * math.pi * pixels_per_rad * 1.25)))
        self._per_tan = self.width / (2 * math.pi)
        self.height = int((_HIGH - _LOW) * self._per_tan)
        self.panorama = _paint(stream(seed, "sky"), light, road_kind, self.width, self.height)

    def draw(self, rays: Rays, heading_rad: float, image: NDArray[np.uint8], rows: int) -> None:
        """Fill the first ``rows`` rows of ``image (H, W, 3)``."""
        if rows <= 0:
            return
        right, down, ahead = rays.right[:rows], rays.down[:rows], rays.ahead[:rows]
        azimuth = (np.arctan2(-right, ahead) + _F(heading_rad % (2 * math.pi))).astype(_F)
        tangent = (-down / np.sqrt(right * right + ahead * ahead)).astype(_F)
        u = np.mod(rays.spread(azimuth) * _F(self.width / (2 * math.pi)), _F(self.width))
        v = np.clip((_F(_HIGH) - rays.spread(tangent.astype(_F))) * _F(self._per_tan), 0, self.height - 1)
        image[:rows] = cv2.remap(self.panorama, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _paint(rng: np.random.Generator, light: Light, road_kind: str, width: int, height: int) -> NDArray[np.uint8]:
    per_tan = width / (2 * math.pi)
    tangent = _HIGH - (np.arange(height) + 0.0) / per_tan
    azimuth = np.arange(width) * (2 * math.pi / width)
    up = np.clip(tangent, 0, None)[:, None]
    mix = np.clip(1 - np.exp(-2.6 * up), 0, 1)[..., None]
    sky = light.horizon * (1 - mix) + light.zenith * mix
    sky = np.repeat(sky, width, axis=1)
    sun_azimuth = math.atan2(light.sun_direction[1], light.sun_direction[0])
    away = np.abs(np.mod(azimuth - sun_azimuth + math.pi, 2 * math.pi) - math.pi)
    if light.weather == "clear" and light.time_of_day != "night":
        sun_tan = light.sun_direction[2] / math.hypot(light.sun_direction[0], light.sun_direction[1])
        angle = np.sqrt(away[None] ** 2 + (np.arctan(tangent)[:, None] - math.atan(sun_tan)) ** 2)
        glow = 0.55 * np.exp(-angle / 0.16) + 0.35 * np.exp(-angle / 0.6) + 2.0 * (angle < 0.012)
        tone = np.array([255, 250, 235]) if light.time_of_day == "day" else np.array([255, 176, 92])
        glow = np.clip(glow, 0, 1)[..., None] * (0.6 if light.time_of_day == "day" else 0.95)
        sky += (tone - sky) * glow
    if light.cloud_cover > 0:
        sky = _clouds(rng, light, sky, tangent, azimuth, sun_azimuth)
    if light.time_of_day == "night" and light.weather == "clear":
        count = width // 3
        rows, columns = rng.integers(0, int(height * 0.97), count), rng.integers(0, width, count)
        sky[rows, columns] += rng.uniform(20, 120, (count, 1))
    _land(rng, light, sky, tangent, azimuth, road_kind)
    return np.clip(sky, 0, 255).astype(np.uint8)


def _clouds(rng, light: Light, sky, tangent, azimuth, sun_azimuth):
    size = 512
    noise = np.sum([w * tile_noise(rng, size, size, c) for c, w in _CLOUD_CELLS], axis=0)
    noise = noise / noise.std()
    small = np.asarray(cv2.GaussianBlur(np.pad(noise, 8, mode="wrap"), (0, 0), 3))[8:-8, 8:-8]
    distance = 1 / np.maximum(tangent, 0.02)[:, None]
    x, y = distance * np.cos(azimuth), distance * np.sin(azimuth)
    scale = 46.0
    u, v = np.mod(x * scale, size).astype(_F), np.mod(y * scale, size).astype(_F)

    def look(plane, du=0.0, dv=0.0):
        return cv2.remap(
            plane.astype(_F), np.mod(u + _F(du), size), np.mod(v + _F(dv), size), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )  # fmt: skip

    blend = np.clip((distance - 5) / 12, 0, 1)
    density = look(noise) * (1 - blend) + look(small) * blend
    lit = density - look(small, 9 * math.cos(sun_azimuth), 9 * math.sin(sun_azimuth))
    threshold = 1.3 - 2.6 * light.cloud_cover
    alpha = np.clip((density - threshold) * 1.1, 0, 1)
    alpha = alpha * alpha * (3 - 2 * alpha)
    fade = np.clip((tangent[:, None] - 0.015) / 0.1, 0.0, 1)
    alpha = (alpha * fade * (0.92 if light.weather == "clear" else 0.8))[..., None]
    shade = np.clip(0.55 + 0.4 * lit - 0.22 * np.clip(density - threshold, 0, 2), 0, 1)[..., None]
    cloud = light.cloud_dark + (light.cloud_lit - light.cloud_dark) * shade
    return sky + (cloud - sky) * alpha


def _land(rng, light: Light, sky, tangent, azimuth, road_kind: str) -> None:
    """Hills and a line of woods, each paler the farther away; the last row is what stands behind the ground's end."""
    per_tan = len(azimuth) / (2 * math.pi)
    if light.haze_m < 260:
        seen = [0.0, 0.0, 0.0]
    elif light.haze_m < 800:
        seen = [0.06, 0.14, 0.3]
    else:
        seen = [0.34, 0.52, 0.74]
    bases = np.array([[104, 122, 142], [88, 112, 96], [62, 88, 56]]) * light.ground
    heights = {"motorway": (0.045, 0.03, 0.014), "country": (0.07, 0.042, 0.018), "town": (0.05, 0.03, 0.02)}[road_kind]
    n = len(azimuth)
    for layer in range(3):
        bumps = ((3, 1.0), (7, 0.6), (17, 0.3)) if layer < 2 else ((9, 0.5), (61, 0.5), (211, 0.4), (467, 0.35))
        outline = np.zeros(n)
        for waves, weight in bumps:
            for _ in range(2):
                outline += weight * np.sin(int(waves * rng.uniform(0.7, 1.4) + 1) * azimuth + rng.uniform(0, 6.3))
        outline = (outline - outline.min()) / np.ptp(outline)
        top = heights[layer] * (0.25 + 0.75 * outline * rng.uniform(0.5, 1.0)) * rng.uniform(0.8, 1.2)
        cover = np.clip((top[None] - tangent[:, None]) * per_tan + 0.5, 0, 1)[..., None]
        tone = light.haze + (bases[layer] - light.haze) * seen[layer]
        if light.snow and layer < 2:
            tone = tone + (light.haze - tone) * 0.3
        texture = 1 + 0.06 * rng.standard_normal((len(tangent), n, 1)) * seen[layer]
        sky += (tone * texture - sky) * cover
