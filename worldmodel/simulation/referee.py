"""Says when a drive has failed where the world cannot: by the judge, once it has been sure for a while.

It is for environments, which end an episode there. Knows pixels and perception, nothing of worlds.

Shapes: R rows; H, W pixels.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.driving import sustained
from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.closed_loop import HOLD_S
from worldmodel.types import Camera, FrameArray


class Referee:
    """Watches rows of a world.

    Args:
        judge: a reader with the judge's weights.
    """

    def __init__(self, judge: StreamingReader) -> None:
        self._judge = judge
        self._recent: dict[tuple[int, str], collections.deque[float]] = {}

    def forget(self, row: int) -> None:
        """A new drive begins in row ``row``."""
        self._judge.forget(row)
        for name in HOLD_S:
            self._recent.pop((row, name), None)

    def watch(
        self, frames: FrameArray, camera: Camera, *, dt_s: float, rows: Sequence[int] | None = None
    ) -> dict[str, NDArray[np.bool_]]:
        """``collision`` and ``off_road`` ``(R,)`` of the newest frames ``(R, H, W, 3)`` of ``rows``."""
        rows = range(len(frames)) if rows is None else rows
        columns = self._judge.read(frames, camera, dt_s=dt_s, rows=rows).columns
        found = {}
        for name, hold_s in HOLD_S.items():
            failed = []
            for row, probability in zip(rows, columns[name]):
                width = max(1, round(hold_s / dt_s))
                recent = self._recent.setdefault((row, name), collections.deque(maxlen=width))
                recent.append(float(probability))
                failed.append(sustained(np.array(recent), dt_s, hold_s=hold_s)[-1])
            found[name] = np.array(failed, dtype=bool)
        return found
