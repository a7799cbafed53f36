"""Does a world turn the way it is told? Sign agreement of yaw over whole seconds. Pure functions; nothing of pixels.

Shapes: T steps of one drive; S its whole seconds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray

#: A second turns when its mean yaw rate is beyond this; below it, lane keeping's own wiggle hides the sign.
TURNING_RADPS = 0.03


@dataclasses.dataclass(frozen=True)
class SignAgreement:
    """Agreement over the seconds that were told to turn.

    Attributes:
        share: of turning seconds that turned the right way; NaN without any. An unread second is not right.
        turning: how many seconds were told to turn; right: of these, read with the right sign.
        unread: of these, without any reading.
    """

    share: float
    turning: int
    right: int
    unread: int


def second_means(values: FloatArray, t_s: FloatArray) -> FloatArray:
    """``(S,)`` mean of values ``(T,)`` over each second from the first time on; NaN where none is known.

    A last second that is less than half full of steps is left out.

    Raises:
        ValueError: shapes that differ, or nothing at all.
    """
    values, second = np.asarray(values, dtype=np.float64), _seconds(values, t_s)
    known = np.isfinite(values)
    counts = np.bincount(second, minlength=second[-1] + 1)
    known_counts = np.bincount(second[known], minlength=len(counts))
    sums = np.bincount(second[known], values[known], minlength=len(counts))
    means = np.where(known_counts > 0, sums / np.maximum(known_counts, 1), np.nan)
    return means[:-1] if len(counts) > 1 and counts[-1] < np.median(counts) / 2 else means


def turning_signs(
    told_radps: FloatArray,
    read_radps: FloatArray,
    t_s: FloatArray,
    *,
    threshold_radps: float = TURNING_RADPS,
    least_gain: float = 0.0,
) -> SignAgreement:
    """Share of turning seconds in which the yaw rate read from the video has the sign of the one it was told.

    Args:
        told_radps, read_radps: ``(T,)`` rad/s; steps that are unknown in either are left out of both means.
        t_s: ``(T,)`` seconds.
        threshold_radps: mean yaw rate beyond which a second turns.
        least_gain: share of the told turn that a second must reach to be right. At 0 the sign alone counts, and a
            picture that all but stands still can be right throughout.

    Raises:
        ValueError: shapes that differ, or a negative threshold or gain.
    """
    told, read = np.asarray(told_radps, dtype=np.float64), np.asarray(read_radps, dtype=np.float64)
    if told.shape != read.shape:
        raise ValueError(f"read_radps: expected the shape {told.shape} of told_radps, got {read.shape}")
    if threshold_radps < 0:
        raise ValueError(f"threshold_radps: expected at least 0, got {threshold_radps!r}")
    if least_gain < 0:
        raise ValueError(f"least_gain: expected at least 0, got {least_gain!r}")
    wanted = second_means(told, t_s)
    found = second_means(np.where(np.isfinite(told), read, np.nan), t_s)
    turning = np.abs(np.nan_to_num(wanted)) > threshold_radps
    along = np.nan_to_num(found) * np.sign(np.nan_to_num(wanted))
    right = turning & (along > 0) & (along >= least_gain * np.abs(np.nan_to_num(wanted)))
    count = int(turning.sum())
    share = int(right.sum()) / count if count else float("nan")
    return SignAgreement(share, count, int(right.sum()), int((turning & ~np.isfinite(found)).sum()))


def _seconds(values: FloatArray, t_s: FloatArray) -> NDArray[np.int64]:
    t_s = np.asarray(t_s, dtype=np.float64)
    if t_s.ndim != 1 or np.shape(values) != t_s.shape or len(t_s) == 0:
        raise ValueError(f"values: expected the shape of t_s {t_s.shape} and at least one, got {np.shape(values)}")
    # Times such as 0.30000000000000004 must not fall a second short.
    return np.floor(t_s - t_s[0] + 1e-6).astype(np.int64)
