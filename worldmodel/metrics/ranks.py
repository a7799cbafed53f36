"""Does one world rank policies as another does? Correlations and the worst inversions, weighted by what they cost.

Pure functions on scores, one per policy. Shapes: P policies; N drives of each; D draws of the bootstrap.
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
    return float(_correlations(a[None], b[None])[0])


def spearman(scores: FloatArray, truth: FloatArray) -> float:
    """Correlation of ranks ``(P,)``, ties sharing their mean rank; NaN where either does not vary.

    Raises:
        ValueError: as ``pearson``.
    """
    a, b = _checked(scores, truth)
    return float(_correlations(_ranks(a[None]), _ranks(b[None]))[0])


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
    return _violations(a[None], b[None])[0]


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
    chosen = np.random.default_rng(seed).integers(0, scores.shape[1], (draws, scores.shape[1]))
    every = np.arange(scores.shape[1])[None]
    exposures = (None, None) if per is None else tuple(np.asarray(e, dtype=np.float64) for e in per)

    def of_policies(drives: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """``(D, P)`` each policy's score by either world, over drives ``(D, N)``."""
        found = []
        for values, exposure in zip((scores, truth), exposures):
            total = values[:, drives].sum(axis=2)
            over = drives.shape[1] if exposure is None else np.maximum(exposure[:, drives].sum(axis=2), _LEAST)
            found.append((total / over).T)
        return found[0], found[1]

    whole, drawn = of_policies(every), of_policies(chosen)
    _checked(whole[0][0], whole[1][0])

    def interval(of: Callable[[FloatArray, FloatArray], FloatArray]) -> Interval:
        values = of(*drawn)
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2]) if len(values) else (np.nan, np.nan)
        return Interval(float(of(*whole)[0]), float(low), float(high), scores.shape[1])

    def of_ranks(a: FloatArray, b: FloatArray) -> FloatArray:
        return _correlations(_ranks(a), _ranks(b))

    def of_violations(a: FloatArray, b: FloatArray) -> FloatArray:
        return _violations(a, b).max(axis=2).mean(axis=1)

    return Agreement(interval(_correlations), interval(of_ranks), interval(of_violations), len(scores))


def _correlations(a_DP: FloatArray, b_DP: FloatArray) -> FloatArray:
    """``(D,)`` linear correlation of each pair of rows; NaN where either does not vary."""
    a, b = a_DP - a_DP.mean(axis=1, keepdims=True), b_DP - b_DP.mean(axis=1, keepdims=True)
    norm = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(norm > 0, (a * b).sum(axis=1) / np.where(norm > 0, norm, 1.0), np.nan)


def _violations(a_DP: FloatArray, b_DP: FloatArray) -> FloatArray:
    """``(D, P, P)`` what each inversion of two policies costs."""
    inverted = (a_DP[:, :, None] < a_DP[:, None]) != (b_DP[:, :, None] < b_DP[:, None])
    return np.where(inverted, np.abs(b_DP[:, None] - b_DP[:, :, None]), 0.0)


def _ranks(values_DP: FloatArray) -> FloatArray:
    """``(D, P)`` ranks from 1 within each row, ties sharing their mean rank."""
    below = (values_DP[:, None] < values_DP[:, :, None]).sum(axis=2)
    alike = (values_DP[:, None] == values_DP[:, :, None]).sum(axis=2)
    return below + (alike + 1) / 2


def _checked(scores: FloatArray, truth: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or len(a) < 3:
        raise ValueError(f"scores: expected two rows (P,) of at least three policies, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("scores: expected finite numbers; leave out policies that have no score")
    return a, b
