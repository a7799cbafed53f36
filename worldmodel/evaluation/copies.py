"""Is what a world shows new, or a copy of its training set? In features, frame by frame and over 1 s, and in pixels.

What counts as near is set by held-out true drives: a generated sample is a near-copy where it is nearer to the training
set than all but 1 % of the true ones of *other* drives are. Beside the rate stands that of true drives (the floor) and
of training frames themselves (``planted``). Pure functions of pairs and a library.

Shapes: T frames of a drive; L library frames; F features; K directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.library import Library
from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import Pair
from worldmodel.metrics.frechet import whitening
from worldmodel.metrics.intervals import known_mean
from worldmodel.metrics.neighbours import aligned_distance, coarse, nearest, several_nearest
from worldmodel.types import FloatArray

#: Directions of features in which copies are looked for, of frames and of each frame of a clip.
_DIRECTIONS, _CLIP_DIRECTIONS = 32, 16
#: Frames of a clip: four over 1 s.
_CLIP = np.array([0, 3, 6, 9])
#: One frame in so many is looked at in pixels, beside so many candidates by features and as many by coarse pixels.
_PIXELS_EVERY, _CANDIDATES = 5, 6
#: Share of true samples of other drives that are nearer than what counts as near.
_HELD_OUT_RATE = 0.01
#: Training samples that are planted, and pairs that are pictured, of each kind.
_PLANTED, _WORST = 256, 6


class Found(NamedTuple):
    """Distance of each sample of a drive, its frame, and the library's frame it is nearest to; ``(N,)`` each."""

    distance: FloatArray
    frame: NDArray[np.int64]
    library: NDArray[np.int64]


def copy_score(pairs: Sequence[Pair], library: Library) -> dict[str, Any]:
    """Share of generated frames that are near-copies in features; ``clips`` and ``pixels`` hold the same of those.

    Each has ``ratio`` (median distance over that of true frames) and ``worst``, the nearest pairs: number of the drive,
    its frame, the library's frame and the distance, no drive twice. Pixels need pairs that kept thumbnails.
    """
    kinds: dict[str, Callable[[Sequence[Pair], Library], dict[str, Any]]] = {"frames": _frames, "clips": _clips}
    if all("thumbs/generated" in pair.kept for pair in pairs):
        kinds["pixels"] = _pixels
    scores = {name: kind(pairs, library) for name, kind in kinds.items()}
    return scores.pop("frames") | scores | {"library_frames": len(library)}


def _frames(pairs: Sequence[Pair], library: Library) -> dict[str, Any]:
    _, directions = whitening(library.features, _DIRECTIONS)
    known = library.features @ directions

    def find(pair: Pair, side: str) -> Found:
        distance, index = nearest(pair.features[side] @ directions, known)
        return Found(distance, np.arange(len(distance)), index)

    planted, _ = nearest(known[:: max(1, len(known) // _PLANTED)], known)
    return _compare(pairs, find, planted) | {"unit": "share of frames"}


def _clips(pairs: Sequence[Pair], library: Library) -> dict[str, Any]:
    _, directions = whitening(library.features, _CLIP_DIRECTIONS)
    starts = np.arange(len(library) - _CLIP[-1])
    starts = starts[library.stretch[starts] == library.stretch[starts + _CLIP[-1]]]
    known = _as_clips(library.features @ directions, starts)

    def find(pair: Pair, side: str) -> Found:
        features = pair.features[side] @ directions
        begun = np.arange(len(features) - _CLIP[-1])
        distance, index = nearest(_as_clips(features, begun), known)
        return Found(distance, begun, starts[index])

    planted, _ = nearest(known[:: max(1, len(known) // _PLANTED)], known)
    return _compare(pairs, find, planted) | {"unit": "share of 1-s clips"}


def _pixels(pairs: Sequence[Pair], library: Library) -> dict[str, Any]:
    _, directions = whitening(library.features, _DIRECTIONS)
    known, coarse_known = library.features @ directions, coarse(library.thumbs)

    def among(features: FloatArray, thumbs: NDArray[np.uint8]) -> tuple[FloatArray, NDArray[np.int64]]:
        candidates = np.concatenate(
            [
                several_nearest(features @ directions, known, _CANDIDATES)[1],
                several_nearest(coarse(thumbs), coarse_known, _CANDIDATES)[1],
            ],
            axis=1,
        )
        columns = [aligned_distance(thumbs, library.thumbs[column]) for column in candidates.T]
        best = np.argmin(columns, axis=0)
        return np.min(columns, axis=0), candidates[np.arange(len(thumbs)), best]

    def find(pair: Pair, side: str) -> Found:
        rows = np.arange(0, len(pair.t_s), _PIXELS_EVERY)
        distance, index = among(pair.features[side][rows], pair.kept[f"thumbs/{side}"][rows])
        return Found(distance, rows, index)

    rows = np.arange(0, len(library), max(1, len(library) // _PLANTED))
    # A copy need not be exact: planted ones are a little aside and brighter.
    moved = np.clip(1.1 * np.roll(library.thumbs[rows], 2, axis=2).astype(np.float32) + 8, 0, 255).astype(np.uint8)
    return _compare(pairs, find, among(library.features[rows], moved)[0]) | {"unit": "share of frames"}


def _compare(pairs: Sequence[Pair], find: Callable[[Pair, str], Found], planted: FloatArray) -> dict[str, Any]:
    made, true = ([find(pair, side) for pair in pairs] for side in ("generated", "true"))
    rates, floors = [], []
    for i in range(len(pairs)):
        others = [t.distance for j, t in enumerate(true) if j != i or len(true) == 1]
        threshold = np.quantile(np.concatenate(others), _HELD_OUT_RATE)
        rates.append((made[i].distance < threshold).mean())
        floors.append((true[i].distance < threshold).mean())
    every = np.concatenate([t.distance for t in true])
    caught = (planted < np.quantile(every, _HELD_OUT_RATE)).mean()
    middle = float(np.median(every))
    ratio = known_mean([np.median(m.distance) for m in made])
    score = score_of(np.array(rates), np.array(floors), {"planted": np.array([caught])})
    return score | {"ratio": ratio / middle if ratio is not None and middle > 0 else None, "worst": _worst(made)}


def _worst(made: Sequence[Found]) -> list[dict[str, Any]]:
    nearest_of = [int(np.argmin(found.distance)) for found in made]
    worst = [
        {
            "drive": i,
            "frame": int(found.frame[at]),
            "library_frame": int(found.library[at]),
            "distance": float(found.distance[at]),
        }
        for i, (found, at) in enumerate(zip(made, nearest_of))
    ]
    return sorted(worst, key=lambda row: row["distance"])[:_WORST]


def _as_clips(features: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    """``(N, 4 K)`` features of clips that begin at some frames of ``(T, K)``."""
    return features[starts[:, None] + _CLIP].reshape(len(starts), -1)
