"""One picture of the world: sky, ground, scenery, vehicles, air; from a pose to ``(H, W, 3)`` uint8.

The ground and sky are shaded per pixel (``ground``, ``sky``); solid things are painted over them on a finer canvas
(``painter``). Knows nothing of how anything moves. Shapes: H, W pixels of the picture.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.centreline import Centreline
from worldmodel.reference.ground import Ground
from worldmodel.reference.light import Light
from worldmodel.reference.painter import Drawable, Painter, headlight_beam
from worldmodel.reference.road import Road
from worldmodel.reference.scenery import Block, Scenery
from worldmodel.reference.shapes import Faces
from worldmodel.reference.sky import Sky
from worldmodel.reference.sprites import plants
from worldmodel.reference.vehicles import Seen, traffic_faces
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
        frame: number of the picture, for what flickers (rain, noise).
        speed_mps: of the ego, for rain streaks.
        seen: other road users.
    """

    pose: FloatArray
    s_m: float
    attitude: tuple[float, float] = (0.0, 0.0)
    frame: int = 0
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
        self._plants = plants(light)
        self._painter = Painter(self.view, light, self.scale)
        self._joined: tuple[tuple[int, ...], Faces, Block] | None = None

    def draw(self, shot: Shot) -> FrameArray:
        """The picture ``(H, W, 3)`` of a shot."""
        height, width = self.camera.height_px, self.camera.width_px
        image = np.zeros((height, width, 3), np.uint8)
        rays = self.view.rays(shot.attitude)
        self._sky.draw(rays, float(shot.pose[2]), image, min(height, rays.row0 + self._mixed_rows(rays)))
        if rays.row0 < height:
            self._draw_ground(shot, image)
        canvas = np.repeat(np.repeat(image, self.scale, axis=0), self.scale, axis=1)
        self._draw_things(shot, canvas)
        return np.asarray(cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)

    @staticmethod
    def _mixed_rows(rays) -> int:
        return int((rays.cover < 1).any(1).sum())

    def _draw_ground(self, shot: Shot, image: NDArray[np.uint8]) -> None:
        rays = self.view.rays(shot.attitude)
        at = self._ground.locate(rays, shot.pose, shot.s_m)
        rgb = self._ground.colours(at)
        light = self.light
        gain = light.ground
        if light.headlight:
            down = np.full_like(rays.x_m, self.camera.height_m - 0.6)
            beam = headlight_beam(-rays.y_m, rays.x_m, down) * _F(0.95 * light.headlight)
            rgb *= gain + beam[..., None]
        else:
            rgb *= gain
        clear = np.exp(rays.distance_m * _F(-1 / light.haze_m))[..., None]
        rgb -= light.haze
        rgb *= clear
        rgb += light.haze
        np.clip(rgb, 0, 255, out=rgb)
        mixed = self._mixed_rows(rays)
        below = image[rays.row0 :]
        if mixed:
            cover = rays.cover[:mixed, :, None]
            rgb[:mixed] = rgb[:mixed] * cover + below[:mixed] * (1 - cover)
        below[:] = rgb

    def _draw_things(self, shot: Shot, canvas: NDArray[np.uint8]) -> None:
        blocks = self.scenery.blocks(shot.s_m)
        key = tuple(id(b) for b in blocks)
        if self._joined is None or self._joined[0] != key:
            faces = Faces.joined([b.faces for b in blocks])
            whole = Block(
                faces,
                *(
                    np.concatenate([getattr(b, name) for b in blocks])
                    for name in ("plant_xy", "plant_height_m", "plant_kind", "plant_mirrored", "lamps")
                ),
            )
            self._joined = (key, faces, whole)
        _, faces, whole = self._joined
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
        self._painter.paint(canvas, drawables, self._place_plants(shot, whole))

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

    def _place_plants(self, shot: Shot, block: Block) -> list:
        if not len(block.plant_xy):
            return []
        feet = np.concatenate([block.plant_xy, np.zeros((len(block.plant_xy), 1))], 1)
        seen_by = self.view.to_camera(feet, shot.pose, shot.attitude)
        z = seen_by[:, 2]
        chosen = np.flatnonzero((z > 1.5) & (z < 430))
        if not len(chosen):
            return []
        fine = self.view.pixels(seen_by[chosen]) * self.scale + (self.scale - 1) / 2
        grown = np.clip((430 - z[chosen]) / 100, 0, 1)
        height = block.plant_height_m[chosen] * self.camera.fy_px * self.scale / z[chosen] * grown
        margin = height
        wide = canvas_width = self.camera.width_px * self.scale
        inside = (fine[:, 0] > -margin) & (fine[:, 0] < canvas_width + margin) & (height > 2)
        del wide
        return [
            (float(z[chosen[i]]), self._plants[int(block.plant_kind[chosen[i]])], float(fine[i, 0]), float(fine[i, 1]),
             float(height[i]), bool(block.plant_mirrored[chosen[i]]))
            for i in np.flatnonzero(inside)
        ]  # fmt: skip
