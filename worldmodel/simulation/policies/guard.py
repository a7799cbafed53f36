"""Asks a policy that may be somebody else's: what it raises, a hang and answers that are no numbers become words.

Knows policies, nothing of worlds. Shapes: B rows.
"""

from __future__ import annotations

import queue
import threading
from typing import Any

import numpy as np

from worldmodel.simulation.policies.policy import Action, Observation, Policy
from worldmodel.types import Controls, EgoMotion


class PolicyBrokeDown(Exception):
    """A policy raised or did not answer in time; the message says which."""


class Guard:
    """Calls a policy in a thread of its own, so that one that hangs can be left behind.

    Args:
        policy: to be asked.
        timeout_s: an answer may take so long for each row; 0 waits for ever, in the caller's own thread.
    """

    def __init__(self, policy: Policy, *, timeout_s: float) -> None:
        self.policy, self._timeout_s = policy, timeout_s
        self._questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        if timeout_s > 0:
            threading.Thread(target=self._serve, daemon=True, name=f"policy {policy.name}").start()

    def reset(self, row: int, *, seed: int) -> None:
        """As the policy's; raises ``PolicyBrokeDown``."""
        self._call(lambda: self.policy.reset(row, seed=seed))

    def act(self, observation: Observation) -> Action:
        """What the policy says, ``(B,)``: controls or a motion. Rows may hold numbers that are not finite.

        Raises:
            PolicyBrokeDown: it raised, took too long, or its answer has another shape than the rows.
        """
        shape = observation.speed_mps.shape
        action: Action = self._call(lambda: self.policy.act(observation), rows=len(observation.speed_mps))
        if not isinstance(action, (Controls, EgoMotion)) or action.shape not in ((), shape):
            raise PolicyBrokeDown(f"answered {type(action).__name__} of shape {getattr(action, 'shape', None)}")
        if isinstance(action, Controls):
            return Controls(*(np.broadcast_to(a, shape) for a in (action.accel_mps2, action.curvature_1pm)))
        return EgoMotion(*(np.broadcast_to(a, shape) for a in (action.speed_mps, action.yaw_rate_radps)))

    def close(self) -> None:
        """Let the thread end, once it has nothing to do."""
        self._questions.put(None)

    def _call(self, question: Any, *, rows: int = 1) -> Any:
        if self._timeout_s <= 0:
            try:
                return question()
            except Exception as error:
                raise PolicyBrokeDown(f"raised {type(error).__name__}: {error}") from error
        self._questions.put(question)
        try:
            is_good, answer = self._answers.get(timeout=self._timeout_s * rows)
        except queue.Empty:
            raise PolicyBrokeDown(f"did not answer within {self._timeout_s * rows:g} s") from None
        if not is_good:
            raise PolicyBrokeDown(f"raised {type(answer).__name__}: {answer}") from answer
        return answer

    def _serve(self) -> None:
        while (question := self._questions.get()) is not None:
            try:
                self._answers.put((True, question()))
            except Exception as error:
                self._answers.put((False, error))
