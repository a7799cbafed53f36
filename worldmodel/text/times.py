"""A prompt along a drive, taken apart: "a motorway by day, at 20 s it starts to snow, from 40 s to 50 s fog".

Times are "at 20 s", "from 10 s on", "after 1 min 30 s", "at 1:30", "20 seconds in", "10 s later"; a span is "from 10 s
to 20 s", "until 30 s" or "for 10 s", and what it said ends with it; "then" goes on from there. A time leads what is
said ("at 20 s it snows") or follows it ("it snows at 20 s"). What has no time goes with what was said before it. Knows
time, not what words mean.
"""

from __future__ import annotations

import dataclasses
import re

_UNIT = r"(?:s|secs?|seconds?)"
_TIME = rf"(?:\d+:[0-5]\d|\d+(?:\.\d+)?\s*(?:min|mins|minutes?|{_UNIT})\b(?:\s*(?:and\s+)?\d+\s*{_UNIT}\b)?)"
_ONE = re.compile(rf"(\d+):(\d\d)|(\d+(?:\.\d+)?)\s*(m|s)\w*(?:\s*(?:and\s+)?(\d+)\s*{_UNIT}\b)?", re.IGNORECASE)
_MARKER = re.compile(
    rf"(?P<span>\b(?:from|between)\s+{_TIME}\s+(?:to|and|until|till)\s+{_TIME})"
    rf"|(?P<until>\b(?:until|till|up\s+to)\s+{_TIME})"
    rf"|(?P<later>\b{_TIME}\s+later\b)"
    rf"|(?P<at>\b(?:(?:start|begin)\w*\s+)?(?:at|from|after|since)\s+(?:about\s+)?{_TIME}(?:\s+(?:onwards?|on|in)\b)?)"
    rf"|(?P<inside>\b{_TIME}\s+in\b)",
    re.IGNORECASE,
)
_LASTING = re.compile(rf"\bfor\s+({_TIME})", re.IGNORECASE)
_CLAUSES = re.compile(r"([,;]|[.!](?!\d)|(?:\band\s+)?\bthen\b)", re.IGNORECASE)
_BARE = re.compile(
    r"\b(?:at|from|after|until|till)\s+\d+(?:\.\d+)?"
    r"(?=\s*(?:$|[,;]|\.(?!\d)|m\b)|\s+(?:it|the|there|on|a|to|and|we)\b)",
    re.IGNORECASE,
)
_EDGES = re.compile(r"^(?:\s|(?:and|but|then)\b|:)+|(?:\s|\band|\bbut|:)+$", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class TimedText:
    """What is said from a time on.

    Attributes:
        t_s: seconds after the start of the drive.
        text: without the time.
        until_s: when it ends; ``None`` for not before it is contradicted.
    """

    t_s: float
    text: str
    until_s: float | None = None


def parse_times(prompt: str) -> list[TimedText]:
    """The parts of a prompt, by their times; what is said of the same time is one part.

    Raises:
        ValueError: nothing is said, a time without a unit, a time of which nothing is said, or a span that ends before
            it begins.
    """
    if bare := _BARE.search(prompt):
        raise ValueError(f"prompt: {bare.group()!r}: say the unit, as in '{bare.group()} s' or '{bare.group()} min'")
    parts: list[TimedText] = []
    clauses = ["", *_CLAUSES.split(prompt)]
    for stop, clause in zip(clauses[::2], clauses[1::2]):
        if stop.lower().endswith("then") and parts and parts[-1].text and not _MARKER.search(clause):
            until_s = parts[-1].until_s
            if until_s is None:
                raise ValueError(f"prompt: 'then{clause}': say when, as in 'at 20 s{clause}'")
            parts.append(TimedText(until_s, ""))
        _read_clause(clause, parts)
    if not any(part.text for part in parts):
        raise ValueError(f"prompt: nothing is said in {prompt!r}")
    for part in parts:
        if not part.text:
            raise ValueError(f"prompt: nothing is said of {part.t_s:g} s in {prompt!r}")
        if part.until_s is not None and part.until_s <= part.t_s:
            raise ValueError(f"prompt: {part.text!r} ends at {part.until_s:g} s, but begins at {part.t_s:g} s")
    return sorted(parts, key=lambda part: part.t_s)


def _read_clause(clause: str, parts: list[TimedText]) -> None:
    """Add what a clause says; from its second time on it is read as another."""
    markers = list(_MARKER.finditer(clause))
    if len(markers) > 1:
        # "it rains at 10 s and it snows at 20 s" is cut after each time, "at 10 s rain and at 20 s snow" before.
        trailing = not _trimmed(clause[markers[-1].end() :])
        cut = markers[0].end() if trailing else markers[1].start()
        _read_clause(clause[:cut], parts)
        _read_clause(clause[cut:], parts)
        return
    lasting = _LASTING.search(clause)
    if lasting:
        return _read_lasting(clause, lasting, parts)
    if not markers:
        _go_on(parts, _trimmed(clause))
        return
    marker = markers[0]
    before, after = _trimmed(clause[: marker.start()]), _trimmed(clause[marker.end() :])
    if before and after and marker.lastgroup not in ("span", "until"):
        _go_on(parts, before)
        before = ""
    now_s = parts[-1].t_s if parts else 0.0
    first_s, *second_s = (_seconds(match) for match in _ONE.finditer(marker.group()))
    text = " ".join(filter(None, (before, after)))
    if marker.lastgroup == "until":
        parts.append(TimedText(now_s, text, first_s))
    else:
        begins_s = now_s + first_s if marker.lastgroup == "later" else first_s
        parts.append(TimedText(begins_s, text, *second_s))


def _read_lasting(clause: str, lasting: re.Match[str], parts: list[TimedText]) -> None:
    """What is said "for 10 s" ends so long after it began."""
    match = _ONE.match(lasting.group(1))
    assert match is not None
    _read_clause(clause[: lasting.start()] + " " + clause[lasting.end() :], parts)
    if parts:
        parts[-1] = dataclasses.replace(parts[-1], until_s=parts[-1].t_s + _seconds(match))


def _trimmed(text: str) -> str:
    return " ".join(_EDGES.sub("", text).split())


def _seconds(match: re.Match[str]) -> float:
    minutes, seconds, count, unit, more = match.groups()
    if minutes is not None:
        return 60.0 * int(minutes) + int(seconds)
    return float(count) * (60.0 if unit.lower() == "m" else 1.0) + float(more or 0)


def _go_on(parts: list[TimedText], text: str) -> None:
    """Join a text without a time to what was said before it."""
    if not text:
        return
    if not parts:
        parts.append(TimedText(0.0, text))
    else:
        last = parts[-1]
        parts[-1] = dataclasses.replace(last, text=f"{last.text}, {text}" if last.text else text)
