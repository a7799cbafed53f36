"""How far one path strays from another: average and final displacement. Pure functions; nothing of worlds or motion.

Displacement errors as in Pellegrini et al., "You'll Never Walk Alone" (ICCV 2009), and every trajectory benchmark
since.

Shapes: ``...`` any leading shape of drives; T moments; C at least x_m and y_m (more are not looked at).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldmodel.types import FloatArray


def displacement_m(path: FloatArray, truth: FloatArray) -> FloatArray:
    """``(..., T)`` distance in metres between two paths ``(..., T, C)`` at each moment; NaN where either is unknown.

    Raises:
        ValueError: shapes that differ, or fewer than two coordinates.
    """
    path, truth = np.asarray(path, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if path.shape != truth.shape or path.ndim < 2 or path.shape[-1] < 2:
        raise ValueError(f"path: expected the shape (..., T, 2 or more) of truth {truth.shape}, got {path.shape}")
    return np.hypot(path[..., 0] - truth[..., 0], path[..., 1] - truth[..., 1])


def average_displacement_m(path: FloatArray, truth: FloatArray) -> FloatArray:
    """``(...)`` ADE in metres: the mean of the displacement over all moments but the first, which both paths share.

    Raises:
        ValueError: shapes that differ, or fewer than two moments.
    """
    return _after_start(path, truth).mean(axis=-1)


def final_displacement_m(path: FloatArray, truth: FloatArray) -> FloatArray:
    """``(...)`` FDE in metres: the displacement at the last moment.

    Raises:
        ValueError: shapes that differ, or fewer than two moments.
    """
    return _after_start(path, truth)[..., -1]


def displacement_at(
    path: FloatArray, truth: FloatArray, t_s: FloatArray, horizons_s: Sequence[float]
) -> dict[float, tuple[float, float]]:
    """ADE up to and FDE at each horizon, in metres, for one path ``(T, C)`` with times ``(T,)`` in seconds.

    A horizon that the path does not reach is left out. A moment counts for a horizon when it is within half a step.

    Raises:
        ValueError: shapes that differ, or a horizon that is not positive.
    """
    distance = displacement_m(path, truth)
    elapsed = np.asarray(t_s, dtype=np.float64) - t_s[0]
    if elapsed.shape != distance.shape:
        raise ValueError(f"t_s: expected shape {distance.shape}, got {elapsed.shape}")
    half_step = float(np.median(np.diff(elapsed))) / 2 if len(elapsed) > 1 else 0.0
    errors = {}
    for horizon in horizons_s:
        if not horizon > 0:
            raise ValueError(f"horizons_s: expected positive seconds, got {horizon!r}")
        last = int(np.searchsorted(elapsed, horizon + half_step)) - 1
        if last >= 1 and elapsed[last] >= horizon - half_step:
            errors[horizon] = (float(distance[1 : last + 1].mean()), float(distance[last]))
    return errors


def _after_start(path: FloatArray, truth: FloatArray) -> FloatArray:
    distance = displacement_m(path, truth)
    if distance.shape[-1] < 2:
        raise ValueError(f"path: expected at least two moments, got {distance.shape[-1]}")
    return distance[..., 1:]
