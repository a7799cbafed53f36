"""What would have happened if: edits on a drive's timeline, in branches, as YAML or as one line on the command line.

    branches:
      - name: brake
        edits: [{kind: brake, decel_mps2: 3, from_s: 2, for_s: 1.5}]
      - name: faster, and to the left
        edits: [{kind: speed, factor: 1.2, from_s: 0}, {kind: shift, left_m: 0.5, from_s: 1}]

    edits='brake decel_mps2=3 from_s=2 for_s=1.5; speed factor=1.2 + shift left_m=0.5 from_s=1'

Branches are parted by ``;``, the edits of one by ``+``; they are applied in their order. ``courses`` turns them into
motion. Knows what an edit may say, nothing of worlds.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from worldmodel.geometry.motion import VehicleLimits
from worldmodel.simulation.documents import Document, FieldError, Place, find_document, known_fields, number
from worldmodel.simulation.policies.library import open_policy

#: Largest second derivative of the even course a shift takes (6 t^5 - 15 t^4 + 10 t^3), per metre and second squared.
SHIFT_PEAK = 5.7736


@dataclasses.dataclass(frozen=True)
class Brake:
    """Slow down by at least ``decel_mps2`` for ``for_s``; after it the speed changes as it did, from lower down."""

    decel_mps2: float
    for_s: float
    from_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Speed:
    """The same road at ``factor`` times the speed, reached evenly over ``over_s``."""

    factor: float
    from_s: float = 0.0
    over_s: float = 2.0


@dataclasses.dataclass(frozen=True)
class Shift:
    """The same road ``left_m`` further left (right where negative), moved over in ``over_s``."""

    left_m: float
    from_s: float = 0.0
    over_s: float = 2.0


@dataclasses.dataclass(frozen=True)
class React:
    """From ``from_s`` on everything happens ``later_s`` later; until then the ego does what it was doing."""

    later_s: float
    from_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Switch:
    """A policy takes over."""

    policy: str
    from_s: float = 0.0


Edit = Brake | Speed | Shift | React | Switch
KINDS: Mapping[str, type[Edit]] = {"brake": Brake, "speed": Speed, "shift": Shift, "react": React, "policy": Switch}


@dataclasses.dataclass(frozen=True)
class Branch:
    """A way the drive might have gone.

    Attributes:
        name: for people; unique among the branches of a run.
        edits: in the order they are applied; none is the drive as it was.
        place: in the document it comes from.
    """

    name: str
    edits: tuple[Edit, ...]
    place: Place = ()


@dataclasses.dataclass(frozen=True)
class Edits:
    """The branches of a run, and the document they come from, if one."""

    branches: tuple[Branch, ...]
    document: Document | None = None

    def locating(self) -> contextlib.AbstractContextManager[None]:
        """Give every ``FieldError`` raised inside the file and line it is about."""
        return contextlib.nullcontext() if self.document is None else self.document.locating()


def open_edits(text: str) -> Edits:
    """Branches from a name in ``conf/edits``, a YAML file, or one line as in the module's example.

    Raises:
        ValueError: no such file, an unknown edit or field, or one beyond the vehicle's limits.
    """
    if not text.strip():
        raise ValueError("edits: name one of conf/edits, a .yaml file, or e.g. 'brake decel_mps2=3 from_s=2 for_s=1.5'")
    if "=" in text or ";" in text or " " in text.strip():
        return Edits(parse_edits(_branches_of_line(text)))
    document = Document.load(find_document("edits", text))
    with document.locating():
        known_fields(document.data, ("name", "branches"))
        if "branches" not in document.data:
            raise FieldError((), "branches is missing")
        return Edits(parse_edits(document.data["branches"]), document)


def parse_edits(data: Any, *, limits: VehicleLimits | None = None) -> tuple[Branch, ...]:
    """Branches from a list as in the module's example.

    Raises:
        FieldError: a field that is unknown, missing or beyond the vehicle's limits.
    """
    limits = limits or VehicleLimits()
    if not isinstance(data, list) or not data:
        raise FieldError(("branches",), "expected a list of at least one branch")
    branches: list[Branch] = []
    for index, item in enumerate(data):
        place: Place = ("branches", index)
        if not isinstance(item, Mapping):
            raise FieldError(place, f"expected name and edits, got {item!r}")
        known_fields(item, ("name", "edits"), place)
        edits = item.get("edits")
        if not isinstance(edits, list) or not edits:
            raise FieldError((*place, "edits"), "expected a list of at least one edit")
        parsed = tuple(_edit(edit, (*place, "edits", i), limits) for i, edit in enumerate(edits))
        name = str(item.get("name") or " + ".join(describe(edit) for edit in parsed))
        if name == "unedited" or name in [branch.name for branch in branches]:
            raise FieldError((*place, "name"), f"{name!r} is taken")
        branches.append(Branch(name, parsed, place))
    return tuple(branches)


def describe(edit: Edit) -> str:
    """A few words for a person."""
    match edit:
        case Brake():
            return f"brake {edit.decel_mps2:g} m/s2 at {edit.from_s:g} s for {edit.for_s:g} s"
        case Speed():
            return f"{(edit.factor - 1) * 100:+.0f}% speed from {edit.from_s:g} s"
        case Shift():
            return f"{abs(edit.left_m):g} m {'left' if edit.left_m >= 0 else 'right'} from {edit.from_s:g} s"
        case React():
            return f"{edit.later_s:g} s later from {edit.from_s:g} s"
        case Switch():
            return f"{edit.policy} from {edit.from_s:g} s"


def _edit(data: Any, place: Place, limits: VehicleLimits) -> Edit:
    if not isinstance(data, Mapping) or "kind" not in data:
        raise FieldError(place, f"expected kind, one of {', '.join(KINDS)}, and its fields, got {data!r}")
    if data["kind"] not in KINDS:
        raise FieldError((*place, "kind"), f"expected one of {', '.join(KINDS)}, got {data['kind']!r}")
    cls = KINDS[data["kind"]]
    fields = dataclasses.fields(cls)
    known_fields(data, ("kind", *(field.name for field in fields)), place)
    for field in fields:
        if field.default is dataclasses.MISSING and field.name not in data:
            raise FieldError(place, f"{field.name} is missing")
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name == "policy":
            try:
                values[name] = open_policy(str(value)).name
            except ValueError as error:
                raise FieldError((*place, name), str(error)) from error
        elif name != "kind":
            values[name] = number(value, (*place, name), **_bounds(name))
    edit = cls(**values)
    if isinstance(edit, Brake) and edit.decel_mps2 > -limits.accel_min_mps2:
        bound = f"is not in 0..{-limits.accel_min_mps2:g}"
        raise FieldError((*place, "decel_mps2"), f"beyond the vehicle's limits: {edit.decel_mps2:g} m/s2 {bound}")
    if isinstance(edit, Shift):
        sideways = SHIFT_PEAK * abs(edit.left_m) / edit.over_s**2
        if sideways > limits.lateral_accel_max_mps2:
            bound = f"is not in 0..{limits.lateral_accel_max_mps2:g}; give it a longer over_s"
            raise FieldError((*place, "left_m"), f"beyond the vehicle's limits: {sideways:.3g} m/s2 sideways {bound}")
    return edit


def _bounds(name: str) -> dict[str, float]:
    if name in ("decel_mps2", "for_s", "over_s", "factor", "later_s"):
        return {"above": 0.0}
    return {} if name == "left_m" else {"least": 0.0}


def _branches_of_line(text: str) -> list[dict[str, Any]]:
    """What one line says, in the form a file has."""
    return [
        {"edits": [_edit_of_words(part.split()) for part in branch.split("+")]}
        for branch in text.split(";")
        if branch.strip()
    ]


def _edit_of_words(words: Iterable[str]) -> dict[str, Any]:
    kind, *rest = [*words] or [""]
    edit: dict[str, Any] = {"kind": kind}
    for word in rest:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"edits: {word!r}: expected field=value, e.g. from_s=2")
        try:
            edit[name] = float(value)
        except ValueError:
            edit[name] = value
    return edit
