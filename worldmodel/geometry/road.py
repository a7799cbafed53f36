"""The road as a map tells it: the edges of the lanes that lead the ego's way, as points on the ground.

A map is ``(2, P, 2)``: the left and the right edge, P points each ``SPACING_M`` apart along the road, x_m forwards and
y_m left, in the axes of some pose of the ego. A point that is not known is NaN. What a frame is told of it is the
``window`` about the ego. Knows nothing of where a map comes from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import PoseArray, advance, between, compose
from worldmodel.types import EgoMotion, FloatArray

#: Along the road, from one point of a map to the next.
SPACING_M = 4.0
#: Points of a window behind the ego, and in all: 148 m ahead lie within three pixels of the horizon.
BEHIND, POINTS = 3, 41
BEHIND_M, AHEAD_M = SPACING_M * BEHIND, SPACING_M * (POINTS - BEHIND)
#: So far reaches the map that a drive begins with where the whole road is known.
MAP_M = 5000.0


def seen_from(points_m: NDArray[np.floating], pose: PoseArray) -> NDArray[np.float64]:
    """Points ``(..., 2)`` in the axes of one pose ``(3,)`` that is given in theirs."""
    x, y, heading = (float(value) for value in pose)
    ahead = np.asarray(points_m, dtype=np.float64) - (x, y)
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([cos * ahead[..., 0] + sin * ahead[..., 1], cos * ahead[..., 1] - sin * ahead[..., 0]], axis=-1)


def window(road_m: NDArray[np.floating], pose: PoseArray) -> NDArray[np.float32]:
    """The part ``(2, POINTS, 2)`` of a map about a pose ``(3,)``, in its axes; NaN where the map does not reach.

    Nothing of it is seen from a pose that is not known.
    """
    nothing = np.full((2, POINTS, 2), np.nan, np.float32)
    middle = np.asarray(road_m, dtype=np.float64).mean(axis=0)
    distance_m = np.hypot(*(middle - np.asarray(pose)[:2]).T)
    if not np.isfinite(distance_m).any():
        return nothing
    first = int(np.nanargmin(distance_m)) - BEHIND
    begin, end = max(first, 0), min(first + POINTS, len(middle))
    nothing[:, begin - first : end - first] = seen_from(road_m[:, begin:end], pose)
    return nothing


def along(road_m: NDArray[np.floating], motion: EgoMotion, t_s: FloatArray) -> NDArray[np.float32]:
    """A map in the axes of the last of T frames, as each of them sees it, ``(T, 2, P, 2)``.

    ``motion`` is ``(T,)``; where a frame's way to the last is not known, neither is the road.
    """
    pose, seen = np.zeros(3), [seen_from(road_m, np.zeros(3))]
    for t in range(len(t_s) - 2, -1, -1):
        step = advance(np.zeros(3), motion[t], float(t_s[t + 1] - t_s[t]))
        pose = compose(pose, between(step, np.zeros(3)))
        seen.append(seen_from(road_m, pose))
    return np.stack(seen[::-1]).astype(np.float32)
