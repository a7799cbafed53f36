"""Truth per pixel: depth, optical flow with moving vehicles, who is where; before weather and sensor.

Every surface is planar, so the inverse of its depth is affine in the pixel and three numbers per face give depth and
flow to rounding. Which face a pixel shows comes from painting labels in the picture's own order, on a finer canvas of
which the middle of each pixel is kept. A plant is square to the camera: its points keep their offset from its foot.

Shapes: H, W pixels; F faces. Flow is (right, down) in pixels from this frame to the next; NaN where the next moment
does not know the thing.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import pixel_rays
from worldmodel.reference.painter import SHIFT, Drawable, Painter, Placed
from worldmodel.reference.renderer import Renderer
from worldmodel.reference.scene import Batch, Shot
from worldmodel.reference.vehicles import Seen
from worldmodel.types import FloatArray

CLASSES = ("sky", "road", "verge", "structure", "plant", "vehicle", "person")
SKY, ROAD, VERGE, STRUCTURE, PLANT, VEHICLE, PERSON = range(len(CLASSES))
_FINE = 3
_FAR_M = 1e6


@dataclasses.dataclass(frozen=True)
class Box:
    """The visible part of a road user in one frame, in pixels, edges included."""

    number: int
    kind: str
    left: int
    top: int
    right: int
    bottom: int
    pixels: int


@dataclasses.dataclass(frozen=True)
class DenseTruth:
    """What every pixel of one frame shows.

    Attributes:
        depth_m: ``(H, W)`` float32 along the optical axis; infinite in the sky.
        ids: ``(H, W)`` int32: 0, or the number of the road user.
        classes: ``(H, W)`` uint8 indices into ``CLASSES``.
        boxes: of visible road users.
    """

    depth_m: NDArray[np.float32]
    ids: NDArray[np.int32]
    classes: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    _shot: Shot
    _plant: NDArray[np.int32]
    _feet: FloatArray
    _foot_places: FloatArray


class DenseRenderer:
    """Makes dense truth for one renderer's drive and camera."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._painter = Painter(renderer.view, renderer.light, _FINE)
        self._ray: FloatArray = pixel_rays(renderer.camera)

    def look(self, shot: Shot) -> DenseTruth:
        """Depth, ids, classes and boxes of a shot."""
        view, scene = self._renderer.view, self._renderer.scene
        batches = [b for b in (scene.standing(shot), scene.moving(shot)) if b is not None]
        drawables = [self._painter.project(b, shot.pose, shot.attitude) for b in batches]
        plants = scene.plants(shot)
        placed = self._painter.place(plants)
        labels = self._paint(drawables, placed)
        down = (self._ray @ view.rotation(shot.attitude))[..., 1]
        with np.errstate(divide="ignore"):
            depth = np.where(down > 1e-9, view.camera.height_m / down, np.inf)
        depth[depth > _FAR_M] = np.inf
        classes = self._ground_classes(shot, np.isfinite(depth))
        ids = np.zeros(depth.shape, np.int32)
        plant = np.full(depth.shape, -1, np.int32)
        count = 0
        kinds = {v.number: v.kind for v in shot.seen}
        for batch, drawable in zip(batches, drawables):
            local = labels - 1 - count
            here = (local >= 0) & (local < len(drawable.index))
            face = drawable.index[local[here]]
            depth[here] = self._face_depth(batch, face, shot, self._ray[here])
            owner = batch.owner[face]
            ids[here] = owner
            person = np.array([kinds.get(int(n)) == "pedestrian" for n in owner], dtype=bool)
            classes[here] = np.where(owner == 0, STRUCTURE, np.where(person, PERSON, VEHICLE))
            count += len(drawable.index)
        feet, places = np.zeros((0, 3)), np.zeros((0, 2))
        if plants is not None and placed is not None:
            feet, places = plants.foot[placed.index], plants.place[placed.index]
            here = labels > count
            plant[here] = labels[here] - 1 - count
            depth[here] = feet[plant[here], 2]
            classes[here] = PLANT
        return DenseTruth(depth.astype(np.float32), ids, classes, _boxes(ids, shot.seen), shot, plant, feet, places)

    def flow(self, now: DenseTruth, after: Shot) -> NDArray[np.float32]:
        """``(H, W, 2)`` flow from ``now`` to the shot ``after``."""
        view, shot = self._renderer.view, now._shot
        depth = now.depth_m.astype(np.float64)
        sky = ~np.isfinite(depth)
        # The sky moves as points so far away that only turning moves them.
        points = self._ray * np.where(sky, _FAR_M, depth)[..., None]
        world: FloatArray = _to_world(view.rotation(shot.attitude), points, shot.pose, view.camera.height_m)
        world[sky, :2] += after.pose[:2] - shot.pose[:2]
        later = {v.number: v for v in after.seen}
        for before in shot.seen:
            here = now.ids == before.number
            if here.any():
                world[here] = _carried(world[here], before, later.get(before.number))
        seen_by = view.to_camera(world, after.pose, after.attitude)
        if len(now._feet):
            here = now._plant >= 0
            which = now._plant[here]
            feet = np.concatenate([now._foot_places, np.zeros((len(now._foot_places), 1))], 1)
            moved = view.to_camera(feet, after.pose, after.attitude)
            seen_by[here] = moved[which] + (points[here] - now._feet[which])
        ahead = np.where(seen_by[..., 2:] > 0.05, seen_by[..., 2:], np.nan)
        target = view.pixels(np.concatenate([seen_by[..., :2], ahead], -1))
        start = view.pixels(self._ray)
        return (target - start).astype(np.float32)

    def _paint(self, drawables: list[Drawable], placed: Placed | None) -> NDArray[np.int32]:
        """Labels ``(H, W)``: 0 ground or sky, then faces of all drawables in turn, then plants."""
        painter = self._painter
        canvas = np.zeros(painter.size, np.int32)
        depth = [d.depth_m for d in drawables] + ([placed.depth_m] if placed is not None else [])
        points = [p for d in drawables for p in d.points]
        for i in np.argsort(-np.concatenate(depth), kind="stable").tolist():
            if i < len(points):
                cv2.fillConvexPoly(canvas, points[i], i + 1, cv2.LINE_8, SHIFT)
            elif placed is not None:
                painter.stamp(canvas, placed, i - len(points), i + 1)
        return canvas[1::_FINE, 1::_FINE].copy()

    def _face_depth(self, batch: Batch, face: NDArray[np.int64], shot: Shot, ray: FloatArray) -> FloatArray:
        """Depth of pixels with directions ``ray (N, 3)`` on the planes of faces ``face (N,)``."""
        used, inverse = np.unique(face, return_inverse=True)
        corners = self._renderer.view.to_camera(batch.corners[used], shot.pose, shot.attitude)
        normal = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
        offset = (normal * corners[:, 0]).sum(-1)
        facing = (normal[inverse] * ray).sum(-1)
        facing = np.where(np.abs(facing) > 1e-12, facing, 1e-12)
        # At a face seen edge-on the plane runs away from its outline; its own corners bound it.
        near, far = corners[..., 2].min(1), corners[..., 2].max(1)
        return np.clip(offset[inverse] / facing, np.maximum(near, 0.05)[inverse], np.maximum(far, 0.05)[inverse])

    def _ground_classes(self, shot: Shot, is_ground: NDArray[np.bool_]) -> NDArray[np.uint8]:
        rays = self._renderer.view.rays(shot.attitude)
        classes = np.full(is_ground.shape, SKY, np.uint8)
        if rays.row0 < len(classes):
            ground = self._renderer.ground
            cover = ground.cover(ground.locate(rays, shot.pose, shot.s_m))
            classes[rays.row0 :] = np.where(ground.paved_of(cover) > 0.5, ROAD, VERGE)
        classes[~is_ground] = SKY
        return classes


def _to_world(rotation: FloatArray, points: FloatArray, pose: FloatArray, height_m: float) -> FloatArray:
    """Points ``(..., 3)`` in camera axes as world points."""
    level = points @ rotation
    forward, left, up = level[..., 2], -level[..., 0], height_m - level[..., 1]
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return np.stack([pose[0] + cos * forward - sin * left, pose[1] + sin * forward + cos * left, up], -1)


def _carried(points: FloatArray, before: Seen, after: Seen | None) -> FloatArray:
    """Points fixed to a road user, moved to where it is next."""
    if after is None:
        return np.full_like(points, np.nan)
    turn = after.heading_rad - before.heading_rad
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = points[:, 0] - before.x_m, points[:, 1] - before.y_m
    return np.stack([after.x_m + cos * x - sin * y, after.y_m + sin * x + cos * y, points[:, 2]], -1)


def _boxes(ids: NDArray[np.int32], seen: list[Seen]) -> tuple[Box, ...]:
    boxes = []
    for user in seen:
        rows, columns = np.nonzero(ids == user.number)
        if len(rows):
            edges = (int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max()))
            boxes.append(Box(user.number, user.kind, *edges, len(rows)))
    return tuple(boxes)
