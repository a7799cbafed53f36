"""Pure pursuit: the one formula by which drivers here keep a lane. Knows numbers alone.

Shapes: B rows, or none.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def pure_pursuit(road_1pm: Any, lane_offset_m: Any, heading_error_rad: Any, reach_m: Any) -> Any:
    """Path curvature, left positive, that leads to the middle of the lane one look-ahead away.

    Coulter, "Implementation of the Pure Pursuit Path Tracking Algorithm", CMU-RI-TR-92-01, on a road of constant
    curvature.

    Args:
        road_1pm: curvature of the road.
        lane_offset_m, heading_error_rad: from the lane's middle and direction; left positive.
        reach_m: the look-ahead.
    """
    aside_m = -lane_offset_m - reach_m * np.sin(heading_error_rad)
    return road_1pm + 2 * aside_m / reach_m**2
