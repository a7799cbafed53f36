"""One picture of the world: sky, ground, scenery, vehicles, air; from a shot to ``(H, W, 3)`` uint8.

The ground and sky are shaded per pixel (``ground``, ``sky``); solid things are painted over them on a finer canvas
(``painter``). Knows nothing of how anything moves. Shapes: H, W pixels of the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.air import Air
from worldmodel.reference.centreline import Centreline
from worldmodel.reference.ground import Ground
from worldmodel.reference.lamps import reflections
from worldmodel.reference.light import Light, colour, headlight_beam
from worldmodel.reference.painter import Painter
from worldmodel.reference.road import Road
from worldmodel.reference.scene import Scene, Shot
from worldmodel.reference.scenery import Block
from worldmodel.reference.shadows import Shadows
from worldmodel.reference.sky import Sky
from worldmodel.reference.view import Rays, View
from worldmodel.types import Camera, FrameArray

_F = np.float32


class Renderer:
    """Draws one drive's world through one camera."""

    def __init__(self, seed: int, camera: Camera, line: Centreline, road: Road, light: Light) -> None:
        self.camera, self.light = camera, light
        self.view = View(camera)
        self.scene = Scene(seed, self.view, line, road, light)
        self.ground = Ground(seed, line, road, light)
        self.painter = Painter(self.view, light, 2 if camera.width_px >= 200 else 4)
        self._sky = Sky(seed, light, road.kind, camera.fx_px)
        self._shadows = Shadows(self.view, light)
        self._air = Air(seed, self.view, light)

    def draw(self, shot: Shot) -> FrameArray:
        """The picture ``(H, W, 3)`` of a shot."""
        height, width = self.camera.height_px, self.camera.width_px
        image = np.zeros((height, width, 3), np.uint8)
        rays = self.view.rays(shot.attitude)
        mixed = rays.mixed_rows
        self._sky.draw(rays, float(shot.pose[2]), image, min(height, rays.row0 + mixed))
        if rays.row0 < height:
            self._draw_ground(shot, rays, mixed, image)
        scale = self.painter.scale
        fine = (width * scale, height * scale)
        canvas = np.asarray(cv2.resize(image, fine, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        drawables = [self.painter.project(self.scene.standing(shot), shot.pose, shot.attitude)]
        moving = self.scene.moving(shot)
        if moving is not None:
            drawables.append(self.painter.project(moving, shot.pose, shot.attitude))
        self.painter.paint(canvas, drawables, self.painter.place(self.scene.plants(shot)))
        image = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        image = self._air.glow(image)
        self._air.particles(image, shot.pose, shot.attitude, shot.time_s, shot.speed_mps)
        return image

    def _draw_ground(self, shot: Shot, rays: Rays, mixed: int, image: NDArray[np.uint8]) -> None:
        light, ground = self.light, self.ground
        at = ground.locate(rays, shot.pose, shot.s_m)
        rgb = ground.colours(at)
        near = self.scene.near(shot.s_m)
        gain = light.ground[:, None, None]
        shade = self._shade(shot, near, rays.row0)
        if shade is not None:
            rgb *= shade
        if light.street:
            gain = gain + (light.street * ground.lamp_light(at)) * colour(1.0, 0.84, 0.56)[:, None, None]
        if light.headlight:
            down = np.full_like(rays.x_m, self.camera.height_m - 0.6)
            beam = headlight_beam(-rays.y_m, rays.x_m, down) * _F(1.25 * light.headlight)
            gain = gain + rays.spread(beam)
        rgb *= gain
        if light.headlight > 0.4:
            rgb = _F(236) * np.tanh(rgb * _F(1 / 236))
        if ground.paved is not None:
            # A wet road mirrors the sky the more, the flatter one looks at it.
            flat = rays.spread(np.clip(1 - _F(self.camera.height_m) / rays.distance_m, 0, 1) ** 9)
            rgb += (light.horizon[:, None, None] * _F(0.9) - rgb) * (flat * ground.paved * _F(0.5 * light.wet))
        clear = rays.spread(np.exp(rays.distance_m * _F(-1 / light.haze_m)))
        for channel, haze in zip(rgb, light.haze.tolist()):
            channel -= _F(haze)
            channel *= clear
            channel += _F(haze)
        if light.headlight and light.haze_m < 260:
            # Fog throws one's own headlights back.
            veil = rays.spread(np.exp(-((rays.y_m / (rays.x_m + 4)) ** 2) * _F(9.0))) * (1 - clear)
            rgb += veil * _F(60 * light.headlight)
        if ground.paved is not None and light.time_of_day != "day":
            self._air.streaks(rgb, ground.paved, rays.row0, reflections(self.view, light, shot, near.lamps))
        np.clip(rgb, 0, 255, out=rgb)
        below = image[rays.row0 :]
        if mixed:
            cover = rays.ground[:mixed]
            rgb[:, :mixed] = rgb[:, :mixed] * cover + below[:mixed].transpose(2, 0, 1) * (1 - cover)
        below[:] = cv2.merge(list(rgb.astype(np.uint8)))

    def _shade(self, shot: Shot, near: Block, row0: int) -> NDArray[np.float32] | None:
        """Shadows of what stands near."""
        pose = shot.pose
        ahead = np.array([np.cos(pose[2]), np.sin(pose[2])])
        seen = [v for v in shot.seen if -12 < (np.array([v.x_m, v.y_m]) - pose[:2]) @ ahead < 140]
        plants = boxes = np.zeros(0, np.int64)
        if self.light.shadow > 0:
            depth = (near.plant_xy - pose[:2]) @ ahead
            plants = np.flatnonzero((depth > -10) & (depth < 55) & (near.plant_height_m > 1.5))
            boxes = np.flatnonzero((near.box_xy.mean(1) - pose[:2]) @ ahead < 110)
        return self._shadows.mask(
            pose, shot.attitude, row0, seen, near.plant_xy[plants], near.plant_height_m[plants],
            near.box_xy[boxes], near.box_height_m[boxes],
        )  # fmt: skip
