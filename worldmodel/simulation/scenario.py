"""Scenario files: where a drive starts and what surrounds it, as YAML that people and ``mode=mine`` write.

    name: the car ahead brakes hard
    context:                           # one of the four
      reference: {seed: 7, road_kind: country, traffic: light, settle_s: 2}
      # data: data/cache/recordings    # an episode (its number or name) of a prepared data set, up to t_s
      # episode: my_drive
      # t_s: 12
      # recording: my_dashcam.mp4      # an mp4 as `context=` of mode=drive takes it, up to t_s
      # tags: {weather: rain}          # no frames: the first is drawn
      length_s: 3.2                    # seconds of frames the model is shown
    length_s: 8                        # of the drive that follows; its time 0 is the newest frame of the context
    tags: {weather: rain}              # wanted along the drive; without them those of the context go on
    prompt: at 2 s it starts to rain   # the same in words, and with times (``prompting``); tags have the last word
    events: [{kind: hard_brake, t_s: 2}]
    seed: 0

Who drives, edits and what is measured belong to the run, not here. This room knows the file and what it may say;
``staging`` brings it to life. Paths in a file are relative to the folder a command is run in, or to the file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.options import EVENT_KINDS, DriveOptions
from worldmodel.simulation.documents import (
    CONF_DIR,
    Document,
    FieldError,
    Place,
    find_document,
    known_fields,
    number,
)
from worldmodel.simulation.prompting import EVENT_TAG_S, Prompt
from worldmodel.types import OUTCOMES, VOCABULARY, Tags

#: ``scenario=library`` is all of ``conf/scenarios``.
LIBRARY = "library"
_CONTEXTS = ("reference", "data", "recording", "tags")
_REFERENCE_FIELDS = ("seed", "settle_s", "weather", "time_of_day", "road_kind", "traffic", "lanes")


@dataclasses.dataclass(frozen=True)
class Event:
    """A happening that is asked for: a kind of the vocabulary's ``event``, seconds after the start of the drive."""

    kind: str
    t_s: float


@dataclasses.dataclass(frozen=True)
class ReferenceContext:
    """A drive in the reference world that begins ``settle_s`` before the first frame of the context."""

    options: DriveOptions
    settle_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class FootageContext:
    """An episode of a prepared set, or a recording, up to some moment.

    Attributes:
        path: folder of a prepared set, or an mp4.
        episode: number or name, for a prepared set.
        t_s: ``None`` is as soon as the context is whole.
        cameras: json file of profiles, for a recording.
    """

    path: str
    episode: int | str | None = None
    t_s: float | None = None
    cameras: str = ""


