"""The road's centre line: flat, endless, wound by arc length, with its projection remembered.

The heading is a bounded sum of sines of the distance s, so the road winds without ever meeting itself; positions are
its integral, tabulated every ``STEP_M`` and extended as the drive goes on (in blocks, so that values never depend on
when they were asked for). Road coordinates are (s, d): distance along the line, offset from it, left positive.

Knows nothing of lanes or of pictures. Shapes: N points; S table entries.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldmodel.reference.streams import stream
from worldmodel.types import FloatArray

STEP_M = 0.5
#: The line begins this far behind the drive's start, so that there is something behind the ego.
BEGIN_M = -600.0
_BLOCK = 4096
_CELL_M = 8.0
_HALF_CELLS = 40

#: Per road kind: wavelengths of the sines, tightest radius range, largest total swing of the heading.
_WINDING = {
    "motorway": ((700.0, 2600.0), (420.0, 1500.0), 0.7),
    "country": ((140.0, 900.0), (60.0, 260.0), 1.15),
    "town": ((130.0, 700.0), (60.0, 300.0), 0.9),
}


@dataclasses.dataclass(frozen=True)
class LineTable:
    """The centre line at equal steps from ``BEGIN_M``; every array ``(S,)`` float64."""

    x_m: FloatArray
    y_m: FloatArray
    heading_rad: FloatArray
    curvature_1pm: FloatArray


class Centreline:
    """An endless winding line and the map between ground (x, y) and road coordinates (s, d)."""

    def __init__(self, seed: int, road_kind: str) -> None:
        rng = stream(seed, "centreline", road_kind)
        wavelengths, radii, swing_rad = _WINDING[road_kind]
        n = 4
        self._k_1pm = 2 * np.pi / np.exp(rng.uniform(np.log(wavelengths[0]), np.log(wavelengths[1]), n))
        radius_m = np.exp(rng.uniform(np.log(radii[0]), np.log(radii[1])))
        share = rng.dirichlet(np.full(n, 1.2))
        amplitude = share / radius_m / self._k_1pm
        self._amplitude_rad = amplitude * min(1.0, swing_rad / amplitude.sum())
        self._phase_rad = rng.uniform(0, 2 * np.pi, n)
        self._waves = list(zip(*(v.tolist() for v in (self._amplitude_rad, self._k_1pm, self._phase_rad))))
        start = self._block(0, np.zeros(2))
        self.table = LineTable(*start)
        self._lists: tuple[list[float], ...] = ()
        self._guess: list[FloatArray] = []
        self._guess_y0: list[float] = []
        self.guess_x0_m = float(self.table.x_m[0])
        self.guess: NDArray[np.float32] = np.zeros((0, 2 * _HALF_CELLS), np.float32)
        self.guess_y0_m: NDArray[np.float32] = np.zeros(0, np.float32)
        self.reach(500.0)

    def heading_at(self, s_m: ArrayLike) -> NDArray[np.float64]:
        """Heading in rad at distance ``s_m (...)``."""
        angle = np.asarray(s_m, dtype=np.float64)[..., None] * self._k_1pm + self._phase_rad
        return (self._amplitude_rad * np.sin(angle)).sum(-1)

    def curvature_at(self, s_m: ArrayLike) -> NDArray[np.float64]:
        """Curvature in 1/m at distance ``s_m (...)``, left positive."""
        angle = np.asarray(s_m, dtype=np.float64)[..., None] * self._k_1pm + self._phase_rad
        return (self._amplitude_rad * self._k_1pm * np.cos(angle)).sum(-1)

    def heading_scalar(self, s_m: float) -> float:
        """``heading_at`` for one number, faster."""
        total = 0.0
        for a, k, p in self._waves:
            total += a * math.sin(k * s_m + p)
        return total

    def curvature_scalar(self, s_m: float) -> float:
        """``curvature_at`` for one number, faster."""
        total = 0.0
        for a, k, p in self._waves:
            total += a * k * math.cos(k * s_m + p)
        return total

    def track(self, x_m: float, y_m: float, near_s_m: float) -> tuple[float, float]:
        """Road coordinates (s, d) of one ground point that lies near ``near_s_m``."""
        s, d = near_s_m, 0.0
        xs, ys, headings, curvatures = self._lists
        last = len(xs) - 1
        for _ in range(3):
            index = min(max(round((s - BEGIN_M) / STEP_M), 0), last)
            rest = s - (BEGIN_M + STEP_M * index)
            # Within a quarter of a metre of a table entry the line is a parabola to far below a micrometre.
            heading, curvature = headings[index], curvatures[index]
            direction = heading + 0.5 * rest * curvature
            heading += rest * curvature
            dx = x_m - xs[index] - rest * math.cos(direction)
            dy = y_m - ys[index] - rest * math.sin(direction)
            cos, sin = math.cos(heading), math.sin(heading)
            d = dy * cos - dx * sin
            s += (dx * cos + dy * sin) / max(1 - curvature * d, 0.3)
        return s, d

    def nearest(self, x_m: float, y_m: float) -> tuple[float, float]:
        """``project`` of one ground point, faster."""
        column = min(max(int((x_m - self.guess_x0_m) / _CELL_M), 0), len(self._guess_y0) - 1)
        row = min(max(int((y_m - self._guess_y0[column]) / _CELL_M), 0), 2 * _HALF_CELLS - 1)
        return self.track(x_m, y_m, float(self.guess[column, row]))

    def point(self, s_m: float, d_m: float) -> tuple[float, float, float]:
        """``position`` of one place, faster: x_m, y_m, heading_rad."""
        xs, ys, headings, curvatures = self._lists
        index = min(max(round((s_m - BEGIN_M) / STEP_M), 0), len(xs) - 1)
        rest = s_m - (BEGIN_M + STEP_M * index)
        direction = headings[index] + 0.5 * rest * curvatures[index]
        heading = headings[index] + rest * curvatures[index]
        x, y = xs[index] + rest * math.cos(direction), ys[index] + rest * math.sin(direction)
        return x - d_m * math.sin(heading), y + d_m * math.cos(heading), heading

    def _block(self, index: int, start: FloatArray) -> list[FloatArray]:
        s = BEGIN_M + STEP_M * np.arange(index * _BLOCK, (index + 1) * _BLOCK)
        middle = self.heading_at(s + STEP_M / 2)
        # Midpoint rule with the chord of a short arc: errors are far below a millimetre per kilometre.
        x = start[0] + STEP_M * np.concatenate([[0.0], np.cumsum(np.cos(middle))])
        y = start[1] + STEP_M * np.concatenate([[0.0], np.cumsum(np.sin(middle))])
        self._next = np.array([x[-1], y[-1]])
        return [x[:-1], y[:-1], self.heading_at(s), self.curvature_at(s)]

    @property
    def end_m(self) -> float:
        """Distance up to which the tables reach now."""
        return BEGIN_M + STEP_M * (len(self.table.x_m) - 1)

    def reach(self, s_m: float) -> None:
        """Extend the tables so that everything up to ``s_m`` and 1200 m beyond can be looked up."""
        while self.end_m < s_m + 1200.0:
            block = self._block(len(self.table.x_m) // _BLOCK, self._next)
            old = self.table
            self.table = LineTable(
                *(np.concatenate([a, b]) for a, b in zip((old.x_m, old.y_m, old.heading_rad, old.curvature_1pm), block))
            )
        table = self.table
        if not self._lists or len(self._lists[0]) != len(table.x_m):
            arrays = (table.x_m, table.y_m, table.heading_rad, table.curvature_1pm)
            self._lists = tuple(a.tolist() for a in arrays)
        # Columns of remembered projection: the nearest s of the middle of every cell of a band around the line.
        last_x = self.table.x_m[-1] - 500.0
        first = len(self._guess_y0)
        while self.guess_x0_m + _CELL_M * len(self._guess_y0) < last_x:
            x = self.guess_x0_m + _CELL_M * (len(self._guess_y0) + 0.5)
            lo, hi = np.searchsorted(self.table.x_m, [x - 340.0, x + 340.0])
            near_x, near_y = self.table.x_m[lo:hi:8], self.table.y_m[lo:hi:8]
            y0 = float(near_y[min(np.searchsorted(near_x, x), len(near_y) - 1)]) - _HALF_CELLS * _CELL_M
            cells_y = y0 + _CELL_M * (np.arange(2 * _HALF_CELLS) + 0.5)
            nearest = ((cells_y[:, None] - near_y) ** 2 + (x - near_x) ** 2).argmin(1)
            self._guess.append((BEGIN_M + STEP_M * (lo + 8 * nearest)).astype(np.float32))
            self._guess_y0.append(y0)
        if len(self._guess_y0) > first:
            self.guess = np.stack(self._guess).astype(np.float32)
            self.guess_y0_m = np.array(self._guess_y0, np.float32)

    def guess_at(self, x_m: FloatArray, y_m: FloatArray) -> NDArray[np.float32]:
        """A coarse s ``(...)`` of ground points, to start the projection from."""
        column = np.clip(((x_m - self.guess_x0_m) * (1 / _CELL_M)).astype(np.int32), 0, len(self.guess) - 1)
        row = np.clip(((y_m - self.guess_y0_m[column]) * (1 / _CELL_M)).astype(np.int32), 0, 2 * _HALF_CELLS - 1)
        return self.guess.ravel()[column * (2 * _HALF_CELLS) + row]

    def project(self, x_m: FloatArray | float, y_m: FloatArray | float) -> tuple[FloatArray, FloatArray]:
        """Road coordinates (s, d), each ``(...)``, of ground points within 300 m of the line."""
        x, y = np.asarray(x_m, dtype=np.float64), np.asarray(y_m, dtype=np.float64)
        s = self.guess_at(x, y).astype(np.float64)
        d = np.zeros_like(s)
        for _ in range(6):
            px, py, heading = self._interpolate(s)
            dx, dy = x - px, y - py
            along = dx * np.cos(heading) + dy * np.sin(heading)
            d = -dx * np.sin(heading) + dy * np.cos(heading)
            s = s + along / np.maximum(1 - self.curvature_at(s) * d, 0.3)
        return s, d

    def _interpolate(self, s_m: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        table = self.table
        index = np.clip(np.rint((s_m - BEGIN_M) / STEP_M).astype(np.int64), 0, len(table.x_m) - 1)
        rest = s_m - (BEGIN_M + STEP_M * index)
        heading = self.heading_at(s_m)
        direction = table.heading_rad[index] + 0.5 * rest * table.curvature_1pm[index]
        return table.x_m[index] + rest * np.cos(direction), table.y_m[index] + rest * np.sin(direction), heading

    def position(self, s_m: FloatArray | float, d_m: FloatArray | float = 0.0) -> FloatArray:
        """Poses ``(..., 3)`` of x_m, y_m, heading_rad at road coordinates (s, d)."""
        s, d = np.broadcast_arrays(np.asarray(s_m, dtype=np.float64), np.asarray(d_m, dtype=np.float64))
        x, y, heading = self._interpolate(s)
        return np.stack([x - d * np.sin(heading), y + d * np.cos(heading), heading], axis=-1)
