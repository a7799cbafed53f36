"""When two rectangles on the ground touch, and how far to move one to part them.

Separating axes. Knows nothing of vehicles. Rectangles are ``(4, 2)`` corners in order round the outline.
"""

from __future__ import annotations

import numpy as np

from worldmodel.types import FloatArray


def push_out(fixed: FloatArray, other: FloatArray) -> FloatArray | None:
    """The shortest move ``(2,)`` of ``other`` that parts it from ``fixed``, or None where they do not overlap."""
    best, best_depth = None, np.inf
    for corners in (fixed, other):
        for i in range(2):
            edge = corners[i + 1] - corners[i]
            axis = np.array([-edge[1], edge[0]]) / np.hypot(edge[0], edge[1])
            a, b = fixed @ axis, other @ axis
            up, down = a.max() - b.min(), b.max() - a.min()
            if up <= 0 or down <= 0:
                return None
            depth, direction = (up, axis) if up < down else (down, -axis)
            if depth < best_depth:
                best, best_depth = direction * depth, depth
    return best
