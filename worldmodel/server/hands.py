"""What a person holds: a steering wheel and a pedal, and the controls they mean at some speed.

Keyboard, gamepad and touch all become the same two numbers, so a drive does not depend on what it was driven with.
Only the newest hold counts: nothing queues up. Knows no sockets and no world.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.types import Controls

#: Full lock asks for this sideways acceleration, or for the tightest turn below the speed at which it could be had.
_LATERAL_MPS2, _TIGHTEST_1PM = 4.0, 0.12
_ACCEL_MPS2, _BRAKE_MPS2 = 3.0, 7.0
#: The engine gives less the faster it goes: nothing more at this speed.
_FASTEST_MPS = 40.0
#: The wheel follows the hands in about this time.
_SMOOTHING_S = 0.12


@dataclasses.dataclass(frozen=True)
class Hold:
    """What is held.

    Attributes:
        number: of the message that said so; a picture tells the newest it knows of.
        steer: -1 (right) to 1 (left).
        pedal: -1 (full brake) to 1 (full throttle); 0 keeps the speed.
    """

    number: int = 0
    steer: float = 0.0
    pedal: float = 0.0

    @property
    def is_felt(self) -> bool:
        """Whether somebody drives, rather than rests a hand."""
        return abs(self.steer) > 0.3 or abs(self.pedal) > 0.3


def follow(wheel: float, hold: Hold, dt_s: float) -> float:
    """Where the wheel is after ``dt_s`` of following what is held."""
    return wheel + (hold.steer - wheel) * (1 - math.exp(-dt_s / _SMOOTHING_S))


def controls_of(wheel: float, pedal: float, speed_mps: float) -> Controls:
    """Controls ``()`` of a wheel and a pedal, each in [-1, 1], at some speed."""
    tightest = min(_TIGHTEST_1PM, _LATERAL_MPS2 / max(speed_mps, 1.0) ** 2)
    push = _ACCEL_MPS2 * max(0.0, 1 - speed_mps / _FASTEST_MPS)
    accel = pedal * (push if pedal > 0 else _BRAKE_MPS2)
    return Controls(np.array(accel), np.array(wheel * tightest))
