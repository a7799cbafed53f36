"""highway-env's road and driver models on our winding road. The only importer of highway-env.

Its package runs gymnasium on import, which bare machines lack, so its submodules (which need numpy alone) are imported
under a stand-in parent. Our lanes share one centre line, whose projection each vehicle remembers; without that every
vehicle would scan every lane. Angles and offsets are ours: left positive.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
import types
from typing import Any

import numpy as np

from worldmodel.reference.centreline import Centreline
from worldmodel.reference.road import Road as CrossSection
from worldmodel.reference.vehicles import SIZES_M


def _import(names: tuple[str, ...]) -> list[Any]:
    """Import submodules of highway_env without running the package's own ``__init__``."""
    if "highway_env" in sys.modules:
        return [importlib.import_module(f"highway_env.{name}") for name in names]
    spec = importlib.util.find_spec("highway_env")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("traffic needs highway-env: pip install -c constraints.txt highway-env")
    parent = types.ModuleType("highway_env")
    parent.__path__ = list(spec.submodule_search_locations)
    sys.modules["highway_env"] = parent
    try:
        return [importlib.import_module(f"highway_env.{name}") for name in names]
    finally:
        # Who needs the real package later imports it anew; its submodules stay.
        del sys.modules["highway_env"]


_behavior, _lane, _road, _kinematics = _import(("vehicle.behavior", "road.lane", "road.road", "vehicle.kinematics"))
FORWARD, BACKWARD = ("a", "b"), ("c", "d")


class Lane(_lane.AbstractLane):
    """One lane along the centre line; ``sign`` -1 for oncoming ones, whose own coordinates run backwards."""

    forbidden = False
    speed_limit = None
    length = math.inf

    def __init__(
        self, line: Centreline, d_m: float, width_m: float, sign: int, opens: CrossSection | None = None
    ) -> None:
        self.line, self.d_m, self.width_m, self.sign, self.opens = line, d_m, width_m, sign, opens

    def position(self, longitudinal: float, lateral: float) -> np.ndarray:
        """Ground point of lane coordinates."""
        return self.line.position(self.sign * longitudinal, self.d_m + self.sign * lateral)[..., :2]

    def heading_at(self, longitudinal: float) -> float:
        """Heading of the lane, in its own direction."""
        heading = self.line.heading_scalar(self.sign * longitudinal)
        return heading if self.sign > 0 else heading + math.pi

    def width_at(self, longitudinal: float) -> float:
        """Width of the lane."""
        return self.width_m

    def local_coordinates(self, position: np.ndarray) -> tuple[float, float]:
        """Lane coordinates of a ground point."""
        s, d = self.line.project(position[0], position[1])
        return self.sign * float(s), self.sign * (float(d) - self.d_m)

    def is_reachable_from(self, position: np.ndarray) -> bool:
        """Every lane of one's own direction can be reached, the further one while it stays open for long enough."""
        if self.opens is None:
            return True
        s, _ = self.line.project(position[0], position[1])
        return bool((self.opens.extra_at(s + np.array([0.0, 120.0, 240.0])) > 0.99).all())

    def after_end(self, position: np.ndarray, longitudinal: float | None = None, lateral: float | None = None) -> bool:
        """Lanes never end."""
        return False


def network(line: Centreline, road: CrossSection) -> Any:
    """highway-env's network of all lanes of a road."""
    net = _road.RoadNetwork()
    for lane in range(road.lanes):
        net.add_lane(*FORWARD, Lane(line, road.lane_centre_m(lane), road.lane_width_m, 1))
    if road.has_extra:
        net.add_lane(*FORWARD, Lane(line, road.lane_centre_m(road.lanes), road.lane_width_m, 1, road))
    for lane in range(road.lanes):
        net.add_lane(*BACKWARD, Lane(line, road.lane_centre_m(-1 - lane), road.lane_width_m, -1))
    return net


