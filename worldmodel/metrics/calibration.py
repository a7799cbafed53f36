"""Do readings know what they do not know, and do they tell yes from no? Calibration and ranking of single readings.

Pure functions. Shapes: N readings.
"""

from __future__ import annotations

import numpy as np

from worldmodel.types import FloatArray

_LEVELS = np.linspace(0.05, 0.95, 19)


def expected_calibration_error(errors: FloatArray, scales: FloatArray) -> float:
    """Mean gap between how many errors fall within an interval and how many should; NaN without a known error.

    Over the central intervals of a Laplace distribution at 19 levels (the regression calibration of Kuleshov et al.,
    arXiv 1807.00263, with absolute gaps). 0 is perfect, 0.5 is hopeless.

    Args:
        errors: ``(N,)`` reading less truth; NaN is left out.
        scales: ``(N,)`` of the Laplace distribution that was claimed.

    Raises:
        ValueError: shapes that differ.
    """
    errors, scales = _rows(errors, scales)
    known = np.isfinite(errors) & np.isfinite(scales)
    if not known.any():
        return float("nan")
    # The central interval of level p of a Laplace distribution reaches -ln(1 - p) scales to either side.
    level_of = 1 - np.exp(-np.abs(errors[known]) / np.maximum(scales[known], 1e-300))
    within = (level_of[:, None] <= _LEVELS).mean(axis=0)
    return float(np.abs(within - _LEVELS).mean())


def area_under_roc(scores: FloatArray, truth: FloatArray) -> float:
    """Chance that a reading of a yes is above one of a no, ties counting half; NaN unless there are both.

    By ranks (Mann and Whitney 1947).

    Args:
        scores: ``(N,)`` the higher, the more likely a yes.
        truth: ``(N,)`` 1 yes, 0 no; NaN is left out.

    Raises:
        ValueError: shapes that differ.
    """
    scores, truth = _rows(scores, truth)
    known = np.isfinite(scores) & np.isfinite(truth)
    scores, yes = scores[known], truth[known] > 0.5
    if yes.all() or not yes.any():
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    positives = int(yes.sum())
    return float((rank[yes].sum() - positives * (positives + 1) / 2) / (positives * (len(yes) - positives)))


def _rows(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"expected two rows of equal length, got shapes {a.shape} and {b.shape}")
    return a, b


def best_threshold(positive: FloatArray, negative: FloatArray) -> float:
    """The threshold that keeps values ``(N,)`` of what is so and ``(M,)`` of what is not apart best.

    It maximises the share above it of the former less that of the latter (Youden, "Index for rating diagnostic tests",
    Cancer 3, 32 (1950)). It lies half way between two neighbouring values, of equally good ones where the gap is
    widest.

    Raises:
        ValueError: one of the two is empty, or values that are not finite.
    """
    positive, negative = np.asarray(positive, dtype=np.float64), np.asarray(negative, dtype=np.float64)
    if not len(positive) or not len(negative) or not np.isfinite(np.concatenate([positive, negative])).all():
        raise ValueError(f"positive, negative: expected finite values of both, got {len(positive)} and {len(negative)}")
    values = np.unique(np.concatenate([positive, negative]))
    # The largest value too: where what is so has the smaller values, nothing had better be above the threshold.
    between, gaps = np.append((values[:-1] + values[1:]) / 2, values[-1]), np.append(np.diff(values), 0.0)
    apart = (positive[:, None] > between).mean(axis=0) - (negative[:, None] > between).mean(axis=0)
    best = np.flatnonzero(apart > apart.max() - 1e-12)
    return float(between[best[gaps[best].argmax()]])
