"""How sure a mean over drives is: bootstrap intervals, paired when two worlds were scored on the same drives.

Percentile bootstrap of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. The drive is what
is drawn again, never the frame: frames of one drive are not independent. Pure functions; nothing of drives' contents.

Shapes: N drives.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

from worldmodel.types import FloatArray


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean and its interval.

    Attributes:
        value: mean over drives; NaN without any.
        low, high: bounds; NaN when a single drive cannot say.
        drives: how many were counted (those without a score were left out).
    """

    value: float
    low: float
    high: float
    drives: int


def known_mean(values: ArrayLike) -> float | None:
    """Mean of the values that are finite; ``None`` where none is."""
    array = np.asarray(values, dtype=np.float64)
    known = array[np.isfinite(array)]
    return float(known.mean()) if len(known) else None


def bootstrap_interval(scores: FloatArray, *, level: float = 0.95, draws: int = 2000, seed: int = 0) -> Interval:
    """Mean of scores ``(N,)``, one a drive, with its interval. NaN scores are left out.

    Scores are ordered before they are drawn, so that the order of drives does not matter.

    Raises:
        ValueError: scores that are not a row, or a level outside (0, 1).
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores: expected shape (N,), got {scores.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level!r}")
    known = np.sort(scores[np.isfinite(scores)])
    if len(known) < 2:
        value = float(known[0]) if len(known) else float("nan")
        return Interval(value, float("nan"), float("nan"), len(known))
    drawn = np.random.default_rng(seed).integers(0, len(known), (draws, len(known)))
    low, high = np.quantile(known[drawn].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(known.mean()), float(low), float(high), len(known))


def paired_interval(
    scores: FloatArray, others: FloatArray, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Mean of ``scores - others``, both ``(N,)`` and of the same drives in the same order, with its interval.

    Raises:
        ValueError: shapes that differ, or as ``bootstrap_interval``.
    """
    scores, others = np.asarray(scores, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if scores.shape != others.shape:
        raise ValueError(f"others: expected the shape {scores.shape} of scores, got {others.shape}")
    return bootstrap_interval(scores - others, level=level, draws=draws, seed=seed)


def ratio_interval(
    counts: FloatArray, exposure: FloatArray, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """A rate over drives, ``sum(counts) / sum(exposure)`` of ``(N,)`` each, with its interval.

    Drives that lack either, or say nothing (both are 0), are left out; NaN where there is no exposure at all. A slope
    of all drives together is such a rate too.

    Raises:
        ValueError: shapes that differ or are not a row, or a level outside (0, 1).
    """
    counts, exposure = np.asarray(counts, dtype=np.float64), np.asarray(exposure, dtype=np.float64)
    if counts.ndim != 1 or counts.shape != exposure.shape:
        raise ValueError(f"exposure: expected the shape (N,) of counts, got {counts.shape} and {exposure.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level!r}")
    known = np.isfinite(counts) & np.isfinite(exposure) & ((counts != 0) | (exposure != 0))
    pairs = np.stack([counts[known], exposure[known]])
    pairs = pairs[:, np.lexsort(pairs)]
    count = pairs.shape[1]
    total = pairs.sum(axis=1)
    value = float(total[0] / total[1]) if count and total[1] > 0 else float("nan")
    if count < 2 or math.isnan(value):
        return Interval(value, float("nan"), float("nan"), count)
    drawn = pairs[:, np.random.default_rng(seed).integers(0, count, (draws, count))].sum(axis=2)
    low, high = np.quantile(drawn[0] / np.maximum(drawn[1], 1e-12), [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), count)
