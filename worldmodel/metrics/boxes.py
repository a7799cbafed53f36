"""How well boxes that were found are those that are there: overlap, who is whose, average precision.

Pure functions. Boxes are left, top, right, bottom in pixels. Shapes: N, M boxes; T frames; K boxes of a frame at most.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray


def overlaps(ours: FloatArray, theirs: FloatArray) -> FloatArray:
    """Intersection over union ``(N, M)`` of boxes ``(N, 4)`` and ``(M, 4)``; 0 where either is NaN or empty.

    Raises:
        ValueError: anything but rows of four edges.
    """
    a, b = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != 4 or b.shape[1] != 4:
        raise ValueError(f"boxes: expected shapes (N, 4) and (M, 4), got {a.shape} and {b.shape}")
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(axis=-1)
    area_a, area_b = (np.clip(x[:, 2:] - x[:, :2], 0, None).prod(axis=-1) for x in (a, b))
    either = area_a[:, None] + area_b[None] - both
    with np.errstate(invalid="ignore", divide="ignore"):
        share = both / either
    return np.where(np.isfinite(share), share, 0.0)


def match(found: FloatArray, true: FloatArray, *, least: float = 0.5) -> NDArray[np.int64]:
    """``(N,)`` which of the true boxes ``(M, 4)`` each found one ``(N, 4)`` is, the surest first; -1 for none.

    As in the PASCAL challenge (Everingham et al. 2010): each takes the true box that it overlaps most, if that is by at
    least ``least`` and nobody surer has taken it.
    """
    shares = overlaps(found, true)
    taken, own = np.zeros(len(true), dtype=bool), np.full(len(found), -1)
    for i, row in enumerate(shares):
        free = np.where(taken, 0.0, row)
        if len(free) and free.max() >= least:
            own[i] = int(free.argmax())
            taken[own[i]] = True
    return own


@dataclasses.dataclass(frozen=True)
class Detections:
    """Boxes that were found in many frames, in one row, and how many there were to find.

    Attributes:
        score: ``(N,)``. right: ``(N,)`` whether each is a true one.
        true: how many there were.
    """

    score: FloatArray
    right: NDArray[np.bool_]
    true: int


def detections(
    found: FloatArray,
    score: FloatArray,
    true: FloatArray,
    *,
    least: float = 0.5,
    asked: NDArray[np.bool_] | None = None,
    counted: NDArray[np.bool_] | None = None,
) -> Detections:
    """Judge boxes frame by frame.

    Args:
        found: ``(T, K, 4)``, NaN where there is none.
        score: ``(T, K)``.
        true: ``(T, M, 4)``, NaN where there is none.
        least: overlap of a box that is right.
        asked: ``(T, M)`` which true boxes are asked for; others are neither missed nor wrong to find.
        counted: ``(T, K)`` which found boxes count as wrong where they are no true one, asked for or not.
    """
    scores, right, there = [], [], 0
    for t in range(len(found)):
        is_true = np.isfinite(true[t]).all(axis=-1)
        wanted = is_true if asked is None else is_true & asked[t]
        there += int(wanted.sum())
        order = [int(k) for k in np.argsort(-np.nan_to_num(score[t], nan=-1.0), kind="stable")]
        order = [k for k in order if np.isfinite(score[t, k])]
        own = match(found[t, order], np.where(is_true[:, None], true[t], np.nan), least=least)
        for k, whose in zip(order, own):
            ignored = not wanted[whose] if whose >= 0 else counted is not None and not counted[t, k]
            if not ignored:
                scores.append(score[t, k])
                right.append(whose >= 0)
    return Detections(np.array(scores, dtype=np.float64), np.array(right, dtype=bool), there)


def average_precision(some: Detections) -> float:
    """Area under precision over recall, precision made to fall (Everingham et al. 2010); NaN with nothing to find."""
    if not some.true:
        return float("nan")
    if not len(some.score):
        return 0.0
    order = np.argsort(-some.score, kind="stable")
    score, right = some.score[order], some.right[order]
    # Boxes of equal score are found together.
    last = np.append(score[1:] < score[:-1], True)
    hits, count = np.cumsum(right)[last], (1 + np.arange(len(right)))[last]
    recall, precision = hits / some.true, hits / count
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * falling).sum())


def joined(several: list[Detections]) -> Detections:
    """Those of several drives as one."""
    return Detections(
        np.concatenate([np.zeros(0), *(s.score for s in several)]),
        np.concatenate([np.zeros(0, dtype=bool), *(s.right for s in several)]),
        sum(s.true for s in several),
    )
