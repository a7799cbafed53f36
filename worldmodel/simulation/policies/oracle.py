"""Policies that are told the truth: they drive in the reference world alone, as yardsticks.

They read the columns of the world's ``info()`` by name and know nothing of where those come from.

Shapes: B rows.
"""

from __future__ import annotations

import math

from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.policies.style import STYLES, Style, controls_of
from worldmodel.types import Controls


class Oracle:
    """Keeps its lane and its distance by the truth (``style.controls_of``).

    Args:
        style: of driving.
        name: of the policy, from ``oracle-``.
    """

    needs_truth = True

    def __init__(self, style: Style, *, name: str) -> None:
        self.style, self.name = style, name

    def reset(self, row: int, *, seed: int) -> None:
        """Nothing to forget."""

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)`` from lane offset, heading error, curvature ahead, gap and closing speed."""
        assert observation.truth is not None
        return controls_of(self.style, observation.truth, observation.speed_mps)


class OracleKeeper(Oracle):
    """The normal driver.

    Args:
        speed_max_mps: never faster, whatever the limit.
    """

    def __init__(self, *, speed_max_mps: float = math.inf) -> None:
        super().__init__(Style(speed_max_mps=speed_max_mps), name="oracle-keeper")


def oracle(style: str) -> Oracle:
    """The driver of a style of ``STYLES``, as ``oracle-<style>``."""
    return Oracle(STYLES[style], name=f"oracle-{style}")
