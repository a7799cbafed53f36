"""Policies that are told the truth: they drive in the reference world alone, as yardsticks.

They read the columns of the world's ``info()`` by name and know nothing of where those come from.

Shapes: B rows.
"""

from __future__ import annotations

import math

import numpy as np

from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.policies.steering import pure_pursuit
from worldmodel.types import Controls

_MIN_GAP_M = 3.0


class OracleKeeper:
    """Keeps its lane by pure pursuit and its distance by the intelligent driver model.

    Steering: ``steering.pure_pursuit``. Following: Treiber, Hennecke and Helbing,
    "Congested traffic states in empirical observations and microscopic simulations", Phys. Rev. E 62, 1805 (2000).

    Args:
        look_ahead_s: seconds of driving to the aim, at least ``look_ahead_min_m``.
        look_ahead_min_m: see above.
        lateral_mps2: sideways acceleration it is willing to feel in a bend.
        headway_s: time gap to the vehicle ahead.
        accel_mps2, brake_mps2: comfortable.
        speed_max_mps: never faster, whatever the limit.
    """

    name = "oracle-keeper"
    needs_truth = True

    def __init__(
        self,
        *,
        look_ahead_s: float = 0.8,
        look_ahead_min_m: float = 7.0,
        lateral_mps2: float = 2.2,
        headway_s: float = 1.4,
        accel_mps2: float = 1.6,
        brake_mps2: float = 2.5,
        speed_max_mps: float = math.inf,
    ) -> None:
        self._speed_max_mps = speed_max_mps
        self._look_ahead_s, self._look_ahead_min_m = look_ahead_s, look_ahead_min_m
        self._lateral_mps2, self._headway_s = lateral_mps2, headway_s
        self._accel_mps2, self._brake_mps2 = accel_mps2, brake_mps2

    def reset(self, row: int, *, seed: int) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)`` from lane offset, heading error, curvature ahead, gap and closing speed."""
        truth, speed = observation.truth, observation.speed_mps
        assert truth is not None
        road = truth["curvature_ahead_1pm"]
        reach_m = np.maximum(self._look_ahead_min_m, self._look_ahead_s * speed)
        curvature = pure_pursuit(road, truth["lane_offset_m"], truth["heading_error_rad"], reach_m)
        wanted = np.minimum(truth["speed_limit_mps"], np.sqrt(self._lateral_mps2 / np.maximum(np.abs(road), 1e-5)))
        wanted = np.minimum(wanted, self._speed_max_mps)
        accel = self._accel_mps2 * (1 - (speed / wanted) ** 4)
        gap, closing = truth["gap_m"], np.nan_to_num(truth["closing_speed_mps"])
        comfort = 2 * np.sqrt(self._accel_mps2 * self._brake_mps2)
        desired = _MIN_GAP_M + np.maximum(speed * self._headway_s + speed * closing / comfort, 0.0)
        following = self._accel_mps2 * (1 - (desired / np.maximum(gap, 0.3)) ** 2)
        accel = np.where(np.isfinite(gap) & (gap > 0), np.minimum(accel, following), accel)
        return Controls(np.clip(accel, -8.0, self._accel_mps2), curvature)
