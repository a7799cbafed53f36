"""When does a drive stop looking like a true one? Second by second, against a band that true drives stay inside.

Statistics of a second: sharpness, contrast and colour, share of frames with markings, the action error, and how far the
judge's features are from those of true frames. One band is laid through the true drives of the pairs, the other was
made beforehand for each kind of drive (``simulation.watch``). The control, ``shuffled``, holds the same frames against
another drive's motion. Pure functions of pairs.

Shapes: T frames and W seconds of a drive; D drives; S statistics; F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.obedience import score_of, told_elsewhere
from worldmodel.evaluation.pairs import LOOKS, Pair
from worldmodel.metrics.band import Band, Departure
from worldmodel.metrics.frechet import frechet_distance, whitening
from worldmodel.metrics.signs import second_means
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.simulation.watch import moments_of, statistics_of
from worldmodel.types import EgoMotion, FloatArray, Tags

STATISTICS = (*LOOKS, "lanes", "speed error", "yaw error", "features")
#: Directions of features that are looked at: those in which true frames vary most.
_DIRECTIONS = 16


def drift_score(pairs: Sequence[Pair], *, share: float = 0.95) -> dict[str, Any]:
    """Share of drives that stay inside the band of true ones to their end, and when and by what the others leave it.

    The band is made of the true drives of the pairs. With few drives it cannot be asked to hold ``share`` of them: then
    it holds as large a share as it can, and the score says which.
    """
    space = true_features(pairs)
    made = np.stack([seconds_of(pair, "generated", space) for pair in pairs])
    true = np.stack([seconds_of(pair, "true", space) for pair in pairs])
    share = min(share, feasible_share(len(pairs)))
    if share <= 0:
        return score_of(np.array([]), np.array([]), {}) | {"band_share": None, "departures": [], "frechet": []}
    band = Band.of(true, share=share)
    departures = [band.departure(drive) for drive in made]
    inside = np.array([float(d.window is None) for d in departures])
    stays = np.array([float(band.departure(drive).window is None) for drive in true])
    others = [dataclasses.replace(p, told=told_elsewhere(pairs[i - 1], len(p.t_s))) for i, p in enumerate(pairs)]
    shuffled = [band.departure(seconds_of(other, "generated", space)).window is None for other in others]
    score = score_of(inside, stays, {"shuffled": np.array(shuffled, dtype=np.float64)})
    score |= {"unit": "share of drives", "band_share": share}
    score["departures"] = [_told(d, STATISTICS) for d in departures]
    score["seconds_inside"] = float(np.mean([made.shape[1] if d.window is None else d.window for d in departures]))
    score["inside_by_second"] = _still_inside(departures, made.shape[1])
    score["frechet"] = _frechet(pairs, space[1])
    curves = {name: made[..., s].mean(axis=0).tolist() for s, name in enumerate(STATISTICS)}
    score["by_second"] = {
        "generated": curves,
        "true": {n: true[..., s].mean(0).tolist() for s, n in enumerate(STATISTICS)},
    }
    return score


def tag_score(pairs: Sequence[Pair], band: TaggedBand) -> dict[str, Any]:
    """Share of drives that stay inside the band that was made beforehand of true drives of their tags and length.

    ``by_tag`` has the same of each word, with how many drives had it; the floor is that of the true drives.
    """
    has = [band.words_of(Tags(pair.kept["tags"]).names()) for pair in pairs]

    def leaves(i: int, side: str, told: EgoMotion) -> Departure:
        pair = pairs[i]
        at = moments_of(len(pair.t_s), float(np.median(np.diff(pair.t_s))))
        deviation = band.deviation(statistics_of(pair.kept[f"moments/{side}"], told[np.array(at)]), has[i])
        outside = np.flatnonzero((deviation > 1).any(axis=1))
        if not len(outside):
            return Departure(None, None, float(deviation.max()))
        return Departure(int(outside[0]), int(deviation[outside[0]].argmax()), float(deviation.max()))

    count = range(len(pairs))
    made, true = ([leaves(i, side, pairs[i].told) for i in count] for side in ("generated", "true"))
    other = [leaves(i, "generated", told_elsewhere(pairs[i - 1], len(pairs[i].t_s))) for i in count]
    inside, stays, shuffled = (np.array([float(d.window is None) for d in some]) for some in (made, true, other))
    score = score_of(inside, stays, {"shuffled": shuffled}) | {"unit": "share of drives", "band_share": band.share}
    score["departures"] = [_told(d, band.statistics) for d in made]
    seconds = [len(pair.kept["moments/generated"]) for pair in pairs]
    score["seconds_inside"] = float(np.mean([s if d.window is None else d.window for s, d in zip(seconds, made)]))
    score["inside_by_second"] = _still_inside(made, min(seconds))
    rows = np.stack(has)
    score["by_tag"] = {
        word: {"value": float(inside[some].mean()), "floor": float(stays[some].mean()), "n": int(some.sum())}
        for word, some in zip(band.words, rows.T)
        if some.any()
    }
    return score


def _still_inside(departures: Sequence[Departure], seconds: int) -> list[float]:
    """Share of drives that have not left their band by the end of each second."""
    left = np.array([seconds if d.window is None else d.window for d in departures])
    return [float((left > second).mean()) for second in range(seconds)]


def _told(departure: Departure, statistics: Sequence[str]) -> dict[str, Any]:
    statistic = None if departure.statistic is None else statistics[departure.statistic]
    return {"second": departure.window, "statistic": statistic, "worst": departure.worst}


def feasible_share(drives: int) -> float:
    """The largest share of drives that a band of so many true ones can be asked to hold."""
    kept = drives // 2
    return kept / (kept + 1) - 1e-9 if drives > 2 else 0.0


def seconds_of(pair: Pair, side: str, space: tuple[FloatArray, FloatArray]) -> FloatArray:
    """``(W, S)`` statistics of a drive, second by second; an unread error counts as the worst that was read.

    ``space`` is that of ``true_features``.
    """
    t_s = pair.t_s[:-1]
    columns = [pair.columns[side][name][:-1] for name in (*LOOKS, "lanes")]
    for name in ("speed_mps", "yaw_rate_radps"):
        columns.append(np.abs(getattr(pair.read[side], name) - getattr(pair.told, name))[:-1])
    middle, directions = space
    apart = np.linalg.norm((pair.features[side] - middle) @ directions, axis=1)
    seconds = np.stack([second_means(column, t_s) for column in (*columns, apart[:-1])], axis=1)
    worst = np.nanmax(np.where(np.isfinite(seconds), seconds, -np.inf), axis=0)
    return np.where(np.isfinite(seconds), seconds, np.where(np.isfinite(worst), worst, 0.0))


def true_features(pairs: Sequence[Pair]) -> tuple[FloatArray, FloatArray]:
    """Middle and whitened directions of true frames' features, as ``metrics.frechet.whitening`` gives them."""
    return whitening(np.concatenate([pair.features["true"] for pair in pairs]).astype(np.float64), _DIRECTIONS)


def _frechet(pairs: Sequence[Pair], directions: FloatArray) -> list[float]:
    """Fréchet distance in the judge's features between all drives' frames of each 5 s, generated and true."""
    found = []
    for start in np.arange(0, pairs[0].t_s[-1] - 5 + 1e-6, 5.0):
        rows = [(pair.t_s >= start) & (pair.t_s < start + 5) for pair in pairs]
        sides = [
            np.concatenate([p.features[s][r] @ directions for p, r in zip(pairs, rows)]) for s in ("generated", "true")
        ]
        found.append(frechet_distance(*sides))
    return found
