"""A driver that looks: it reads the markings off each frame by plane geometry and keeps its lane.

It sees what any policy sees, frames and its own speed, so it drives every world alike: one that is generated as well
as the true one. Knows the canonical view, nothing of worlds.

Shapes: B rows.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.perception.lanes import LaneFit, fit_lanes
from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.policies.steering import pure_pursuit
from worldmodel.types import Controls

#: Widths between two lines that can be those of one lane, and the usual one.
_NARROWEST_M, _WIDEST_M, _USUAL_M = 2.5, 4.6, 3.5
#: How far a line may lie from where the other one, or the frame before, has it.
_TOLERANCE_M = 0.8
#: In about this time it is as fast as it wants to be.
_CATCH_UP_S = 1.0


@dataclasses.dataclass
class _Row:
    """What is remembered of a drive: the speed it is to keep, and the lane as last seen."""

    speed_mps: float = math.nan
    width_m: float = _USUAL_M
    aside_m: float = 0.0
    curvature_1pm: float = 0.0


class LaneKeeper:
    """Keeps its lane by pure pursuit (``steering.pure_pursuit``), and the speed at which the drive began.

    Where it sees no line it goes on as it steered, ever straighter. It does not look out for other vehicles.

    Args:
        look_ahead_s: seconds of driving to the point it steers for, at least ``look_ahead_min_m``.
        look_ahead_min_m: see above.
        smoothing_s: time over which steering follows what is read, which is noisy.
        lateral_mps2: sideways acceleration it is willing to feel in a bend; it slows down for it.
        accel_mps2: the strongest it uses, either way.
    """

    name = "lane-keeper"
    needs_truth = False

    def __init__(
        self,
        *,
        look_ahead_s: float = 1.0,
        look_ahead_min_m: float = 8.0,
        smoothing_s: float = 0.25,
        lateral_mps2: float = 2.5,
        accel_mps2: float = 1.5,
    ) -> None:
        self._look_ahead_s, self._look_ahead_min_m = look_ahead_s, look_ahead_min_m
        self._smoothing_s, self._lateral_mps2, self._accel_mps2 = smoothing_s, lateral_mps2, accel_mps2
        self._rows: dict[int, _Row] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Forget the lane and the speed of row ``row``."""
        self._rows[row] = _Row()

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)`` from the markings of each frame."""
        camera = canonical_camera(*observation.frames.shape[1:3], height_m=NOMINAL_HEIGHT_M)
        fit = fit_lanes(observation.frames, camera)
        wanted = [
            self._act(self._rows[row], fit, row, float(speed), observation.dt_s)
            for row, speed in enumerate(observation.speed_mps)
        ]
        accel, curvature = np.array(wanted, dtype=np.float64).T
        return Controls(accel, curvature)

    def _act(self, row: _Row, fit: LaneFit, index: int, speed_mps: float, dt_s: float) -> tuple[float, float]:
        if math.isnan(row.speed_mps):
            row.speed_mps = speed_mps
        share = 1 - math.exp(-dt_s / self._smoothing_s)
        offset_m = _offset(row, float(fit.left_m[index]), float(fit.right_m[index]))
        if math.isnan(offset_m):
            row.curvature_1pm *= 1 - 0.1 * share
        else:
            reach_m = max(self._look_ahead_min_m, self._look_ahead_s * speed_mps)
            heading_rad, road_1pm = float(fit.heading_error_rad[index]), float(fit.curvature_1pm[index])
            row.curvature_1pm += share * (pure_pursuit(road_1pm, offset_m, heading_rad, reach_m) - row.curvature_1pm)
        bend_mps = math.sqrt(self._lateral_mps2 / max(abs(row.curvature_1pm), 1e-5))
        accel = (min(row.speed_mps, bend_mps) - speed_mps) / _CATCH_UP_S
        return float(np.clip(accel, -self._accel_mps2, self._accel_mps2)), row.curvature_1pm


def _offset(row: _Row, left_m: float, right_m: float) -> float:
    """The camera's offset from the middle of its lane, left positive; NaN where no line is believed."""
    width_m = left_m - right_m
    if _NARROWEST_M <= width_m <= _WIDEST_M:
        row.width_m += 0.1 * (width_m - row.width_m)
        row.aside_m = -(left_m + right_m) / 2
        return row.aside_m
    # One line alone, or two with a third unseen between them: those that lie where the lane was.
    guesses = [row.width_m / 2 - left_m, -row.width_m / 2 - right_m]
    near = [x for x in guesses if abs(x - row.aside_m) <= _TOLERANCE_M]
    if not near:
        return math.nan
    row.aside_m = min(near, key=lambda x: abs(x - row.aside_m))
    return row.aside_m
