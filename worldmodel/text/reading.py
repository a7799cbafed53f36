"""What a sentence was understood as, and which of its words nothing was made of.

The tag of a channel is its likeliest word, "unknown" among them. A word is unheard if it is not known, or if all it may
be about stayed unknown ("trucks ahead": there is a tag for a slow truck in the way, none for trucks as such).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from worldmodel.text.words import Lexicon, Word
from worldmodel.types import VOCABULARY, FloatArray, Tags

#: A word that is not known was heard after all if leaving it out changes a channel's shares by so much.
_HEARD = 0.2


class SentenceEncoder(Protocol):
    """What reads sentences: the one that comes along, or a user's own.

    Attributes:
        lexicon: the words that captions are made of.
        knows_other_words: whether it may know words that no caption has.
    """

    lexicon: Lexicon
    knows_other_words: bool

    def shares(self, texts: Sequence[str]) -> FloatArray:
        """``(B, C, K)`` probability of each word of each channel."""
        ...


@dataclasses.dataclass(frozen=True)
class Understood:
    """A sentence, read.

    Attributes:
        text: the sentence.
        shares: channel to word to probability.
        tags: ``()`` the likeliest, the sentence as their caption.
        unheard: words nothing was made of; neighbours stand together.
        taken_for: misspelt words and what they were read as.
    """

    text: str
    shares: Mapping[str, Mapping[str, float]]
    tags: Tags
    unheard: tuple[str, ...]
    taken_for: Mapping[str, str]


def understand(text: str, encoder: SentenceEncoder) -> Understood:
    """Read one sentence.

    Raises:
        ValueError: more words than the encoder takes.
    """
    words = encoder.lexicon.split(text)
    shares_CK = encoder.shares([text])[0]
    codes = shares_CK.argmax(axis=1)
    said = {channel for channel, code in zip(VOCABULARY, codes) if code > 0}
    missed = [_is_missed(word, said, encoder) for word in words]
    if encoder.knows_other_words:
        _hear_others(words, missed, shares_CK, encoder)
    return Understood(
        text,
        {
            channel: dict(zip(values, map(float, shares)))
            for (channel, values), shares in zip(VOCABULARY.items(), shares_CK)
        },
        Tags(codes, text),
        _phrases(words, missed),
        {word.typed: str(word.known_as) for word in words if word.is_misspelt},
    )


def _is_missed(word: Word, said: set[str], encoder: SentenceEncoder) -> bool:
    if word.known_as is None:
        return True
    about = encoder.lexicon.channels(word.known_as)
    return bool(about) and not about & said


def _hear_others(words: Sequence[Word], missed: list[bool], shares_CK: FloatArray, encoder: SentenceEncoder) -> None:
    """Words that no caption has, but whose absence would change what was read, were heard."""
    asked = [at for at, word in enumerate(words) if word.known_as is None]
    without = [" ".join(word.typed for at, word in enumerate(words) if at != gone) for gone in asked]
    if asked:
        change_BC = np.abs(encoder.shares(without) - shares_CK).sum(axis=-1) / 2
        for at, change_C in zip(asked, change_BC):
            missed[at] = bool(change_C.max() < _HEARD)


def _phrases(words: Sequence[Word], missed: Sequence[bool]) -> tuple[str, ...]:
    found: list[list[str]] = [[]]
    for word, is_missed in zip(words, missed):
        if is_missed:
            found[-1].append(word.typed)
        else:
            found.append([])
    return tuple(dict.fromkeys(" ".join(part) for part in found if part))
