"""When does a continuation leave its recording? Pure functions on arrays; nothing of worlds or files.

By its looks: when it has lost half of what made it more like the recording than the recording is like itself some
seconds earlier. By its way: when its path has left the recorded one.

Shapes: T moments.
"""

from __future__ import annotations

import numpy as np

from worldmodel.types import FloatArray

#: A parting lasts: a moment that comes back is none.
HOLD_S = 0.5
#: Least difference in structural similarity between a beginning and unrelated frames that tells anything.
LEAST_CONTRAST = 0.03


def parting_of_looks(similarity: FloatArray, unrelated: float, t_s: FloatArray) -> float:
    """Seconds at which a continuation parts from its recording, infinite if it does not, NaN if it cannot be told.

    Args:
        similarity: ``(T,)`` of the continuation's frames to the recording's, larger is more alike.
        unrelated: similarity of frames of the recording that are seconds apart.
        t_s: ``(T,)``.

    Raises:
        ValueError: lengths that differ.
    """
    similarity, t_s = _same(similarity, t_s)
    beginning = float(np.median(similarity[t_s <= t_s[0] + 0.3 + 1e-6]))
    if not beginning - unrelated >= LEAST_CONTRAST:
        return float("nan")
    return first_lasting(similarity < (beginning + unrelated) / 2, t_s)


def parting_of_ways(distance_m: FloatArray, travelled_m: FloatArray, t_s: FloatArray) -> float:
    """Seconds at which a path is more than 1 m and 5 % of the way from where it should be; infinite if it never is.

    Args:
        distance_m: ``(T,)`` between the two paths at each moment; NaN (nobody knows) everywhere gives NaN.
        travelled_m: ``(T,)`` along the recorded path.
        t_s: ``(T,)``.

    Raises:
        ValueError: lengths that differ.
    """
    distance_m, t_s = _same(distance_m, t_s)
    if not np.isfinite(distance_m).any():
        return float("nan")
    return first_lasting(distance_m > 1.0 + 0.05 * np.asarray(travelled_m), t_s)


def first_lasting(apart: np.ndarray, t_s: FloatArray, hold_s: float = HOLD_S) -> float:
    """The first time from which ``apart`` (T,) holds for ``hold_s``, or to the end if that is sooner; else infinite."""
    for index in np.flatnonzero(apart):
        held = (t_s >= t_s[index]) & (t_s <= t_s[index] + hold_s + 1e-6)
        if apart[held].all():
            return float(t_s[index])
    return float("inf")


def _same(values: FloatArray, t_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    values, t_s = np.asarray(values, dtype=np.float64), np.asarray(t_s, dtype=np.float64)
    if values.shape != t_s.shape or not len(t_s):
        raise ValueError(f"values: expected shape {t_s.shape} of t_s and at least one moment, got {values.shape}")
    return values, t_s
