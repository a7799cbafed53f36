"""Boxes of the road users a picture shows, from their 3-D bodies alone: a hundredth of what truth per pixel costs.

Every corner of a body's faces is projected with the pose and attitude of the picture; the box is around those, clipped
to the picture. Nearer road users hide farther ones; houses and trees are taken as transparent. Whoever is too far, too
small, lost in the haze or mostly hidden has no box. Knows nothing of time or of files.

Shapes: K boxes; F faces; P points.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.painter import NEAR_M
from worldmodel.reference.scene import Shot
from worldmodel.reference.vehicles import KINDS, Seen, template
from worldmodel.reference.view import View
from worldmodel.types import FloatArray

#: Boxes of a frame at most, and what each row says. Edges are in pixels, pixel i from i to i + 1; ``distance_m`` is to
#: the nearest point in front of the camera, along its optical axis; ``kind`` indexes ``vehicles.KINDS``; ``ahead`` is 1
#: for whom ``gap_m`` is measured to, else 0.
MOST = 12
COLUMNS = ("left_px", "top_px", "right_px", "bottom_px", "distance_m", "number", "kind", "ahead")
#: Nobody beyond this has a box, nor who is smaller both ways than so many pixels of a 256 pixels wide picture.
FAR_M, SMALL_PX, _THIN_PX = 90.0, 4.0, 1.5
#: Contrast that is left in the haze at the end of sight (Koschmieder's law with the usual threshold).
_LEAST_CONTRAST = 0.05
#: Share of a box that nearer road users may hide.
HIDDEN_SHARE = 0.6


def road_user_boxes(view: View, shot: Shot, *, haze_m: float = math.inf, ahead: int = 0) -> NDArray[np.float32]:
    """``(K, 8)`` rows of ``COLUMNS``, nearest first, NaN after the last.

    Args:
        view: of the picture.
        shot: what it is taken of.
        haze_m: distance at which 63 % of the contrast is lost.
        ahead: number of the road user that ``gap_m`` is measured to; 0 for nobody.
    """
    rows = np.full((MOST, len(COLUMNS)), np.nan, np.float32)
    reach = min(FAR_M, -math.log(_LEAST_CONTRAST) * haze_m)
    found = []
    for user in _in_reach(view, shot, reach):
        box = _box(view, shot, user)
        if box is not None and box[4] <= reach:
            found.append((*box, user.number, KINDS.index(user.kind), user.number == ahead))
    size = view.camera.width_px / 256
    painted = np.zeros((view.camera.height_px, view.camera.width_px), bool)
    kept = 0
    for row in sorted(found, key=lambda row: row[4]):
        left, top, right, bottom = row[:4]
        place = painted[int(top) : math.ceil(bottom), int(left) : math.ceil(right)]
        hidden = float(place.mean())
        place[:] = True
        wide, high = right - left, bottom - top
        if hidden > HIDDEN_SHARE or max(wide, high) < SMALL_PX * size or min(wide, high) < _THIN_PX * size:
            continue
        if kept < MOST:
            rows[kept] = row
            kept += 1
    return rows


def _in_reach(view: View, shot: Shot, reach_m: float) -> list[Seen]:
    if not shot.seen:
        return []
    middles = np.array([(v.x_m, v.y_m, 0.8) for v in shot.seen])
    depth = view.to_camera(middles, shot.pose, shot.attitude)[:, 2]
    # Half the longest body behind the camera may still show its front, and beyond reach its rear.
    return [user for user, z in zip(shot.seen, depth) if -8.0 < z < reach_m + 8.0]


def _box(view: View, shot: Shot, user: Seen) -> tuple[float, float, float, float, float] | None:
    """Edges in pixels, clipped to the picture, and distance; None where nothing is in it."""
    cos, sin = math.cos(user.heading_rad), math.sin(user.heading_rad)
    turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    points = view.to_camera(_points(user.kind) @ turn + (user.x_m, user.y_m, 0.0), shot.pose, shot.attitude)
    if points[:, 2].min() < NEAR_M:
        corners = view.to_camera(
            template(user.kind).corners @ turn + (user.x_m, user.y_m, 0.0), shot.pose, shot.attitude
        )
        points = _in_front(corners)
        if not len(points):
            return None
    places = view.pixels(points) + 0.5
    width, height = view.camera.width_px, view.camera.height_px
    left, top = np.clip(places.min(0), 0, (width, height)).tolist()
    right, bottom = np.clip(places.max(0), 0, (width, height)).tolist()
    if right <= left or bottom <= top:
        return None
    return left, top, right, bottom, float(points[:, 2].min())


@functools.cache
def _points(kind: str) -> FloatArray:
    """``(P, 3)`` different corners of the faces of a kind."""
    return np.unique(template(kind).corners.reshape(-1, 3), axis=0)


def _in_front(corners: FloatArray) -> FloatArray:
    """Corners ``(F, 4, 3)`` in camera axes that lie before the near plane, and where edges cross it: ``(P, 3)``."""
    ends = np.roll(corners, -1, axis=1)
    here, there = corners[..., 2], ends[..., 2]
    crossing = (here < NEAR_M) != (there < NEAR_M)
    a, b = corners[crossing], ends[crossing]
    share = (NEAR_M - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
    return np.concatenate([corners[here >= NEAR_M], a + share * (b - a)])
