"""Boxes as a reader gives them, and the gap to who is in the ego's way, told from them and from the network's own word.

The way is the road's course through the ego: its heading against the road and the road's curvature, as they were read.
Knows a level camera and numbers, nothing of networks.

Shapes: T frames; K boxes of a frame at most.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldmodel.types import Camera, FloatArray

#: The ego's front bumper is this far before its camera, its side this far from the middle; those of the cars learned
#: from. Who overlaps the ego's width and this much more is in its way.
NOSE_M, _SIDE_M, _MORE_M = 1.9, 0.93, 0.2
#: Gaps are at least this, as bumpers that touch have no logarithm.
_LEAST_GAP_M = 0.5
#: Who is in the way is looked for among boxes at least so sure, and is there from this probability on.
_SURE, _IN_WAY = 0.2, 0.5
#: A box's own width says how wide a user is, between that of a motorcycle and that of a truck (seen from the side it is
#: wider than that).
_WIDTHS_M = (0.6, 2.5)
#: Error of a place aside: so much, and this share of how far aside it is.
_ASIDE_M, _ASIDE_SHARE = 0.3, 0.1
#: Two readings of a gap that differ by more than this factor are of two users.
_OTHER = 1.4


@dataclasses.dataclass(frozen=True)
class BoxReadings:
    """Other road users in T frames, at most K each, the surest first, NaN after the last.

    Attributes:
        edges_px: ``(T, K, 4)`` left, top, right, bottom in pixels of the frames; pixel i is from i to i + 1.
        score: ``(T, K)`` from 0 to 1; half is a good place to draw a line.
        distance_m: ``(T, K)`` from the camera to the nearest point, along its axis.
        distance_scale: ``(T, K)`` of its error, relative (Laplace).
        gap_m: ``(T,)`` to the nearest box in the ego's way, bumper to bumper; NaN where there is none.
        gap_scale: ``(T,)`` of its error, relative.
    """

    edges_px: FloatArray
    score: FloatArray
    distance_m: FloatArray
    distance_scale: FloatArray
    gap_m: FloatArray
    gap_scale: FloatArray


@dataclasses.dataclass(frozen=True)
class Way:
    """The road's course through the ego as it was read, ``(T,)`` each, and the scales of the errors."""

    heading_error_rad: FloatArray
    curvature_1pm: FloatArray
    heading_scale_rad: FloatArray
    curvature_scale_1pm: FloatArray


def in_way(edges_px: FloatArray, distance_m: FloatArray, way: Way, camera: Camera) -> FloatArray:
    """``(T, K)`` how likely each box ``(T, K, 4)`` at ``distance_m`` is in the ego's way; NaN where there is none.

    The place aside of a box is compared with the way's at its distance; the error of the comparison is that of the
    place, the heading and the curvature together.
    """
    left, right = edges_px[..., 0], edges_px[..., 2]
    aside_m = (camera.cx_px + 0.5 - (left + right) / 2) / camera.fx_px * distance_m
    width_m = np.clip((right - left) / camera.fx_px * distance_m, *_WIDTHS_M)
    heading, curvature, heading_scale, curvature_scale = (
        column[:, None]
        for column in (way.heading_error_rad, way.curvature_1pm, way.heading_scale_rad, way.curvature_scale_1pm)
    )
    way_m = -heading * distance_m + curvature * distance_m**2 / 2
    error_m = np.sqrt(
        _ASIDE_M**2
        + (_ASIDE_SHARE * aside_m) ** 2
        + (heading_scale * distance_m) ** 2
        + (curvature_scale * distance_m**2 / 2) ** 2
    )
    margin_m = width_m / 2 + _SIDE_M + _MORE_M - np.abs(aside_m - way_m)
    # A logistic curve is a normal one to a hundredth when it is 1.7 times as steep.
    return 1 / (1 + np.exp(np.clip(-1.7 * margin_m / error_m, -50, 50)))


def read_boxes(
    edges_px: FloatArray, score: FloatArray, distance_m: FloatArray, scale: FloatArray, way: Way, camera: Camera
) -> BoxReadings:
    """Boxes ``(T, K, 4)`` in pixels of the frames, with scores, distances and their scales ``(T, K)``, and the gap."""
    likely = np.where(score >= _SURE, np.nan_to_num(in_way(edges_px, distance_m, way, camera)), 0.0)
    ahead_m = np.where(likely > _IN_WAY, distance_m, np.inf)
    nearest = ahead_m.argmin(axis=1)[:, None]
    there_m, there_scale = (np.take_along_axis(x, nearest, axis=1)[:, 0] for x in (ahead_m, scale))
    gap_m = np.where(np.isfinite(there_m), np.maximum(there_m - NOSE_M, _LEAST_GAP_M), np.nan)
    return BoxReadings(edges_px, score, distance_m, scale, gap_m, there_scale * there_m / gap_m)


def best_gap(own_m: FloatArray, own_scale: FloatArray, boxes: BoxReadings) -> tuple[FloatArray, FloatArray]:
    """The gap ``(T,)`` of both readings and its scale; NaN where the network's own finds nobody.

    Where they are of the same user, each counts by the inverse square of its scale; where they cannot be, the nearer
    is who is ahead. Both come from one picture and err alike, so that two of them are no surer than one.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.nan_to_num(boxes.gap_scale**-2 / (own_scale**-2 + boxes.gap_scale**-2))
        apart = boxes.gap_m / own_m
        share = np.where(apart < 1 / _OTHER, 1.0, np.where(apart > _OTHER, 0.0, share))
        theirs = np.log(np.where(share > 0, boxes.gap_m, 1.0))
        gap_m = np.exp((1 - share) * np.log(own_m) + share * theirs)
    return gap_m, (1 - share) * own_scale + share * np.nan_to_num(boxes.gap_scale)
