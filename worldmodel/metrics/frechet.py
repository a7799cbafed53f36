"""Fréchet distance between two sets of features. Which features is the caller's to say, and to name beside the number.

It is an FID or an FVD only in the published networks' features, under their protocols; in any others it is not.
Shapes: N and M samples; F features.
"""

from __future__ import annotations

import numpy as np

from worldmodel.types import FloatArray


def frechet_distance(features: FloatArray, others: FloatArray) -> float:
    """Squared Fréchet distance of the Gaussians that fit ``(N, F)`` and ``(M, F)`` (Dowson and Landau 1982).

    |m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), the last from the eigenvalues of the symmetric
    C1^(1/2) C2 C1^(1/2). With few samples it is biased upwards: compare only numbers with equal N and M.

    Raises:
        ValueError: other shapes, fewer than two samples, or values that are not finite.
    """
    a, b = np.asarray(features, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features: expected (N, F) and (M, F) of at least two samples, got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features: expected finite numbers")
    first, second = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ second @ root), 0, None)).sum()
    gap = a.mean(axis=0) - b.mean(axis=0)
    return float(max(0.0, gap @ gap + np.trace(first) + np.trace(second) - 2 * shared))


def whitening(features: FloatArray, count: int) -> tuple[FloatArray, FloatArray]:
    """Middle ``(F,)`` of features ``(N, F)``, and the at most ``count`` directions ``(F, K)`` they vary most in.

    Each direction is scaled so that the features vary by one along it: a distance there counts alike in all of them.
    """
    middle = features.mean(axis=0)
    _, strength, rows = np.linalg.svd(features - middle, full_matrices=False)
    count = max(1, min(count, int((strength > 1e-6 * strength[0]).sum())))
    return middle, rows[:count].T / np.maximum(strength[:count] / np.sqrt(len(features)), 1e-9)
