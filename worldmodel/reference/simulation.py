"""One row of the reference world, moved step by step: ego, road, traffic, truth and picture.

``drive`` and ``world`` are loops around it. The ego moves by the motion it is given and by nothing else; the body's
pitch and roll follow from that motion and touch the picture alone. Knows nothing of files, batches or drivers.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import advance, wrap_angle
from worldmodel.geometry.road import BEHIND_M, SPACING_M, seen_from
from worldmodel.reference.boxes import road_user_boxes
from worldmodel.reference.centreline import Centreline
from worldmodel.reference.contact import push_out
from worldmodel.reference.dense import DenseRenderer, DenseTruth
from worldmodel.reference.drivers import Situation
from worldmodel.reference.events import Events, no_gap
from worldmodel.reference.light import light_of
from worldmodel.reference.options import EVENT_KINDS, DriveOptions
from worldmodel.reference.renderer import Renderer
from worldmodel.reference.road import Road
from worldmodel.reference.scene import Shot
from worldmodel.reference.sensor import Sensor
from worldmodel.reference.traffic import Traffic, ego_rectangle
from worldmodel.types import VOCABULARY, Camera, EgoMotion, FloatArray, FrameArray, Tags

#: Truth says the road's curvature this far ahead of the camera.
CURVATURE_AHEAD_M = 20.0
_SUSPENSION_RADPS, _DAMPING = 8.0, 0.55
_PITCH_PER_MPS2, _ROLL_PER_MPS2 = 0.0032, 0.0038


@dataclasses.dataclass
class _Ego:
    """The ego's state; plain numbers, so that a copy is a snapshot."""

    pose: FloatArray
    s_m: float
    d_m: float
    speed_mps: float
    yaw_rate_radps: float = 0.0
    frame: int = 0
    touches: bool = False
    pitch: tuple[float, float] = (0.0, 0.0)
    roll: tuple[float, float] = (0.0, 0.0)


