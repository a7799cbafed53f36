"""The prompt box: words into tags of the vocabulary, and which words are not known.

There is no language model behind it, and it does not pretend one: a word either names a tag or it is handed back.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from worldmodel.types import VOCABULARY

#: Other names of tags, as (channel, name) to phrases parted by commas.
_SYNONYMS: Mapping[tuple[str, str], str] = {
    ("weather", "clear"): "sunny, sun, sunshine, dry, fair, clear sky, blue sky, clear weather",
    ("weather", "rain"): "rainy, raining, rainfall, wet, drizzle, shower, showers",
    ("weather", "fog"): "foggy, mist, misty, haze, hazy",
    ("weather", "snow"): "snowy, snowing, snowfall, winter, wintry",
    ("time_of_day", "day"): "daytime, daylight, noon, midday, morning, afternoon",
    ("time_of_day", "dusk"): "evening, sunset, twilight",
    ("time_of_day", "night"): "nighttime, dark, darkness, midnight",
    ("road_kind", "motorway"): "highway, freeway, autobahn, interstate, expressway",
    ("road_kind", "country"): "rural, countryside, country road, rural road",
    ("road_kind", "town"): "city, urban, downtown, street, streets, village, town street",
    ("traffic", "none"): "empty, no traffic, no cars, empty road, without traffic",
    ("traffic", "light"): "light traffic, some traffic, some cars, few cars",
    ("traffic", "dense"): "busy, crowded, jam, dense traffic, heavy traffic, much traffic, many cars, traffic jam",
    ("event", "none"): "no event",
    ("event", "hard_brake"): "braking, hard brake, hard braking, emergency brake, brakes hard",
    ("event", "cut_in"): "cut in, cuts in, cutting in",
    ("event", "stopped_vehicle"): "breakdown, stopped vehicle, stopped car, parked car, broken down car",
    ("event", "slow_truck"): "truck, lorry, slow truck, slow lorry",
    ("event", "pedestrian"): "person, pedestrians, person crossing",
    ("event", "collision"): "crash, accident",
}
#: Words that say nothing about the world.
_FILLING = frozenset((
    "a", "an", "and", "are", "at", "be", "by", "conditions", "drive", "driving", "during", "i", "in", "is", "it", "let",
    "like", "make", "me", "my", "now", "of", "on", "please", "road", "roads", "scene", "some", "the", "then", "there",
    "through", "time", "to", "turn", "us", "want", "we", "weather", "while", "with",
))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Understood:
    """What a prompt says.

    Attributes:
        tags: channel to name.
        unknown: words that name nothing, in their order.
        overruled: words that named a tag of a channel which a later word names otherwise.
    """

    tags: Mapping[str, str]
    unknown: tuple[str, ...]
    overruled: tuple[str, ...]


def understand(text: str) -> Understood:
    """Tags a text names; the longest phrase counts, and of two that contradict each other the later."""
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("_", " "))
    tags: dict[str, str] = {}
    said: dict[str, str] = {}
    unknown: list[str] = []
    overruled: list[str] = []
    at = 0
    while at < len(words):
        phrases = (" ".join(words[at : at + length]) for length in range(_LONGEST, 0, -1))
        phrase = next((phrase for phrase in phrases if phrase in _MEANING), None)
        if phrase is None:
            if words[at] not in _FILLING:
                unknown.append(words[at])
            at += 1
            continue
        channel, name = _MEANING[phrase]
        if tags.get(channel, name) != name:
            overruled.append(said[channel])
        tags[channel], said[channel] = name, phrase
        at += phrase.count(" ") + 1
    return Understood(tags, tuple(dict.fromkeys(unknown)), tuple(overruled))


def _meanings() -> dict[str, tuple[str, str]]:
    """Every phrase, the vocabulary's own names included; a name two channels share (none) means nothing alone."""
    meaning = {}
    for channel, names in VOCABULARY.items():
        for name in names[1:]:
            if name != "none":
                meaning[name.replace("_", " ")] = channel, name
    for tag, phrases in _SYNONYMS.items():
        meaning |= dict.fromkeys(phrases.split(", "), tag)
    return meaning


_MEANING = _meanings()
_LONGEST = 1 + max(phrase.count(" ") for phrase in _MEANING)