@dataclasses.dataclass(frozen=True)
class ScenarioFile:
    """A scenario as its file has it.

    Attributes:
        name: for people.
        context: what it starts from; ``Tags`` have no frames.
        context_s: seconds of frames the model is shown.
        length_s: of the drive after them.
        tags: wanted along the drive; unknown where the context's go on.
        events: on the drive's clock, in order; those the prompt asks for are among them.
        prompt: what is wanted in words, if anything.
        seed: of what a model draws.
        notes: free text.
        document: the file it was read from, for the place of what turns out to be wrong later.
        content_hash: of its text: two drives of one scenario have the same.
    """

    name: str
    context: ReferenceContext | FootageContext | Tags
    context_s: float
    length_s: float
    tags: Tags
    events: tuple[Event, ...] = ()
    prompt: Prompt | None = None
    seed: int = 0
    notes: str = ""
    document: Document | None = dataclasses.field(default=None, compare=False, repr=False)
    content_hash: str = ""

    @classmethod
    def load(cls, path: str | Path) -> ScenarioFile:
        """Read and check a file.

        Raises:
            ValueError: not a scenario; the message has the file, the line and the field.
        """
        document = Document.load(path)
        with document.locating():
            scenario = cls.parse(document.data, near=document.path.parent)
        digest = hashlib.blake2b(document.path.read_bytes(), digest_size=8).hexdigest()
        name = scenario.name or document.path.stem
        return dataclasses.replace(scenario, name=name, document=document, content_hash=digest)

    def locating(self) -> contextlib.AbstractContextManager[None]:
        """Give every ``FieldError`` raised inside the file and line it is about."""
        return contextlib.nullcontext() if self.document is None else self.document.locating()

    @classmethod
    def parse(cls, data: Mapping[str, Any], *, near: Path = Path()) -> ScenarioFile:
        """Make a scenario from a mapping as in the module's example; relative paths may be relative to ``near``.

        Raises:
            FieldError: a field that is unknown, missing or impossible.
        """
        known_fields(data, ("name", "context", "length_s", "tags", "caption", "prompt", "events", "seed", "notes"))
        for field in ("context", "length_s"):
            if field not in data:
                raise FieldError((), f"{field} is missing")
        length_s = number(data["length_s"], ("length_s",), above=0.0)
        caption = str(data.get("caption", ""))
        tags = dataclasses.replace(_tags(data.get("tags", {}), ("tags",)), caption=caption)
        context, context_s = _context(data["context"], near)
        prompt = _prompt(data["prompt"], length_s) if data.get("prompt") else None
        asked = [("tags", tags)] + [("prompt", wish.understood.tags) for wish in (prompt.wishes if prompt else ())]
        for field, each in asked if isinstance(context, ReferenceContext) else ():
            assert isinstance(context, ReferenceContext)
            road, wanted = context.options.road_kind, each.names()["road_kind"]
            if wanted not in ("unknown", road):
                place = (field, "road_kind") if field == "tags" else (field,)
                raise FieldError(place, f"the context's road is {road!r}, got {wanted!r}")
        events = [*_events(data.get("events", []), length_s), *(_events_of(prompt) if prompt else ())]
        return cls(
            name=str(data.get("name", "")),
            context=context,
            context_s=context_s,
            length_s=length_s,
            tags=tags,
            events=tuple(sorted(events, key=lambda event: event.t_s)),
            prompt=prompt,
            seed=_whole(data.get("seed", 0), ("seed",)),
            notes=str(data.get("notes", "")),
        )

    def look_along(self, steps: int, dt_s: float) -> Tags | None:
        """The wanted tags ``(S + 1,)`` but for the event, which the reference world is asked for by ``events``.

        ``None`` where nothing is wanted.
        """
        codes = self._wanted(steps, dt_s)
        return Tags(codes) if codes.any() else None

    def _wanted(self, steps: int, dt_s: float) -> NDArray[np.int64]:
        """Codes ``(S + 1, C)`` of the tags, and of the prompt where they say nothing; 0 for events and the rest."""
        said: NDArray[np.int64] = np.zeros((steps + 1, len(VOCABULARY)), dtype=np.int64)
        if self.prompt is not None:
            said = self.prompt.along(Tags.unknown(), steps, dt_s).codes
        codes = np.where(self.tags.codes > 0, self.tags.codes, said)
        codes[:, list(VOCABULARY).index("event")] = 0
        return codes

    def tags_along(self, first: Tags, steps: int, dt_s: float) -> Tags:
        """Tags ``(S + 1,)`` of every frame of the drive, for worlds that are told of events by tags.

        Args:
            first: ``()`` tags the context ends with.
            steps: of the drive.
            dt_s: of the world.
        """
        channel, kinds = list(VOCABULARY).index("event"), VOCABULARY["event"]
        wanted = self._wanted(steps, dt_s)
        codes = np.where(wanted > 0, wanted, first.codes)
        if self.tags.codes[channel]:
            codes[:, channel] = self.tags.codes[channel]
        if self.events or first.codes[channel]:  # what was happening when the context ended does not go on for ever
            codes[:, channel] = self.tags.codes[channel] or kinds.index("none")
        for event in self.events:
            begins = math.ceil(event.t_s / dt_s - 1e-9)
            codes[begins : begins + round(EVENT_TAG_S / dt_s), channel] = kinds.index(event.kind)
        return Tags(codes, self.tags.caption or first.caption)


def find_scenarios(name: str) -> list[Path]:
    """The files a user names: one that ships, a YAML file, a folder of them, or ``library`` for all that ship.

    Raises:
        ValueError: nothing of that name, or a folder without scenarios.
    """
    folder = CONF_DIR / "scenarios" if name == LIBRARY else Path(name)
    if not name:
        raise ValueError("scenario: name one of conf/scenarios, a .yaml file, a folder of them, or library")
    if folder.is_dir():
        files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
        if not files:
            raise ValueError(f"scenario={name}: no .yaml file is in that folder")
        return files
    return [find_document("scenarios", name)]


def _context(data: Any, near: Path) -> tuple[ReferenceContext | FootageContext | Tags, float]:
    place: Place = ("context",)
    if not isinstance(data, Mapping):
        raise FieldError(place, f"expected one of {', '.join(_CONTEXTS)} and its fields, got {data!r}")
    named = [kind for kind in _CONTEXTS if kind in data]
    if len(named) != 1:
        got = " and ".join(named) if named else "none of them"
        raise FieldError(place, f"give one of {', '.join(_CONTEXTS)}, got {got}")
    kind = named[0]
    more = {"data": ("episode", "t_s"), "recording": ("t_s", "cameras")}.get(kind, ())
    known_fields(data, (kind, *(("length_s",) if kind != "tags" else ()), *more), place)
    context_s = number(data.get("length_s", 3.2), (*place, "length_s"), least=0.1)
    if kind == "tags":
        return _tags(data["tags"], (*place, "tags")), 0.0
    if kind == "reference":
        return _reference(data["reference"], (*place, "reference")), context_s
    t_s = None if data.get("t_s") is None else number(data["t_s"], (*place, "t_s"), least=0.0)
    path = _existing(data[kind], (*place, kind), near)
    if kind == "recording":
        cameras = str(_existing(data["cameras"], (*place, "cameras"), near)) if data.get("cameras") else ""
        return FootageContext(str(path), None, t_s, cameras), context_s
    episode = data.get("episode", 0)
    if isinstance(episode, bool) or not isinstance(episode, (int, str)):
        raise FieldError((*place, "episode"), f"expected a number or a name, got {episode!r}")
    return FootageContext(str(path), episode, t_s), context_s


