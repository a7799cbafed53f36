"""Is a picture new, or a copy of the training set? Distances to nearest neighbours, beside those of held-out truth.

Small libraries are searched exactly, by blocks of matrix products. In large ones faiss (the ``search`` extra) searches
inverted lists, which misses one neighbour in a thousand: a million features of 32 numbers take 7 s to index and 1 s a
thousand queries on one core, against 5 s a thousand queries without it. Which features is the caller's to say.
Shapes: N queries; L library samples; F features; K neighbours; h, w pixels of thumbnails.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray, FrameArray

try:
    import faiss
except ImportError:
    faiss: Any = None

_BLOCK = 65_536
#: From so many samples on an index pays: its inverted lists, and how many of them a query looks at.
_INDEXED_FROM, _LISTS, _LOOKED_AT = 100_000, 1024, 64
#: Shifts in pixels of a thumbnail, right and down, under which two of them are compared.
_RIGHT, _DOWN = range(-4, 5), range(-2, 3)
#: A thumbnail's contrast is taken to be at least this in grey levels: fog is not made alike by stretching its noise.
_LEAST_CONTRAST = 8.0


def nearest(queries: FloatArray, library: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """Euclidean distance ``(N,)`` of each query to its nearest library sample, and that sample's index ``(N,)``.

    Raises:
        ValueError: other shapes, an empty library, or values that are not finite.
    """
    distance, index = several_nearest(queries, library, 1)
    return distance[:, 0], index[:, 0]


def several_nearest(queries: FloatArray, library: FloatArray, count: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """Distances and indices ``(N, K)`` of the at most ``count`` nearest library samples, nearest first.

    Raises:
        ValueError: as ``nearest``.
    """
    asked, held = np.asarray(queries, dtype=np.float32), np.asarray(library, dtype=np.float32)
    if asked.ndim != 2 or held.ndim != 2 or asked.shape[1] != held.shape[1] or not len(held):
        raise ValueError(f"queries: expected (N, F) beside a library (L, F), got {asked.shape} and {held.shape}")
    if not (np.isfinite(asked).all() and np.isfinite(held).all()):
        raise ValueError("queries: expected finite numbers")
    # |q - l|^2 = |q|^2 + |l|^2 - 2 q l loses digits where all are far from the origin: take the middle away first.
    middle, count = held.mean(axis=0), min(count, len(held))
    asked = asked - middle
    indexed = faiss is not None and len(held) >= _INDEXED_FROM
    index = (_by_lists if indexed else _by_blocks)(asked, held, middle, count)
    # The winners' distances once more, exactly.
    apart = asked[:, None] - (held[index] - middle)
    distance = np.sqrt((apart.astype(np.float64) ** 2).sum(axis=2))
    order = np.argsort(distance, axis=1, kind="stable")
    return np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)


def _by_lists(asked: NDArray[np.float32], held: NDArray[np.float32], middle: NDArray, count: int) -> NDArray[np.int64]:
    lists = faiss.IndexIVFFlat(faiss.IndexFlatL2(held.shape[1]), held.shape[1], _LISTS)
    lists.train(np.ascontiguousarray(held[:: max(1, len(held) // (50 * _LISTS))] - middle))
    for start in range(0, len(held), _BLOCK):
        lists.add(np.ascontiguousarray(held[start : start + _BLOCK] - middle))
    lists.nprobe = _LOOKED_AT
    found = lists.search(np.ascontiguousarray(asked), count)[1].astype(np.int64)
    # A query whose lists hold fewer than it asks for is answered with -1: the first of its answers stands in.
    return np.where(found < 0, np.maximum(found[:, :1], 0), found)


def _by_blocks(asked: NDArray[np.float32], held: NDArray[np.float32], middle: NDArray, count: int) -> NDArray[np.int64]:
    best, index = np.empty((len(asked), 0), np.float32), np.empty((len(asked), 0), np.int64)
    for start in range(0, len(held), _BLOCK):
        block = held[start : start + _BLOCK] - middle
        squared = (block**2).sum(axis=1)[None] - 2 * (asked @ block.T)
        some = min(count, len(block))
        found = np.argpartition(squared, some - 1, axis=1)[:, :some] if some > 1 else squared.argmin(1)[:, None]
        best = np.concatenate([best, np.take_along_axis(squared, found, 1)], axis=1)
        index = np.concatenate([index, start + found], axis=1)
        kept = np.argsort(best, axis=1, kind="stable")[:, :count]
        best, index = np.take_along_axis(best, kept, 1), np.take_along_axis(index, kept, 1)
    return index


def thumbnails(frames: FrameArray) -> NDArray[np.uint8]:
    """Luma of frames ``(T, H, W, 3)`` at ``(T, 32, 64)``, for ``aligned_distance``."""
    small = [cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (64, 32), interpolation=cv2.INTER_AREA) for f in frames]
    return np.stack(small).astype(np.uint8)


def coarse(thumbs: NDArray[np.uint8]) -> FloatArray:
    """Thumbnails ``(N, h, w)`` as vectors ``(N, h w / 16)`` of equal brightness and contrast, to find candidates by."""
    count, height, width = thumbs.shape
    blocks = _alike(thumbs).reshape(count, height // 4, 4, width // 4, 4).mean(axis=(2, 4))
    return blocks.reshape(count, -1).astype(np.float64)


def aligned_distance(thumbs: NDArray[np.uint8], others: NDArray[np.uint8]) -> FloatArray:
    """``(N,)`` root-mean-square difference of pairs of thumbnails ``(N, h, w)`` where they fit best, in contrasts.

    Both are brought to one brightness and contrast and moved against each other by up to 4 pixels right and 2 down (6 %
    of the picture), so that a copy that is brighter or a little aside is still one. 0 is equal, 1.4 is unrelated.

    Raises:
        ValueError: shapes that differ.
    """
    if thumbs.shape != others.shape or thumbs.ndim != 3:
        raise ValueError(f"others: expected the shape (N, h, w) of thumbs {thumbs.shape}, got {others.shape}")
    one, other = _alike(thumbs), _alike(others)
    height, width = one.shape[1:]
    best = np.full(len(one), np.inf)
    for down in _DOWN:
        for right in _RIGHT:
            rows = slice(max(0, down), height + min(0, down)), slice(max(0, -down), height + min(0, -down))
            columns = slice(max(0, right), width + min(0, right)), slice(max(0, -right), width + min(0, -right))
            apart = one[:, rows[0], columns[0]] - other[:, rows[1], columns[1]]
            best = np.minimum(best, (apart**2).mean(axis=(1, 2)))
    return np.sqrt(best)


def _alike(thumbs: NDArray[np.uint8]) -> NDArray[np.float32]:
    x = thumbs.astype(np.float32)
    spread = np.maximum(x.std(axis=(1, 2), keepdims=True), _LEAST_CONTRAST)
    return ((x - x.mean(axis=(1, 2), keepdims=True)) / spread).astype(np.float32)
