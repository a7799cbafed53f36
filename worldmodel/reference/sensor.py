"""The camera's own faults: motion blur, exposure and white balance, vignette, drops on the windscreen, noise.

All of it is a function of the drive's seed and the frame's time; truth per pixel is of the picture before it. Knows
nothing of what the picture shows. Shapes: H, W pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from worldmodel.reference.light import Light
from worldmodel.reference.scene import Shot
from worldmodel.reference.streams import stream
from worldmodel.reference.view import View
from worldmodel.types import FrameArray

_F = np.float32
_EXPOSURE_S = {"day": 0.006, "dusk": 0.016, "night": 0.028}
_NOISE = {"day": 1.6, "dusk": 3.0, "night": 4.5}


class Sensor:
    """The sensor of one drive."""

    def __init__(self, seed: int, view: View, light: Light) -> None:
        rng = stream(seed, "sensor")
        self._seed, self._view = seed, view
        camera = view.camera
        self._exposure_s = _EXPOSURE_S[light.time_of_day] * rng.uniform(0.6, 1.3)
        self._noise = _NOISE[light.time_of_day] * rng.uniform(0.5, 1.3)
        self._gain = (rng.uniform(0.88, 1.14) * (1 + rng.normal(0, 0.025, 3))).astype(_F)
        self._breath, self._phase = rng.uniform(0.0, 0.05), rng.uniform(0, 2 * math.pi)
        u = (np.arange(camera.width_px) - camera.cx_px) / camera.width_px
        v = (np.arange(camera.height_px) - camera.height_px / 2) / camera.width_px
        self._vignette = (1 - rng.uniform(0.2, 0.6) * (u[None] ** 2 + v[:, None] ** 2)).astype(_F)[..., None]
        count = int(rng.integers(8, 26)) if light.weather == "rain" else 0
        self._drops = rng.random((count, 5))

    def expose(self, image: FrameArray, shot: Shot) -> FrameArray:
        """The picture ``(H, W, 3)`` as the sensor would have recorded it."""
        blurred = self._blur(image, shot)
        if len(self._drops):
            self._wet(blurred, shot.time_s)
        breath = 1 + self._breath * math.sin(0.7 * shot.time_s + self._phase)
        light = blurred.astype(_F) * (self._vignette * (self._gain * _F(breath)))
        # Photon noise grows with the root of the light; a floor of read noise stays in the dark.
        rng = stream(self._seed, "noise", round(shot.time_s * 1000))
        grain = rng.standard_normal(light.shape, dtype=_F)
        light += grain * (_F(0.35 * self._noise) + _F(0.06 * self._noise) * np.sqrt(np.maximum(light, 0)))
        return np.clip(light + _F(0.5), 0, 255).astype(np.uint8)

    def _blur(self, image: FrameArray, shot: Shot) -> FrameArray:
        """Mean of three moments of the exposure, each moved as flat ground and far sky move."""
        camera, rays = self._view.camera, self._view.rays(shot.attitude)
        u, v = np.meshgrid(np.arange(camera.width_px, dtype=_F), np.arange(camera.height_px, dtype=_F))
        du = np.full_like(u, camera.fx_px * shot.yaw_rate_radps)
        dv = np.zeros_like(v)
        forward, left = np.maximum(rays.spread(rays.x_m), _F(1.0)), rays.spread(rays.y_m)
        # Ground velocity in ego axes, then through the pinhole: u ~ -f y / x, v ~ f h / x.
        vx = _F(-shot.speed_mps) + _F(shot.yaw_rate_radps) * left
        vy = _F(-shot.yaw_rate_radps) * forward
        du[rays.row0 :] = _F(camera.fx_px) * (left * vx / forward - vy) / forward
        dv[rays.row0 :] = _F(-camera.fy_px * camera.height_m) * vx / (forward * forward)
        total = image.astype(_F)
        for share in (-0.33, 0.33):
            tau = _F(share * self._exposure_s)
            total += np.asarray(
                cv2.remap(image, u - du * tau, v - dv * tau, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            )
        return (total * _F(1 / 3)).astype(np.uint8)

    def _wet(self, image: FrameArray, time_s: float) -> None:
        """Drops that come and go, each a small lens that shows its surroundings upside down."""
        height, width = image.shape[:2]
        for x, y, size, period, phase in self._drops.tolist():
            life = 2.5 + 6 * period
            turn, age = divmod(time_s / life + phase, 1.0)
            # Another place each time round; it grows at once and dries in the end.
            u = int(((x + 0.618 * turn) % 1.0) * width)
            v = int(((y + 0.382 * turn) % 1.0) * height)
            radius = int((0.008 + 0.02 * size) * width * min(1.0, 8 * age, 4 * (1 - age)))
            if radius < 1:
                continue
            x0, x1, y0, y1 = u - radius, u + radius + 1, v - radius, v + radius + 1
            if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
                continue
            sx0, sx1 = max(0, u - 4 * radius), min(width, u + 4 * radius + 1)
            sy0, sy1 = max(0, v - 4 * radius), min(height, v + 4 * radius + 1)
            lens = cv2.resize(image[sy0:sy1, sx0:sx1], (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)[::-1, ::-1]
            span = np.arange(-radius, radius + 1) / (radius + 0.5)
            inside = np.clip((1 - np.hypot(span[None], span[:, None])) * 2.5, 0, 1)[..., None].astype(_F)
            patch = image[y0:y1, x0:x1]
            patch[:] = (patch + (lens.astype(_F) * _F(0.94) - patch) * inside).astype(np.uint8)
