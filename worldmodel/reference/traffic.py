"""The other road users: who is there, how they move, what happens on request, and whom the ego touches.

highway-env's drivers on our road (``highway``), under our own loop: ``PHYSICS_STEP_S`` is part of the world's
definition, and all state is rounded to 1e-6 after every step. Vehicles enter and leave beyond what can be seen. The
ego takes part as a vehicle that is moved from outside. Knows nothing of pictures.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
from typing import Any

import numpy as np

from worldmodel.reference.centreline import Centreline
from worldmodel.reference.contact import push_out
from worldmodel.reference.options import DriveOptions
from worldmodel.reference.road import Road
from worldmodel.reference.streams import stream
from worldmodel.reference.vehicles import SIZES_M, Seen, rectangle
from worldmodel.types import FloatArray

PHYSICS_STEP_S = 0.05
#: The ego's body: length, width, and how far its middle lies behind the camera.
EGO_LENGTH_M, EGO_WIDTH_M, EGO_MIDDLE_M = 4.6, 1.85, 0.4
#: Vehicles live from this far behind the ego to this far ahead.
BEHIND_M, AHEAD_M = 120.0, 450.0
#: A vehicle ahead farther than this is no vehicle ahead.
GAP_LIMIT_M = 120.0

_MIXED = ("sedan", "hatchback", "suv", "van", "truck", "semi", "bus", "motorcycle")
#: Shares of those kinds.
_MIX = {
    "motorway": (0.28, 0.18, 0.20, 0.10, 0.08, 0.12, 0.00, 0.04),
    "country": (0.28, 0.24, 0.18, 0.12, 0.09, 0.03, 0.00, 0.06),
    "town": (0.27, 0.28, 0.16, 0.12, 0.06, 0.00, 0.05, 0.06),
}
#: Wanted number of vehicles in view, each way.
_COUNTS = {"none": (0, 0), "light": (5, 4), "dense": (12, 7)}


def ego_rectangle(pose: FloatArray) -> FloatArray:
    """``(4, 2)`` corners of the ego's body, for a pose of the ground point under its camera."""
    x = pose[0] - EGO_MIDDLE_M * math.cos(pose[2])
    y = pose[1] - EGO_MIDDLE_M * math.sin(pose[2])
    return rectangle(x, y, pose[2], EGO_LENGTH_M, EGO_WIDTH_M)


@dataclasses.dataclass
class Walker:
    """Someone on foot: a place, a walk across the road, and whether it has begun."""

    number: int
    paint: int
    s_m: float
    d_m: float
    speed_mps: float
    walking: bool = False
    down: bool = False


