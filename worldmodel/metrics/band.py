"""Has a drive left what true drives look like? One simultaneous band over all windows and statistics of a drive.

A band per window and statistic would be left by most true drives somewhere; this one is drawn so wide that a chosen
share of true drives stays inside everywhere at once.
Shapes: D drives; W windows of a drive; S statistics of a window.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.types import FloatArray


@dataclasses.dataclass(frozen=True)
class Departure:
    """Where a drive first leaves the band.

    Attributes:
        window: index of the window; None where it never leaves.
        statistic: index of the statistic that is furthest out in it; None likewise.
        worst: largest deviation over the drive in units of the band's half width; above 1 is outside.
    """

    window: int | None
    statistic: int | None
    worst: float


@dataclasses.dataclass(frozen=True)
class Band:
    """Centre and half width of every window and statistic, ``(W, S)`` each."""

    centre: FloatArray
    half_width: FloatArray

    @classmethod
    def of(cls, true_drives: FloatArray, *, share: float = 0.95) -> Band:
        """The band that ``share`` of drives like ``(D, W, S)`` stay inside in all windows and statistics at once.

        Each statistic is centred on its median and scaled by its mean absolute deviation; the band is as many scales
        wide as the split-conformal quantile of the largest deviation of each drive asks for (Diquigiovanni et al.,
        arXiv 2102.06746), so that a further true drive stays inside with at least that probability.

        Raises:
            ValueError: another shape, values that are not finite, or too few drives for the share.
        """
        drives = np.asarray(true_drives, dtype=np.float64)
        if drives.ndim != 3 or not np.isfinite(drives).all():
            raise ValueError(f"true_drives: expected finite (D, W, S), got shape {drives.shape}")
        if not 0 < share < 1:
            raise ValueError(f"share: expected a number between 0 and 1, got {share!r}")
        # Half of the drives say where the band is, the other half how wide it must be.
        fitted, kept = drives[::2], drives[1::2]
        rank = math.ceil((len(kept) + 1) * share)
        if rank > len(kept):
            needed = 2 * math.ceil(share / (1 - share) - 1e-9)
            raise ValueError(
                f"true_drives: a band for a share of {share} needs at least {needed} drives, got {len(drives)}"
            )
        centre = np.median(fitted, axis=0)
        scale = np.abs(fitted - centre).mean(axis=0)
        # A statistic that never varies still has some room, or rounding would put drives outside.
        scale = np.maximum(scale, 1e-6 * np.maximum(1.0, np.abs(centre)))
        largest = (np.abs(kept - centre) / scale).max(axis=(1, 2))
        return cls(centre, scale * np.sort(largest)[rank - 1])

    def deviation(self, drive: FloatArray) -> FloatArray:
        """``(W', S)`` distance from the centre in half widths, for a drive of at most W windows; NaN is outside.

        Raises:
            ValueError: more windows than the band has, or other statistics.
        """
        drive = np.asarray(drive, dtype=np.float64)
        if drive.ndim != 2 or drive.shape[1] != self.centre.shape[1] or len(drive) > len(self.centre):
            raise ValueError(f"drive: expected at most {self.centre.shape} windows and statistics, got {drive.shape}")
        count = len(drive)
        deviation = np.abs(drive - self.centre[:count]) / np.maximum(self.half_width[:count], 1e-300)
        return np.where(np.isnan(drive), np.inf, deviation)

    def departure(self, drive: FloatArray) -> Departure:
        """Where a drive ``(W', S)`` first leaves the band.

        Raises:
            ValueError: as ``deviation``.
        """
        deviation = self.deviation(drive)
        worst = float(deviation.max(initial=0.0))
        outside = np.flatnonzero((deviation > 1).any(axis=1))
        if not len(outside):
            return Departure(None, None, worst)
        return Departure(int(outside[0]), int(deviation[outside[0]].argmax()), worst)
