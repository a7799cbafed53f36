"""Where the road lies about the rows of a running world: a map of each, where there is one, and where on it the ego is.

A map stands still on the ground while the ego moves by what it is told, so the road does not follow whoever drives.
Where a map ends, or once a motion was not known, the world goes on without. Values are never changed, so a snapshot
may keep them.
Shapes: B rows; P points of a map, K of its window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import advance
from worldmodel.geometry.road import POINTS, window
from worldmodel.types import EgoMotion


@dataclasses.dataclass(frozen=True)
class Roads:
    """Maps ``(2, P, 2)`` of rows, or ``None``, and the egos' poses ``(B, 3)`` in the axes of each."""

    maps: tuple[NDArray[np.float32] | None, ...]
    poses: NDArray[np.float64]

    @classmethod
    def unknown(cls, rows: int) -> Roads:
        """Of rows without a map."""
        return cls((None,) * rows, np.zeros((rows, 3)))

    @classmethod
    def joined(cls, several: Sequence[Roads]) -> Roads:
        """Rows one after the other."""
        maps = tuple(x for roads in several for x in roads.maps)
        return cls(maps, np.concatenate([roads.poses for roads in several]))

    def of_rows(self, rows: Sequence[int]) -> Roads:
        """Of these rows, each as often as it is named."""
        return Roads(tuple(self.maps[i] for i in rows), self.poses[list(rows)])

    def replaced(self, row: int, road_m: NDArray[np.float32] | None, pose: NDArray[np.float64] | None = None) -> Roads:
        """One row on another map; at its own axes unless a pose is given."""
        poses = self.poses.copy()
        poses[row] = 0.0 if pose is None else pose
        return Roads((*self.maps[:row], road_m, *self.maps[row + 1 :]), poses)

    def moved(self, motion: EgoMotion, dt_s: float) -> Roads:
        """After a motion ``(B,)``."""
        return Roads(self.maps, advance(self.poses, motion, dt_s))

    def known(self) -> bool:
        """Whether any row has a map."""
        return any(road is not None for road in self.maps)

    def windows(self) -> NDArray[np.float32]:
        """What lies about each ego ``(B, 2, K, 2)``, in its axes; NaN where it is not known."""
        nowhere = np.full((2, POINTS, 2), np.nan, np.float32)
        return np.stack([nowhere if road is None else window(road, pose) for road, pose in zip(self.maps, self.poses)])
