"""Every message a browser may send, checked; and how a picture is packed for the way back.

A message is a small JSON object with a ``kind``. What is not exactly one of these is refused with a ``ValueError`` that
says why; nothing else of it is looked at. Knows texts and bytes, not what becomes of them.
"""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

from worldmodel.types import OUTCOMES, VOCABULARY

#: A message is no longer than this, in bytes.
MOST_BYTES = 2048
_MOST_TEXT, _MOST_NUMBER, _DAY_S = 200, 2**53, 86_400


@dataclasses.dataclass(frozen=True)
class Message:
    """A checked message.

    Attributes:
        kind: a key of ``KINDS``.
        values: the fields of that kind, all there.
    """

    kind: str
    values: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.values[field]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST_NUMBER:
        raise ValueError(f"expected a whole number from 0, got {value!r:.40}")
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise ValueError(f"expected a number from -1 to 1, got {value!r:.40}")
    return float(value)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DAY_S:
        raise ValueError(f"expected a number of seconds from 0 to a day's, got {value!r:.40}")
    return float(value)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r:.40}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT or not value.isprintable():
        raise ValueError(f"expected a line of at most {_MOST_TEXT} characters, got {value!r:.40}")
    return value


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"expected channels and names, got {value!r:.40}")
    for channel, name in value.items():
        if channel not in VOCABULARY or not isinstance(name, str) or name not in {*VOCABULARY[channel]} - {*OUTCOMES}:
            raise ValueError(f"no tag {channel!r:.40}={name!r:.40}")
    return value


#: Kind to its fields and their checks.
KINDS: Mapping[str, Mapping[str, Callable[[Any], Any]]] = {
    "hello": {},
    "hold": {"n": _whole, "steer": _share, "pedal": _share},
    "seen": {"n": _whole},
    "pause": {"on": _switch},
    "lanes": {"on": _switch},
    "tags": {"set": _tags},
    "prompt": {"text": _text},
    "snapshot": {},
    "branch": {"to": _whole},
    "rewind": {"back_s": _seconds},
    "restart": {"scenario": _text},
    "policy": {"name": _text},
    "save": {},
}


def parse(text: str | bytes | None) -> Message:
    """Read a message.

    Raises:
        ValueError: not a JSON object of a known kind with exactly its fields and sensible values.
    """
    if not isinstance(text, str):
        raise ValueError("expected text")
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} bytes")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    kind = data.pop("kind", None) if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"no kind {kind!r:.40}; there are {', '.join(KINDS)}")
    checks = KINDS[kind]
    if data.keys() != checks.keys():
        raise ValueError(f"{kind}: expected the fields {', '.join(checks) or '(none)'}")
    values = {}
    for field, check in checks.items():
        try:
            values[field] = check(data[field])
        except ValueError as error:
            raise ValueError(f"{kind}.{field}: {error}") from error
    return Message(kind, values)


def pack(about: Mapping[str, Any], image: bytes) -> bytes:
    """One binary message: the length of the JSON (two bytes, big-endian), the JSON, the image."""
    head = json.dumps(about, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack(">H", len(head)) + head + image


def unpack(packed: bytes) -> tuple[dict[str, Any], bytes]:
    """The two parts of what ``pack`` made."""
    (length,) = struct.unpack_from(">H", packed)
    return json.loads(packed[2 : 2 + length]), packed[2 + length :]
