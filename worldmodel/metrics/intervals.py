"""How sure a mean over drives is: bootstrap intervals, paired when two worlds were scored on the same drives.

Percentile bootstrap of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13. The drive is what
is drawn again, never the frame: frames of one drive are not independent. Pure functions; nothing of drives' contents.

Shapes: N drives.
"""

from __future__ import annotations

import dataclasses

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
    above: FloatArray, below: FloatArray, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> Interval:
    """Sum of ``above`` over sum of ``below``, both ``(N,)`` and of the same drives, with its interval.

    A slope of all drives together is such a ratio. Drives that lack either, or whose ``below`` is 0, are left out.

    Raises:
        ValueError: shapes that differ.
    """
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if above.ndim != 1 or above.shape != below.shape:
        raise ValueError(f"below: expected the shape (N,) of above, got {below.shape} and {above.shape}")
    known = np.isfinite(above) & (below > 0)
    above, below = above[known], below[known]
    if not len(above):
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    value = float(above.sum() / below.sum())
    if len(above) < 2:
        return Interval(value, float("nan"), float("nan"), len(above))
    order = np.lexsort((below, above))
    drawn = order[np.random.default_rng(seed).integers(0, len(above), (draws, len(above)))]
    ratios = above[drawn].sum(axis=1) / below[drawn].sum(axis=1)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), len(above))
