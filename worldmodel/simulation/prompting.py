"""Prompts: a sentence, or a sentence along a drive, as the tags a world is told.

A prompt reaches the world through its tags: what a sentence says of weather, time of day, road, traffic and events is
kept, channel by channel; where it is silent the tags stay what they are. What no tag can say, and words that are not
known, are named. Knows sentences and tags, nothing of worlds.

Shapes: S steps of a drive.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.text.encoder import FILE, load_encoder
from worldmodel.text.pretrained import open_pretrained
from worldmodel.text.reading import SentenceEncoder, Understood, understand
from worldmodel.text.times import parse_times
from worldmodel.types import VOCABULARY, Tags

#: An event tag holds for so long in a world that is told of events by tags alone.
EVENT_TAG_S = 3.0
_EVENT, _ROAD = (list(VOCABULARY).index(name) for name in ("event", "road_kind"))


@functools.lru_cache(maxsize=4)
def open_encoder(name: str = "") -> SentenceEncoder:
    """What reads prompts: the bundled encoder, a folder of one trained here, or of a T5 or CLIP checkpoint.

    Raises:
        ValueError: no such folder, or one of another kind.
    """
    if not name or (Path(name) / FILE).is_file():
        return load_encoder(name or "text")
    return open_pretrained(name)


def read_prompt(text: str, *, text_encoder: str = "") -> tuple[Tags, tuple[str, ...]]:
    """Tags ``()`` of one sentence, "unknown" where it says nothing, and the words nothing was made of.

    Raises:
        ValueError: more words than the encoder takes, or no such encoder.
    """
    understood = understand(text, open_encoder(text_encoder))
    return understood.tags, understood.unheard


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a prompt says of the drive from ``t_s`` on, until ``until_s`` if that is not ``None``."""

    t_s: float
    until_s: float | None
    understood: Understood


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A prompt, read.

    Attributes:
        text: as it was typed.
        wishes: in order of time.
    """

    text: str
    wishes: tuple[Wish, ...]

    @classmethod
    def read(cls, text: str, *, text_encoder: str = "") -> Prompt:
        """Take a prompt apart and read its parts.

        Raises:
            ValueError: times that make no sense, or nothing in it that the world can be told.
        """
        encoder = open_encoder(text_encoder)
        wishes = [Wish(part.t_s, part.until_s, understand(part.text, encoder)) for part in parse_times(text)]
        if not any(wish.understood.tags.codes.any() for wish in wishes):
            raise ValueError(f"prompt: {text!r} says nothing the world can be told; it can be told {_can_be_told()}")
        return cls(text, tuple(wishes))

    def at_start(self) -> Tags:
        """Tags ``()`` of the first frame of a drive that starts from the prompt alone."""
        at_once = tuple(wish for wish in self.wishes if wish.t_s == 0)
        return Prompt(self.text, at_once).along(Tags.unknown(), 0, 1.0)[0]

    def along(self, first: Tags, steps: int, dt_s: float) -> Tags:
        """Tags ``(S + 1,)`` of every frame of a drive.

        Args:
            first: ``()`` what holds where the prompt is silent: the tags of the context.
            steps: of the drive.
            dt_s: of the world.

        Raises:
            ValueError: a time after the end of the drive.
        """
        codes: NDArray[np.int64] = np.repeat(first.codes[None], steps + 1, axis=0)
        for wish in self.wishes:
            begins = math.ceil(wish.t_s / dt_s - 1e-9)
            if begins > steps:
                raise ValueError(
                    f"prompt: {wish.understood.text!r} is wished for at {wish.t_s:g} s, after the end of the drive at "
                    f"{steps * dt_s:g} s; make it longer with length_s="
                )
            ends = steps + 1 if wish.until_s is None else math.ceil(wish.until_s / dt_s - 1e-9)
            for channel, code in enumerate(wish.understood.tags.codes):
                if code and channel != _EVENT:
                    codes[begins:ends, channel] = code
            self._happen(wish, codes, begins, dt_s)
        return Tags(codes, self.text)

    def _happen(self, wish: Wish, codes: NDArray[np.int64], begins: int, dt_s: float) -> None:
        """An event lasts for a while; then nothing happens."""
        code = int(wish.understood.tags.codes[_EVENT])
        if not code:
            return
        nothing = VOCABULARY["event"].index("none")
        codes[begins:, _EVENT] = nothing
        if code != nothing:
            lasts_s = EVENT_TAG_S if wish.until_s is None else wish.until_s - wish.t_s
            codes[begins : begins + max(1, round(lasts_s / dt_s)), _EVENT] = code

    def warnings(self) -> Iterator[str]:
        """A line for everything of the prompt that the world will not be told, or not as it was meant."""
        for wish in self.wishes:
            said = wish.understood
            if said.unheard:
                words = ", ".join(repr(words) for words in said.unheard)
                yield f"prompt: nothing was made of {words}; the world can be told {_can_be_told()}"
            for typed, known in said.taken_for.items():
                yield f"prompt: {typed!r} was read as {known!r}"
            if wish.t_s > 0 and said.tags.codes[_ROAD]:
                yield f"prompt: {said.text!r}: the kind of road changes along no drive the world was trained on"

    def about(self) -> dict[str, Any]:
        """For the provenance: what was understood, and what was not."""
        wishes = []
        for wish in self.wishes:
            said = {name: word for name, word in wish.understood.tags.names().items() if word != "unknown"}
            wishes.append(
                {"t_s": wish.t_s, "until_s": wish.until_s, "said": said, "unheard": list(wish.understood.unheard)}
            )
        return {"text": self.text, "wishes": wishes}

    def announce(self) -> None:
        """Say on stderr what was understood, and what was not."""
        for wish in self.wishes:
            said = ", ".join(f"{k}={v}" for k, v in wish.understood.tags.names().items() if v != "unknown")
            print(f"prompt: from {wish.t_s:g} s: {said or 'nothing new'}", file=sys.stderr)
        for line in self.warnings():
            print(f"warning: {line}", file=sys.stderr)


def _can_be_told() -> str:
    """What there are tags for, in words."""
    parts = [f"{c.replace('_', ' ')} ({', '.join(v[1:]).replace('_', ' ')})" for c, v in VOCABULARY.items()]
    return "; ".join(parts)
