"""Happenings on request: a leader that brakes hard, a cut-in, a stopped vehicle, a slow truck, someone stepping out.

Each waits for its time, finds or brings in whom it needs (beyond sight, or at the very start), acts, and lets go. What
is going on is the frame's event tag. Knows nothing of pictures.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

from worldmodel.reference.options import DriveOptions
from worldmodel.reference.road import Road
from worldmodel.reference.traffic import AHEAD_M, EGO_LENGTH_M, Traffic


@dataclasses.dataclass
class _Event:
    kind: str
    at_s: float
    phase: str = "waiting"
    actor: int = -1
    since_s: float = 0.0
    active: bool = False


class Events:
    """The scripted happenings of one drive."""

    def __init__(self, options: DriveOptions, traffic: Traffic, road: Road) -> None:
        self._traffic, self._road = traffic, road
        self._events = [_Event(kind, at_s) for kind, at_s in options.events]

    @property
    def current(self) -> str:
        """The kind that is happening now, or "none"."""
        return next((e.kind for e in self._events if e.active), "none")

    def request(self, kind: str) -> None:
        """Let a kind of event begin now, unless one of its kind is still to end."""
        if all(e.phase == "done" for e in self._events if e.kind == kind):
            self._events.append(_Event(kind, self._traffic.time_s))

    def prepare(self) -> None:
        """Put those in place at the start whom early events need."""
        traffic, road = self._traffic, self._road
        ego, rng = traffic.ego, traffic.rng
        lane = ego.lane_index[2]
        for event in self._events:
            if event.kind == "hard_brake":
                self._bring(event, lane, ego.s_m + 14.0 + 1.5 * ego.speed, "sedan", max(ego.speed, 6.0))
            elif event.kind == "cut_in" and road.lanes > 1:
                beside = lane - 1 if lane > 0 else lane + 1
                self._bring(
                    event, beside, ego.s_m + rng.uniform(16, 24), "hatchback", max(ego.speed, 6.0), clear_m=110.0
                )
            elif event.kind == "cut_in":
                self._park(event, min(max(90.0, 45.0 + event.at_s * ego.speed), AHEAD_M))
            elif event.kind == "slow_truck" and event.at_s < 4:
                self._bring(
                    event,
                    lane,
                    ego.s_m + 60.0 + 2.5 * ego.speed,
                    "truck",
                    rng.uniform(0.3, 0.45) * road.speed_limit_mps,
                )

    def _bring(
        self, event: _Event, lane: int, s_m: float, kind: str, speed_mps: float, *, clear_m: float = 18.0
    ) -> Any:
        traffic, road = self._traffic, self._road
        d = road.lane_centre_m(lane)
        traffic.road.vehicles[1:] = [
            v for v in traffic.others if abs(v.d_m - d) > 2.4 or not traffic.ego.s_m - 12 < v.s_m < s_m + clear_m
        ]
        vehicle = traffic.enter(traffic.road.network_sides[0], lane, s_m, kind, speed_mps, speed_mps)
        vehicle.fixed_lane = True
        event.actor = vehicle.number
        return vehicle

    def _actor(self, event: _Event) -> Any | None:
        return next((v for v in self._traffic.others if v.number == event.actor), None)

    def step(self) -> None:
        """Begin, continue and end what is due; once per frame, after the traffic has moved."""
        now = self._traffic.time_s
        for event in self._events:
            if event.phase != "done" and now >= event.at_s - (4.0 if event.kind == "pedestrian" else 0.0):
                getattr(self, f"_{event.kind}")(event, now)

    def _leader(self, low_m: float, high_m: float) -> Any | None:
        ego = self._traffic.ego
        ahead = [
            v for v in self._traffic.others
            if v.side is ego.side and low_m < v.s_m - ego.s_m < high_m and abs(v.d_m - ego.d_m) < 1.6
        ]  # fmt: skip
        return min(ahead, key=lambda v: v.s_m, default=None)

    def _hard_brake(self, event: _Event, now: float) -> None:
        if event.phase == "waiting":
            leader = self._leader(6.0, 90.0)
            if leader is None:
                return
            event.actor, event.phase, event.active = leader.number, "braking", True
            leader.script_accel_mps2 = -6.5
        actor = self._actor(event)
        if actor is None:
            event.phase, event.active = "done", False
        elif event.phase == "braking" and actor.speed < 1.0:
            event.phase, event.since_s, actor.script_accel_mps2 = "standing", now, -3.0
        elif event.phase == "standing" and now - event.since_s > 2.5:
            actor.script_accel_mps2, actor.fixed_lane = None, False
            actor.desired_mps = max(actor.desired_mps, 0.9 * self._road.speed_limit_mps)
            event.phase, event.active = "done", False

    def _cut_in(self, event: _Event, now: float) -> None:
        ego = self._traffic.ego
        lane = ego.lane_index[2]
        if event.phase == "waiting":
            if self._road.lanes == 1:
                self._pull_out(event)
                return
            beside = [
                v for v in self._traffic.others
                if v.side is ego.side and abs(v.lane_index[2] - lane) == 1 and 6.5 < v.s_m - ego.s_m < 35
            ]  # fmt: skip
            if not beside:
                return
            actor = min(beside, key=lambda v: v.s_m)
            actor.target_lane_index = (*actor.side, lane)
            actor.fixed_lane = True
            event.actor, event.phase, event.active, event.since_s = actor.number, "crossing", True, now
        actor = self._actor(event)
        if actor is None or (event.phase == "crossing" and now - event.since_s > 4.0):
            event.phase, event.active = "done", False

    def _pull_out(self, event: _Event) -> None:
        """On a road of one lane each way, a car parked at the edge pulls out."""
        ego, road = self._traffic.ego, self._road
        actor = self._actor(event)
        if actor is None:
            self._park(event, AHEAD_M)
        elif actor.s_m - ego.s_m < 3.0 * ego.speed + 8.0:
            actor.script_accel_mps2, actor.bias_m, actor.hazard = None, 0.0, False
            actor.desired_mps = 0.8 * road.speed_limit_mps
            event.phase, event.active, event.since_s = "crossing", True, self._traffic.time_s

    def _park(self, event: _Event, ahead_m: float) -> None:
        traffic, road = self._traffic, self._road
        actor = traffic.enter(traffic.road.network_sides[0], 0, traffic.ego.s_m + ahead_m, "hatchback", 8.0, 0.0)
        actor.bias_m = -(road.paved_m - 0.75 - 0.5 * road.lane_width_m)
        actor.position = traffic.road.line.position(actor.s_m, road.lane_centre_m(0) + actor.bias_m)[:2]
        actor.script_accel_mps2, actor.fixed_lane, actor.hazard = -1.0, True, True
        actor.on_state_update()
        event.actor = actor.number

    def _stopped_vehicle(self, event: _Event, now: float) -> None:
        ego, road = self._traffic.ego, self._road
        if event.phase == "waiting":
            actor = self._leader(140.0, AHEAD_M)
            if actor is None:
                lane = ego.lane_index[2]
                actor = self._traffic.enter(
                    self._traffic.road.network_sides[0], lane, ego.s_m + AHEAD_M, "van", 15.0, 0.0
                )
            actor.script_accel_mps2, actor.hazard, actor.fixed_lane = -3.0, True, True
            event.actor, event.phase = actor.number, "standing"
        actor = self._actor(event)
        if actor is None or actor.s_m < ego.s_m:
            event.phase, event.active = "done", False
            return
        distance = actor.s_m - ego.s_m
        event.active = distance < 130.0
        if not (distance < 25.0 and ego.speed < 1.0):
            event.since_s = now
        elif now - event.since_s > 5.0:
            actor.script_accel_mps2, actor.hazard, actor.fixed_lane = None, False, False
            actor.desired_mps = 0.9 * road.speed_limit_mps
            event.phase, event.active = "done", False

    def _slow_truck(self, event: _Event, now: float) -> None:
        ego, road = self._traffic.ego, self._road
        if event.phase == "waiting":
            if self._actor(event) is None:
                lane, slow = ego.lane_index[2], 0.35 * road.speed_limit_mps
                side = self._traffic.road.network_sides[0]
                actor = self._traffic.enter(side, lane, ego.s_m + AHEAD_M, "truck", slow, slow)
                actor.fixed_lane = True
                event.actor = actor.number
            event.phase, event.since_s = "rolling", now
        actor = self._actor(event)
        if actor is None or actor.s_m < ego.s_m:
            event.phase, event.active = "done", False
            return
        event.active = actor.s_m - ego.s_m < 100.0
        if not event.active:
            event.since_s = now
        elif now - event.since_s > 30.0:
            actor.desired_mps = 0.8 * road.speed_limit_mps
            event.phase, event.active = "done", False

    def _pedestrian(self, event: _Event, now: float) -> None:
        traffic, ego = self._traffic, self._traffic.ego
        if event.phase == "waiting":
            away = 110.0 if self._road.kind == "town" else 240.0
            side = -1 if traffic.rng.random() < 0.7 else 1
            walker = traffic.add_walker(ego.s_m + away, side, float(traffic.rng.uniform(1.3, 2.2)))
            event.actor, event.phase = walker.number, "standing"
        walker = next((w for w in traffic.walkers if w.number == event.actor), None)
        if walker is None or walker.s_m < ego.s_m - EGO_LENGTH_M:
            event.phase, event.active = "done", False
            return
        distance = walker.s_m - ego.s_m
        reach = abs(walker.d_m - ego.d_m)
        if event.phase == "standing" and distance < ego.speed * max(1.8, 0.8 * reach / abs(walker.speed_mps)) + 7.0:
            walker.walking, event.phase, event.active = True, "crossing", True
        if event.phase == "crossing" and (walker.down or abs(walker.d_m) > self._road.paved_m + 1.0):
            walker.walking = False
            event.phase, event.active = "done", False

    def snapshot(self) -> Any:
        """Everything that changes."""
        return copy.deepcopy(self._events)

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot."""
        self._events = copy.deepcopy(snapshot)


def no_gap(gap_m: float) -> float:
    """A gap as truth has it: NaN where there is nobody ahead."""
    return gap_m if math.isfinite(gap_m) else math.nan
