"""A planner: it tries several ways in a learned model of the world and takes the first half second of the best.

Sampling model-predictive control. It keeps a model's past up to date with the frames it sees, whatever world they come
from, and so plans in the learned model in both worlds. The futures are stepped undecoded; of each only two moments are
decoded, and looked at by the driver's perception. Knows sessions and perception.

Shapes: B rows; R of them plan now; K candidates of each; H, W pixels.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.session import Session
from worldmodel.types import Clip, Controls, EgoMotion, FloatArray, FrameArray, Tags


@dataclasses.dataclass(frozen=True)
class PlannerConfig:
    """How far and how widely it looks.

    Attributes:
        candidates: tried, K: going on as now, what was planned last, and drawn ones.
        horizon: steps of each; two moments of it are looked at, in the middle and at its end.
        every_s: it plans anew so often.
        accel_mps2, lateral_mps2: spread of what is drawn.
        sure: worth of not leaving the road and of not hitting anybody, against a metre off the lane's middle squared.
    """

    candidates: int = 8
    horizon: int = 10
    every_s: float = 0.5
    accel_mps2: float = 1.0
    lateral_mps2: float = 1.2
    sure: float = 20.0


@dataclasses.dataclass
class _Row:
    """What is remembered of a drive."""

    seed: int
    generator: np.random.Generator
    age: int = 0
    wanted_mps: float = float("nan")
    speed_mps: float = 0.0
    plan: tuple[float, float] = (0.0, 0.0)


class ImaginingPlanner:
    """Plans in a model of the world.

    Args:
        memory: a session of its own, which is shown what is seen.
        futures: another one on the same model, whose sampler may take fewer steps.
        reader: with the driver's weights.
        config: of the search.
    """

    name = "mpc"
    needs_truth = False

    def __init__(
        self, memory: Session, futures: Session, reader: StreamingReader, config: PlannerConfig | None = None
    ) -> None:
        self._memory, self._futures, self._reader = memory, futures, reader
        self._config = config or PlannerConfig()
        self._rows: dict[int, _Row] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """A new drive begins in row ``row``."""
        self._rows[row] = _Row(seed, np.random.default_rng([seed, 0x3C]))

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)`` of the plan each row follows."""
        self._remember(observation)
        rows = range(len(observation.speed_mps))
        every = max(1, round(self._config.every_s / observation.dt_s))
        due = [row for row in rows if self._rows[row].age % every == 0]
        if due:
            self._plan(due, observation)
        for row in rows:
            self._rows[row].age += 1
        accel, curvature = np.array([self._rows[row].plan for row in rows]).T
        return Controls(accel, curvature)

    def _remember(self, observation: Observation) -> None:
        """Show the model what is seen, with the motion that led there."""
        frames, speed, memory = observation.frames, observation.speed_mps, self._memory
        rows = range(len(speed))
        fresh = [row for row in rows if self._rows[row].age == 0]
        if memory.batch != len(speed):
            seeds = [self._rows[row].seed for row in rows]
            memory.start([_single(frame, memory) for frame in frames], batch=len(speed), seed=seeds)
        else:
            if len(fresh) < len(speed):
                before = np.array([np.nan if row in fresh else self._rows[row].speed_mps for row in rows])
                moved_mps = (before + speed) / 2
                memory.observe(frames, EgoMotion(moved_mps, moved_mps * observation.curvature_1pm))
            for row in fresh:
                memory.reset(row, _single(frames[row], memory), seed=self._rows[row].seed)
        for row in rows:
            self._rows[row].speed_mps = float(speed[row])
            if row in fresh:
                self._rows[row].wanted_mps = max(float(speed[row]), 5.0)

    def _plan(self, due: list[int], observation: Observation) -> None:
        config, futures = self._config, self._futures
        tried = np.stack([self._candidates(row, observation) for row in due])
        accel, curvature = tried.reshape(-1, 2).T
        per_row = [row for row in due for _ in range(config.candidates)]
        speed = np.repeat(observation.speed_mps[due], config.candidates)
        vehicle = VehicleState(speed, np.repeat(observation.curvature_1pm[due], config.candidates))
        futures.restore(self._memory.snapshot().of_rows(per_row))
        cost = np.zeros(len(per_row))
        looked_at = {config.horizon // 2: 0.5, config.horizon: 1.0}
        controls = Controls(accel, curvature)
        for step in range(1, config.horizon + 1):
            vehicle, motion = drive(vehicle, controls, futures.dt_s)
            futures.step(motion, decode=False)
            if step in looked_at:
                cost += looked_at[step] * self._cost(futures.decode(), vehicle, per_row)
        cost += 0.02 * (curvature * speed**2) ** 2 + 0.02 * accel**2
        for row, best in zip(due, cost.reshape(len(due), -1).argmin(axis=1)):
            self._rows[row].plan = tuple(tried[due.index(row), best])

    def _candidates(self, row: int, observation: Observation) -> FloatArray:
        """``(K, 2)`` acceleration and curvature."""
        state, config = self._rows[row], self._config
        speed, now = float(observation.speed_mps[row]), float(observation.curvature_1pm[row])
        drawn = state.generator.standard_normal((config.candidates - 2, 2))
        per_m = config.lateral_mps2 / max(speed, 5.0) ** 2
        home = 0.5 * (state.wanted_mps - speed)
        spread = np.array([config.accel_mps2, per_m]) * drawn + np.array([home, now])
        return np.concatenate([[[np.clip(home, -2.0, 2.0), now], state.plan], spread])

    def _cost(self, frames: FrameArray, vehicle: VehicleState, per_row: list[int]) -> FloatArray:
        """``(R K,)`` how bad a moment looks."""
        camera = canonical_camera(*frames.shape[1:3], height_m=NOMINAL_HEIGHT_M)
        for row in range(len(frames)):
            self._reader.forget(row)
        seen = self._reader.read(frames, camera, dt_s=self._futures.dt_s).columns
        speed = vehicle.speed_mps
        wanted = np.array([self._rows[row].wanted_mps for row in per_row])
        # Where the lane's middle will be in half a second, if it goes on as it points.
        aside_m = seen["lane_offset_m"] + 0.5 * speed * np.sin(seen["heading_error_rad"])
        close = np.maximum(0.0, 1.0 - seen["gap_m"] / (3.0 + 1.0 * speed)) * (seen["has_gap"] > 0.5)
        failing = self._config.sure * (seen["off_road"] + seen["collision"])
        return aside_m**2 + failing + 10 * close**2 + 0.05 * (speed - wanted) ** 2


def planner_session(model: Session, steps: int) -> Session:
    """A session on the same model whose frames take ``steps`` denoising steps."""
    return model.another(dataclasses.replace(model.sampler, steps=steps))


def _single(frame: FrameArray, session: Session) -> Clip:
    """A context of one frame of which nothing else is known."""
    camera = session.camera
    valid = np.ones((camera.height_px, camera.width_px), dtype=bool)
    return Clip(frame[None], np.zeros(1), EgoMotion.unknown((1,)), Tags.unknown((1,)), camera, valid)
