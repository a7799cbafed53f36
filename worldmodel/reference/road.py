"""What lies across the road: lanes, markings, shoulders, and where the paving ends.

Offsets d are from the centre line, left positive; traffic keeps to the right, so the ego's lanes have negative d. The
cross section is rasterised once into prefix sums over d, from which the mean cover of any stretch of d is two
look-ups: that is how the renderer draws markings without jagged or shimmering edges.

Knows nothing of cameras. Shapes: R rows (variants of the cross section); D steps of ``COVER_STEP_M``; M materials.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.streams import stream

COVER_STEP_M = 0.005
COVER_HALF_M = 26.0
#: Columns of the cover table.
ASPHALT, VERGE, GRAVEL, PAVING, SNOW, WHITE, YELLOW, DASH_WHITE, DASH_YELLOW = range(9)
MATERIALS = 9


@dataclasses.dataclass(frozen=True)
class Mark:
    """A painted line along the road: its offset, width, colour and whether it is dashed."""

    d_m: float
    width_m: float
    yellow: bool
    dashed: bool


@dataclasses.dataclass(frozen=True)
class Road:
    """The cross section of one drive's road.

    Attributes:
        kind: of ``types.VOCABULARY``.
        lanes: per direction.
        lane_width_m: of every lane.
        median_m: half the gap between the two directions' inner lane edges.
        shoulder_m: paved width outside the outer edge line; inner_shoulder_m: beside the median.
        sidewalk_m: paving outside the asphalt (town).
        dash_m, dash_period_m: painted length and period of dashed lines.
        yellow_centre: whether the centre line is yellow.
        speed_limit_mps: posted.
    """

    kind: str
    lanes: int
    lane_width_m: float
    median_m: float
    shoulder_m: float
    inner_shoulder_m: float
    sidewalk_m: float
    dash_m: float
    dash_period_m: float
    yellow_centre: bool
    speed_limit_mps: float
    seed: int

    @classmethod
    def drawn(cls, seed: int, kind: str, lanes: int = 0) -> Road:
        """The road that ``seed`` gives for a road kind; ``lanes`` 0 draws their number too."""
        rng = stream(seed, "road", kind)
        yellow = bool(rng.random() < 0.55)
        if kind == "motorway":
            drawn = int(rng.choice([2, 3], p=[0.6, 0.4]))
            return cls(
                kind, lanes or drawn, 3.65, rng.uniform(1.2, 2.6), 2.6, 0.9, 0.0, *rng.choice([[3.0, 12.0], [6.0, 18.0]]),
                yellow, float(rng.choice([27.8, 30.6, 33.3])), seed,
            )  # fmt: skip
        if kind == "country":
            drawn = int(rng.choice([1, 2], p=[0.85, 0.15]))
            return cls(
                kind, lanes or drawn, rng.uniform(3.2, 3.6), 0.0, rng.uniform(0.3, 1.0), 0.0, 0.0,
                *rng.choice([[3.0, 9.0], [4.0, 12.0]]), yellow, float(rng.choice([19.4, 22.2, 25.0])), seed,
            )  # fmt: skip
        drawn = int(rng.choice([1, 2], p=[0.6, 0.4]))
        return cls(
            kind, lanes or drawn, rng.uniform(3.0, 3.4), 0.0, rng.uniform(0.4, 2.2), 0.0, rng.uniform(2.2, 3.6), 2.0, 6.0,
            yellow, float(rng.choice([8.3, 11.1, 13.9])), seed,
        )  # fmt: skip

    @property
    def edge_m(self) -> float:
        """Offset of the outer edge line from the centre line."""
        return self.median_m + self.lanes * self.lane_width_m

    @property
    def paved_m(self) -> float:
        """Offset at which the asphalt ends, on either side."""
        return self.edge_m + self.shoulder_m

    def lane_centre_m(self, lane: int) -> float:
        """Offset of the middle of a lane; 0 is the ego direction's leftmost, -1 the nearest oncoming one."""
        if lane >= 0:
            return -(self.median_m + (lane + 0.5) * self.lane_width_m)
        return self.median_m + (-lane - 0.5) * self.lane_width_m

    def lane_at(self, d_m: NDArray[np.float64] | float) -> NDArray[np.int64]:
        """The lane nearest to an offset, of either direction: 0.. for the ego's, -1.. for oncoming."""
        d = np.asarray(d_m, dtype=np.float64)
        own = np.clip(np.floor((-d - self.median_m) / self.lane_width_m), 0, self.lanes - 1)
        other = np.clip(np.floor((d - self.median_m) / self.lane_width_m), 0, self.lanes - 1)
        return np.where(d < 0, own, -1 - other).astype(np.int64)

    def is_off(self, d_m: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        """Whether an offset lies beyond the asphalt or on the median's green."""
        distance = np.abs(np.asarray(d_m, dtype=np.float64))
        return (distance > self.paved_m) | (distance < self.median_m - self.inner_shoulder_m)

    def marks(self, variant: int) -> list[Mark]:
        """Painted lines of a variant: 0 overtaking forbidden, 1 allowed, 2 allowed from the ego's side."""
        width = 0.18 if self.kind == "motorway" else 0.13
        marks = []
        if self.median_m > 0:
            for side in (-1, 1):
                marks.append(Mark(side * (self.median_m + 0.02), width, self.yellow_centre, False))
        elif variant == 0:
            marks += [Mark(side * 0.14, 0.12, self.yellow_centre, False) for side in (-1, 1)]
        elif variant == 1:
            marks.append(Mark(0.0, 0.14, self.yellow_centre, True))
        else:
            marks += [Mark(-0.14, 0.12, self.yellow_centre, True), Mark(0.14, 0.12, self.yellow_centre, False)]
        for side in (-1, 1):
            marks.append(Mark(side * self.edge_m, width, False, False))
            for lane in range(1, self.lanes):
                marks.append(Mark(side * (self.median_m + lane * self.lane_width_m), width, False, True))
        return marks

    def cover_table(self, snow: float = 0.0) -> NDArray[np.float32]:
        """``(R, D + 1, M)`` prefix sums over d of every material's cover, one row per variant; ``snow`` 0..1 lies."""
        return np.stack([self._cover_row(variant, snow) for variant in range(3)])

    def _cover_row(self, variant: int, snow: float) -> NDArray[np.float32]:
        d = np.arange(-COVER_HALF_M + COVER_STEP_M / 2, COVER_HALF_M, COVER_STEP_M)
        distance = np.abs(d)
        cover = np.zeros((len(d), MATERIALS))
        paved = ~self.is_off(d)
        # Wheel tracks are darker, the middle of a lane has its stripe of oil, seams between lanes are pale.
        lane = np.mod(distance - self.median_m, self.lane_width_m) - self.lane_width_m / 2
        tone = 1 - 0.07 * np.exp(-(((np.abs(lane) - 0.85) / 0.28) ** 2)) - 0.05 * np.exp(-((lane / 0.3) ** 2))
        tone = np.where(distance > self.edge_m, 1.06, tone)
        cover[:, ASPHALT] = paved * tone
        rest = ~paved
        if self.sidewalk_m > 0:
            walk = rest & (distance < self.paved_m + self.sidewalk_m)
            kerb = rest & (distance < self.paved_m + 0.16)
            cover[:, PAVING] = walk * np.where(kerb, 1.25, 1.0)
            rest = rest & ~walk
        elif self.kind == "country":
            gravel = rest & (distance < self.paved_m + 0.5)
            cover[:, GRAVEL] = gravel
            rest = rest & ~gravel
        cover[:, VERGE] = rest
        for mark in self.marks(variant):
            on = np.abs(d - mark.d_m) < mark.width_m / 2
            if mark.dashed:
                cover[on, DASH_YELLOW if mark.yellow else DASH_WHITE] = 1
            else:
                cover[on] = 0
                cover[on, YELLOW if mark.yellow else WHITE] = 1
        if snow:
            # Tyres keep two tracks per lane clear; between them, and off the road, it stays white.
            tracks = np.exp(-(((np.abs(lane) - 0.85) / 0.34) ** 2)) * (distance < self.edge_m)
            lying = np.where(paved, 0.62 - 0.58 * tracks, 0.94) * snow
            share = lying[:, None] * np.where(np.arange(MATERIALS) < SNOW, 1.0, 0.45)
            cover[:, SNOW] = (cover * share).sum(1)
            cover[:, :SNOW] *= 1 - share[:, :SNOW]
            cover[:, WHITE:] *= 1 - share[:, WHITE:]
        return np.concatenate([np.zeros((1, MATERIALS)), np.cumsum(cover, axis=0)]).astype(np.float32)

    def variant_at(self, s_m: NDArray[np.float64], curvature_1pm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Variant of the markings ``(...)`` along the road, in stretches of 80 m; tight stretches forbid overtaking."""
        block = np.floor(np.asarray(s_m) / 80.0).astype(np.int64)
        draws = np.array([stream(self.seed, "marks", int(b) // 3 + 1000).integers(0, 3) for b in np.unique(block)])
        variant = draws[np.searchsorted(np.unique(block), block)]
        return np.where(np.abs(curvature_1pm) > 1 / 250, 0, variant)
