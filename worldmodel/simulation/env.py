"""One Gymnasium environment over any ``World``: the learned and the reference world look alike to a policy.

Action: Box(accel_mps2, curvature_1pm), which the vehicle model turns into motion. Observation: Dict(frame ``(H, W, 3)``
uint8, speed ``(1,)`` m/s). An episode terminates at a collision or off the road, as the world tells it, or a
referee where it does not, and is truncated at the scenario's length. Reward: metres driven in the step, less
``FAILURE_COST_M`` where it terminates.

``info`` has the keys ``INFO_KEYS`` in every world; ``info["truth"]`` holds whatever else the world tells, for
``oracle-*`` policies and for scoring (``None`` where it does not know), and is empty in the learned world.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from worldmodel.geometry.motion import VehicleLimits, VehicleState, drive
from worldmodel.simulation.referee import Referee
from worldmodel.simulation.rollout import DEFAULT_SPEED_MPS, info_of, vehicle_after
from worldmodel.types import Camera, Controls, Scenario, Tags, World

INFO_KEYS = (
    "t_s",
    "speed_mps",
    "yaw_rate_radps",
    "accel_mps2",
    "curvature_1pm",
    "distance_m",
    "collision",
    "off_road",
    "truth",
)
FAILURE_COST_M = 20.0

ObsType = dict[str, NDArray[Any]]


class DriveEnv(gymnasium.Env[ObsType, NDArray[np.float32]]):
    """Drive one world with Gymnasium's interface.

    Args:
        world: learned or true.
        scenario_of_seed: what ``reset(seed)`` starts where no scenario is given.
        limits: of the vehicle; also the bounds of the action space.
        referee: says when a drive has failed, in a world that does not tell.
        render_mode: ``rgb_array`` or ``None``.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        world: World,
        *,
        scenario_of_seed: Callable[[int], Scenario] = lambda seed: Scenario(Tags.unknown(), seed=seed),
        limits: VehicleLimits | None = None,
        referee: Referee | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.world, self.limits, self.render_mode = world, limits or VehicleLimits(), render_mode
        self.scenario: Scenario | None = None
        self._scenario_of_seed = scenario_of_seed
        self._referee = referee
        self.action_space = action_space_of(self.limits)
        self.observation_space: spaces.Space[Any] = observation_space_of(world.camera, self.limits)

    @property
    def dt_s(self) -> float:
        """Seconds from one step to the next."""
        return self.world.dt_s

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode.

        Args:
            seed: of the world; default the scenario's own, or a number drawn by the environment.
            options: ``{"scenario": Scenario}`` to start there.

        Raises:
            ValueError: an unknown option, or an impossible scenario.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        scenario = options.pop("scenario", None)
        if options:
            raise ValueError(f"reset: options has {sorted(options)}, the only option is 'scenario'")
        if scenario is None:
            scenario = self._scenario_of_seed(int(self.np_random.integers(2**31)) if seed is None else seed)
        elif seed is not None:
            scenario = dataclasses.replace(scenario, seed=seed)
        self.scenario = scenario.validate()
        self._frame = self.world.start(scenario.context, batch=1, seed=scenario.seed)[0]
        told = info_of(self.world)
        own = told.get("speed_mps", [DEFAULT_SPEED_MPS])
        self._vehicle = vehicle_after(scenario.context, own_mps=float(own[0]))
        self._steps, self._distance_m = 0, 0.0
        if self._referee is not None:
            self._referee.forget(0)
        return self._observation(), self._info(told, 0.0)

    def step(self, action: NDArray[np.float32]) -> tuple[ObsType, float, bool, bool, dict[str, Any]]:
        """Drive for ``dt_s``.

        Raises:
            ValueError: an action that is not finite.
        """
        assert self.scenario is not None, "reset before the first step"
        controls = Controls(np.float64(action[0]), np.float64(action[1])).validate()  # pyright: ignore[reportArgumentType]
        self._vehicle, motion = drive(self._vehicle, controls, self.world.dt_s, self.limits)
        frames = self.world.step(motion, tags=self.scenario.tags)
        assert frames is not None
        self._frame = frames[0]
        self._steps += 1
        moved_m = float(motion.speed_mps) * self.world.dt_s
        self._distance_m += moved_m
        info = self._info(info_of(self.world), float(controls.accel_mps2))
        terminated = info["collision"] or info["off_road"]
        truncated = self._steps >= round(self.scenario.length_s / self.world.dt_s)
        reward = moved_m - FAILURE_COST_M * terminated
        return self._observation(), reward, terminated, truncated and not terminated, info

    def render(self) -> NDArray[np.uint8] | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The newest frame ``(H, W, 3)`` where ``render_mode`` is ``rgb_array``."""
        return self._frame.copy() if self.render_mode == "rgb_array" else None

    def _observation(self) -> ObsType:
        return {"frame": self._frame, "speed": np.array([self._vehicle.speed_mps], dtype=np.float32)}

    def _info(self, told: dict[str, NDArray[Any]], accel_mps2: float) -> dict[str, Any]:
        is_truth = self._referee is None or "collision" in told
        if not is_truth:
            assert self._referee is not None
            told = dict(self._referee.watch(self._frame[None], self.world.camera, dt_s=self.world.dt_s))
        row = {name: column[0] for name, column in told.items()}
        time_s = self._steps * self.world.dt_s
        return row_info(row, self._vehicle, accel_mps2, time_s, self._distance_m, is_truth=is_truth)


def action_space_of(limits: VehicleLimits) -> spaces.Box:
    """Acceleration and curvature within what the vehicle can do."""
    low = np.array([limits.accel_min_mps2, -limits.curvature_max_1pm], dtype=np.float32)
    high = np.array([limits.accel_max_mps2, limits.curvature_max_1pm], dtype=np.float32)
    return spaces.Box(low, high, dtype=np.float32)


def observation_space_of(camera: Camera, limits: VehicleLimits) -> spaces.Dict:
    """A frame of the camera, and the own speed."""
    shape = (camera.height_px, camera.width_px, 3)
    return spaces.Dict(
        {
            "frame": spaces.Box(0, 255, shape, dtype=np.uint8),
            "speed": spaces.Box(0.0, limits.speed_max_mps, (1,), dtype=np.float32),
        }
    )


def row_info(
    told: Mapping[str, Any],
    vehicle: VehicleState,
    accel_mps2: float,
    t_s: float,
    distance_m: float,
    *,
    is_truth: bool = True,
) -> dict[str, Any]:
    """``info`` of one row: ``INFO_KEYS``.

    Args:
        told: of this row, by the world or by a referee.
        vehicle: ``()``.
        accel_mps2: asked for. t_s, distance_m: since the start.
        is_truth: whether ``told`` is the world's.
    """
    plain = {name: _plain(value) for name, value in told.items()}
    return {
        "t_s": t_s,
        "speed_mps": float(vehicle.speed_mps),
        "yaw_rate_radps": float(vehicle.speed_mps * vehicle.curvature_1pm),
        "accel_mps2": accel_mps2,
        "curvature_1pm": float(vehicle.curvature_1pm),
        "distance_m": distance_m,
        "collision": bool(plain.get("collision", False)),
        "off_road": bool(plain.get("off_road", False)),
        "truth": plain if is_truth else {},
    }


def _plain(value: Any) -> Any:
    """A numpy scalar as Python's own; NaN, which equals nothing, as ``None``."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