def _reference(data: Any, place: Place) -> ReferenceContext:
    if not isinstance(data, Mapping):
        raise FieldError(place, f"expected fields such as seed and road_kind, got {data!r}")
    known_fields(data, _REFERENCE_FIELDS, place)
    if "seed" not in data:
        raise FieldError(place, "seed is missing")
    options: dict[str, Any] = {"seed": _whole(data["seed"], (*place, "seed"))}
    for field in ("weather", "time_of_day", "road_kind", "traffic"):
        if field in data:
            allowed = VOCABULARY[field][1:]
            if data[field] not in allowed:
                raise FieldError((*place, field), f"expected one of {', '.join(allowed)}, got {data[field]!r}")
            options[field] = data[field]
    if "lanes" in data:
        if data["lanes"] not in (0, 1, 2, 3) or isinstance(data["lanes"], bool):
            raise FieldError((*place, "lanes"), f"expected 0 (drawn) to 3, got {data['lanes']!r}")
        options["lanes"] = data["lanes"]
    settle_s = number(data.get("settle_s", 0.0), (*place, "settle_s"), least=0.0)
    return ReferenceContext(DriveOptions(**options).validate(), settle_s)


def _events(data: Any, length_s: float) -> tuple[Event, ...]:
    if not isinstance(data, list):
        raise FieldError(("events",), f"expected a list such as [{{kind: cut_in, t_s: 2}}], got {data!r}")
    events = []
    for index, item in enumerate(data):
        place: Place = ("events", index)
        if not isinstance(item, Mapping):
            raise FieldError(place, f"expected kind and t_s, got {item!r}")
        known_fields(item, ("kind", "t_s"), place)
        for field in ("kind", "t_s"):
            if field not in item:
                raise FieldError(place, f"{field} is missing")
        if item["kind"] not in EVENT_KINDS:
            raise FieldError((*place, "kind"), f"expected one of {', '.join(EVENT_KINDS)}, got {item['kind']!r}")
        t_s = number(item["t_s"], (*place, "t_s"), least=0.0)
        if t_s > length_s:
            raise FieldError((*place, "t_s"), f"{t_s:g} s is after the end of the drive, which has {length_s:g} s")
        events.append(Event(item["kind"], t_s))
    return tuple(sorted(events, key=lambda event: event.t_s))


def _prompt(text: Any, length_s: float) -> Prompt:
    if not isinstance(text, str):
        raise FieldError(("prompt",), f"expected a sentence, got {text!r}")
    try:
        prompt = Prompt.read(text)
        prompt.along(Tags.unknown(), math.ceil(length_s), 1.0)
    except ValueError as error:
        raise FieldError(("prompt",), str(error).removeprefix("prompt: ")) from error
    return prompt


def _events_of(prompt: Prompt) -> list[Event]:
    """The happenings a prompt asks for."""
    names = [(wish.understood.tags.names()["event"], wish.t_s) for wish in prompt.wishes]
    return [Event(name, t_s) for name, t_s in names if name in EVENT_KINDS]


def _tags(data: Any, place: Place) -> Tags:
    if not isinstance(data, Mapping):
        raise FieldError(place, f"expected fields such as weather: rain, got {data!r}")
    known_fields(data, VOCABULARY, place)
    for channel, name in data.items():
        if name not in VOCABULARY[channel]:
            raise FieldError((*place, channel), f"expected one of {', '.join(VOCABULARY[channel])}, got {name!r}")
        if name in OUTCOMES:
            raise FieldError((*place, channel), f"{name!r} comes of how the ego drives and cannot be asked for")
    return Tags.named(**data)


def _whole(value: Any, place: Place) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FieldError(place, f"expected a whole number from 0, got {value!r}")
    return value


def _existing(value: Any, place: Place, near: Path) -> Path:
    """The path as given, or relative to the scenario's own folder."""
    if not isinstance(value, str) or not value:
        raise FieldError(place, f"expected a path, got {value!r}")
    found = next((path for path in (Path(value), near / value) if path.exists()), None)
    if found is None:
        raise FieldError(place, f"{value}: no such file or folder here or beside the scenario")
    return found
