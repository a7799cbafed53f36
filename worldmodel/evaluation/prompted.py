"""Are prompts understood, and does the world show what they ask for?

Sentences that were never trained on are read, beside a reader that only looks for the words of the captions; drives
made from such sentences are looked at by the judge after 5, 10 and 60 s, beside true drives of the same tags, and so is
whether they move as they are told, beside drives from no prompt. Knows captions, worlds and perception.

Shapes: T frames.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.control import any_drive
from worldmodel.metrics.calibration import area_under_roc
from worldmodel.metrics.intervals import bootstrap_interval
from worldmodel.perception.network import TAGS
from worldmodel.perception.reader import Reader, Readings
from worldmodel.reference.captions import Caption, Kind, caption
from worldmodel.reference.phrases import PAIRED, TRAINED
from worldmodel.simulation.policies.policy import Policy
from worldmodel.simulation.rollout import begin, rollout
from worldmodel.text.reading import SentenceEncoder
from worldmodel.types import VOCABULARY, Camera, Tags, World

#: Seeds of captions that are reported on, away from those of training, fitting and calibration.
FIRST_SEED = 3 * 10**12
#: The judge's word on a moment is that of most of so many frames up to it.
_VOTERS = 9


def reported_captions(kind: Kind, count: int, *, misspelt: bool = False) -> list[Caption]:
    """Captions of a kind that nothing was trained on; ``misspelt`` changes a letter of one longer word of each."""
    captions = [caption(FIRST_SEED + row, kind) for row in range(count)]
    if not misspelt:
        return captions
    return [dataclasses.replace(c, text=_misspelt(c.text, random.Random(row))) for row, c in enumerate(captions)]


def reading_scores(codes: Sequence[Mapping[str, int]], captions: Sequence[Caption]) -> dict[str, float]:
    """Share of captions read right, channel by channel, and ``all`` of them.

    A negation is read right if what it excludes is not what was read, and something was.
    """
    right = {
        channel: np.array([c.said[channel][code[channel]] > 0 for code, c in zip(codes, captions)])
        for channel in VOCABULARY
    }
    whole = np.logical_and.reduce(list(right.values()))
    return {channel: float(column.mean()) for channel, column in right.items()} | {"all": float(whole.mean())}


def encoder_codes(encoder: SentenceEncoder, captions: Sequence[Caption]) -> list[dict[str, int]]:
    """What an encoder reads: the likeliest word of each channel."""
    shares_BCK = np.concatenate([encoder.shares([c.text for c in part]) for part in _parts(captions)])
    return [dict(zip(VOCABULARY, map(int, codes))) for codes in shares_BCK.argmax(axis=-1)]


def sureness(encoder: SentenceEncoder, captions: Sequence[Caption]) -> dict[str, float]:
    """How well an encoder knows what it does not know, over all channels.

    Returns:
        ``error``: expected calibration error of the likeliest word in ten bins (Guo et al., arXiv 1706.04599),
        negations left out; ``silence_auroc``: how well the share of "unknown" tells channels that are not spoken of.
    """
    shares_BCK = np.concatenate([encoder.shares([c.text for c in part]) for part in _parts(captions)])
    sure, right, unknown, silent = [], [], [], []
    for shares_CK, each in zip(shares_BCK, captions):
        for shares_K, said in zip(shares_CK, each.said.values()):
            unknown.append(shares_K[0])
            silent.append(said[0] == 1)
            if max(said) == 1:
                sure.append(shares_K.max())
                right.append(said[int(shares_K.argmax())] == 1)
    confidence, hit = np.array(sure), np.array(right, dtype=np.float64)
    bins = np.minimum((confidence * 10).astype(int), 9)
    gaps = [abs(hit[bins == b].mean() - confidence[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)]
    auroc = area_under_roc(np.array(unknown), np.array(silent, dtype=np.float64))
    return {"error": float(sum(gaps)), "silence_auroc": float("nan") if auroc is None else float(auroc)}


def keyword_codes(text: str) -> dict[str, int]:
    """What a reader says that looks for trained wordings: of each channel the longest that is there, read as meant."""
    plain = f" {' '.join(re.findall(r'[a-z]+', text.lower()))} "
    codes = {}
    for channel, entries in _keywords().items():
        found = [(len(words), tag) for words, tag in entries if f" {words} " in plain]
        codes[channel] = VOCABULARY[channel].index(max(found)[1]) if found else 0
    return codes


def _keywords() -> dict[str, list[tuple[str, str]]]:
    """Channel to its wordings, without article, and the tag of each."""
    if not _KEYWORDS:
        for channel, tags in TRAINED.items():
            texts = [(text, tag) for tag, wording in tags.items() for text in wording.all()]
            texts += [(text, tags[channel]) for text, _, tags in PAIRED if channel in tags]
            bare = ((" ".join(re.findall(r"[a-z]+", re.sub(r"^(an?|the) ", "", text))), tag) for text, tag in texts)
            _KEYWORDS[channel] = list(bare)
    return _KEYWORDS


_KEYWORDS: dict[str, list[tuple[str, str]]] = {}


def asking_captions(count: int, kinds: Sequence[Kind] = ("wordings", "sentences", "compositions")) -> list[Caption]:
    """Captions, never trained on, that ask for two or more things to see, for no event, and exclude nothing."""
    found: list[Caption] = []
    seed = FIRST_SEED + 10**9
    while len(found) < count:
        each = caption(seed, kinds[seed % len(kinds)])
        seed += 1
        certain = all(max(shares) == 1 for shares in each.said.values())
        if certain and each.said["event"][0] == 1 and len(asked_of(each)) >= 2:
            found.append(each)
    return found


def asked_of(each: Caption) -> dict[str, int]:
    """What a caption asks for that the judge can see: channel to code."""
    return {name: code for name, code in each.codes().items() if code and name in TAGS}


@dataclasses.dataclass(frozen=True)
class Look:
    """What the judge reads of a drive: codes by channel at each of some moments, and errors of motion."""

    codes: dict[float, dict[str, int]]
    speed_error_mps: float
    yaw_error_radps: float


def drive_and_look(
    world: World,
    context: Tags,
    policy: Policy,
    reader: Reader,
    *,
    seed: int,
    at_s: Sequence[float],
    tags: Tags | None = None,
    progress: Callable[[], object] = lambda: None,
) -> Look:
    """Drive from tags alone until the last of some moments, and let the judge look at it."""
    steps = round(max(at_s) / world.dt_s)
    carry = begin(world, context, policy, seed=seed)
    frames, speed, yaw = [], [], []
    for moment in rollout(world, policy, carry, steps=steps, tags=tags):
        frames.append(moment.frames[0])
        speed.append(float(moment.motion.speed_mps[0]))
        yaw.append(float(moment.motion.yaw_rate_radps[0]))
        progress()
    t_s = world.dt_s * np.arange(len(frames), dtype=np.float64)
    readings = reader.read(np.stack(frames), t_s, world.camera)
    errors = (
        np.nanmean(np.abs(read - np.array(told)))
        for read, told in ((readings.motion.speed_mps, speed), (readings.motion.yaw_rate_radps, yaw))
    )
    return Look(_votes(readings, t_s, at_s), *map(float, errors))


def true_look(camera: Camera, each: Caption, reader: Reader, *, number: int, frames: int = 60) -> dict[str, int]:
    """What the judge reads at the end of a true drive of the tags a caption asks for."""
    names = {name: VOCABULARY[name][code] for name, code in asked_of(each).items()}
    drive = any_drive(camera, frames, number=number, **names, events=())
    readings = reader.read(drive.frames, drive.t_s, camera)
    return _votes(readings, drive.t_s, (float(drive.t_s[-1]),)).popitem()[1]


def shown_scores(
    captions: Sequence[Caption], looks: Sequence[Look], true: Sequence[Mapping[str, int]], at_s: Sequence[float]
) -> dict[str, Any]:
    """Channel to the share of asked-for tags that the judge reads at each moment, and in true drives."""
    scores: dict[str, Any] = {}
    for channel in (*TAGS, "all"):
        rows = [(c, look, t) for c, look, t in zip(captions, looks, true) if channel == "all" or channel in asked_of(c)]
        if not rows:
            continue

        def right(read: Mapping[str, int], each: Caption, channel: str = channel) -> float:
            asked = asked_of(each)
            names = asked if channel == "all" else [channel]
            return float(np.mean([read[name] == asked[name] for name in names]))

        scores[channel] = {"n": len(rows), "true": float(np.mean([right(t, c) for c, _, t in rows]))}
        for moment in at_s:
            shown = np.array([right(look.codes[moment], c) for c, look, _ in rows])
            scores[channel][f"at_{moment:g}_s"] = dataclasses.asdict(bootstrap_interval(shown))
    return scores


def _votes(readings: Readings, t_s: Any, at_s: Sequence[float]) -> dict[float, dict[str, int]]:
    found = {}
    for moment in at_s:
        last = int(np.abs(t_s - moment).argmin())
        rows = slice(max(0, last - _VOTERS + 1), last + 1)
        found[moment] = {name: int(np.bincount(readings.tag_codes(name)[rows]).argmax()) for name in TAGS}
    return found


def _misspelt(text: str, rng: random.Random) -> str:
    """One letter, not the first, of a word of six or more: doubled, dropped, or swapped with the next."""
    words = [match for match in re.finditer(r"[A-Za-z]{6,}", text)]
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 1)
    form = rng.choice(("double", "drop", "swap"))
    middle = {"double": text[at] * 2, "drop": "", "swap": text[at + 1] + text[at]}[form]
    return text[:at] + middle + text[at + (2 if form == "swap" else 1) :]


def _parts(captions: Sequence[Caption], size: int = 100) -> Iterator[Sequence[Caption]]:
    for at in range(0, len(captions), size):
        yield captions[at : at + size]
