"""Any policy, made worse on purpose: a grade of drivers that is known, for ranking worlds by how they rank it.

Knows controls alone. Shapes: B rows.
"""

from __future__ import annotations

import collections

import numpy as np

from worldmodel.simulation.policies.policy import Action, Observation, Policy
from worldmodel.types import Controls


class _Handicap:
    """A policy around another one."""

    def __init__(self, policy: Policy, word: str) -> None:
        self.policy, self.needs_truth = policy, policy.needs_truth
        self.name = f"{policy.name}+{word}"

    def reset(self, row: int, *, seed: int) -> None:
        """As the policy's own."""
        self.policy.reset(row, seed=seed)

    def _controls(self, observation: Observation) -> Controls:
        action: Action = self.policy.act(observation)
        if not isinstance(action, Controls):
            raise ValueError(f"policy: {self.policy.name!r} plays a motion back; only controls can be changed")
        shape = observation.speed_mps.shape
        return Controls(np.broadcast_to(action.accel_mps2, shape), np.broadcast_to(action.curvature_1pm, shape))


class SteeringGain(_Handicap):
    """Turns the wheel by a factor of what was meant."""

    def __init__(self, policy: Policy, gain: float) -> None:
        super().__init__(policy, f"gain={gain:g}")
        self._gain = gain

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``."""
        controls = self._controls(observation)
        return Controls(controls.accel_mps2, self._gain * controls.curvature_1pm)


class Delay(_Handicap):
    """Does what was meant so many seconds ago; until then it rolls straight on."""

    def __init__(self, policy: Policy, delay_s: float) -> None:
        if not delay_s >= 0:
            raise ValueError(f"policy: delay={delay_s}: expected seconds from 0")
        super().__init__(policy, f"delay={delay_s:g}")
        self._delay_s = delay_s
        self._waiting: dict[int, collections.deque[tuple[float, float]]] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Forget what row ``row`` was still to do."""
        super().reset(row, seed=seed)
        self._waiting[row] = collections.deque()

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``."""
        meant, steps = self._controls(observation), round(self._delay_s / observation.dt_s)
        done = np.zeros((len(observation.speed_mps), 2))
        for row in range(len(done)):
            waiting = self._waiting[row]
            waiting.append((float(meant.accel_mps2[row]), float(meant.curvature_1pm[row])))
            if len(waiting) > steps:
                done[row] = waiting.popleft()
        return Controls(done[:, 0], done[:, 1])


class SteeringNoise(_Handicap):
    """An unsteady hand: sideways acceleration that wanders (an Ornstein-Uhlenbeck process) on top of what was meant.

    Args:
        policy: that steers.
        noise_mps2: its standard deviation.
        memory_s: time in which the hand forgets where it was.
    """

    def __init__(self, policy: Policy, noise_mps2: float, *, memory_s: float = 0.5) -> None:
        super().__init__(policy, f"noise={noise_mps2:g}")
        self._noise_mps2, self._memory_s = noise_mps2, memory_s
        self._rows: dict[int, tuple[np.random.Generator, float]] = {}

    def reset(self, row: int, *, seed: int) -> None:
        """Begin row ``row`` with the noise of ``seed``."""
        super().reset(row, seed=seed)
        self._rows[row] = np.random.default_rng([seed, 0xAD]), 0.0

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``."""
        meant, keep = self._controls(observation), np.exp(-observation.dt_s / self._memory_s)
        aside = np.zeros(len(observation.speed_mps))
        for row in range(len(aside)):
            generator, now = self._rows[row]
            now = keep * now + np.sqrt(1 - keep**2) * generator.standard_normal()
            self._rows[row], aside[row] = (generator, now), now
        shift = self._noise_mps2 * aside / np.maximum(observation.speed_mps, 5.0) ** 2
        return Controls(meant.accel_mps2, meant.curvature_1pm + shift)


#: Word of a policy's name to what it does with a number.
HANDICAPS = {"gain": SteeringGain, "delay": Delay, "noise": SteeringNoise}