class Simulation:
    """A drive's world at one moment.

    Args:
        options: of the drive, validated.
        camera: a pinhole with a height; its size is that of the pictures.
        dt_s: seconds per step.

    Raises:
        ValueError: impossible options, camera or time step.
    """

    def __init__(
        self,
        options: DriveOptions,
        *,
        camera: Camera,
        dt_s: float = 0.1,
    ) -> None:
        self.options = options.validate()
        if not 0 < dt_s <= 0.5:
            raise ValueError(f"Simulation.dt_s: expected above 0 and at most 0.5 s, got {dt_s!r}")
        self.camera, self.dt_s = camera, dt_s
        self.line = Centreline(options.seed, options.road_kind)
        self.road = Road.drawn(options.seed, options.road_kind, options.lanes)
        self._set_light()
        self.place_ego(self.road.lane_centre_m(self.road.lanes - 1), self.road.speed_limit_mps)

    def _set_light(self) -> None:
        options = self.options
        light = light_of(options.seed, options.weather, options.time_of_day, options.road_kind)
        self._renderer = Renderer(options.seed, self.camera, self.line, self.road, light)
        self._sensor = Sensor(options.seed, self._renderer.view, light) if options.sensor else None
        self._dense: DenseRenderer | None = None

    def change(self, tags: Tags) -> None:
        """Go on in other weather or light, with more or less traffic, or with an event that begins now.

        Unknown tags change nothing.

        Raises:
            ValueError: another kind of road, which a drive cannot turn into.
        """
        names = {k: v for k, v in tags.names().items() if v != "unknown"}
        if names.get("road_kind", self.options.road_kind) != self.options.road_kind:
            raise ValueError(f"tags.road_kind: this drive is on {self.options.road_kind!r}, got {names['road_kind']!r}")
        look = {
            k: names[k]
            for k in ("weather", "time_of_day")
            if names.get(k, getattr(self.options, k)) != getattr(self.options, k)
        }
        if look:
            self.options = dataclasses.replace(self.options, **look)
            self._set_light()
        if self.traffic is None or self._events is None:
            return
        if "traffic" in names:
            self.traffic.want(names["traffic"])
        if names.get("event") in EVENT_KINDS:
            self._events.request(names["event"])

    def place_ego(self, d_m: float, speed_mps: float) -> None:
        """Put the ego at the start of the road, ``d_m`` from its centre line; only before the first step."""
        self._ego = _Ego(self.line.position(0.0, d_m), 0.0, d_m, speed_mps)
        self.traffic: Traffic | None = None
        self._events: Events | None = None
        if self.options.traffic != "none" or self.options.events:
            self.traffic = Traffic(self.options, self.line, self.road)
            self.traffic.populate(self._ego.pose, 0.0, d_m, speed_mps)
            self._events = Events(self.options, self.traffic, self.road)
            self._events.prepare()

    @property
    def pose(self) -> FloatArray:
        """``(3,)`` x_m, y_m, heading_rad of the ground point under the camera."""
        return self._ego.pose.copy()

    @property
    def distance_m(self) -> float:
        """Along the centre line since the start."""
        return self._ego.s_m

    @property
    def frame(self) -> int:
        """Steps taken since the start."""
        return self._ego.frame

    def step(self, motion: EgoMotion) -> None:
        """Move everything by one step of ``dt_s``; ``motion`` is the ego's, of shape ().

        Raises:
            ValueError: the motion is unknown or not of a single row.
        """
        if motion.shape != () or not bool(motion.is_known):
            raise ValueError(f"Simulation.step: expected one known motion, got {motion}")
        ego, dt = self._ego, self.dt_s
        speed = float(motion.speed_mps)
        before, ego.pose = ego.pose, advance(ego.pose, motion, dt)
        self.line.reach(ego.s_m)
        s, d = self.line.track(float(ego.pose[0]), float(ego.pose[1]), ego.s_m)
        if self.traffic is not None and self._events is not None:
            self.traffic.step(before, ego.pose, float(s), speed, dt)
            self._events.step()
        accel = (speed - ego.speed_mps) / dt
        ego.pitch = _spring(ego.pitch, _PITCH_PER_MPS2 * max(-9.0, min(5.0, accel)), dt)
        sideways = speed * float(motion.yaw_rate_radps)
        ego.roll = _spring(ego.roll, _ROLL_PER_MPS2 * max(-8.0, min(8.0, sideways)), dt)
        ego.s_m, ego.d_m = float(s), float(d)
        ego.speed_mps, ego.yaw_rate_radps = speed, float(motion.yaw_rate_radps)
        ego.touches = self._touches()
        ego.frame += 1

    def shot(self) -> Shot:
        """What a picture of this moment is taken of."""
        ego = self._ego
        attitude = (round(ego.pitch[0], 5), round(ego.roll[0], 5))
        seen = [] if self.traffic is None else self.traffic.seen()
        time_s = ego.frame * self.dt_s
        return Shot(ego.pose.copy(), ego.s_m, attitude, time_s, ego.speed_mps, ego.yaw_rate_radps, seen)

    def render(self) -> FrameArray:
        """The picture ``(H, W, 3)`` uint8 of this moment."""
        return self._seen_by(self.shot())

    def render_from(self, pose: FloatArray) -> FrameArray:
        """The same moment as the ego would see it from another pose ``(3,)`` near its own."""
        s_m, _ = self.line.track(float(pose[0]), float(pose[1]), self._ego.s_m)
        return self._seen_by(dataclasses.replace(self.shot(), pose=np.asarray(pose, dtype=np.float64), s_m=float(s_m)))

    def _seen_by(self, shot: Shot) -> FrameArray:
        image = self._renderer.draw(shot)
        return image if self._sensor is None else self._sensor.expose(image, shot)

    def look(self) -> DenseTruth:
        """Truth per pixel of this moment."""
        if self._dense is None:
            self._dense = DenseRenderer(self._renderer)
        return self._dense.look(self.shot())

    def boxes(self) -> NDArray[np.float32]:
        """Boxes ``(K, 8)`` of the road users in this moment's picture, as ``boxes.COLUMNS``."""
        ahead = 0 if self.traffic is None else self.traffic.ahead()[2]
        renderer = self._renderer
        return road_user_boxes(renderer.view, self.shot(), haze_m=renderer.light.haze_m, ahead=ahead)

    def road_map(self, *, behind_m: float, ahead_m: float) -> NDArray[np.float64]:
        """A map ``(2, P, 2)`` (``geometry.road``) of the ego's lanes from behind the ego to ahead of it.

        It is in the axes of ``pose``'s own origin. A further lane that opens and ends again is not on it.
        """
        s_m = np.arange(self._ego.s_m - behind_m, self._ego.s_m + ahead_m, SPACING_M)
        self.line.reach(float(s_m[-1]))
        edges_m = np.array([[-self.road.median_m], [-self.road.edge_m]])
        return self.line.position(s_m, edges_m)[..., :2]

    def road_seen(self, ahead_m: float) -> NDArray[np.float64]:
        """The same map from a window's length behind the ego on, in its axes."""
        return seen_from(self.road_map(behind_m=BEHIND_M, ahead_m=ahead_m), self.pose)

    def flow_since(self, before: DenseTruth) -> NDArray[np.float32]:
        """``(H, W, 2)`` optical flow from the moment of ``before`` to this one."""
        if self._dense is None:
            self._dense = DenseRenderer(self._renderer)
        return self._dense.flow(before, self.shot())

    def situation(self) -> Situation:
        """What an ego driver goes by."""
        ego = self._ego
        gap, closing, _ = (math.inf, 0.0, 0) if self.traffic is None else self.traffic.ahead()
        return Situation(ego.s_m, ego.d_m, self._heading_error(), ego.speed_mps, gap, closing, bool(self.collision))

    @property
    def collision(self) -> bool:
        """Whether the ego touched someone since the last frame, or touches something solid."""
        return self._ego.touches or (self.traffic is not None and self.traffic.contact)

    def _touches(self) -> bool:
        """Whether the ego's body overlaps something solid beside the road."""
        ego = self._ego
        if self.road.median_m - 3.0 < -ego.d_m < self.road.paved_m - 2.0:
            return False
        solids = self._renderer.scene.scenery.solids(ego.s_m)
        near = np.hypot(*(solids.mean(1) - ego.pose[:2]).T) < 14.0
        body = ego_rectangle(ego.pose)
        return any(push_out(body, plan) is not None for plan in solids[near])

    def _heading_error(self) -> float:
        return float(wrap_angle(self._ego.pose[2] - self.line.heading_at(self._ego.s_m)))

    def truth(self) -> dict[str, Any]:
        """Scalars true at this moment; names and units in ``docs/reference.md``."""
        ego, road = self._ego, self.road
        lane = int(road.lane_at(ego.d_m, ego.s_m))
        now = self.situation()
        event = "none" if self._events is None else self._events.current
        return {
            "lane_offset_m": ego.d_m - road.lane_centre_m(lane),
            "heading_error_rad": self._heading_error(),
            "curvature_ahead_1pm": self.line.curvature_scalar(ego.s_m + CURVATURE_AHEAD_M),
            "off_road": bool(road.is_off(ego.d_m, ego.s_m)),
            "collision": self.collision,
            "gap_m": no_gap(now.gap_m),
            "closing_speed_mps": now.closing_speed_mps if math.isfinite(now.gap_m) else math.nan,
            "lane_width_m": road.lane_width_m,
            "lane": lane,
            "road_offset_m": ego.d_m,
            "distance_m": ego.s_m,
            "speed_limit_mps": road.speed_limit_mps,
            "event": VOCABULARY["event"].index(event),
        }

    def snapshot(self) -> Any:
        """Everything that changes, to be given back to ``restore``."""
        traffic = None if self.traffic is None else self.traffic.snapshot()
        events = None if self._events is None else self._events.snapshot()
        return self.options, copy.deepcopy(self._ego), traffic, events

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot of this simulation."""
        options, ego, traffic, events = snapshot
        if options != self.options:
            self.options = options
            self._set_light()
        self._ego = copy.deepcopy(ego)
        if self.traffic is not None and self._events is not None:
            self.traffic.restore(traffic)
            self._events.restore(events)


def _spring(state: tuple[float, float], target: float, dt_s: float) -> tuple[float, float]:
    """A damped spring (value, rate) drawn to ``target`` for ``dt_s``."""
    value, rate = state
    steps = max(1, math.ceil(dt_s / 0.02))
    h = dt_s / steps
    for _ in range(steps):
        rate += h * (_SUSPENSION_RADPS**2 * (target - value) - 2 * _DAMPING * _SUSPENSION_RADPS * rate)
        value += h * rate
    return value, rate


def as_columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Truth rows as named ``(T,)`` arrays."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
