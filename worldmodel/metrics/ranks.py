"""Does one world rank policies as another does? Correlations and the worst inversions, weighted by what they cost.

Pure functions on scores, one per policy. Shapes: P policies; N drives of each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.intervals import Interval
from worldmodel.types import FloatArray


def pearson(scores: FloatArray, truth: FloatArray) -> float:
    """Linear correlation of two rows ``(P,)``; NaN where either does not vary.

    Raises:
        ValueError: shapes that differ, fewer than three policies, or a score that is not finite.
    """
    a, b = _checked(scores, truth)
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else float("nan")


def spearman(scores: FloatArray, truth: FloatArray) -> float:
    """Correlation of ranks ``(P,)``, ties sharing their mean rank; NaN where either does not vary.

    Raises:
        ValueError: as ``pearson``.
    """
    a, b = _checked(scores, truth)
    return pearson(_ranks(a), _ranks(b))


def mean_maximum_rank_violation(scores: FloatArray, truth: FloatArray) -> float:
    """MMRV: the mean over policies of the worst inversion each is part of, weighted by the true gap; 0 is best.

    SIMPLER (arXiv 2405.05941), equation 2: policies i and j are inverted where ``scores`` and ``truth`` order them
    differently, and that costs ``|truth_i - truth_j|``.

    Raises:
        ValueError: as ``pearson``.
    """
    return float(rank_violations(scores, truth).max(axis=1).mean())


def rank_violations(scores: FloatArray, truth: FloatArray) -> FloatArray:
    """``(P, P)`` what each inversion of two policies costs, 0 where there is none.

    Raises:
        ValueError: as ``pearson``.
    """
    a, b = _checked(scores, truth)
    inverted = (a[:, None] < a[None]) != (b[:, None] < b[None])
    return np.where(inverted, np.abs(b[:, None] - b[None]), 0.0)


#: Less exposure than this (a metre) is no exposure.
_LEAST = 1e-3


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How one world's scores agree with another's over policies, with bootstrap intervals.

    Attributes:
        pearson, spearman, mmrv: with intervals, ``drives`` being the drives of each policy.
        policies: P.
    """

    pearson: Interval
    spearman: Interval
    mmrv: Interval
    policies: int


def agreement(
    scores: FloatArray,
    truth: FloatArray,
    *,
    per: tuple[FloatArray, FloatArray] | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Agreement:
    """Agreement of ``(P, N)`` scores, drive n of both worlds beginning alike; drives are what is drawn again.

    Args:
        scores, truth: of each drive; a policy's score is their mean over its drives.
        per: exposure ``(P, N)`` of ``scores`` and of ``truth`` (kilometres): a policy's score is then the sum of its
            scores over the sum of its exposure.
        level: of the intervals. draws, seed: of the bootstrap.

    Raises:
        ValueError: shapes that differ or are not (P, N), fewer than three policies or two drives, or NaN.
    """
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != truth.shape or scores.shape[1] < 2:
        raise ValueError(f"scores: expected shape (P, N) with N of at least 2 twice, got {scores.shape}, {truth.shape}")
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, scores.shape[1], (draws, scores.shape[1]))

    def of_policies(values: FloatArray, exposure: FloatArray | None, drives: NDArray[np.int64]) -> FloatArray:
        if exposure is None:
            return values[:, drives].mean(axis=1)
        return values[:, drives].sum(axis=1) / np.maximum(exposure[:, drives].sum(axis=1), _LEAST)

    exposures = (None, None) if per is None else tuple(np.asarray(e, dtype=np.float64) for e in per)
    every = np.arange(scores.shape[1])
    pairs = [(of_policies(scores, exposures[0], c), of_policies(truth, exposures[1], c)) for c in chosen]
    whole = of_policies(scores, exposures[0], every), of_policies(truth, exposures[1], every)

    def interval(of: Callable[[FloatArray, FloatArray], float]) -> Interval:
        drawn = np.array([of(a, b) for a, b in pairs])
        drawn = drawn[np.isfinite(drawn)]
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if len(drawn) else (np.nan, np.nan)
        return Interval(of(*whole), float(low), float(high), scores.shape[1])

    return Agreement(interval(pearson), interval(spearman), interval(mean_maximum_rank_violation), len(scores))


def _ranks(values: FloatArray) -> FloatArray:
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[group]


def _checked(scores: FloatArray, truth: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3:
        raise ValueError(f"scores: expected two rows (P,) of at least three policies, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("scores: expected finite numbers; leave out policies that have no score")
    return a, b
