"""Somebody who is connected: what waits to be sent to them, and what they asked for. Everything here is bounded.

Of pictures only the newest waits; an older one that was not sent in time is dropped. Of what is held only the newest
counts. Touched by the event loop and by the house's threads; each field has one writer, or is a deque.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from worldmodel.server.messages import Message, pack
from worldmodel.server.place import Place

#: Pictures on the way that have not been seen; and for how long, after which the person's world waits.
_MOST_UNSEEN, _PATIENCE_S = 3, 1.5
_MOST_NOTES, _MOST_COMMANDS = 64, 16


class Guest:
    """A connection that has been let in.

    Args:
        key: of its row.
        wake: tells the sender that there is something to send; called from any thread.
    """

    def __init__(self, key: int, wake: Callable[[], None]) -> None:
        self.key, self._wake = key, wake
        self.place: Place | None = None
        self.commands: deque[Message] = deque(maxlen=_MOST_COMMANDS)
        self.wants_lanes = False
        #: The lanes of the newest frame that was looked at, and whether somebody is looking.
        self.lanes: Mapping[str, Any] | None = None
        self.is_looking = False
        #: Something slow that was asked for is on the way: an opening, a save.
        self.is_opening, self.is_saving = False, False
        self.has_left = False
        #: Number of the hold at which the wheel was handed over: a later one that is felt takes it back.
        self.handed_over_at = 0
        self._notes: deque[dict[str, Any]] = deque(maxlen=_MOST_NOTES)
        self._picture: tuple[int, Mapping[str, Any], bytes] | None = None
        self._number = 0
        self._unseen: deque[int] = deque()
        self._seen_at, self._has_seen = time.monotonic(), False

    @property
    def is_listening(self) -> bool:
        """Whether pictures arrive: a world that nobody looks at waits, and one that nobody has seen does not begin."""
        if not self._has_seen:
            return False
        return not self._unseen or time.monotonic() - self._seen_at < _PATIENCE_S

    def show(self, about: Mapping[str, Any], image: bytes) -> None:
        """A new picture; it takes the place of one that has not been sent yet."""
        self._number += 1
        self._picture = self._number, about, image
        self._wake()

    def tell(self, kind: str, **fields: Any) -> None:
        """A note, sent before any picture."""
        self._notes.append({"kind": kind, **fields})
        self._wake()

    def next_note(self) -> dict[str, Any] | None:
        """The next note to send."""
        return self._notes.popleft() if self._notes else None

    def next_picture(self) -> bytes | None:
        """The newest picture, if there is one and those before it are being seen."""
        picture = self._picture
        if picture is None or len(self._unseen) >= _MOST_UNSEEN:
            return None
        self._picture = None
        number, about, image = picture
        if not self._unseen:
            self._seen_at = time.monotonic()
        self._unseen.append(number)
        return pack({"n": number, **about}, image)

    def saw(self, number: int) -> None:
        """The person has seen this picture and all before it."""
        if self._unseen and number >= self._unseen[0]:
            self._seen_at, self._has_seen = time.monotonic(), True
            while self._unseen and self._unseen[0] <= number:
                self._unseen.popleft()
            self._wake()
