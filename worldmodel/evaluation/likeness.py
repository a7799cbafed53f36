"""Is what a world shows what was truly seen, and is it ever something else? Prediction and diversity.

Prediction: PSNR, SSIM and the error where the picture moves, to the true continuation by horizon, of one sample and of
the best of several, beside holding the last frame. Diversity: how far samples of one context part, beside how far
drives differ. Pure functions of pairs.

Shapes: D drives; K horizons; N samples of one drive; F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import AT_S, MEASURES, Pair, frames_at
from worldmodel.metrics.frechet import whitening
from worldmodel.metrics.intervals import known_mean
from worldmodel.types import FloatArray

#: The score itself: far enough that holding the last frame is no prediction.
_MAIN_S = 1.0
#: Samples are compared here, or at the last horizon that they reach.
_DIVERSE_AT_S = 5.0
_UNITS = {"psnr_db": "dB", "ssim": "", "moving_error": "grey levels"}
#: Directions of features in which samples are compared.
_DIRECTIONS = 16


def psnr_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """PSNR to the true continuation at each horizon; the floor (here a ceiling) is the tokenizer's reconstruction.

    ``ssim`` and ``moving_error`` hold the same of the other measures, each with its ``at``.
    """
    measures = {measure: _by_horizon(pairs, measure) for measure in MEASURES}
    scores = {measure: found | {"unit": _UNITS[measure]} for measure, found in measures.items()}
    return scores.pop("psnr_db") | scores


def _by_horizon(pairs: Sequence[Pair], measure: str) -> dict[str, Any]:
    by_horizon: dict[str, Any] = {}
    for k, horizon in enumerate(AT_S):
        columns = {who: np.array([pair.alike[measure][who][k] for pair in pairs]) for who in pairs[0].alike[measure]}
        if any(np.isnan(pair.alike["psnr_db"]["generated"][k]) for pair in pairs):
            continue  # some drive does not go on for so long
        controls = {name: columns[name] for name in ("shuffled", "held")}
        score = score_of(columns["generated"], columns["reconstructed"], controls)
        by_horizon[f"{horizon:g}"] = score | _best(pairs, measure, k)
    main = by_horizon.get(f"{_MAIN_S:g}") or next(iter(by_horizon.values()))
    return main | {"at": by_horizon}


def _best(pairs: Sequence[Pair], measure: str, k: int) -> dict[str, Any]:
    """Of the drives that were sampled several times: mean of all samples, and of the best of each."""
    sampled = [pair.samples[measure][:, k] for pair in pairs if pair.samples]
    if not sampled or not np.isfinite(sampled).all():
        return {}
    best = min if measure == "moving_error" else max
    return {
        "best_of_n": known_mean([best(values) for values in sampled]),
        "mean_of_n": known_mean([values.mean() for values in sampled]),
        "samples": len(sampled[0]),
    }


def diversity_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """How far samples of one context are apart in the judge's features, in units of how far true drives are.

    0 is one continuation whatever the seed, 1 is as different as drives of other places are. The floor is how far the
    tokenizer's reconstruction is from what it reconstructs, the control ``shuffled`` samples of other contexts.
    """
    sampled = [pair for pair in pairs if pair.samples]
    if len(sampled) < 2:
        return score_of(np.array([]), np.array([]), {}) | {"why": "needs two drives that were sampled several times"}
    _, directions = whitening(np.concatenate([p.features["true"] for p in pairs]).astype(np.float64), _DIRECTIONS)
    reached = [k for k in range(len(AT_S)) if all(np.isfinite(p.samples["psnr_db"][:, k]).all() for p in sampled)]
    scores = {f"{AT_S[k]:g}": _diversity(sampled, k, directions) for k in reached}
    main = scores.get(f"{_DIVERSE_AT_S:g}") or scores[max(scores, key=float)]
    return main | {"unit": "of the distance between drives", "at": scores}


def _diversity(pairs: Sequence[Pair], k: int, directions: FloatArray) -> dict[str, Any]:
    def seen(pair: Pair, side: str) -> FloatArray:
        return pair.features[side][frames_at(pair.t_s)[k]] @ directions

    true = np.stack([seen(pair, "true") for pair in pairs])
    unit = np.mean([_apart(a, b) for i, a in enumerate(true) for b in true[:i]])
    samples = [pair.samples["features"][:, k] @ directions for pair in pairs]
    own = [np.mean([_apart(a, b) for i, a in enumerate(group) for b in group[:i]]) for group in samples]
    others = [np.mean([_apart(a, b) for a in group for b in samples[i - 1]]) for i, group in enumerate(samples)]
    floor = [_apart(seen(pair, "true"), seen(pair, "reconstructed")) for pair in pairs]
    return score_of(np.array(own) / unit, np.array(floor) / unit, {"shuffled": np.array(others) / unit})


def _apart(one: FloatArray, other: FloatArray) -> float:
    return float(np.linalg.norm(one - other))
