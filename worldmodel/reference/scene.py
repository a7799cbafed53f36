"""What a camera could see at one moment: faces of scenery and traffic, and plants, with their depth.

The picture (``renderer``) and the dense truth (``dense``) are both made from this, so they agree on what is where.
Things fade into the haze before they end. Knows nothing of pixels' colours.
Shapes: F faces, P plants.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.centreline import Centreline
from worldmodel.reference.light import Light
from worldmodel.reference.road import Road
from worldmodel.reference.scenery import Block, Scenery
from worldmodel.reference.shapes import Faces
from worldmodel.reference.vehicles import Seen, traffic_faces
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

#: Nothing is drawn farther away; the last ``FADE_M`` before it things melt into the haze, plants grow out of it.
END_M, FADE_M = 430.0, 100.0
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
    yaw_rate_radps: float = 0.0
    seen: list[Seen] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Batch:
    """Faces in reach.

    Attributes:
        corners: ``(F, 4, 3)`` world; colour, far_colour ``(F, 3)``; glow, detail_m, fade ``(F,)``.
        depth_m: ``(F,)`` of the object each belongs to, for painting far to near.
        owner: ``(F,)`` 0 for scenery, else the road user's number.
    """

    corners: FloatArray
    colour: NDArray[np.float32]
    far_colour: NDArray[np.float32]
    glow: NDArray[np.float32]
    detail_m: NDArray[np.float32]
    fade: NDArray[np.float32]
    depth_m: FloatArray
    owner: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Plants:
    """Plants in reach.

    Attributes:
        foot: ``(P, 3)`` in camera axes; height_m, kind, mirrored ``(P,)``.
        place: ``(P, 2)`` in the world, their identity.
    """

    foot: FloatArray
    height_m: FloatArray
    kind: NDArray[np.int64]
    mirrored: NDArray[np.bool_]
    place: FloatArray


class Scene:
    """Gathers what there is to see in one drive."""

    def __init__(self, seed: int, view: View, line: Centreline, road: Road, light: Light) -> None:
        self.view, self.light = view, light
        self.scenery = Scenery(seed, line, road, light)
        self._joined: tuple[tuple[int, ...], Block] | None = None

    def near(self, s_m: float) -> Block:
        """All scenery in reach of a place on the road, as one block."""
        blocks = self.scenery.blocks(s_m)
        key = tuple(id(b) for b in blocks)
        if self._joined is None or self._joined[0] != key:
            faces = Faces.joined([b.faces for b in blocks])
            names = [field.name for field in dataclasses.fields(Block) if field.name != "faces"]
            whole = Block(faces, *(np.concatenate([getattr(b, name) for b in blocks]) for name in names))
            self._joined = (key, whole)
        return self._joined[1]

    def standing(self, shot: Shot) -> Batch:
        """Faces of scenery."""
        faces = self.near(shot.s_m).faces
        depth = self.view.to_camera(faces.centre, shot.pose, shot.attitude)[:, 2]
        eye = np.array([shot.pose[0], shot.pose[1], self.view.camera.height_m])
        facing = ((eye - faces.corners[:, 0]) * faces.normal).sum(1) > 0
        # Details of things far away would be dropped by the painter anyhow: it wants 1.6 fine pixels.
        reach = np.maximum(depth - 2 * faces.radius_m, 0.5) / (2 * self.view.camera.fx_px)
        large = (faces.detail_m == 0) | (faces.detail_m > reach[faces.owner])
        index = np.flatnonzero(((depth > -faces.radius_m) & (depth < END_M))[faces.owner] & facing & large)
        owner = faces.owner[index]
        fade = np.clip((depth - (END_M - FADE_M)) / FADE_M, 0, 1).astype(_F)
        return Batch(
            faces.corners[index], faces.colour[index], faces.far_colour[index], faces.glow[index],
            faces.detail_m[index], fade[owner], depth[owner], np.zeros(len(index), np.int64),
        )  # fmt: skip

    def moving(self, shot: Shot) -> Batch | None:
        """Faces of road users."""
        if not shot.seen:
            return None
        middles = np.array([(v.x_m, v.y_m, 0.8) for v in shot.seen])
        depth = self.view.to_camera(middles, shot.pose, shot.attitude)[:, 2]
        near = np.flatnonzero((depth > -8) & (depth < END_M + 10))
        if not len(near):
            return None
        # Beyond this, details of up to 0.5 m are too small to be drawn.
        plain = (depth[near] > 0.5 * 2 * self.view.camera.fx_px).tolist()
        faces = traffic_faces([shot.seen[i] for i in near], self.light, plain)
        depth = depth[near][faces.owner]
        fade = np.clip((depth - (END_M - FADE_M + 10)) / (FADE_M - 10), 0, 1).astype(_F)
        numbers = np.array([shot.seen[i].number for i in near])
        return Batch(
            faces.corners, faces.colour, faces.colour, faces.glow, faces.detail_m, fade, depth, numbers[faces.owner]
        )

    def plants(self, shot: Shot) -> Plants | None:
        """Plants, grown small near the end of sight."""
        block = self.near(shot.s_m)
        feet = np.concatenate([block.plant_xy, np.zeros((len(block.plant_xy), 1))], 1)
        foot = self.view.to_camera(feet, shot.pose, shot.attitude)
        z = foot[:, 2]
        chosen = np.flatnonzero((z > 1.5) & (z < END_M))
        if not len(chosen):
            return None
        height = block.plant_height_m[chosen] * np.clip((END_M - z[chosen]) / FADE_M, 0, 1)
        return Plants(
            foot[chosen], height, block.plant_kind[chosen], block.plant_mirrored[chosen], block.plant_xy[chosen]
        )
