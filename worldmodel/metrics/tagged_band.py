"""One band of what true drives look like for each kind of drive: what is usual in fog by night is not on a clear day.

Unlike ``band``, this one is made beforehand of many drives, is the same in every window, and knows how wide it must be
for a drive of any length. Where its middle lies, and how far true drives stray from it, is a sum over the words of a
drive's tags; how many strays it is wide is settled word by word, so that it holds its share of true drives of each.
Shapes: D drives; W windows of a drive; S statistics of a window; K words.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray

#: Drives that a word's effect is shrunk by: one that few drives have says little.
_PRIOR = 2.0
#: Of a statistic's usual stray: what no drive's may be below.
_LEAST_STRAY = 0.1
#: Of the stray common to all: what no combination of words is taken to stray less than.
_LEAST_SHARE = 0.3
#: Share of drives by whose furthest stray a statistic is measured.
_FURTHEST = 0.9


@dataclasses.dataclass(frozen=True)
class TaggedBand:
    """A band for every combination of words.

    Attributes:
        statistics: S names. words: K, as ``weather=rain``.
        centre, log_stray: ``(1 + K, S)``; the first row is common to all, the others are added for each word. A stray
            is how far nine of ten drives go at their furthest.
        widths: ``(1 + K, W)`` half width in strays for a drive of 1 to W windows; the first row is that of drives of
            no known word, and where a word had too few drives.
        share: of true drives that it holds.
    """

    statistics: tuple[str, ...]
    words: tuple[str, ...]
    centre: FloatArray
    log_stray: FloatArray
    widths: FloatArray
    share: float

    @classmethod
    def of(
        cls,
        drives: FloatArray,
        has: NDArray[np.bool_],
        *,
        statistics: Sequence[str],
        words: Sequence[str],
        share: float = 0.95,
    ) -> TaggedBand:
        """From true drives ``(D, W, S)``, NaN where a statistic is not known, and which words each has, ``(D, K)``.

        One half of the drives says where the band is, the other, drive by drive, how wide (split conformal, as
        ``Band``): so a further true drive of a word stays inside with at least the probability ``share``.

        Raises:
            ValueError: other shapes, or too few drives for the share.
        """
        drives, has = np.asarray(drives, dtype=np.float64), np.asarray(has, dtype=bool)
        if drives.ndim != 3 or drives.shape[2] != len(statistics) or has.shape != (len(drives), len(words)):
            raise ValueError(f"drives: expected (D, W, {len(statistics)}) and (D, {len(words)}), got {drives.shape}")
        fitted, kept = slice(0, None, 2), slice(1, None, 2)
        rank_of = {n: math.ceil((n + 1) * share) for n in range(len(drives) + 1)}
        if rank_of[len(drives[kept])] > len(drives[kept]):
            needed = 2 * math.ceil(share / (1 - share) - 1e-9)
            raise ValueError(f"drives: a band for a share of {share} needs at least {needed}, got {len(drives)}")
        one_hot = np.column_stack([np.ones(len(drives)), has.astype(np.float64)])
        centre = _effects(one_hot[fitted], _known_mean(drives[fitted]))
        apart = np.abs(drives - (one_hot @ centre)[:, None])
        stray = _known_mean(apart[fitted])
        usual = np.maximum(_known_mean(stray[None])[0], 1e-9)
        log_stray = _effects(one_hot[fitted], np.log(np.maximum(stray, _LEAST_STRAY * usual)))
        strays = _strays(log_stray, has)[:, None]
        # Some statistics stray far now and then, others never: each is measured by how far it goes at its furthest.
        furthest_fitted = np.nan_to_num(apart[fitted] / strays[fitted], nan=0.0).max(axis=1)
        log_stray[0] += np.log(np.maximum(np.quantile(furthest_fitted, _FURTHEST, axis=0), _LEAST_STRAY))
        deviation = apart[kept] / _strays(log_stray, has[kept])[:, None]
        # The furthest that each drive has been by each window, in its worst statistic.
        furthest = np.maximum.accumulate(np.nan_to_num(deviation, nan=0.0).max(axis=2), axis=1)

        def width(rows: NDArray[np.bool_]) -> FloatArray | None:
            rank = rank_of[int(rows.sum())]
            return np.sort(furthest[rows], axis=0)[rank - 1] if rank <= rows.sum() else None

        common = width(np.ones(len(furthest), bool))
        assert common is not None
        found = [width(column) for column in has[kept].T]
        widths = np.stack([common, *(common if own is None else own for own in found)])
        return cls(tuple(statistics), tuple(words), centre, log_stray, widths, share)

    def middle(self, has: NDArray[np.bool_]) -> FloatArray:
        """``(S,)`` of the band of a drive that has some words ``(K,)``."""
        return self.centre[0] + has @ self.centre[1:]

    def half_width(self, has: NDArray[np.bool_], windows: int) -> FloatArray:
        """``(S,)`` for a drive of so many windows.

        Of several words the widest counts, so that the band holds its share of each. Beyond W windows it goes on
        widening with each doubling as it did over the last (how the largest of many strays grows where their tails are
        light): an extrapolation, and no promise.
        """
        rows = self.widths[1:][has] if has.any() else self.widths[:1]
        most = self.widths.shape[1]
        width = rows[:, min(windows, most) - 1]
        if windows > most > 1:
            width = width + (width - rows[:, most // 2 - 1]) * math.log2(windows / most)
        return width.max() * _strays(self.log_stray, has[None])[0]

    def deviation(self, drive: FloatArray, has: NDArray[np.bool_], *, windows: int | None = None) -> FloatArray:
        """``(W', S)`` distance of a drive from the middle in half widths, 0 where it is unknown; above 1 is outside.

        Args:
            drive: ``(W', S)``.
            has: ``(K,)`` words.
            windows: of the whole drive, where these are the first of them.

        Raises:
            ValueError: other statistics.
        """
        drive = np.asarray(drive, dtype=np.float64)
        if drive.ndim != 2 or drive.shape[1] != len(self.statistics):
            raise ValueError(f"drive: expected (W, {len(self.statistics)}) windows and statistics, got {drive.shape}")
        width = np.maximum(self.half_width(has, windows or len(drive)), 1e-300)
        return np.nan_to_num(np.abs(drive - self.middle(has)) / width, nan=0.0)

    def words_of(self, names: Mapping[str, str]) -> NDArray[np.bool_]:
        """``(K,)`` which words a drive of some tags, channel to name, has."""
        return np.array([word in {f"{channel}={name}" for channel, name in names.items()} for word in self.words])

    def as_plain(self) -> dict[str, Any]:
        """For a json file; ``from_plain`` reads it back."""
        arrays = {name: np.round(getattr(self, name), 4).tolist() for name in ("centre", "log_stray", "widths")}
        return {"statistics": list(self.statistics), "words": list(self.words), "share": self.share} | arrays

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> TaggedBand:
        """What ``as_plain`` gave."""
        arrays = (np.array(plain[name], dtype=np.float64) for name in ("centre", "log_stray", "widths"))
        return cls(tuple(plain["statistics"]), tuple(plain["words"]), *arrays, share=plain["share"])


def _strays(log_stray: FloatArray, has: NDArray[np.bool_]) -> FloatArray:
    """``(D, S)`` usual stray of drives that have some words ``(D, K)``: no less than a share of what is common to all.

    Words that each say a statistic hardly strays would together say that it never does.
    """
    return np.exp(log_stray[0] + np.maximum(has @ log_stray[1:], np.log(_LEAST_SHARE)))


def _effects(one_hot: FloatArray, values: FloatArray) -> FloatArray:
    """``(1 + K, S)`` least-squares effects of words on values ``(D, S)``, those of words shrunk; NaN is left out."""
    found = np.zeros((one_hot.shape[1], values.shape[1]))
    prior = np.diag([1e-6, *[_PRIOR] * (one_hot.shape[1] - 1)])
    for s, column in enumerate(values.T):
        known = np.isfinite(column)
        x, y = one_hot[known], column[known]
        middle = y.mean() if len(y) else 0.0
        found[:, s] = np.linalg.solve(x.T @ x + prior, x.T @ (y - middle))
        found[0, s] += middle
    return found


def _known_mean(drives: FloatArray) -> FloatArray:
    """``(D, S)`` mean over the windows ``(D, W, S)`` that are known, NaN where none is."""
    known = np.isfinite(drives)
    count = known.sum(axis=1)
    total = np.where(known, drives, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
