"""How a driver drives once it knows its lane and who is ahead: one law for those who are told and those who look.

Knows numbers alone, not where they come from. Shapes: B rows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldmodel.simulation.policies.steering import pure_pursuit
from worldmodel.types import Controls, FloatArray

_MIN_GAP_M = 3.0


@dataclasses.dataclass(frozen=True)
class Style:
    """A way of driving.

    Attributes:
        look_ahead_s: seconds of driving to the aim, at least ``look_ahead_min_m``.
        look_ahead_min_m: see above.
        lateral_mps2: sideways acceleration it is willing to feel in a bend.
        headway_s: time gap to the vehicle ahead; infinity for a driver who does not look out for others.
        accel_mps2, brake_mps2: comfortable.
        speed_max_mps: never faster, whatever the limit.
        speed_share: of the speed limit that it wants to go.
    """

    look_ahead_s: float = 0.8
    look_ahead_min_m: float = 7.0
    lateral_mps2: float = 2.2
    headway_s: float = 1.4
    accel_mps2: float = 1.6
    brake_mps2: float = 2.5
    speed_max_mps: float = math.inf
    speed_share: float = 1.0


#: Ways of driving by name.
STYLES = {
    "timid": Style(lateral_mps2=1.5, headway_s=2.2, accel_mps2=1.0, brake_mps2=1.6, speed_share=0.75),
    "normal": Style(),
    "aggressive": Style(lateral_mps2=3.5, headway_s=0.8, accel_mps2=2.5, brake_mps2=4.0, speed_share=1.2),
}


def controls_of(style: Style, seen: Mapping[str, Any], speed_mps: FloatArray) -> Controls:
    """Controls ``(B,)``: pure pursuit along the lane, the intelligent driver model behind whoever is ahead.

    Steering: ``steering.pure_pursuit``. Following: Treiber, Hennecke and Helbing,
    "Congested traffic states in empirical observations and microscopic simulations", Phys. Rev. E 62, 1805 (2000).

    Args:
        style: of driving.
        seen: ``(B,)`` by the names of the reference world's truth: ``curvature_ahead_1pm``, ``lane_offset_m``,
            ``heading_error_rad``, ``speed_limit_mps``, ``gap_m`` (NaN where nobody is ahead), ``closing_speed_mps``.
        speed_mps: ``(B,)`` own.
    """
    road = seen["curvature_ahead_1pm"]
    reach_m = np.maximum(style.look_ahead_min_m, style.look_ahead_s * speed_mps)
    curvature = pure_pursuit(road, seen["lane_offset_m"], seen["heading_error_rad"], reach_m)
    wanted = style.speed_share * seen["speed_limit_mps"]
    wanted = np.minimum(wanted, np.sqrt(style.lateral_mps2 / np.maximum(np.abs(road), 1e-5)))
    wanted = np.minimum(wanted, style.speed_max_mps)
    accel = style.accel_mps2 * (1 - (speed_mps / wanted) ** 4)
    gap, closing = seen["gap_m"], np.nan_to_num(seen["closing_speed_mps"])
    if math.isfinite(style.headway_s):
        comfort = 2 * np.sqrt(style.accel_mps2 * style.brake_mps2)
        desired = _MIN_GAP_M + np.maximum(speed_mps * style.headway_s + speed_mps * closing / comfort, 0.0)
        following = style.accel_mps2 * (1 - (desired / np.maximum(gap, 0.3)) ** 2)
        accel = np.where(np.isfinite(gap) & (gap > 0), np.minimum(accel, following), accel)
    return Controls(np.clip(accel, -8.0, style.accel_mps2), curvature)
