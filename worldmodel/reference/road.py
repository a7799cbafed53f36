"""What lies across the road: lanes, markings, shoulders, and where the paving ends.

Offsets d are from the centre line, left positive; traffic keeps to the right, so the ego's lanes have negative d. The
cross section is rasterised once into prefix sums over d, from which the mean cover of any stretch of d is two
look-ups: that is how the renderer draws markings without jagged or shimmering edges.

Knows nothing of cameras. Shapes: R rows (variants of the cross section); D steps of ``COVER_STEP_M``; M materials.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from worldmodel.reference.streams import stream
from worldmodel.types import FloatArray

COVER_STEP_M = 0.005
COVER_HALF_M = 26.0
#: The further lane of motorways: at most one per cell of road, and the lengths of its opening and closing.
EXTRA_CELL_M, OPENING_M, CLOSING_M = 900.0, 60.0, 150.0
#: Columns of the cover table.
ASPHALT, VERGE, GRAVEL, PAVING, SNOW, WHITE, YELLOW, DASH_WHITE, DASH_YELLOW = range(9)
MATERIALS = 9


#: Per road kind: lanes and their shares, ranges of lane width and shoulder, dashes (length, period), speed limits.
_DRAWN = {
    "motorway": ((2, 3), (0.6, 0.4), (3.65, 3.65), (2.6, 2.6), ((3.0, 12.0), (6.0, 18.0)), (27.8, 30.6, 33.3)),
    "country": ((1, 2), (0.85, 0.15), (3.2, 3.6), (0.3, 1.0), ((3.0, 9.0), (4.0, 12.0)), (19.4, 22.2, 25.0)),
    "town": ((1, 2), (0.6, 0.4), (3.0, 3.4), (0.4, 2.2), ((2.0, 6.0),), (8.3, 11.1, 13.9)),
}


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
        has_extra: whether a further lane opens and ends now and then on the ego's right (merges and lane drops).
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
    has_extra: bool = False

    @classmethod
    def drawn(cls, seed: int, kind: str, lanes: int = 0) -> Road:
        """The road that ``seed`` gives for a road kind; ``lanes`` 0 draws their number too."""
        rng = stream(seed, "road", kind)
        yellow = bool(rng.random() < 0.55)
        number, shares, width_m, shoulder_m, dashes_m, limits_mps = _DRAWN[kind]
        drawn = int(rng.choice(list(number), p=shares))
        motorway, town = kind == "motorway", kind == "town"
        lane_width_m = width_m[0] if motorway else float(rng.uniform(*width_m))
        median_m = float(rng.uniform(1.2, 2.6)) if motorway else 0.0
        outer_m = shoulder_m[0] if motorway else float(rng.uniform(*shoulder_m))
        walk_m = float(rng.uniform(2.2, 3.6)) if town else 0.0
        dash_m, period_m = dashes_m[int(rng.integers(len(dashes_m))) if len(dashes_m) > 1 else 0]
        return cls(
            kind=kind,
            lanes=lanes or drawn,
            lane_width_m=lane_width_m,
            median_m=median_m,
            shoulder_m=outer_m,
            inner_shoulder_m=0.9 if motorway else 0.0,
            sidewalk_m=walk_m,
            dash_m=dash_m,
            dash_period_m=period_m,
            yellow_centre=yellow,
            speed_limit_mps=float(rng.choice(limits_mps)),
            seed=seed,
            has_extra=motorway and bool(rng.random() < 0.75),
        )

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

    def extra_at(self, s_m: ArrayLike) -> NDArray[np.float64]:
        """How much of the further lane on the ego's right is open ``(...)``: 0 none, 1 its full width."""
        s = np.asarray(s_m, dtype=np.float64)
        if not self.has_extra:
            return np.zeros_like(s)
        if s.ndim == 0:
            length = _extra_length_m(self.seed, math.floor(float(s) / EXTRA_CELL_M))
            along = float(s) % EXTRA_CELL_M - 100.0
            closing = (OPENING_M + length + CLOSING_M - along) / CLOSING_M
            return np.array(min(max(min(along / OPENING_M, closing), 0.0), 1.0) if length else 0.0)
        cell = np.floor(s / EXTRA_CELL_M).astype(np.int64)
        cells = np.unique(cell)
        lengths = np.array([_extra_length_m(self.seed, int(c)) for c in cells])
        length = lengths[np.searchsorted(cells, cell)]
        along = s - cell * EXTRA_CELL_M - 100.0
        opening = np.clip(along / OPENING_M, 0, 1)
        closing = np.clip((OPENING_M + length + CLOSING_M - along) / CLOSING_M, 0, 1)
        return np.where(length > 0, np.minimum(opening, closing), 0.0)

    def right_paved_m(self, s_m: ArrayLike) -> NDArray[np.float64]:
        """Where the asphalt ends on the ego's right, as a positive offset ``(...)``."""
        return self.paved_m + self.lane_width_m * self.extra_at(s_m)

    def lane_at(self, d_m: ArrayLike, s_m: ArrayLike) -> NDArray[np.int64]:
        """The lane nearest to a place, of either direction: 0.. for the ego's, -1.. for oncoming."""
        d = np.asarray(d_m, dtype=np.float64)
        lanes = self.lanes + (self.extra_at(s_m) > 0.5)
        own = np.clip(np.floor((-d - self.median_m) / self.lane_width_m), 0, lanes - 1)
        other = np.clip(np.floor((d - self.median_m) / self.lane_width_m), 0, self.lanes - 1)
        return np.where(d < 0, own, -1 - other).astype(np.int64)

    def is_off(self, d_m: ArrayLike, s_m: ArrayLike) -> NDArray[np.bool_]:
        """Whether a place lies beyond the asphalt or on the median's green."""
        d = np.asarray(d_m, dtype=np.float64)
        green = np.abs(d) < self.median_m - self.inner_shoulder_m
        return (d > self.paved_m) | (-d > self.right_paved_m(s_m)) | green

    def marks(self, variant: int) -> list[Mark]:
        """Painted lines of a variant: 0 overtaking forbidden, 1 allowed, 2 allowed from the ego's side.

        Variant 3 is the motorway with its further lane open.
        """
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
            lanes = self.lanes + (variant == 3 and side < 0)
            marks.append(Mark(side * (self.median_m + lanes * self.lane_width_m), width, False, False))
            for lane in range(1, lanes):
                marks.append(Mark(side * (self.median_m + lane * self.lane_width_m), width, False, True))
        return marks

    def cover_table(self, snow: float = 0.0) -> NDArray[np.float32]:
        """``(R, D + 1, M)`` prefix sums over d of every material's cover, one row per variant; ``snow`` 0..1 lies."""
        return np.stack([self._cover_row(variant, snow) for variant in range(4 if self.has_extra else 3)])

    def _cover_row(self, variant: int, snow: float) -> NDArray[np.float32]:
        d = np.arange(-COVER_HALF_M + COVER_STEP_M / 2, COVER_HALF_M, COVER_STEP_M)
        distance = np.abs(d)
        cover = np.zeros((len(d), MATERIALS))
        outer = self.edge_m + self.lane_width_m * ((variant == 3) & (d < 0))
        paved = (distance < outer + self.shoulder_m) & ~(distance < self.median_m - self.inner_shoulder_m)
        # Wheel tracks are darker, the middle of a lane has its stripe of oil, seams between lanes are pale.
        lane = np.mod(distance - self.median_m, self.lane_width_m) - self.lane_width_m / 2
        tone = 1 - 0.07 * np.exp(-(((np.abs(lane) - 0.85) / 0.28) ** 2)) - 0.05 * np.exp(-((lane / 0.3) ** 2))
        tone = np.where(distance > outer, 1.06, tone)
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
            tracks = np.exp(-(((np.abs(lane) - 0.85) / 0.34) ** 2)) * (distance < outer)
            lying = np.where(paved, 0.62 - 0.58 * tracks, 0.94) * snow
            share = lying[:, None] * np.where(np.arange(MATERIALS) < SNOW, 1.0, 0.45)
            cover[:, SNOW] = (cover * share).sum(1)
            cover[:, :SNOW] *= 1 - share[:, :SNOW]
            cover[:, WHITE:] *= 1 - share[:, WHITE:]
        return np.concatenate([np.zeros((1, MATERIALS)), np.cumsum(cover, axis=0)]).astype(np.float32)

    def variant_at(self, s_m: FloatArray, curvature_1pm: NDArray[np.float64]) -> NDArray[np.int64]:
        """Variant of the markings ``(...)`` along the road, in stretches of 80 m; tight stretches forbid overtaking."""
        block = np.floor(np.asarray(s_m) / 80.0).astype(np.int64)
        draws = np.array([stream(self.seed, "marks", int(b) // 3 + 1000).integers(0, 3) for b in np.unique(block)])
        variant = draws[np.searchsorted(np.unique(block), block)]
        if self.median_m > 0:
            return np.zeros_like(variant)
        return np.where(np.abs(curvature_1pm) > 1 / 250, 0, variant)


@functools.lru_cache(maxsize=4096)
def _extra_length_m(seed: int, cell: int) -> float:
    """Length at full width of the further lane in one cell; 0 where there is none."""
    rng = stream(seed, "extra", cell + 100_000)
    return float(rng.choice([0.0, 160.0, 220.0, 420.0], p=[0.4, 0.15, 0.2, 0.25]))
