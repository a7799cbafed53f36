"""What a drive in the reference world is made of, and the distribution that training data is drawn from.

A drive is a pure function of its options. Weather and time of day touch the look alone: two drives that differ only
in them have the same road, traffic and ego path (a paired drive). Knows nothing of how anything is drawn or moved.

``draw_options`` is balanced by hand: road kinds country 0.40, motorway 0.32, town 0.28; weather clear 0.40, rain 0.22,
fog 0.18, snow 0.20; day 0.5, dusk 0.22, night 0.28; traffic none 0.12, light 0.48, dense 0.40; ego drivers as in
``EGO_SHARES`` (about half drive well); an event in ``EVENT_SHARE`` of the drives with traffic.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from worldmodel.reference.streams import stream
from worldmodel.types import VOCABULARY, Tags

#: How the ego is driven, and its share of the drives; who has none is there to be asked for.
EGO_SHARES = {
    "good": 0.22,
    "brisk": 0.10,
    "timid": 0.06,
    "lane_changing": 0.08,
    "stop_and_go": 0.07,
    "sloppy": 0.10,
    "weaving": 0.07,
    "swerving": 0.07,
    "hard_braking": 0.06,
    "off_lane": 0.06,
    "off_road": 0.04,
    "crashing": 0.04,
    "erratic": 0.03,
    "absent": 0.0,
}
#: Happenings that can be asked for (``events``), each a kind and a time.
EVENT_KINDS = ("hard_brake", "cut_in", "stopped_vehicle", "slow_truck", "pedestrian")
EVENT_SHARE = 0.35

SHARES: dict[str, dict[str, float]] = {
    "weather": {"clear": 0.40, "rain": 0.22, "fog": 0.18, "snow": 0.20},
    "time_of_day": {"day": 0.50, "dusk": 0.22, "night": 0.28},
    "road_kind": {"country": 0.40, "motorway": 0.32, "town": 0.28},
    "traffic": {"none": 0.12, "light": 0.48, "dense": 0.40},
    "ego": EGO_SHARES,
}


@dataclasses.dataclass(frozen=True)
class DriveOptions:
    """All that a drive depends on, beside its length, camera and time step.

    Attributes:
        seed: of the road, scenery, traffic and ego driver; from 0.
        weather, time_of_day, road_kind, traffic: names of ``types.VOCABULARY``; "unknown" is not a drive.
        ego: how the ego is driven, a key of ``EGO_SHARES``.
        events: pairs of (kind of ``EVENT_KINDS``, seconds from the start).
        sensor: whether the pictures pass through the sensor model (noise, exposure, vignette, drops).
        lanes: per direction, 1 to 3; 0 lets the seed choose.
    """

    seed: int
    weather: str = "clear"
    time_of_day: str = "day"
    road_kind: str = "country"
    traffic: str = "light"
    ego: str = "good"
    events: tuple[tuple[str, float], ...] = ()
    sensor: bool = False
    lanes: int = 0

    def validate(self) -> DriveOptions:
        """Raise ``ValueError`` naming the field and the value that no drive can have; return the options."""
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"DriveOptions.seed: expected a number from 0 and below 2**63, got {self.seed!r}")
        for field in ("weather", "time_of_day", "road_kind", "traffic"):
            allowed = VOCABULARY[field][1:]
            if getattr(self, field) not in allowed:
                raise ValueError(f"DriveOptions.{field}: expected one of {allowed}, got {getattr(self, field)!r}")
        if self.ego not in EGO_SHARES:
            raise ValueError(f"DriveOptions.ego: expected one of {tuple(EGO_SHARES)}, got {self.ego!r}")
        for event in self.events:
            if len(event) != 2 or event[0] not in EVENT_KINDS or not event[1] >= 0:
                raise ValueError(f"DriveOptions.events: expected (kind of {EVENT_KINDS}, time_s >= 0), got {event!r}")
        if self.lanes not in (0, 1, 2, 3):
            raise ValueError(f"DriveOptions.lanes: expected 0 (drawn) to 3, got {self.lanes!r}")
        return self

    @property
    def caption(self) -> str:
        """One sentence of what the drive shows."""
        time = {"day": "by day", "dusk": "at dusk", "night": "at night"}[self.time_of_day]
        weather = {"clear": "in clear weather", "rain": "in the rain", "fog": "in fog", "snow": "in snow"}[self.weather]
        road = {"motorway": "a motorway", "country": "a country road", "town": "a town street"}[self.road_kind]
        traffic = {"none": "no traffic", "light": "light traffic", "dense": "dense traffic"}[self.traffic]
        return f"Driving along {road} {time} {weather}, {traffic}."

    @property
    def tags(self) -> Tags:
        """Tags of the drive as a whole; the event channel is "none", drives fill it in per frame."""
        return Tags.named(
            caption=self.caption,
            weather=self.weather,
            time_of_day=self.time_of_day,
            road_kind=self.road_kind,
            traffic=self.traffic,
            event="none",
        )


def draw_options(seed: int, **fixed: Any) -> DriveOptions:
    """Options drawn from the documented distribution by ``seed`` alone; ``fixed`` fields keep their given value.

    Fixing a field does not change what is drawn for the others.

    Raises:
        ValueError: an unknown field, or a value that field cannot have.
    """
    names = {field.name for field in dataclasses.fields(DriveOptions)} - {"seed"}
    for name in fixed:
        if name not in names:
            raise ValueError(f"draw_options: no option {name!r}; options are {', '.join(sorted(names))}")
    rng = stream(seed, "options")
    drawn: dict[str, Any] = {}
    for name, shares in SHARES.items():
        drawn[name] = str(rng.choice(list(shares), p=list(shares.values())))
    has_event, kind, at_s = rng.random() < EVENT_SHARE, str(rng.choice(EVENT_KINDS)), round(rng.uniform(2, 12), 1)
    traffic = fixed.get("traffic", drawn["traffic"])
    drawn["events"] = ((kind, at_s),) if has_event and traffic != "none" else ()
    return DriveOptions(seed=seed, **(drawn | fixed)).validate()


def options_from_tags(tags: Tags, seed: int) -> DriveOptions:
    """Options whose known tags are kept and whose unknown ones are drawn from ``seed``.

    Raises:
        ValueError: tags of more than one moment.
    """
    known: dict[str, Any] = {k: v for k, v in tags.names().items() if v != "unknown" and k != "event"}
    event = tags.names()["event"]
    if event in EVENT_KINDS:
        known["events"] = ((event, 3.0),)
        if known.get("traffic", "none") == "none":
            known["traffic"] = "light"
    elif event == "none":
        known["events"] = ()
    return draw_options(seed, **known)
