"""Batches of windows, and where other road users are in them.

Legend: B windows; T frames; H, W pixels; K boxes of a frame at most; F numbers of a box.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.windows import ClipWindows
from worldmodel.training.perceiving import ClipsWithTruth
from worldmodel.training.resident import ResidentWindows


class BoxedBatch(NamedTuple):
    """A ``datasets.windows.Batch`` and its boxes.

    Attributes:
        boxes: ``(B, T, K, F)`` as ``reference.boxes.COLUMNS``; NaN where there is none or none is known.
    """

    frames: Any
    motion: NDArray[np.float32]
    dt_s: NDArray[np.float32]
    tags: NDArray[np.int64]
    valid_mask: NDArray[np.bool_]
    camera_height_m: NDArray[np.float32]
    boxes: NDArray[np.float32]


class WithBoxes:
    """Batch k of windows with their boxes, as pure a function of k as that of the windows."""

    def __init__(self, windows: ClipWindows | ResidentWindows) -> None:
        self._windows, self._truth = windows, ClipsWithTruth(windows)

    def __call__(self, k: int) -> BoxedBatch:
        """Batch k."""
        places = self._windows.draw(k)
        return BoxedBatch(*self._windows.gather(places), self._truth.boxes_at(places))
