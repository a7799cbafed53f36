"""Batches of windows, where other road users and the road are in them, and another look of them.

Legend: B windows; T frames; H, W pixels; K boxes of a frame at most; F numbers of a box; E edges; P points of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.windows import ClipWindows
from worldmodel.training.perceiving import ClipsWithTruth
from worldmodel.training.resident import ResidentWindows


class BoxedBatch(NamedTuple):
    """A ``datasets.windows.Batch``, its boxes, the road and another look of it.

    Attributes:
        boxes: ``(B, T, K, F)`` as ``reference.boxes.COLUMNS``; NaN where there is none or none is known.
        road: ``(B, T, E, P, 2)`` a map's window about each frame (``geometry.road``); NaN where it is not known.
        other: frames in another look (``looks``), the same where none is known.
        has_other: ``(B,)`` where one is.
    """

    frames: Any
    motion: NDArray[np.float32]
    dt_s: NDArray[np.float32]
    tags: NDArray[np.int64]
    valid_mask: NDArray[np.bool_]
    camera_height_m: NDArray[np.float32]
    boxes: NDArray[np.float32]
    road: NDArray[np.float32]
    other: Any
    has_other: NDArray[np.bool_]


class WithBoxes:
    """Batch k of windows with their boxes and road, as pure a function of k as that of the windows."""

    def __init__(self, windows: ClipWindows | ResidentWindows) -> None:
        self._windows, self._truth = windows, ClipsWithTruth(windows)

    def __call__(self, k: int) -> BoxedBatch:
        """Batch k."""
        return self.at(self._windows.draw(k))

    def at(self, places: Sequence[tuple[int, int]]) -> BoxedBatch:
        """The windows at the given (stretch, first frame)."""
        batch = self._windows.gather(places)
        truth = self._truth.boxes_at(places), self._truth.road_at(places)
        return BoxedBatch(*batch, *truth, *self._truth.other_at(places, batch.frames))
