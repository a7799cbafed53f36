"""Scripted motion: a list of segments over time, read from YAML, checked against what a vehicle can do.

    name: a bend to the left
    start_speed_mps: 12
    segments:
      - {duration_s: 4, speed_mps: 14}              # speed changes evenly and is 14 when the segment ends
      - {duration_s: 2, curvature_1pm: 0.02}        # the wheel turns evenly, as on the clothoid of a real road
      - {duration_s: 3, curvature_1pm: 0.02}        # ... and holds
      - {duration_s: 2, curvature_1pm: 0, accel_mps2: -1}

A segment may give ``speed_mps`` (reached at its end) or ``accel_mps2`` (held), and ``curvature_1pm`` or
``yaw_rate_radps`` (reached at its end); what it leaves out stays as it was. When the list ends it begins again.
Knows nothing of worlds; ``policies.scripted`` drives it.

Shapes: K knots (segment ends, the start included); S steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.geometry.motion import VehicleLimits
from worldmodel.simulation.documents import Document, FieldError, known_fields, number
from worldmodel.types import FloatArray


@dataclasses.dataclass(frozen=True)
class Segment:
    """What changes during a stretch of time; ``None`` stays as it was.

    Attributes:
        duration_s: above 0.
        speed_mps: at the end. accel_mps2: throughout. At most one of the two.
        curvature_1pm, yaw_rate_radps: at the end, left positive. At most one of the two.
    """

    duration_s: float
    speed_mps: float | None = None
    accel_mps2: float | None = None
    curvature_1pm: float | None = None
    yaw_rate_radps: float | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """A profile on a clock.

    Attributes:
        speed_mps, curvature_1pm: ``(S + 1,)`` wanted at the beginning of each step and at the end of the last.
    """

    speed_mps: FloatArray
    curvature_1pm: FloatArray


@dataclasses.dataclass(frozen=True)
class Profile:
    """A named list of segments.

    Attributes:
        start_speed_mps: when the first segment begins, on a straight.
        segments: at least one.
        name: for people.
    """

    start_speed_mps: float
    segments: tuple[Segment, ...]
    name: str = ""

    @classmethod
    def load(cls, path: str | Path, *, limits: VehicleLimits | None = None) -> Profile:
        """Read and check a YAML file.

        Raises:
            ValueError: an unknown field, a duration not above 0, a motion beyond the vehicle's limits; the message
                has the file and the line.
        """
        document = Document.load(path)
        with document.locating():
            profile = cls.parse(document.data, name=document.path.stem)
            profile.plan(0.1, round(profile.duration_s / 0.1), limits=limits)
        return profile

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, name: str = "") -> Profile:
        """Make a profile from a mapping as in the module's example.

        Raises:
            FieldError: a field that is unknown, missing or not a number.
        """
        known_fields(data, ("name", "start_speed_mps", "segments"))
        for field in ("start_speed_mps", "segments"):
            if field not in data:
                raise FieldError((), f"{field} is missing")
        if not isinstance(data["segments"], list) or not data["segments"]:
            raise FieldError(("segments",), "expected a list of at least one segment")
        segments = tuple(_parse_segment(item, i) for i, item in enumerate(data["segments"]))
        start = number(data["start_speed_mps"], ("start_speed_mps",), least=0.0)
        return cls(start, segments, str(data.get("name", name)))

    @property
    def duration_s(self) -> float:
        """Time until the list begins again."""
        return sum(segment.duration_s for segment in self.segments)

    def scaled(self, *, speed: float = 1.0, turn: float = 1.0) -> Profile:
        """The same timeline with every speed and every yaw rate multiplied; ``turn=-1`` mirrors it."""

        def scale(segment: Segment) -> Segment:
            def times(value: float | None, factor: float) -> float | None:
                return None if value is None else value * factor

            return Segment(
                segment.duration_s,
                times(segment.speed_mps, speed),
                times(segment.accel_mps2, speed),
                times(segment.curvature_1pm, turn / speed),
                times(segment.yaw_rate_radps, turn),
            )

        return Profile(self.start_speed_mps * speed, tuple(scale(segment) for segment in self.segments), self.name)

    def plan(self, dt_s: float, steps: int, *, limits: VehicleLimits | None = None) -> Plan:
        """Lay the profile out over ``steps`` of ``dt_s``, repeating it as needed.

        Raises:
            FieldError: a segment asks for more than the vehicle can do, or for turning at a standstill.
        """
        limits = limits or VehicleLimits()
        if not self.start_speed_mps <= limits.speed_max_mps:
            beyond = f"{self.start_speed_mps:.3g} m/s is not in 0..{limits.speed_max_mps:g}"
            raise FieldError(("start_speed_mps",), f"beyond the vehicle's limits: {beyond}")
        times, speeds, curvatures = [0.0], [self.start_speed_mps], [0.0]
        while times[-1] < steps * dt_s - 1e-9:
            for index, segment in enumerate(self.segments):
                speed, curvature = _end_of(segment, index, speeds[-1], curvatures[-1])
                _check(segment, index, (speeds[-1], speed), (curvatures[-1], curvature), limits)
                times.append(times[-1] + segment.duration_s)
                speeds.append(speed)
                curvatures.append(curvature)
        clock_S1 = np.arange(steps + 1) * dt_s
        return Plan(np.interp(clock_S1, times, speeds), np.interp(clock_S1, times, curvatures))


def _parse_segment(item: Any, index: int) -> Segment:
    place = ("segments", index)
    if not isinstance(item, Mapping):
        raise FieldError(place, f"expected fields such as duration_s, got {item!r}")
    known_fields(item, [field.name for field in dataclasses.fields(Segment)], place)
    if "duration_s" not in item:
        raise FieldError(place, "duration_s is missing")
    for one, other in (("speed_mps", "accel_mps2"), ("curvature_1pm", "yaw_rate_radps")):
        if one in item and other in item:
            raise FieldError((*place, other), f"give {one} or {other}, not both")
    values = {name: number(value, (*place, name)) for name, value in item.items()}
    number(item["duration_s"], (*place, "duration_s"), above=0.0)
    return Segment(**values)


def _end_of(segment: Segment, index: int, speed: float, curvature: float) -> tuple[float, float]:
    """Speed and curvature when the segment ends."""
    if segment.speed_mps is not None:
        speed = segment.speed_mps
    elif segment.accel_mps2 is not None:
        speed = speed + segment.accel_mps2 * segment.duration_s
    if segment.curvature_1pm is not None:
        curvature = segment.curvature_1pm
    elif segment.yaw_rate_radps is not None:
        if segment.yaw_rate_radps and speed <= 0:
            raise FieldError(("segments", index, "yaw_rate_radps"), "a vehicle at a standstill cannot turn")
        curvature = segment.yaw_rate_radps / speed if segment.yaw_rate_radps else 0.0
    return speed, curvature


def _check(
    segment: Segment, index: int, speed: tuple[float, float], curvature: tuple[float, float], limits: VehicleLimits
) -> None:
    """Raise ``FieldError`` where speed and curvature, each linear from first to second, leave the limits."""

    def bounded(value: float, low: float, high: float, fields: tuple[str, str], unit: str) -> None:
        if not low - 1e-9 <= value <= high + 1e-9:
            named = next((name for name in fields if getattr(segment, name) is not None), None)
            place = ("segments", index) if named is None else ("segments", index, named)
            raise FieldError(place, f"beyond the vehicle's limits: {value:.3g} {unit} is not in {low:g}..{high:g}")

    along, across = ("speed_mps", "accel_mps2"), ("curvature_1pm", "yaw_rate_radps")
    accel = (speed[1] - speed[0]) / segment.duration_s
    bounded(accel, limits.accel_min_mps2, limits.accel_max_mps2, along, "m/s2")
    bounded(speed[1], 0.0, limits.speed_max_mps, along, "m/s at its end")
    bound, rate_bound = limits.curvature_max_1pm, limits.curvature_rate_max_1pmps
    bounded(curvature[1], -bound, bound, across, "1/m at its end")
    rate = (curvature[1] - curvature[0]) / segment.duration_s
    bounded(rate, -rate_bound, rate_bound, across, "1/m of curvature per second")
    shares = np.linspace(0.0, 1.0, 11)
    lateral = np.interp(shares, (0, 1), speed) ** 2 * np.interp(shares, (0, 1), curvature)
    grip = limits.lateral_accel_max_mps2
    bounded(float(lateral[np.abs(lateral).argmax()]), -grip, grip, across, "m/s2 sideways")
