"""Ego motion of a vehicle of which only speed and steering were logged: a kinematic bicycle that responds in time.

Marked ``inferred`` in every episode that uses it. Knows no dataset; the numbers come from whoever knows the vehicle.

Shapes: N rows of a table.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.timing import mean_between
from worldmodel.geometry.motion import curvature_of_steering
from worldmodel.types import EgoMotion, FloatArray


@dataclasses.dataclass(frozen=True)
class SteeredVehicle:
    """How a logged steering command becomes a turn.

    The path curvature that the command asks for is approached with a first-order lag: T dy/dt = u - y.

    Attributes:
        wheelbase_m: between the axles.
        full_scale_deg: road-wheel angle at a command of 1.
        right_positive: true where a positive command turns right.
        response_s: T, the time constant of the turn.
        lead_s: how much earlier than the picture beside it the command was logged; negative: later.
    """

    wheelbase_m: float
    full_scale_deg: float
    right_positive: bool
    response_s: float = 0.0
    lead_s: float = 0.0

    def __post_init__(self) -> None:
        for field in ("wheelbase_m", "full_scale_deg"):
            if not (math.isfinite(getattr(self, field)) and getattr(self, field) > 0):
                raise ValueError(f"steering.{field}: expected a positive number, got {getattr(self, field)!r}")
        if not (math.isfinite(self.response_s) and self.response_s >= 0):
            raise ValueError(f"steering.response_s: expected a number from 0, got {self.response_s!r}")

    def motion_of_runs(
        self, t_s: FloatArray, speed_mps: FloatArray, steering: FloatArray, breaks: NDArray[np.bool_]
    ) -> EgoMotion:
        """As ``motion``, apart for every run of rows; ``breaks`` ``(N,)`` is true where a run begins."""
        runs = np.split(np.arange(len(t_s)), np.flatnonzero(breaks[1:]) + 1)
        parts = [self.motion(t_s[run], speed_mps[run], steering[run]) for run in runs]
        return EgoMotion(
            np.concatenate([part.speed_mps for part in parts]), np.concatenate([part.yaw_rate_radps for part in parts])
        )

    def motion(self, t_s: FloatArray, speed_mps: FloatArray, steering: FloatArray) -> EgoMotion:
        """Motion ``(N,)`` from each row to the next, of readings ``(N,)`` at increasing times; the last row is NaN.

        Commands are read as linear in time between rows, speeds likewise. NaN where a reading at either end is.
        """
        speed = mean_between(t_s, speed_mps, t_s)
        known = np.isfinite(speed_mps) & np.isfinite(steering)
        yaw_rate = np.full(len(t_s), np.nan)
        if known.sum() >= 2:
            angle = math.radians(self.full_scale_deg) * np.clip(steering[known], -1, 1)
            angle = -angle if self.right_positive else angle
            target = speed_mps[known] * curvature_of_steering(angle, self.wheelbase_m)
            spanned = known[:-1] & known[1:]
            yaw_rate[:-1] = np.where(spanned, self._turned(t_s[known], target, t_s), np.nan)
        return EgoMotion(speed, yaw_rate)

    def _turned(self, at_s: FloatArray, target: FloatArray, t_s: FloatArray) -> FloatArray:
        """Mean yaw rate ``(N - 1,)`` between times, exactly, for a target that is linear between its knots."""
        knots = np.union1d(at_s + self.lead_s, t_s)
        asked = np.interp(knots, at_s + self.lead_s, target)
        span = np.diff(knots)
        reached = asked
        if self.response_s > 0:
            slope = self.response_s * np.diff(asked) / span
            decay = np.exp(-span / self.response_s)
            reached = asked.copy()
            for k in range(len(span)):  # y = u - T m + (y0 - u0 + T m) exp(-t / T) for a target of slope m
                reached[k + 1] = asked[k + 1] - slope[k] + (reached[k] - asked[k] + slope[k]) * decay[k]
        # The integral of T dy/dt = u - y: what was turned is what was asked, less T times the change of the turn.
        turned = (asked[1:] + asked[:-1]) / 2 * span - self.response_s * np.diff(reached)
        heading = np.concatenate([[0.0], np.cumsum(turned)])
        return np.diff(heading[np.searchsorted(knots, t_s)]) / np.diff(t_s)