class Traffic:
    """All other road users of one drive."""

    def __init__(self, options: DriveOptions, line: Centreline, road: Road) -> None:
        from worldmodel.reference import highway as module

        highway: Any = module
        self._highway = highway
        self._line, self._section, self._options = line, road, options
        self._rng = stream(options.seed, "traffic", options.road_kind, options.traffic)
        self.road = highway.WindingRoad(line, road)
        self.ego: Any = highway.EgoVehicle(self.road, line.position(0.0, 0.0)[:2], 0.0, 0.0)
        self.road.vehicles.append(self.ego)
        self.walkers: list[Walker] = []
        self.time_s = 0.0
        self.contact = False
        self._count = 0
        self._wanted = _COUNTS[options.traffic]
        self._due_s = 0.0

    @property
    def others(self) -> list[Any]:
        """Every vehicle but the ego."""
        return self.road.vehicles[1:]

    def want(self, density: str) -> None:
        """From now on let as many vehicles come as ``density`` of the traffic tag says; nobody vanishes."""
        self._wanted = _COUNTS[density]

    def populate(self, pose: FloatArray, s_m: float, d_m: float, speed_mps: float) -> None:
        """Fill the road around the ego at the start."""
        self._place_ego(pose, s_m, speed_mps)
        self.ego.d_m = d_m
        highway = self._highway
        for side, wanted in ((highway.FORWARD, self._wanted[0]), (highway.BACKWARD, self._wanted[1])):
            back = -80.0 if side is highway.FORWARD else 0.0
            for place in np.sort(self._rng.uniform(back, AHEAD_M - 30.0, wanted)):
                self._enter(side, s_m + float(place), keep_clear_m=22.0)

    def enter(self, side: Any, lane: int, s_m: float, kind: str, desired_mps: float, speed_mps: float) -> Any:
        """Put a vehicle on the road and return it."""
        section = self._section
        forward = side is self._highway.FORWARD
        d = section.lane_centre_m(lane if forward else -1 - lane)
        x, y, heading = self._line.point(s_m, d)
        rng = self._rng
        cls = self._highway.driver_class(kind)
        vehicle: Any = cls.__new__(cls)
        vehicle.side, vehicle.s_m, vehicle.d_m = side, s_m, d
        index = (*side, lane)
        heading = float(heading) if forward else float(heading) + math.pi
        self._count += 1
        # The remembered place has to be there before highway-env's constructor asks for the lane.
        vehicle.__init__(
            _Placing(self.road, index), np.array([x, y]), heading, speed_mps, target_lane_index=index,
            target_speed=max(desired_mps, 1.0), timer=float(rng.uniform(0.1, 0.9)),
        )  # fmt: skip
        vehicle.road = self.road
        vehicle.number, vehicle.paint = self._count, int(rng.integers(0, 10))
        vehicle.side, vehicle.s_m, vehicle.d_m = side, s_m, d
        vehicle.desired_mps = desired_mps
        vehicle.bias_m = float(rng.normal(0, 0.15))
        vehicle.TIME_WANTED = float(rng.uniform(0.9, 2.0)) * (1.25 if kind in ("truck", "semi", "bus") else 1.0)
        vehicle.POLITENESS = float(rng.uniform(0.0, 0.4))
        vehicle.LANE_CHANGE_MIN_ACC_GAIN = float(rng.uniform(0.2, 1.2))
        vehicle.comfort_mps2 = float(rng.uniform(1.8, 3.4))
        vehicle.on_state_update()
        self.road.vehicles.append(vehicle)
        return vehicle

    def _enter(self, side: Any, s_m: float, *, keep_clear_m: float) -> Any | None:
        """A vehicle of the usual mix, where there is room in some lane."""
        rng, section = self._rng, self._section
        kind = str(rng.choice(_MIXED, p=_MIX[section.kind]))
        heavy = kind in ("truck", "semi", "bus")
        lane = section.lanes - 1 if heavy else int(rng.integers(0, section.lanes))
        # Where the further lane is open, some come from its ramp.
        ramp = side is self._highway.FORWARD and section.has_extra and rng.random() < 0.5
        if ramp and bool((section.extra_at(s_m + np.array([0.0, 60.0])) > 0.99).all()):
            lane = section.lanes
        faster = 1.0 + 0.07 * (section.lanes - 1 - lane)
        desired = section.speed_limit_mps * float(np.clip(rng.normal(0.97, 0.12), 0.6, 1.3)) * faster
        if lane == section.lanes:
            desired *= 0.85
        if heavy:
            desired = min(desired, 24.5)
        share = float(rng.uniform(0.8, 1.0))
        d = section.lane_centre_m(lane if side is self._highway.FORWARD else -1 - lane)
        for other in self.road.vehicles:
            if (
                abs(other.d_m - d) < 2.4
                and abs(other.s_m - s_m) < keep_clear_m + other.LENGTH / 2 + SIZES_M[kind][0] / 2
            ):
                return None
        curve = abs(self._line.curvature_scalar(s_m))
        speed = min(desired * share, math.sqrt(2.0 / max(curve, 1e-5)))
        return self.enter(side, lane, s_m, kind, desired, speed)

    def step(self, before: FloatArray, after: FloatArray, s_m: float, speed_mps: float, dt_s: float) -> None:
        """Move everyone while the ego goes from pose ``before`` to ``after``, at ``s_m`` of the road in the end."""
        count = max(1, round(dt_s / PHYSICS_STEP_S))
        turn = (after[2] - before[2] + math.pi) % (2 * math.pi) - math.pi
        self.contact = False
        start_s = self.ego.s_m
        for i in range(1, count + 1):
            share = i / count
            pose = np.array(
                [*(before[:2] + share * (after[:2] - before[:2])), before[2] + share * turn], dtype=np.float64
            )
            self._place_ego(pose, start_s + share * (s_m - start_s), speed_mps)
            self.road.act()
            for vehicle in self.road.vehicles:
                vehicle.step(dt_s / count)
            self._walk(dt_s / count)
            self._collide(pose)
            self.time_s = round(self.time_s + dt_s / count, 6)
        self._come_and_go()

    def _place_ego(self, pose: FloatArray, s_m: float, speed_mps: float) -> None:
        ego = self.ego
        ego.position = np.array(
            [pose[0] - EGO_MIDDLE_M * math.cos(pose[2]), pose[1] - EGO_MIDDLE_M * math.sin(pose[2])]
        )
        ego.heading, ego.speed, ego.s_m = float(pose[2]), float(speed_mps), s_m
        ego.target_speed = max(float(speed_mps), 1.0)
        ego.on_state_update()

    def _walk(self, dt_s: float) -> None:
        for walker in self.walkers:
            if walker.walking and not walker.down:
                walker.d_m = round(walker.d_m + walker.speed_mps * dt_s, 6)

    def _collide(self, pose: FloatArray) -> None:
        """Contacts of the ego push others away; others that meet each other stop."""
        body = ego_rectangle(pose)
        ego = self.ego
        for other in self.others:
            if abs(other.s_m - ego.s_m) > 14 or abs(other.d_m - ego.d_m) > 6:
                continue
            outline = rectangle(other.position[0], other.position[1], other.heading, other.LENGTH, other.WIDTH)
            push = push_out(body, outline)
            if push is None:
                continue
            self.contact = True
            other.position = np.round(other.position + push, 6)
            along = ego.speed * math.cos(ego.heading - other.heading)
            other.speed = round(max(0.0, 0.5 * (along + other.speed)), 6)
            other.crashed, other.rest_s = True, 0.0
            other.on_state_update()
        for walker in self.walkers:
            x, y, _ = self._line.point(walker.s_m, walker.d_m)
            push = push_out(body, rectangle(x, y, pose[2], 0.4, 0.5))
            if push is not None:
                self.contact, walker.down = True, True
                s, d = self._line.track(x + push[0], y + push[1], walker.s_m)
                walker.s_m, walker.d_m = round(s, 6), round(d, 6)
        others = self.others
        for i, a in enumerate(others):
            for b in others[i + 1 :]:
                if abs(a.s_m - b.s_m) < 0.5 * (a.LENGTH + b.LENGTH) and abs(a.d_m - b.d_m) < 2.5:
                    a.handle_collisions(b, 0.0)

    def _come_and_go(self) -> None:
        highway, ego = self._highway, self.ego
        kept = [
            v for v in self.others
            if -(BEHIND_M if v.side is highway.FORWARD else 40.0) < v.s_m - ego.s_m < AHEAD_M + 25.0
        ]  # fmt: skip
        if len(kept) != len(self.others):
            self.road.vehicles[1:] = kept
        self.walkers = [w for w in self.walkers if w.s_m - ego.s_m > -20]
        if self.time_s < self._due_s:
            return
        self._due_s = round(self.time_s + 0.5, 6)
        for side, wanted in ((highway.FORWARD, self._wanted[0]), (highway.BACKWARD, self._wanted[1])):
            if sum(v.side is side for v in kept) >= wanted:
                continue
            from_behind = side is highway.FORWARD and self._rng.random() < 0.35
            place = ego.s_m + (-(BEHIND_M - 10.0) if from_behind else AHEAD_M)
            vehicle = self._enter(side, place, keep_clear_m=18.0 + float(self._rng.exponential(25.0)))
            if vehicle is not None and from_behind:
                vehicle.desired_mps = max(vehicle.desired_mps, min(1.12 * ego.speed, 40.0))
                vehicle.speed = round(min(vehicle.desired_mps, max(vehicle.speed, ego.speed)), 6)

    def ahead(self) -> tuple[float, float, int]:
        """Gap in m, bumper to bumper, closing speed in m/s and number of who is in the way; infinite, 0, 0 if free."""
        ego = self.ego
        gap, closing, number = math.inf, 0.0, 0
        front = ego.s_m + EGO_LENGTH_M / 2
        for other in self.others:
            if abs(other.d_m - ego.d_m) < (other.WIDTH + EGO_WIDTH_M) / 2 + 0.2 and other.s_m > ego.s_m:
                distance = other.s_m - other.LENGTH / 2 - front
                if distance < min(gap, GAP_LIMIT_M):
                    along = other.speed if other.side is self._highway.FORWARD else -other.speed
                    gap, closing, number = max(distance, 0.0), ego.speed - along, other.number
        for walker in self.walkers:
            distance = walker.s_m - 0.2 - front
            if abs(walker.d_m - ego.d_m) < 1.6 and 0 < distance < min(gap, GAP_LIMIT_M):
                gap, closing, number = distance, ego.speed, walker.number
        return gap, closing, number

    def seen(self) -> list[Seen]:
        """What there is to draw."""
        blink = self.time_s % 0.8 < 0.45
        result = []
        for v in self.others:
            shift = v.target_lane_index[2] - v.lane_index[2] if not v.crashed else 0
            left, right = (shift < 0 or v.hazard), (shift > 0 or v.hazard)
            braking = v.action["acceleration"] < -0.7 or v.speed < 0.2 or v.crashed
            result.append(
                Seen(v.number, v.kind, v.paint, float(v.position[0]), float(v.position[1]), float(v.heading),
                     bool(braking), left and blink, right and blink, float(v.speed))
            )  # fmt: skip
        for walker in self.walkers:
            x, y, heading = self._line.point(walker.s_m, walker.d_m)
            turn = float(heading) + math.copysign(math.pi / 2, walker.speed_mps)
            moving = abs(walker.speed_mps) if walker.walking and not walker.down else 0.0
            result.append(Seen(walker.number, "pedestrian", walker.paint, float(x), float(y), turn, speed_mps=moving))
        return result

    def add_walker(self, s_m: float, side: int, speed_mps: float) -> Walker:
        """Someone standing at the edge of the road, about to walk across it."""
        self._count += 1
        edge = side * (self._section.paved_m + 0.6)
        walker = Walker(self._count, int(self._rng.integers(0, 10)), round(s_m, 6), round(edge, 6), -side * speed_mps)
        self.walkers.append(walker)
        return walker

    @property
    def rng(self) -> np.random.Generator:
        """The traffic's own stream."""
        return self._rng

    def state_hash(self) -> str:
        """Hex digest of every road user's rounded state."""
        digest = hashlib.sha256()
        for v in self.others:
            state = (*v.position, v.heading, v.speed)
            digest.update(f"{v.number} {v.kind} {v.lane_index[2]} {[round(x * 1e6) for x in state]};".encode())
        for w in self.walkers:
            digest.update(f"{w.number} {round(w.s_m * 1e6)} {round(w.d_m * 1e6)};".encode())
        return digest.hexdigest()

    def snapshot(self) -> Any:
        """Everything that changes."""
        keep = {"road", "lane", "history", "log", "side"}
        vehicles = [
            (type(v), v.side, copy.deepcopy({k: x for k, x in v.__dict__.items() if k not in keep}))
            for v in self.road.vehicles
        ]
        rest = (self.time_s, self.contact, self._count, self._due_s, self._wanted, self._rng.bit_generator.state)
        return vehicles, copy.deepcopy(self.walkers), copy.deepcopy(rest)

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot."""
        vehicles, walkers, rest = snapshot
        self.road.vehicles.clear()
        for cls, side, state in vehicles:
            vehicle = cls.__new__(cls)
            vehicle.__dict__.update(copy.deepcopy(state))
            vehicle.road, vehicle.side, vehicle.history, vehicle.log = self.road, side, [], []
            vehicle.lane = self.road.network.get_lane(vehicle.lane_index)
            self.road.vehicles.append(vehicle)
        self.ego = self.road.vehicles[0]
        self.walkers = copy.deepcopy(walkers)
        self.time_s, self.contact, self._count, self._due_s, self._wanted, generator = copy.deepcopy(rest)
        self._rng.bit_generator.state = generator


class _Placing:
    """Stands in for the road while highway-env's constructor asks which lane a vehicle is on; the answer is known."""

    def __init__(self, road: Any, index: Any) -> None:
        self._index, self._lane = index, road.network.get_lane(index)
        self.network = self
        self.record_history = False
        self.np_random = road.np_random

    def get_closest_lane_index(self, position: Any, heading: Any) -> Any:
        """The lane it is put on."""
        return self._index

    def get_lane(self, index: Any) -> Any:
        """Its lane object."""
        return self._lane
