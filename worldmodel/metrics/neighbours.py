"""Is a picture new, or a copy of the training set? Distances to nearest neighbours, beside those of held-out truth.

Brute force in blocks of matrix products: exact, and a million library features of 64 numbers take seconds a thousand
queries on a CPU. Which features is the caller's to say.
Shapes: N queries; L library samples; F features.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray

_BLOCK = 65_536


def nearest(queries: FloatArray, library: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Euclidean distance ``(N,)`` of each query to its nearest library sample, and that sample's index ``(N,)``.

    Raises:
        ValueError: other shapes, an empty library, or values that are not finite.
    """
    asked, held = np.asarray(queries, dtype=np.float32), np.asarray(library, dtype=np.float32)
    if asked.ndim != 2 or held.ndim != 2 or asked.shape[1] != held.shape[1] or not len(held):
        raise ValueError(f"queries: expected (N, F) beside a library (L, F), got {asked.shape} and {held.shape}")
    if not (np.isfinite(asked).all() and np.isfinite(held).all()):
        raise ValueError("queries: expected finite numbers")
    # |q - l|^2 = |q|^2 + |l|^2 - 2 q l loses digits where all are far from the origin: take the middle away first.
    middle = held.mean(axis=0)
    asked, best, index = asked - middle, np.full(len(asked), np.inf, np.float32), np.zeros(len(asked), np.int64)
    for start in range(0, len(held), _BLOCK):
        block = held[start : start + _BLOCK] - middle
        squared = (block**2).sum(axis=1)[None] - 2 * (asked @ block.T)
        found = squared.argmin(axis=1)
        value = squared[np.arange(len(asked)), found]
        index = np.where(value < best, start + found, index)
        best = np.minimum(best, value)
    # The winners' distances once more, exactly.
    distance = np.sqrt(((asked - (held[index] - middle)).astype(np.float64) ** 2).sum(axis=1))
    return distance, index


@dataclasses.dataclass(frozen=True)
class CopyAudit:
    """How near generated samples come to the training set, beside held-out true ones.

    Attributes:
        ratio: median distance of the generated over that of the held-out; near 1 is new, near 0 is copied.
        rate: share of generated samples nearer than ``threshold``.
        held_out_rate: the same of held-out ones, by which ``threshold`` was set.
        threshold: distance below which a sample counts as a near-copy.
        worst: ``(K,)`` indices of the generated samples nearest to the training set, nearest first.
        copied: ``(K,)`` indices of the training samples they resemble.
    """

    ratio: float
    rate: float
    held_out_rate: float
    threshold: float
    worst: NDArray[np.int64]
    copied: NDArray[np.int64]


def audit_copies(
    generated: FloatArray, held_out: FloatArray, library: FloatArray, *, held_out_rate: float = 0.01, worst: int = 8
) -> CopyAudit:
    """Compare the distances to ``library (L, F)`` of generated ``(N, F)`` and held-out true samples ``(M, F)``.

    Raises:
        ValueError: as ``nearest``; no generated or held-out samples.
    """
    if not len(generated) or not len(held_out):
        raise ValueError(f"generated: expected samples in both, got {len(generated)} and {len(held_out)} held-out")
    near, index = nearest(generated, library)
    true, _ = nearest(held_out, library)
    threshold = float(np.quantile(true, held_out_rate))
    order = np.argsort(near, kind="stable")[:worst]
    middle = float(np.median(true))
    return CopyAudit(
        ratio=float(np.median(near)) / middle if middle > 0 else float("nan"),
        rate=float((near < threshold).mean()),
        held_out_rate=float((true < threshold).mean()),
        threshold=threshold,
        worst=order,
        copied=index[order],
    )
