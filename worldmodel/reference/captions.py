"""Captions of what a drive shows, as people write prompts: many wordings of every tag in many kinds of sentence.

A caption says some tags, in any order, with things no tag can say beside them, and says of every channel how likely
each word of the vocabulary is: "unknown" where it is silent, and for "no rain" the reference world's own shares of all
that is not rain. It is a pure function of a seed and its kind:

    trained        what readers of sentences are trained on
    wordings       wordings of ``held_out.HELD_OUT`` in trained sentences
    sentences      trained wordings in sentences that are never trained on
    compositions   trained wordings and sentences, of tags that are never trained on together

Knows words, nothing of pictures or networks.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from worldmodel.reference.held_out import HELD_OUT, HELD_OUT_ASIDES
from worldmodel.reference.options import SHARES
from worldmodel.reference.phrases import ASIDES, LOOKALIKES, PAIRED, TRAINED, Wording
from worldmodel.types import VOCABULARY

Kind = Literal["trained", "wordings", "sentences", "compositions"]
KINDS: tuple[Kind, ...] = ("trained", "wordings", "sentences", "compositions")

#: Tags that no trained caption says together.
HELD_OUT_TAGS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (("snow", "town"), ("fog", "motorway"), ("rain", "dusk"), ("night", "dense"), ("clear", "country", "dusk")),
    )
)
_GENERIC_ROADS = ("road", "drive", "scene", "ride", "trip", "route", "view")
_VERBS = ("driving", "we drive", "the car drives", "travelling", "a drive", "cruising", "a car going", "rolling")
_PREFIXES = (
    "", "", "", "", "", "show me ", "a video of ", "i want ", "imagine ", "please show ", "generate ", "dashcam: ",
    "dashcam video of ", "let us see ", "give me ", "a scene with ",
)  # fmt: skip
_SUFFIXES = ("", "", "", "", "", " please", " for a minute", " for a while", " as seen from the car", " then", " now")
_SEPARATORS = (", ", ", ", ", ", " and ", "; ", " ", " with ", ". ", " / ", " + ", ", and ", ", but ")
_LABELS = {
    "weather": ("weather", "weather conditions"),
    "time_of_day": ("time of day", "time", "light"),
    "road_kind": ("road", "road kind", "place"),
    "traffic": ("traffic",),
    "event": ("event", "what happens"),
}
_COMMANDS = (
    "make it {}", "let there be {}", "add {}", "change it to {}", "turn it into {}", "now {}", "i would like {}",
    "then comes {}", "switch to {}", "replace it with {}", "set it to {}",
)  # fmt: skip
_OTHER_THINGS = (
    "truck", "lorry", "van", "bus", "car", "tram", "house", "sign", "crossing", "bridge", "hill", "tree", "barn",
    "bend", "curve", "lane", "bicycle", "motorbike", "petrol station", "shop", "tunnel", "train", "dog", "church",
    "fence",
)  # fmt: skip
_OTHER_QUALITIES = (
    "red", "blue", "green", "white", "black", "old", "big", "small", "new", "long", "fast", "parked", "tall", "narrow",
    "", "",
)  # fmt: skip
_OTHER_PLACES = ("ahead", "at the side", "in the next lane", "behind us", "in the distance", "on the left", "", "")
_NOT_NOUNS = (
    "no {}", "without {}", "without any {}", "not {}", "no {} at all", "no more {}", "neither {}", "nor {}",
    "not even {}", "free of {}", "don't show {}",
)  # fmt: skip
_NOT_PHRASES = ("not {}", "but not {}", "never {}", "and not {}")
_NOT_ADJECTIVES = ("it is not {}", "it isn't {}", "not {}", "the road is not {}")
_HELD_OUT_NOT_NOUNS = ("there is no {}", "there isn't any {}", "and no {} either", "absolutely no {}")
_HELD_OUT_SENTENCES = (
    "think of {np}: {clauses}",
    "{nouns} - {np}",
    "while {clauses}, we are {phrases}",
    "how about {np}, {phrases}?",
    "{phrases}: {np}",
    "there should be {nouns} on this drive",
    "{clauses}; also {nouns}",
    "recorded from a car, {phrases}, {clauses}",
)
#: Words of no meaning of their own: those of sentences, and what people put between others.
GLUE = frozenset(
    " ".join(
        (
            *(*_GENERIC_ROADS, *_VERBS, *_PREFIXES, *_SUFFIXES, *_SEPARATORS, *_COMMANDS),
            *(*_NOT_NOUNS, *_NOT_PHRASES, *_NOT_ADJECTIVES, *_HELD_OUT_NOT_NOUNS),
            *(re.sub(r"{\w+}", "", text) for text in _HELD_OUT_SENTENCES),
            "a an the this that these those it its i we us our you he they and or but so of in on at by to from"
            " with for as into onto over under through along down up out off near past around between behind while"
            " during is are was be been being has have had do does did can could would should will may might must"
            " there here where when which who what how all any some very quite rather really just only also too"
            " more most than like look looks seen see seems picture film clip recording camera front world"
            " simulator rest begin begins start starts become becomes get gets turn turns come comes go goes going"
            " keep keeps stay stays drives driven again still soon later slowly suddenly gradually little bit lot"
            " other another same new whole it's there's isn't don't doesn't we're i'm i'd that's let's",
        )
    )
    .replace("{}", " ")
    .lower()
    .translate({ord(c): " " for c in ",.;:/+?-"})
    .split()
)

#: Words of mere talk: glue that does not negate, and a word that nobody knows here.
_NEGATIONS = {"not", "no", "without", "never", "nor", "neither", "any", "more", "isn't", "don't"}
_TALK = (*sorted(GLUE - _NEGATIONS), *("blah",) * 40)


@dataclasses.dataclass(frozen=True)
class Caption:
    """A sentence and what it says.

    Attributes:
        text: as somebody might type it.
        said: channel to the probability of each word of its vocabulary, "unknown" first.
    """

    text: str
    said: Mapping[str, tuple[float, ...]]

    def codes(self) -> dict[str, int]:
        """The likeliest word of each channel; the first of several."""
        return {channel: shares.index(max(shares)) for channel, shares in self.said.items()}


@dataclasses.dataclass(frozen=True)
class _Piece:
    """One tag that is said, or one that is said not to be."""

    channel: str
    tag: str
    negated: bool = False


def caption(seed: int, kind: Kind = "trained") -> Caption:
    """The caption of a seed."""
    rng = random.Random(f"{kind}/{seed}")
    table = HELD_OUT if kind == "wordings" else TRAINED
    while True:
        pieces = _draw_pieces(rng, kind)
        together = {piece.tag for piece in pieces if not piece.negated}
        if any(tags <= together for tags in HELD_OUT_TAGS) == (kind == "compositions"):
            break
    said = {channel: _share(channel, pieces) for channel in VOCABULARY}
    paired = ""
    chosen = rng.choice(PAIRED) if kind == "trained" and rng.random() < 0.08 else None
    if chosen and not any(set(tags) <= together | set(chosen[2].values()) for tags in HELD_OUT_TAGS):
        paired, place, tags = chosen
        pieces = [piece for piece in pieces if piece.channel not in tags]
        said |= {name: _share(name, pieces) for name in VOCABULARY}
        said |= {name: _certain(name, tag) for name, tag in tags.items()}
        paired = f"it is {paired}" if place == "adjectives" else paired
    text = _sentence(rng, pieces, table, held_out=kind == "sentences") if pieces else ""
    extras = [paired] if paired else []
    if rng.random() < 0.35 or not (text or extras):
        extras.append(_aside(rng, kind))
    for extra in extras:
        parts = [text, extra] if rng.random() < 0.7 else [extra, text]
        text = rng.choice((", ", ". ", " and ", "; ")).join(filter(None, parts))
    text = text[:1].upper() + text[1:] if rng.random() < 0.4 else text
    return Caption(text + rng.choice(("", "", ".", "!")), said)


def meanings() -> dict[str, frozenset[str]]:
    """Every word that trained wordings of tags use, and the channels they use it for."""
    found: dict[str, set[str]] = {}
    entries = [(c, text) for c, tags in TRAINED.items() for wording in tags.values() for text in wording.all()]
    entries += [(channel, text) for text, _, tags in PAIRED for channel in tags]
    entries += [(channel, text) for channel, texts in _LABELS.items() for text in texts]
    for channel, text in entries:
        for word in re.findall(r"[a-z']+", text.replace("-", " ")):
            if word not in GLUE:
                found.setdefault(word, set()).add(channel)
    return {word: frozenset(channels) for word, channels in sorted(found.items())}


def others() -> frozenset[str]:
    """Words that say nothing of any tag, and are no misspelt words of those that do."""
    known = meanings().keys() | GLUE
    asides = " ".join((*ASIDES, *_OTHER_THINGS, *_OTHER_QUALITIES)).split()
    plain = {word for word in asides if not {word.removesuffix("s"), word.removesuffix("ies") + "y"} & known}
    return LOOKALIKES.union(plain) - known


def _aside(rng: random.Random, kind: Kind) -> str:
    """Something no tag can say."""
    if kind != "trained":
        return rng.choice(HELD_OUT_ASIDES)
    draw = rng.random()
    if draw < 0.4:
        return rng.choice(ASIDES)
    if draw < 0.55:  # mere talk
        return " ".join(rng.choice(_TALK) for _ in range(rng.randint(1, 4)))
    while True:
        parts = (rng.choice(("a", "the", "some", "no")), rng.choice(_OTHER_QUALITIES), rng.choice(_OTHER_THINGS))
        text = " ".join(filter(None, (*parts, rng.choice(_OTHER_PLACES))))
        if not any(held.removeprefix("a ") in text for held in HELD_OUT_ASIDES):
            return text


def _draw_pieces(rng: random.Random, kind: Kind) -> list[_Piece]:
    pieces = []
    share = 0.85 if kind == "compositions" else rng.choice((0.3, 0.6, 0.9))
    for channel in ("weather", "time_of_day", "road_kind", "traffic"):
        if rng.random() > share:
            continue
        values = VOCABULARY[channel][1:]
        tag = rng.choice(values)
        negated = rng.random() < 0.12 and tag != "none"
        pieces.append(_Piece(channel, tag, negated))
        if not negated and rng.random() < 0.06:  # "rain, no snow" says no less than "rain"
            other = rng.choice([value for value in values if value not in (tag, "none")])
            pieces.append(_Piece(channel, other, True))
    if rng.random() < 0.2:
        kinds = list(TRAINED["event"])
        tag = rng.choice(kinds)
        pieces.append(_Piece("event", tag, tag != "none" and rng.random() < 0.15))
    rng.shuffle(pieces)
    return pieces


def _certain(channel: str, tag: str) -> tuple[float, ...]:
    return tuple(float(value == tag) for value in VOCABULARY[channel])


def _share(channel: str, pieces: Sequence[_Piece]) -> tuple[float, ...]:
    """What some pieces say of a channel: what is asked for, or what is left when something is not to be."""
    own = [piece for piece in pieces if piece.channel == channel]
    for piece in own:
        if not piece.negated:
            return _certain(channel, piece.tag)
    if not own:
        return _certain(channel, "unknown")
    if channel == "event":
        return _certain(channel, "none")
    shares = SHARES[channel] | {piece.tag: 0.0 for piece in own}
    total = sum(shares.values())
    return tuple(shares.get(value, 0.0) / total for value in VOCABULARY[channel])


def _say(rng: random.Random, piece: _Piece, place: str, table: Mapping, *, held_out: bool) -> str:
    """A piece in a place of a sentence, or in the next best one where it has no wording for it."""
    wording: Wording = table[piece.channel][piece.tag]
    if not piece.negated:
        places = (place, "clauses" if place == "changes" else "phrases", "nouns", "clauses", "adjectives")
        found = next(getattr(wording, p) for p in places if getattr(wording, p))
        return rng.choice(found)
    if place == "changes" and wording.endings:
        return rng.choice(wording.endings)
    if place in ("nouns", "clauses") or not wording.adjectives or not wording.phrases:
        bare = re.sub(r"^(an?|the) ", "", rng.choice(wording.nouns))
        return rng.choice(_HELD_OUT_NOT_NOUNS if held_out else _NOT_NOUNS).format(bare)
    if rng.random() < 0.4:
        return rng.choice(_NOT_ADJECTIVES).format(rng.choice(wording.adjectives))
    return rng.choice(_NOT_PHRASES).format(rng.choice(wording.phrases))


def _sentence(rng: random.Random, pieces: Sequence[_Piece], table: Mapping, *, held_out: bool) -> str:
    def said(place: str, some: Sequence[_Piece] = pieces) -> list[str]:
        return [_say(rng, piece, place, table, held_out=held_out) for piece in some]

    def joined(texts: Sequence[str], separators: Sequence[str] = _SEPARATORS) -> str:
        text = texts[0] if texts else ""
        for more in texts[1:]:
            text += rng.choice(separators) + more
        return text

    def split() -> tuple[list[_Piece], list[_Piece]]:
        """Pieces for the noun phrase, and the rest."""
        cut = rng.randint(1, len(pieces))
        return list(pieces[:cut]), list(pieces[cut:])

    if held_out:
        frame = rng.choice(_HELD_OUT_SENTENCES)
        slots, rest = re.findall(r"{(\w+)}", frame), list(pieces)
        filled = {}
        for number, slot in enumerate(slots):
            some = rest if number == len(slots) - 1 else rest[: max(1, len(rest) // (len(slots) - number))]
            rest = rest[len(some) :]
            if slot == "np":
                filled[slot] = _noun_phrase(rng, some, table) if some else f"a {rng.choice(_GENERIC_ROADS)}"
            else:
                filled[slot] = joined(said(slot, some), (" and ", ", ")) or f"the {rng.choice(_GENERIC_ROADS)}"
        return frame.format(**filled)
    prefix, suffix = rng.choice(_PREFIXES), rng.choice(_SUFFIXES)
    form = rng.choice(("np", "np", "verb", "list", "clauses", "changes", "labels", "command"))
    if form == "np":
        inside, rest = split()
        text = _noun_phrase(rng, inside, table)
        return prefix + joined([text, *said(rng.choice(("nouns", "phrases")), rest)]) + suffix
    if form == "verb":
        return joined([f"{rng.choice(_VERBS)} {' '.join(said('phrases'))}"]) + suffix
    if form == "list":
        return prefix + joined(said(rng.choice(("nouns", "adjectives")))) + suffix
    if form == "labels":
        parts = [f"{rng.choice(_LABELS[p.channel])}: {said('nouns', [p])[0]}" for p in pieces]
        return joined(parts, (", ", "; ", ". "))
    if form == "command":
        return joined([rng.choice(_COMMANDS).format(text) for text in said("nouns")], (", ", " and ", "; "))
    return joined(said(str(form)), (", ", ". ", " and ", "; ", ", and ")) + suffix


def _noun_phrase(rng: random.Random, pieces: Sequence[_Piece], table: Mapping) -> str:
    """As "a wet motorway at night, not in fog"."""
    adjectives, after, noun = [], [], rng.choice(_GENERIC_ROADS)
    for piece in pieces:
        wording: Wording = table[piece.channel][piece.tag]
        if piece.channel == "road_kind" and not piece.negated:
            noun = rng.choice(wording.nouns)
        elif wording.adjectives and not piece.negated and len(adjectives) < 2 and rng.random() < 0.6:
            adjectives.append(rng.choice(wording.adjectives))
        else:
            after.append(_say(rng, piece, "phrases", table, held_out=False))
    start = " ".join([*adjectives, noun])
    article = rng.choice(("a", "a", "the", "")).replace("a", "an" if start[0] in "aeiou" else "a")
    return f"{article} {start} {' '.join(after)}".strip()
