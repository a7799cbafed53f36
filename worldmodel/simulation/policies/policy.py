"""The protocol every driver obeys: it sees an observation of a batch of worlds and says what to do in each.

A policy answers with ``Controls``, which the vehicle model turns into motion, or with ``EgoMotion`` itself when it
plays a recording. It sees frames and its own speed. Only a policy whose ``needs_truth`` is true is handed the world's
truth; such policies are named ``oracle-*`` and drive in the reference world alone.

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from worldmodel.types import Controls, EgoMotion, FloatArray, FrameArray

#: What a policy says: controls for the vehicle, or a motion to be taken as it is.
Action = Controls | EgoMotion


@dataclasses.dataclass(frozen=True)
class Observation:
    """What a policy sees.

    Attributes:
        frames: ``(B, H, W, 3)`` uint8, the newest.
        speed_mps: ``(B,)`` own speed.
        curvature_1pm: ``(B,)`` of the path the wheels are set to.
        dt_s: for how long the answer will hold.
        truth: named ``(B, ...)`` columns, for policies with ``needs_truth``; else ``None``.
    """

    frames: FrameArray
    speed_mps: FloatArray
    curvature_1pm: FloatArray
    dt_s: float
    truth: Mapping[str, NDArray[Any]] | None = None


class Policy(Protocol):
    """Drives every row of a batch; rows do not influence each other.

    All state between calls is the policy's own and is copied by ``copy.deepcopy``, so that a drive can branch.

    Attributes:
        name: as the command line and reports say it.
        needs_truth: true for ``oracle-*`` policies.
    """

    name: str
    needs_truth: bool

    def reset(self, row: int, *, seed: int) -> None:
        """Forget row ``row``: a new drive begins there. Called for every row before the first ``act``."""
        ...

    def act(self, observation: Observation) -> Action:
        """Say what to do ``(B,)`` for the coming ``dt_s``; a scalar holds for every row."""
        ...
