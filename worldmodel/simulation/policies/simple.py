"""Policies that look at nothing: constant and random controls, scripted profiles, recorded motion.

Shapes: B rows; T frames of a recording; S steps of a plan.
"""

from __future__ import annotations

import numpy as np

from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.profile import Profile
from worldmodel.types import Controls, EgoMotion


class Constant:
    """The same controls for ever.

    Args:
        accel_mps2: along the path.
        curvature_1pm: left positive.
    """

    name = "constant"
    needs_truth = False

    def __init__(self, *, accel_mps2: float = 0.0, curvature_1pm: float = 0.0) -> None:
        self._controls = Controls(np.array(accel_mps2), np.array(curvature_1pm))

    def reset(self, row: int, *, seed: int) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation) -> Controls:
        """The controls it was made with."""
        return self._controls


class Random:
    """Controls that wander smoothly (an Ornstein-Uhlenbeck process per row), whatever the road does.

    Args:
        accel_mps2, lateral_accel_mps2: standard deviations; curvature is the lateral acceleration over speed squared.
        memory_s: time in which a control forgets where it was.
    """

    name = "random"
    needs_truth = False

    def __init__(self, *, accel_mps2: float = 1.0, lateral_accel_mps2: float = 1.5, memory_s: float = 1.5) -> None:
        self._scale = np.array([accel_mps2, lateral_accel_mps2])
        self._memory_s = memory_s
        self._rows: dict[int, tuple[np.random.Generator, np.ndarray]] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Begin row ``row`` with the noise of ``seed``."""
        generator = np.random.default_rng([seed, 0x5EED])
        self._rows[row] = generator, generator.standard_normal(2) * self._scale

    def act(self, observation: Observation) -> Controls:
        """The next controls ``(B,)``."""
        keep = np.exp(-observation.dt_s / self._memory_s)
        wanted = np.zeros((len(observation.speed_mps), 2))
        for row in range(len(wanted)):
            generator, now = self._rows[row]
            now = keep * now + np.sqrt(1 - keep**2) * generator.standard_normal(2) * self._scale
            self._rows[row] = generator, now
            wanted[row] = now
        return Controls(wanted[:, 0], wanted[:, 1] / np.maximum(observation.speed_mps, 5.0) ** 2)


class Scripted:
    """Drives a profile: its curvature at its time, and its speed, caught up with at a comfortable rate.

    Args:
        profile: what to drive.
        catch_up_mps2: strongest acceleration towards the profile's speed when the drive began at another one.
    """

    name = "scripted"
    needs_truth = False

    def __init__(self, profile: Profile, *, catch_up_mps2: float = 2.0) -> None:
        self.profile = profile
        self._catch_up_mps2 = catch_up_mps2
        self._step_of: dict[int, int] = {}
        self._plan = profile.plan(0.1, 0)

    def reset(self, row: int, *, seed: int) -> None:
        """Begin the profile anew in row ``row``."""
        self._step_of[row] = 0

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)`` that reach the profile's next speed and curvature."""
        step_B = np.array([self._step_of[row] for row in range(len(observation.speed_mps))])
        if step_B.max() + 1 >= len(self._plan.speed_mps):
            self._plan = self.profile.plan(observation.dt_s, max(512, 2 * int(step_B.max())))
        plan, dt_s = self._plan, observation.dt_s
        planned = (plan.speed_mps[step_B + 1] - plan.speed_mps[step_B]) / dt_s
        behind = (plan.speed_mps[step_B] - observation.speed_mps) / dt_s
        for row in self._step_of:
            self._step_of[row] += 1
        accel = planned + np.clip(behind, -self._catch_up_mps2, self._catch_up_mps2)
        return Controls(accel, plan.curvature_1pm[step_B + 1])


class Recorded:
    """Plays back a recorded motion as it is, past the vehicle model; the last known motion goes on at its end.

    Args:
        motion: ``(T,)`` at the world's own step, or ``(T, B)``, one for each row; NaN is handed on as unknown.
    """

    name = "recorded"
    needs_truth = False

    def __init__(self, motion: EgoMotion) -> None:
        self.motion = motion
        self._step_of: dict[int, int] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Begin the recording anew in row ``row``."""
        self._step_of[row] = 0

    def act(self, observation: Observation) -> EgoMotion:
        """The recorded motion ``(B,)`` of this step."""
        step_B = np.array([self._step_of[row] for row in range(len(observation.speed_mps))])
        for row in self._step_of:
            self._step_of[row] += 1
        at = np.minimum(step_B, len(self.motion.speed_mps) - 1)
        if self.motion.speed_mps.ndim == 1:
            return self.motion[at]
        rows = np.arange(len(at))
        return EgoMotion(self.motion.speed_mps[at, rows], self.motion.yaw_rate_radps[at, rows])


class RecordedOfTrial:
    """Plays back what each row's scenario has recorded, past the vehicle model; its last motion goes on at its end."""

    name = "recorded"
    needs_truth = False

    def __init__(self) -> None:
        self._rows: dict[int, EgoMotion] = {}
        self._step_of: dict[int, int] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Begin anew in row ``row``."""
        self._step_of[row] = 0

    def replay(self, row: int, motion: EgoMotion | None) -> None:
        """Hand over the recording ``(T,)`` of row ``row``; whoever runs scenarios does, after ``reset``.

        Raises:
            ValueError: there is none.
        """
        if motion is None or not bool(motion.is_known.all()):
            raise ValueError("policy recorded: this scenario has no recording whose motion is known throughout")
        self._rows[row] = motion

    def act(self, observation: Observation) -> EgoMotion:
        """The recorded motion ``(B,)`` of this step.

        Raises:
            ValueError: nobody has handed over a recording.
        """
        rows = range(len(observation.speed_mps))
        if any(row not in self._rows for row in rows):
            raise ValueError("policy recorded: only scenarios have recordings; mode=drive takes motion=recorded")
        at = [min(self._step_of[row], len(self._rows[row].speed_mps) - 1) for row in rows]
        for row in self._step_of:
            self._step_of[row] += 1
        pairs = np.array([(self._rows[r].speed_mps[i], self._rows[r].yaw_rate_radps[i]) for r, i in zip(rows, at)])
        return EgoMotion(pairs[:, 0], pairs[:, 1])
