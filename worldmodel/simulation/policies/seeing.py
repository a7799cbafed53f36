"""Drivers that see by trained perception: from frames and their own speed to the lane and whoever is ahead.

They see by the ``driver`` weights, alike in every world. ``Senses`` makes single frames' readings steady enough to
steer by; how one drives with them is ``style.controls_of``. Knows nothing of worlds.

Shapes: B rows; K kinds of road.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.perception.streaming import Smoother, StreamingReader
from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.policies.style import STYLES, Style, controls_of
from worldmodel.types import VOCABULARY, Controls, FloatArray

#: What is usually allowed on a road that looks like this; of an unknown one as in the country.
SPEED_LIMITS_MPS = {"unknown": 22.2, "motorway": 30.6, "country": 22.2, "town": 11.1}
#: Each reading's wander in a second, beyond what the ego's own motion explains.
_WANDER = {
    "lane_offset_m": 0.25,
    "heading_error_rad": 0.03,
    "curvature_ahead_1pm": 0.006,
    "gap_m": 3.0,
    "closing_speed_mps": 3.0,
}
#: Somebody is ahead, or the road of some kind, when it has looked so for about this long.
_GAP_MEMORY_S, _ROAD_MEMORY_S = 0.3, 5.0


class Senses:
    """Steady readings of every row: lane, curvature ahead, gap and speed limit, named as the truth names them.

    Args:
        reader: with the driver's weights.
    """

    def __init__(self, reader: StreamingReader) -> None:
        self._reader = reader
        self._smoothers = {name: Smoother(wander) for name, wander in _WANDER.items()}
        self._has_gap: dict[int, float] = {}
        self._kinds: dict[int, FloatArray] = {}
        self._last: dict[str, FloatArray] = {}

    def forget(self, row: int) -> None:
        """A new drive begins in row ``row``."""
        self._reader.forget(row)
        for smoother in self._smoothers.values():
            smoother.forget(row)
        self._has_gap.pop(row, None)
        self._kinds.pop(row, None)
        for column in self._last.values():
            if row < len(column):
                column[row] = np.nan

    def look(self, observation: Observation) -> dict[str, FloatArray]:
        """Columns ``(B,)`` after the newest frames."""
        camera = canonical_camera(*observation.frames.shape[1:3], height_m=NOMINAL_HEIGHT_M)
        dt_s, speed = observation.dt_s, observation.speed_mps
        glance = self._reader.read(observation.frames, camera, dt_s=dt_s)
        drifts = self._drifts(speed, observation.curvature_1pm, dt_s)
        seen = {
            name: smoother.follow(glance.columns[name], glance.scales[name], dt_s=dt_s, drift=drifts.get(name))
            for name, smoother in self._smoothers.items()
        }
        self._last = {name: column.copy() for name, column in seen.items()}
        has_gap = self._remember(self._has_gap, glance.columns["has_gap"], 1 - np.exp(-dt_s / _GAP_MEMORY_S))
        kinds = self._remember(self._kinds, glance.road_kinds, 1 - np.exp(-dt_s / _ROAD_MEMORY_S))
        limits = np.array([SPEED_LIMITS_MPS[name] for name in VOCABULARY["road_kind"]])
        seen["gap_m"] = np.where(np.array(has_gap) > 0.5, np.maximum(seen["gap_m"], 0.1), np.nan)
        seen["speed_limit_mps"] = limits[np.array(kinds).argmax(axis=1)]
        return seen

    def _drifts(self, speed: FloatArray, curvature: FloatArray, dt_s: float) -> dict[str, FloatArray]:
        """What the ego's own motion has done to each reading since the last look."""
        last = self._last
        if not last or len(last["gap_m"]) != len(speed):
            return {}
        return {
            "lane_offset_m": speed * np.sin(last["heading_error_rad"]) * dt_s,
            "heading_error_rad": speed * (curvature - last["curvature_ahead_1pm"]) * dt_s,
            "gap_m": -last["closing_speed_mps"] * dt_s,
        }

    def _remember(self, memory: dict, new: FloatArray, share: float) -> list:
        for row, value in enumerate(new):
            memory[row] = memory[row] + share * (value - memory[row]) if row in memory else value
        return [memory[row] for row in range(len(new))]


class SeeingDriver:
    """Drives by what it sees.

    Args:
        reader: with the driver's weights.
        style: of driving.
        name: of the policy.
    """

    needs_truth = False

    def __init__(self, reader: StreamingReader, style: Style, *, name: str) -> None:
        self.style, self.name = style, name
        self._senses = Senses(reader)

    def reset(self, row: int, *, seed: int) -> None:
        """Forget what row ``row`` has shown."""
        self._senses.forget(row)

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``."""
        return controls_of(self.style, self._senses.look(observation), observation.speed_mps)


def seeing_drivers(read: Callable[[], StreamingReader]) -> dict[str, Callable[[], SeeingDriver]]:
    """Name to maker of the drivers there are: ``pursuit`` heeds nobody ahead, ``idm-*`` keep their distance."""

    def maker(name: str, style: Style) -> Callable[[], SeeingDriver]:
        return lambda: SeeingDriver(read(), style, name=name)

    drivers = {"pursuit": maker("pursuit", Style(headway_s=float("inf")))}
    return drivers | {f"idm-{name}": maker(f"idm-{name}", style) for name, style in STYLES.items()}
