"""One picture of the world: sky, ground, scenery, vehicles, air; from a pose to ``(H, W, 3)`` uint8.

The ground and sky are shaded per pixel (``ground``, ``sky``); solid things are painted over them on a finer canvas
(``painter``). Knows nothing of how anything moves. Shapes: H, W pixels of the picture.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.air import Air
from worldmodel.reference.centreline import Centreline
from worldmodel.reference.ground import Ground
from worldmodel.reference.light import Light, colour
from worldmodel.reference.painter import Drawable, Painter, Placed, headlight_beam
from worldmodel.reference.road import Road
from worldmodel.reference.scenery import Block, Scenery
from worldmodel.reference.shadows import Shadows
from worldmodel.reference.shapes import Faces
from worldmodel.reference.sky import Sky
from worldmodel.reference.vehicles import SIZES_M, Seen, traffic_faces
from worldmodel.reference.view import View
from worldmodel.types import Camera, FloatArray, FrameArray

_F = np.float32


@dataclasses.dataclass(frozen=True)
class Shot:
    """What a picture is taken of.

    Attributes:
        pose: ``(3,)`` x_m, y_m, heading_rad of the ground point under the camera.
        s_m: its distance along the road.
        attitude: pitch and roll of the body in rad.
        time_s: since the start, for what falls.
        speed_mps: of the ego, for rain streaks.
        seen: other road users.
    """

    pose: FloatArray
    s_m: float
    attitude: tuple[float, float] = (0.0, 0.0)
    time_s: float = 0.0
    speed_mps: float = 0.0
    seen: list[Seen] = dataclasses.field(default_factory=list)


class Renderer:
    """Draws one drive's world through one camera."""

    def __init__(self, seed: int, camera: Camera, line: Centreline, road: Road, light: Light) -> None:
        self.camera = camera
        self.view = View(camera)
        self.light = light
        self.scale = 2 if camera.width_px >= 200 else 4
        self.scenery = Scenery(seed, line, road, light)
        self._ground = Ground(seed, line, road, light)
        self._sky = Sky(seed, light, road.kind, camera.fx_px)
        self._painter = Painter(self.view, light, self.scale)
        self._shadows = Shadows(self.view, light)
        self._air = Air(seed, self.view, light)
        self._joined: tuple[tuple[int, ...], Block] | None = None

    def draw(self, shot: Shot) -> FrameArray:
        """The picture ``(H, W, 3)`` of a shot."""
        height, width = self.camera.height_px, self.camera.width_px
        image = np.zeros((height, width, 3), np.uint8)
        rays = self.view.rays(shot.attitude)
        near = self._near(shot)
        self._sky.draw(rays, float(shot.pose[2]), image, min(height, rays.row0 + self._mixed_rows(rays)))
        if rays.row0 < height:
            self._draw_ground(shot, near, image)
        canvas = np.repeat(np.repeat(image, self.scale, axis=0), self.scale, axis=1)
        self._draw_things(shot, near, canvas)
        image = np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        image = self._air.glow(image)
        self._air.particles(image, shot.pose, shot.attitude, shot.time_s, shot.speed_mps)
        return image

    def _near(self, shot: Shot) -> Block:
        """All scenery in reach as one block."""
        blocks = self.scenery.blocks(shot.s_m)
        key = tuple(id(b) for b in blocks)
        if self._joined is None or self._joined[0] != key:
            faces = Faces.joined([b.faces for b in blocks])
            names = [field.name for field in dataclasses.fields(Block) if field.name != "faces"]
            whole = Block(faces, *(np.concatenate([getattr(b, name) for b in blocks]) for name in names))
            self._joined = (key, whole)
        return self._joined[1]

    def _shade(self, shot: Shot, near: Block, row0: int) -> NDArray[np.float32] | None:
        """Shadows of what stands near."""
        pose = shot.pose
        ahead = np.array([np.cos(pose[2]), np.sin(pose[2])])
        seen = [v for v in shot.seen if -12 < (np.array([v.x_m, v.y_m]) - pose[:2]) @ ahead < 140]
        if self.light.shadow > 0:
            depth = (near.plant_xy - pose[:2]) @ ahead
            plants_near = np.flatnonzero((depth > -10) & (depth < 70) & (near.plant_height_m > 1.5))
            boxes_near = np.flatnonzero((((near.box_xy.mean(1) - pose[:2]) @ ahead) < 110))
        else:
            plants_near = boxes_near = np.zeros(0, np.int64)
        return self._shadows.mask(
            pose, shot.attitude, row0, seen, near.plant_xy[plants_near], near.plant_height_m[plants_near],
            near.box_xy[boxes_near], near.box_height_m[boxes_near],
        )  # fmt: skip

    def _lamps(self, shot: Shot, near: Block) -> list[tuple[float, float, float, tuple[float, float, float]]]:
        """Where lamps are reflected by a wet road: (u, top row, rows, colour)."""
        places, tones = [], []
        for v in shot.seen:
            if v.kind == "pedestrian":
                continue
            length, width, _ = SIZES_M[v.kind]
            cos, sin = np.cos(v.heading_rad), np.sin(v.heading_rad)
            facing = cos * (v.x_m - shot.pose[0]) + sin * (v.y_m - shot.pose[1])
            end, tone = (-0.5, (150, 26, 18)) if facing > 0 else (0.5, (170, 165, 140))
            if v.braking and facing > 0:
                tone = (220, 50, 34)
            for side in (-0.4, 0.4):
                x, y = length * end, width * side
                places.append((v.x_m + cos * x - sin * y, v.y_m + sin * x + cos * y, 0.75))
                tones.append(tone)
        for lamp in near.lamps:
            places.append(tuple(lamp))
            tones.append((90, 76, 48))
        if not places:
            return []
        points = np.array(places)
        ground = self.view.to_camera(points * (1, 1, 0), shot.pose, shot.attitude)
        mirrored = self.view.to_camera(points * (1, 1, -1), shot.pose, shot.attitude)
        result = []
        for g, m, tone in zip(ground, mirrored, tones):
            if 3 < g[2] < 160:
                top, bottom = self.view.pixels(g)[1], self.view.pixels(m)[1]
                share = float(np.exp(-g[2] / self.light.haze_m)) * self.light.wet * 0.75
                result.append(
                    (
                        float(self.view.pixels(g)[0]),
                        float(top),
                        2.2 * float(bottom - top) + 3,
                        tuple(c * share for c in tone),
                    )
                )
        return result

    @staticmethod
    def _mixed_rows(rays) -> int:
        return int((rays.cover < 1).any(1).sum())

    def _draw_ground(self, shot: Shot, near: Block, image: NDArray[np.uint8]) -> None:
        rays = self.view.rays(shot.attitude)
        at = self._ground.locate(rays, shot.pose, shot.s_m)
        rgb = self._ground.colours(at)
        light = self.light
        gain = light.ground
        shade = self._shade(shot, near, rays.row0)
        if shade is not None:
            rgb *= shade[..., None]
        if light.street:
            gain = gain + (light.street * self._ground.lamp_light(at))[..., None] * colour(1.0, 0.84, 0.56)
        if light.headlight:
            down = np.full_like(rays.x_m, self.camera.height_m - 0.6)
            beam = headlight_beam(-rays.y_m, rays.x_m, down) * _F(1.25 * light.headlight)
            rgb *= gain + beam[..., None]
        else:
            rgb *= gain
        if light.headlight > 0.4:
            rgb = _F(236) * np.tanh(rgb * _F(1 / 236))
        if light.wet > 0.5:
            # A wet road mirrors the sky the more, the flatter one looks at it.
            flat = np.clip(1 - _F(self.camera.height_m) / rays.distance_m, 0, 1) ** 9
            rgb += (light.horizon * _F(0.9) - rgb) * (flat * self._ground.paved * _F(0.5 * light.wet))[..., None]
        clear = np.exp(rays.distance_m * _F(-1 / light.haze_m))[..., None]
        rgb -= light.haze
        rgb *= clear
        rgb += light.haze
        np.clip(rgb, 0, 255, out=rgb)
        if light.headlight and light.haze_m < 260:
            # Fog throws one's own headlights back.
            veil = np.exp(-((rays.y_m / (rays.x_m + 4)) ** 2) * _F(9.0)) * (
                1 - np.exp(-rays.distance_m * _F(1 / light.haze_m))
            )
            rgb += (veil * _F(60 * light.headlight))[..., None]
        if light.wet > 0.5 and light.time_of_day != "day":
            self._air.streaks(rgb, self._ground.paved, rays.row0, self._lamps(shot, near))
        mixed = self._mixed_rows(rays)
        below = image[rays.row0 :]
        if mixed:
            cover = rays.cover[:mixed, :, None]
            rgb[:mixed] = rgb[:mixed] * cover + below[:mixed] * (1 - cover)
        below[:] = rgb

    def _draw_things(self, shot: Shot, near: Block, canvas: NDArray[np.uint8]) -> None:
        faces = near.faces
        depth = self.view.to_camera(faces.centre, shot.pose, shot.attitude)[:, 2]
        fade = np.clip((depth - 330) / 100, 0, 1).astype(_F)
        seen = ((depth > -faces.radius_m) & (depth < 430))[faces.owner]
        index = np.flatnonzero(seen)
        owner = faces.owner[index]
        drawable = self._painter.project(
            faces.corners[index], faces.colour[index], faces.far_colour[index], faces.glow[index],
            faces.detail_m[index], faces.normal[index], depth[owner], shot.pose, shot.attitude, fade[owner],
        )  # fmt: skip
        drawables = [drawable]
        if shot.seen:
            drawables.append(self._project_traffic(shot))
        self._painter.paint(canvas, drawables, self._place_plants(shot, near))

    def _project_traffic(self, shot: Shot) -> Drawable:
        middles = np.array([(v.x_m, v.y_m, 0.8) for v in shot.seen])
        depth = self.view.to_camera(middles, shot.pose, shot.attitude)[:, 2]
        near = np.flatnonzero((depth > -8) & (depth < 440))
        faces = traffic_faces([shot.seen[i] for i in near], self.light)
        depth = depth[near][faces.owner]
        fade = np.clip((depth - 340) / 90, 0, 1).astype(_F)
        return self._painter.project(
            faces.corners, faces.colour, faces.colour, faces.glow, faces.detail_m, faces.normal, depth,
            shot.pose, shot.attitude, fade,
        )  # fmt: skip

    def _place_plants(self, shot: Shot, block: Block) -> Placed | None:
        feet = np.concatenate([block.plant_xy, np.zeros((len(block.plant_xy), 1))], 1)
        seen_by = self.view.to_camera(feet, shot.pose, shot.attitude)
        z = seen_by[:, 2]
        chosen = np.flatnonzero((z > 1.5) & (z < 430))
        if not len(chosen):
            return None
        fine = self.view.pixels(seen_by[chosen]) * self.scale + (self.scale - 1) / 2
        grown = np.clip((430 - z[chosen]) / 100, 0, 1)
        height = block.plant_height_m[chosen] * self.camera.fy_px * self.scale / z[chosen] * grown
        inside = (fine[:, 0] > -height) & (fine[:, 0] < self.camera.width_px * self.scale + height) & (height > 2.5)
        chosen, fine = chosen[inside], fine[inside]
        return Placed(
            z[chosen], block.plant_kind[chosen], fine[:, 0], fine[:, 1], height[inside], block.plant_mirrored[chosen]
        )
