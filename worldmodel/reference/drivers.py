"""Who drives the ego in the data: from good to crashing, so that a learned world knows what bad driving looks like.

A driver sees where it is on the road and what is ahead, and says controls; ``geometry.motion`` does the rest. It draws
its whims from its own stream, step by step, so a longer drive begins like a shorter one. Knows nothing of pictures.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.reference.centreline import Centreline
from worldmodel.reference.road import Road
from worldmodel.reference.streams import stream
from worldmodel.types import Controls


@dataclasses.dataclass(frozen=True)
class Situation:
    """What a driver knows at one moment.

    Attributes:
        s_m, d_m: road coordinates of the ego; heading_error_rad: against the road, left positive.
        speed_mps: of the ego.
        gap_m, closing_speed_mps: bumper to bumper to the vehicle ahead in the path, or infinite and 0.
        collision: whether the ego touches something.
    """

    s_m: float
    d_m: float
    heading_error_rad: float
    speed_mps: float
    gap_m: float = math.inf
    closing_speed_mps: float = 0.0
    collision: bool = False


@dataclasses.dataclass(frozen=True)
class Character:
    """Numbers of a driver: share of the limit driven, comfort in curves, wander, reaction and following gap."""

    pace: float = 1.0
    lateral_mps2: float = 2.6
    wander_m: float = 0.1
    wander_s: float = 6.0
    headway_s: float = 1.4
    firmness: float = 1.0


_CHARACTERS = {
    "good": Character(),
    "brisk": Character(pace=1.2, lateral_mps2=4.2, wander_m=0.15, headway_s=0.9, firmness=1.3),
    "timid": Character(pace=0.72, lateral_mps2=1.6, headway_s=2.2, firmness=0.8),
    "lane_changing": Character(pace=1.05),
    "stop_and_go": Character(pace=0.9),
    "sloppy": Character(wander_m=0.5, wander_s=3.5, firmness=0.75),
    "weaving": Character(wander_m=0.15),
    "swerving": Character(firmness=1.9),
    "hard_braking": Character(),
    "off_lane": Character(wander_m=0.2),
    "off_road": Character(wander_m=0.2, pace=0.9),
    "crashing": Character(wander_m=0.25, pace=1.05),
    "erratic": Character(wander_m=0.5, wander_s=2.0, firmness=1.3),
    "absent": Character(firmness=1.3),
}
#: How far an absent driver's wheel slips aside, as an acceleration: 4.5 m off the lane's middle after 3 s.
_SLIP_MPS2 = 1.0


class Driver:
    """One ego driver; ``controls`` is called once per frame."""

    def __init__(self, seed: int, ego: str, road: Road, line: Centreline) -> None:
        self._rng = stream(seed, "driver", ego)
        self._kind, self._road, self._line = ego, road, line
        self._who = _CHARACTERS[ego]
        rng = self._rng
        self.lane = int(rng.integers(0, road.lanes))
        self._pace = self._who.pace * rng.uniform(0.88, 1.1)
        self._bias_m = float(rng.normal(0, 0.12))
        self._wander_m = float(rng.normal(0, self._who.wander_m))
        self._phase = rng.uniform(0, 2 * math.pi)
        self._period_s, self._swing_m = rng.uniform(4.0, 9.0), rng.uniform(0.45, 1.25)
        self._time_s = 0.0
        self._next_s = float(rng.uniform(1.5, 7.0)) * (0.4 if ego == "absent" else 1.0)
        self._until_s = -1.0
        self._shift_m = 0.0
        self._brake_mps2 = 0.0
        self._floor_mps = 0.0
        self._share = 1.0
        self._wild = 0.0
        self._reckless = False
        self._wait_s = 0.0
        self._touching = False
        self._wheel_1pm, self._is_absent = 0.0, False
        self.start_speed_mps = self._cruise(0.0) * (0.0 if rng.random() < 0.06 else rng.uniform(0.75, 1.0))
        self.start_d_m = road.lane_centre_m(self.lane) + self._bias_m + self._wander_m

    def _cruise(self, s_m: float) -> float:
        """Speed the driver would like at ``s_m``: the limit, slower for the curves to come."""
        ahead = max(abs(self._line.curvature_scalar(s_m + x)) for x in (0.0, 15.0, 35.0, 60.0))
        return min(self._road.speed_limit_mps * self._pace, math.sqrt(self._who.lateral_mps2 / max(ahead, 1e-5)))

    def controls(self, now: Situation, dt_s: float) -> Controls:
        """What the driver does until the next frame."""
        self._time_s += dt_s
        rng, who = self._rng, self._who
        decay = math.exp(-dt_s / who.wander_s)
        self._wander_m = decay * self._wander_m + math.sqrt(1 - decay * decay) * float(rng.normal(0, who.wander_m))
        self._whims(now)
        target_d = self._road.lane_centre_m(self.lane) + self._bias_m + self._wander_m + self._shift_m
        if self._kind == "weaving":
            target_d += self._swing_m * math.sin(2 * math.pi * self._time_s / self._period_s + self._phase)
        if not self._is_absent:
            self._wheel_1pm = self._curvature(now, target_d, dt_s)
        return Controls(np.array(self._accel(now, dt_s)), np.array(self._wheel_1pm))

    def _curvature(self, now: Situation, target_d_m: float, dt_s: float) -> float:
        reach = (5.0 + 0.75 * now.speed_mps) / self._who.firmness
        road = self._line.curvature_scalar(now.s_m + 0.6 * now.speed_mps * dt_s)
        follow = road / max(0.2, 1 - road * now.d_m)
        error = max(-3.0, min(3.0, target_d_m - now.d_m))
        steer = follow + error / reach**2 - 2.0 * math.sin(now.heading_error_rad) / reach
        if self._kind == "erratic":
            decay = math.exp(-dt_s / 0.7)
            self._wild = decay * self._wild + math.sqrt(1 - decay * decay) * float(self._rng.normal(0, 1))
            steer += 0.12 * self._wild / reach
        return steer

    def _accel(self, now: Situation, dt_s: float) -> float:
        # A new contact stops the drive for a while; one that lasts does not hold it for ever.
        if now.collision and not self._touching:
            self._wait_s = float(self._rng.uniform(2.5, 6.0))
        self._touching = now.collision
        if self._wait_s > 0:
            self._wait_s -= dt_s if now.speed_mps < 0.5 else 0.0
            return -7.0
        if self._brake_mps2 < 0:
            return self._brake_mps2
        wanted = self._cruise(now.s_m) * self._share
        room = min(1.6 * self._who.firmness**0.5, 4.0)
        accel = room * (1 - (now.speed_mps / wanted) ** 4) if wanted > 0.5 else -2.5
        accel = max(accel, -2.8)
        if math.isfinite(now.gap_m) and not self._reckless:
            desired = 2.5 + now.speed_mps * self._who.headway_s
            desired += now.speed_mps * now.closing_speed_mps / (2 * math.sqrt(1.6 * 2.5))
            accel = min(accel, room * (1 - (max(desired, 0.0) / max(now.gap_m, 0.3)) ** 2))
        return max(accel, -8.0)

    def _whims(self, now: Situation) -> None:
        """Begin and end what a driver of this kind does now and then."""
        rng, t = self._rng, self._time_s
        if self._brake_mps2 < 0 and now.speed_mps <= self._floor_mps:
            self._brake_mps2 = 0.0
            self._share = 0.25 if self._floor_mps > 0 else 0.0
            self._until_s = t + rng.uniform(0.2, 2.0)
        if 0 <= self._until_s <= t:
            self._shift_m, self._share, self._until_s = 0.0, 1.0, -1.0
            self._reckless = self._is_absent = False
            self._next_s = t + self._pause_s()
        if t < self._next_s or self._until_s >= 0 or self._brake_mps2 < 0:
            return
        self._next_s = math.inf
        road = self._road
        kind = self._kind
        if kind == "lane_changing" or (kind in ("good", "brisk") and road.lanes > 1 and rng.random() < 0.5):
            self.lane = int(min(max(self.lane + rng.choice([-1, 1]), 0), road.lanes - 1))
            self._next_s = t + self._pause_s()
        elif kind == "swerving":
            self._shift_m = float(rng.choice([-1, 1]) * rng.uniform(1.4, 3.4))
            self._until_s = t + rng.uniform(0.7, 1.6)
        elif kind == "hard_braking":
            self._brake_mps2 = -float(rng.uniform(4.5, 8.0))
            self._floor_mps = now.speed_mps * float(rng.choice([0.0, 0.0, 0.3, 0.5]))
        elif kind == "stop_and_go":
            self._share = float(rng.choice([0.0, 0.0, 0.35]))
            self._until_s = t + rng.uniform(5.0, 11.0)
        elif kind == "off_lane":
            centre = road.lane_centre_m(self.lane)
            aims = [-road.edge_m, centre - 0.5 * road.lane_width_m, centre + 0.5 * road.lane_width_m]
            if road.median_m == 0:
                aims += [road.lane_centre_m(-1), 0.0]
            self._shift_m = float(rng.choice(aims)) - centre
            self._until_s = t + rng.uniform(3.0, 8.0)
        elif kind == "off_road" or (kind == "crashing" and rng.random() < 0.35):
            beyond = road.paved_m + rng.uniform(0.3, 4.0)
            left = road.median_m == 0 and rng.random() < 0.3
            self._shift_m = (beyond if left else -beyond) - road.lane_centre_m(self.lane)
            self._until_s = t + rng.uniform(3.0, 7.0)
            self._share = float(rng.uniform(0.5, 1.0))
        elif kind == "crashing":
            self._reckless = True
            self._share = 1.3
            if road.median_m == 0 and rng.random() < 0.4:
                self._shift_m = road.lane_centre_m(-1) - road.lane_centre_m(self.lane)
            self._until_s = t + rng.uniform(6.0, 12.0)
        elif kind == "absent":  # the wheel stays straight, or as it is, or slips; wherever the road goes
            self._is_absent = True
            slip = _SLIP_MPS2 / max(now.speed_mps, 5.0) ** 2
            self._wheel_1pm = float(rng.choice([0.0, 0.0, 0.5, 1.0])) * self._wheel_1pm + float(rng.normal(0, slip))
            self._until_s = t + rng.uniform(2.0, 5.0)
        elif kind == "erratic":
            self._share = float(rng.uniform(0.3, 1.2))
            self._shift_m = float(rng.normal(0, 1.0))
            self._until_s = t + rng.uniform(1.0, 3.0)
        else:
            self._next_s = t + self._pause_s()

    def _pause_s(self) -> float:
        usual = {"stop_and_go": 9.0, "off_lane": 4.0, "off_road": 7.0, "crashing": 5.0, "erratic": 1.0, "absent": 2.0}
        return float(self._rng.uniform(0.6, 1.4)) * usual.get(self._kind, 6.0)
