"""A sentence as words: known ones, known ones in another form, misspelt ones, and ones that nobody knows here.

A word is known as itself, by its stem ("drizzling" where "drizzle" is known), or as a known word it is misspelt of: one
letter changed, missing, added or swapped (two in long words), the first letter right, five letters or more.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping

#: Code of padding and of a word that is not known, in place of n-grams.
PADDING, UNKNOWN = 0, 1
#: n-grams of a word, at most.
GRAMS = 20
_SUFFIXES = ("iness", "ness", "ing", "ily", "ed", "ly", "y")
_STOPS = {".": ".", "!": ".", "?": ".", ";": ",", ":": ",", ",": ",", "/": ",", "+": ","}


@dataclasses.dataclass(frozen=True)
class Word:
    """A word as it was typed, lower case, and what it is known as; ``None`` for not at all. Stops are "," and "."."""

    typed: str
    known_as: str | None

    @property
    def is_misspelt(self) -> bool:
        """Whether it was taken for a word with another stem."""
        return self.known_as is not None and stem(self.known_as) != stem(self.typed)


class Lexicon:
    """The known words.

    Args:
        meanings: words that say tags, and the channels they say them of.
        glue: words that say nothing by themselves.
        others: words that are not known, and are neither forms nor slips of those that are.
    """

    def __init__(
        self, meanings: Mapping[str, frozenset[str]], glue: frozenset[str], others: frozenset[str] = frozenset()
    ) -> None:
        self.meanings, self.glue, self.others = dict(meanings), glue, others
        self._stems = {stem(word): word for word in (*sorted(glue), *self.meanings)}
        self._by_initial: dict[str, list[str]] = {}
        for word in (*self.meanings, *sorted(glue - self.meanings.keys())):
            self._by_initial.setdefault(word[0], []).append(word)

    def split(self, text: str) -> list[Word]:
        """The words and stops of a text."""
        plain = unicodedata.normalize("NFKD", text.replace("’", "'")).encode("ascii", "ignore").decode().lower()
        found = []
        for token in re.findall(r"[a-z]+(?:'[a-z]+)?|\d+(?:\.\d+)?|[.,;:!?/+]", plain):
            found.append(Word(_STOPS[token], _STOPS[token]) if token in _STOPS else Word(token, self.known(token)))
        return found

    def known(self, word: str) -> str | None:
        """What a lower-case word is known as: itself (other forms included), what it is misspelt of, or nothing."""
        if word in self.meanings or word in self.glue:
            return word
        if word in self.others:
            return None
        if stem(word) in self._stems:
            return word
        if len(word) < 5 or not word.isalpha():
            return None
        allowed = 2 if len(word) >= 9 else 1
        # Words whose lengths differ by more are farther apart than that.
        others = [o for o in self._by_initial.get(word[0], ()) if len(o) >= 4 and abs(len(o) - len(word)) <= allowed]
        near = [(edits(word, other), other) for other in others]
        distance, best = min(near, key=lambda item: item[0], default=(9, ""))
        return best if distance <= allowed else None

    def channels(self, word: str) -> frozenset[str]:
        """What a known word may be about; nothing for glue."""
        found = self.meanings.get(word)
        if found is None and word not in self.glue:
            found = self.meanings.get(self._stems.get(stem(word), ""))
        return found or frozenset()


def stem(word: str) -> str:
    """A word without its endings, the plural's first: four letters stay, or three of which the last was doubled."""
    if len(word) >= 5:
        word = word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s") if word[-2] != "s" else word
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            word = word[: -len(suffix)]
            break
    if len(word) >= 4 and word[-1] == word[-2] and word[-1] not in "aeious":
        return word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] in "ei" else word


def edits(one: str, other: str) -> int:
    """Letters changed, missing, added, or swapped with a neighbour (optimal string alignment), of two words."""
    if abs(len(one) - len(other)) > 2:
        return 9
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def grams(words: Iterable[Word], buckets: int) -> list[list[int]]:
    """Codes of the character n-grams (3 to 5) of each word and of the whole of it; words not known have one code.

    Hashed, as in fastText (Bojanowski et al., arXiv 1607.04606): a form never met shares most of them with its kin.
    """
    return [_grams(word.known_as, buckets) if word.known_as else [UNKNOWN] for word in words]


@functools.lru_cache(maxsize=8192)
def _grams(word: str, buckets: int) -> list[int]:
    marked = f"<{word}>"
    parts = [marked] + [marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)]
    return [2 + zlib.crc32(part.encode()) % buckets for part in parts[:GRAMS]]