class _OnRoad:
    """What ego and others share: where they are on the road, remembered from step to step."""

    number = 0
    kind = "sedan"
    paint = 0
    s_m = 0.0
    d_m = 0.0

    def on_state_update(self: Any) -> None:
        """Find the own place on the road again, from the last one."""
        self.s_m, self.d_m = self.road.line.track(float(self.position[0]), float(self.position[1]), self.s_m)
        side, lanes = self.side, self.road.lanes
        if side is FORWARD and self.road.section.has_extra and -self.d_m > self.road.edge_m:
            lanes += float(self.road.section.extra_at(self.s_m)) > 0.3
        across = -self.d_m if side is FORWARD else self.d_m
        index = int((across - self.road.median_m) // self.road.lane_width_m)
        self.lane_index = (*side, min(max(index, 0), lanes - 1))
        self.lane = self.road.network.graph[side[0]][side[1]][self.lane_index[2]]

    def lane_distance_to(self: Any, other: Any, lane: Any = None) -> float:
        """Bumper to bumper along the road; highway-env's own is from middle to middle."""
        if not other:
            return math.nan
        sign = 1 if self.side is FORWARD else -1
        middle = sign * (other.s_m - self.s_m)
        return middle - math.copysign(min((self.LENGTH + other.LENGTH) / 2, abs(middle) - 0.1), middle)


class WindingRoad(_road.Road):
    """highway-env's road; neighbours are found by remembered places."""

    def __init__(self, line: Centreline, section: CrossSection) -> None:
        super().__init__(network=network(line, section), np_random=np.random.RandomState(0))
        self.line, self.lanes, self.section, self.edge_m = line, section.lanes, section, section.edge_m
        self.median_m, self.lane_width_m = section.median_m, section.lane_width_m
        self.network_sides = (FORWARD, BACKWARD)

    def neighbour_vehicles(self, vehicle: Any, lane_index: Any = None) -> tuple[Any, Any]:
        """The vehicles before and behind ``vehicle`` on a lane."""
        lane_index = lane_index or vehicle.lane_index
        lane = self.network.graph[lane_index[0]][lane_index[1]][lane_index[2]]
        sign, reach = lane.sign, lane.width_m / 2 + 0.35
        here = sign * vehicle.s_m
        front = rear = None
        s_front, s_rear = math.inf, -math.inf
        for other in self.vehicles:
            if other is vehicle or abs(other.d_m - lane.d_m) > reach + 0.3 * (other.WIDTH - 1.8):
                continue
            s = sign * other.s_m
            if here <= s < s_front:
                front, s_front = other, s
            elif s_rear < s < here:
                rear, s_rear = other, s
        return front, rear


class EgoVehicle(_OnRoad, _kinematics.Vehicle):
    """The ego as others see it; moved from outside."""

    LENGTH, WIDTH = 4.6, 1.85
    side = FORWARD
    target_speed = 30.0

    def act(self, action: Any = None) -> None:
        """Others never decide for the ego."""

    def step(self, dt: float) -> None:
        """Moved from outside."""


class Driver(_OnRoad, _behavior.IDMVehicle):
    """An IDM and MOBIL driver with a character, who slows for curves and keeps a place within the lane.

    ``script_accel_mps2`` overrides the driver's own wish (events); ``desired_mps`` is the speed wanted on a straight.
    """

    ACC_MAX = 8.0
    DISTANCE_WANTED = 2.6
    TAU_LATERAL = 1.1
    side = FORWARD
    desired_mps = 25.0
    bias_m = 0.0
    script_accel_mps2: float | None = None
    hazard = False
    fixed_lane = False
    comfort_mps2 = 2.8
    rest_s = 0.0

    def act(self, action: Any = None) -> None:
        """Decide for one step."""
        if self.crashed:
            return
        curve = max(
            abs(self.road.line.curvature_scalar(self.s_m + x * (1 if self.side is FORWARD else -1)))
            for x in (0.0, 25.0)
        )
        self.target_speed = max(0.5, min(self.desired_mps, math.sqrt(self.comfort_mps2 / max(curve, 1e-5))))
        self.enable_lane_change = not self.fixed_lane and self.script_accel_mps2 is None
        room = self._leave_ending_lane() if self.lane_index[2] == self.road.lanes else math.inf
        super().act(action)
        if room < 12.0 + self.speed * 1.5 + self.speed**2 / 5.0:
            self.action["acceleration"] = min(
                self.action["acceleration"], -min(6.0, self.speed**2 / (2 * max(room, 1.0)))
            )
        if self.script_accel_mps2 is not None:
            wish = self.script_accel_mps2
            self.action["acceleration"] = max(wish, -self.speed / 0.1) if wish < 0 else wish
        elif self.speed < 0.05:
            self.action["acceleration"] = max(self.action["acceleration"], 0.0)

    def _leave_ending_lane(self) -> float:
        """On the further lane: ask for the one beside before it ends; returns how far it stays open, in m."""
        ahead = np.arange(0.0, 300.0, 10.0)
        ended = np.flatnonzero(self.road.section.extra_at(self.s_m + ahead) < 0.9)
        room = float(ahead[ended[0]]) if len(ended) else math.inf
        if room < 260.0:
            beside = (*self.side, self.road.lanes - 1)
            front, rear = self.road.neighbour_vehicles(self, beside)
            clear_ahead = not front or self.lane_distance_to(front) > 3.0 + 0.4 * max(self.speed - front.speed, 0)
            clear_behind = not rear or -self.lane_distance_to(rear) > 3.0 + 1.2 * max(rear.speed - self.speed, 0)
            if clear_ahead and clear_behind:
                self.target_lane_index = beside
        return room if self.target_lane_index[2] == self.road.lanes else math.inf

    def steering_control(self, target_lane_index: Any) -> float:
        """highway-env's cascade (lateral, heading, steering), about the driver's own place within the lane."""
        lane = self.road.network.graph[target_lane_index[0]][target_lane_index[1]][target_lane_index[2]]
        lateral = lane.sign * (self.d_m - lane.d_m) - self.bias_m
        ahead = lane.sign * self.s_m + self.speed * self.TAU_PURSUIT
        speed = max(self.speed, 0.5)
        command = math.asin(max(-0.6, min(0.6, -lateral / self.TAU_LATERAL / max(speed, 4.0))))
        error = lane.heading_at(ahead) + command - self.heading
        error = (error + math.pi) % (2 * math.pi) - math.pi
        slip = math.asin(max(-0.7, min(0.7, self.LENGTH / 2 / speed * self.KP_HEADING * 0.6 * error)))
        return max(-0.9, min(0.9, math.atan(2 * math.tan(slip))))

    def acceleration(self, ego_vehicle: Any, front_vehicle: Any = None, rear_vehicle: Any = None) -> float:
        """highway-env's IDM in plain numbers, which is several times faster than numpy on scalars."""
        if not ego_vehicle:
            return 0.0
        speed = max(ego_vehicle.speed, 0.0)
        result = self.COMFORT_ACC_MAX * (1 - (speed / ego_vehicle.target_speed) ** self.DELTA)
        if front_vehicle:
            distance = ego_vehicle.lane_distance_to(front_vehicle)
            closing = speed - front_vehicle.speed * math.cos(front_vehicle.heading - ego_vehicle.heading)
            comfort = 2 * math.sqrt(-self.COMFORT_ACC_MAX * self.COMFORT_ACC_MIN)
            gap = self.DISTANCE_WANTED + speed * self.TIME_WANTED + speed * closing / comfort
            result -= self.COMFORT_ACC_MAX * (gap / (distance if abs(distance) > 0.01 else 0.01)) ** 2
        return result

    def step(self, dt: float) -> None:
        """highway-env's bicycle, never backwards, its state rounded so that it is the same on every machine."""
        self.timer = round(self.timer + dt, 6)
        self.clip_actions()
        slip = math.atan(0.5 * math.tan(self.action["steering"]))
        course = self.heading + slip
        x = float(self.position[0]) + self.speed * math.cos(course) * dt
        y = float(self.position[1]) + self.speed * math.sin(course) * dt
        if self.impact is not None:
            x, y = x + float(self.impact[0]), y + float(self.impact[1])
            self.crashed, self.impact = True, None
        self.position = np.array([round(x, 6), round(y, 6)])
        turned = self.heading + self.speed * math.sin(slip) / (self.LENGTH / 2) * dt
        self.heading = round((turned + math.pi) % (2 * math.pi) - math.pi, 6)
        self.speed = round(max(float(self.speed + self.action["acceleration"] * dt), 0.0), 6)
        self.on_state_update()
        if self.crashed:
            self.rest_s = round(self.rest_s + dt, 6)
            if self.rest_s > 4.0:
                self.crashed, self.rest_s = False, 0.0


class Trucker(Driver):
    """A driver of something heavy."""

    COMFORT_ACC_MAX = 1.3
    TIME_WANTED = 1.9


def driver_class(kind: str) -> type[Driver]:
    """The driver class of a vehicle kind: highway-env reads size from the class."""
    if kind not in _CLASSES:
        base = Trucker if kind in ("truck", "semi", "bus") else Driver
        length, width, _ = SIZES_M[kind]
        made: Any = type(f"{kind.capitalize()}Driver", (base,), {"LENGTH": length, "WIDTH": width, "kind": kind})
        _CLASSES[kind] = made
    return _CLASSES[kind]


_CLASSES: dict[str, type[Driver]] = {}
