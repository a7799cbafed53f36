"""Many worlds at once behind Gymnasium's vector interface: one batch of one world, rows that begin anew on their own.

Spaces, rewards and ends are those of ``env.DriveEnv``, row by row. A row whose episode has ended begins its next one in
the following step, whose action it ignores and whose reward is 0 (Gymnasium's ``NEXT_STEP``).

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from worldmodel.geometry.motion import VehicleLimits, VehicleState, drive
from worldmodel.simulation.env import FAILURE_COST_M, action_space_of, observation_space_of, row_info
from worldmodel.simulation.referee import Referee
from worldmodel.simulation.rollout import DEFAULT_SPEED_MPS, info_of, vehicle_after
from worldmodel.types import Controls, FrameArray, Scenario, Tags, World


class VectorDriveEnv(VectorEnv):
    """Drive the rows of one world.

    Args:
        world: learned or true, with ``decode()``, its newest frames.
        num_envs: rows.
        scenario_of_seed: what a row starts where no scenario is given.
        limits: of the vehicles.
        referee: says when a drive has failed, in a world that does not tell.
    """

    metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(
        self,
        world: World,
        num_envs: int,
        *,
        scenario_of_seed: Callable[[int], Scenario] = lambda seed: Scenario(Tags.unknown(), seed=seed),
        limits: VehicleLimits | None = None,
        referee: Referee | None = None,
    ) -> None:
        self.world, self.num_envs, self.limits = world, num_envs, limits or VehicleLimits()
        self.single_action_space = action_space_of(self.limits)
        self.single_observation_space = observation_space_of(world.camera, self.limits)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.scenarios: list[Scenario] = []
        self._scenario_of_seed, self._referee = scenario_of_seed, referee

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Begin every row.

        Args:
            seed: of the rows: a number for the first, counting up, or one each.
            options: ``{"scenario": Scenario}`` or a list of one for each row.

        Raises:
            ValueError: an unknown option, an impossible scenario, or as many of them as there are not rows.
        """
        seeds = list(seed) if isinstance(seed, Sequence) else [None if seed is None else seed + i for i in self._all()]
        super().reset(seed=seeds[0] if seeds else None)
        options = dict(options or {})
        given = options.pop("scenario", None)
        if options:
            raise ValueError(f"reset: options has {sorted(options)}, the only option is 'scenario'")
        scenarios = list(given) if isinstance(given, Sequence) else [given] * self.num_envs
        for name, values in (("seed", seeds), ("scenario", scenarios)):
            if len(values) != self.num_envs:
                raise ValueError(f"reset: {len(values)} of {name} for {self.num_envs} rows")
        self.scenarios = [self._scenario(own, row_seed) for own, row_seed in zip(scenarios, seeds)]
        self.world.start([scenario.context for scenario in self.scenarios], batch=self.num_envs)
        self._steps, self._distance_m = np.zeros(self.num_envs, dtype=int), np.zeros(self.num_envs)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._vehicle = VehicleState(np.zeros(self.num_envs), np.zeros(self.num_envs))
        self._controls = np.zeros((2, self.num_envs))
        self._frames = self._begin(list(self._all()))
        return self._observation(), self._infos()

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Drive every row for the world's ``dt_s``; rows that have ended begin anew instead.

        Raises:
            ValueError: an action that is not finite.
        """
        assert self.scenarios, "reset before the first step"
        anew = self._ended
        said = np.where(anew, 0.0, np.asarray(actions, dtype=np.float64).T)
        controls = Controls(said[0], said[1]).validate()
        self._vehicle, motion = drive(self._vehicle, controls, self.world.dt_s, self.limits)
        tags = [Tags.unknown() if s.tags is None else s.tags for s in self.scenarios]
        wanted = None if all(s.tags is None for s in self.scenarios) else Tags(np.stack([t.codes for t in tags]))
        frames = self.world.step(motion, tags=wanted)
        assert frames is not None
        self._controls, self._frames = said, np.array(frames)
        moved_m = np.where(anew, 0.0, motion.speed_mps * self.world.dt_s)
        self._steps += 1
        self._distance_m += moved_m
        if anew.any():
            rows = np.flatnonzero(anew).tolist()
            for row in rows:
                self.scenarios[row] = self._scenario(None, None)
                self._steps[row], self._distance_m[row] = 0, 0.0
            self._frames = self._begin(rows)
        infos = self._infos()
        terminated = (infos["collision"] | infos["off_road"]) & ~anew
        lengths = np.array([round(s.length_s / self.world.dt_s) for s in self.scenarios])
        truncated = (self._steps >= lengths) & ~terminated & ~anew
        self._ended = terminated | truncated
        return self._observation(), moved_m - FAILURE_COST_M * terminated, terminated, truncated, infos

    def _all(self) -> range:
        return range(self.num_envs)

    def _scenario(self, given: Scenario | None, seed: int | None) -> Scenario:
        if given is None:
            return self._scenario_of_seed(int(self.np_random.integers(2**31)) if seed is None else seed).validate()
        return (given if seed is None else dataclasses.replace(given, seed=seed)).validate()

    def _begin(self, rows: list[int]) -> FrameArray:
        """New drives in some rows; returns the newest frames of all."""
        for row in rows:
            self.world.reset(row, self.scenarios[row].context, seed=self.scenarios[row].seed)
            if self._referee is not None:
                self._referee.forget(row)
        own = info_of(self.world).get("speed_mps", np.full(self.num_envs, DEFAULT_SPEED_MPS))
        for row in rows:
            vehicle = vehicle_after(self.scenarios[row].context, own_mps=float(own[row]))
            self._vehicle.speed_mps[row], self._vehicle.curvature_1pm[row] = vehicle.speed_mps, vehicle.curvature_1pm
            self._controls[:, row] = 0.0
        return np.array(self.world.decode())  # pyright: ignore[reportAttributeAccessIssue]

    def _observation(self) -> dict[str, NDArray[Any]]:
        return {"frame": self._frames.copy(), "speed": self._vehicle.speed_mps[:, None].astype(np.float32)}

    def _infos(self) -> dict[str, Any]:
        """As ``DriveEnv``'s, an array ``(B,)`` for each key; ``truth`` is a list of one dict a row."""
        told = info_of(self.world)
        if self._referee is not None and "collision" not in told:
            told |= self._referee.watch(self._frames, self.world.camera, dt_s=self.world.dt_s)
            is_judged = True
        else:
            is_judged = False
        rows = []
        for row in self._all():
            of_row = {name: column[row] for name, column in told.items()}
            vehicle = VehicleState(self._vehicle.speed_mps[row], self._vehicle.curvature_1pm[row])
            time_s, accel = float(self._steps[row] * self.world.dt_s), float(self._controls[0, row])
            rows.append(row_info(of_row, vehicle, accel, time_s, float(self._distance_m[row]), is_truth=not is_judged))
        truth = [info.pop("truth") for info in rows]
        return {name: np.array([info[name] for info in rows]) for name in rows[0]} | {"truth": truth}
