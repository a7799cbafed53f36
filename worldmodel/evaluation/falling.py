"""Has the world under a finished drive fallen apart? Scores from such a world are marked.

Second by second a drive is compared with its own beginning (sharpness, contrast, colour, the judge's features) and with
what it was told (speed, turning as the judge reads them). How far that may go is what true drives of a driver who knows
the road show: the band they stay inside. Pure functions of drives that were kept; those that are still running are
watched by ``simulation.watch``, which asks no trained network and holds them against true drives of their tags.

Shapes: T frames and W seconds of a drive; D drives; S statistics; F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from worldmodel.evaluation.drift import feasible_share
from worldmodel.evaluation.keeping_drives import KeptDrive
from worldmodel.metrics.band import Band
from worldmodel.metrics.frechet import whitening
from worldmodel.metrics.signs import second_means
from worldmodel.simulation.closed_loop import LOOKS
from worldmodel.types import FloatArray

STATISTICS = (*LOOKS, "features", "speed error", "yaw error")
_DIRECTIONS = 16
#: Statistics that are ratios, compared by their logarithm.
_RATIOS = ("sharpness", "contrast")


@dataclasses.dataclass(frozen=True)
class Fall:
    """When a drive's world fell apart.

    Attributes:
        second: the first outside the band; ``None`` where it never left.
        statistic: that was furthest out then; likewise.
        worst: largest departure in units of what is allowed; above 1 is outside.
    """

    second: int | None
    statistic: str | None
    worst: float


class FallWatch:
    """What true drives stay inside.

    Args:
        true_drives: of a driver who does not fail; those that failed are left out.
        share: of true drives that are to stay inside; less where there are too few to ask for so many.

    Raises:
        ValueError: fewer than four true drives.
    """

    def __init__(self, true_drives: Sequence[KeptDrive], *, share: float = 0.95) -> None:
        longest = max((len(drive.columns["t_s"]) for drive in true_drives), default=0)
        whole = [drive for drive in true_drives if len(drive.columns["t_s"]) == longest]
        if len(whole) < 4:
            raise ValueError(f"the drift watch needs at least 4 true drives to their end, got {len(whole)}")
        features = np.concatenate([drive.features for drive in whole]).astype(np.float64)
        self._space = whitening(features, _DIRECTIONS)
        self.share = min(share, feasible_share(len(whole)))
        peaks = np.stack([np.nanmax(self.seconds(drive), axis=0) for drive in whole])
        self._band = Band.of(peaks[:, None], share=self.share)
        self._allowed = self._band.centre[0] + self._band.half_width[0]

    def seconds(self, drive: KeptDrive) -> FloatArray:
        """``(W, S)`` how far each second is from the drive's own first, and from what it was told; NaN where unread."""
        columns, t_s = drive.columns, drive.columns["t_s"]
        found = []
        for name in LOOKS:
            column = columns[f"look.{name}"]
            seconds = second_means(np.log(np.maximum(column, 1e-3)) if name in _RATIOS else column, t_s)
            found.append(np.abs(seconds - seconds[0]))
        middle, directions = self._space
        placed = (drive.features - middle) @ directions
        seconds = np.stack([second_means(column, t_s) for column in placed.T], axis=1)
        found.append(np.linalg.norm(seconds - seconds[0], axis=1))
        for name in ("speed_mps", "yaw_rate_radps"):
            told, read = columns[name], np.append(columns[f"judge.{name}"][1:], np.nan)
            found.append(second_means(np.abs(read - told), t_s))
        return np.stack(found, axis=1)

    def fall(self, drive: KeptDrive) -> Fall:
        """When and by what a drive leaves the band; what could not be read is inside."""
        over = np.nan_to_num(self.seconds(drive) / np.maximum(self._allowed, 1e-9))
        outside = np.flatnonzero((over > 1).any(axis=1))
        if not len(outside):
            return Fall(None, None, float(over.max()))
        second = int(outside[0])
        return Fall(second, STATISTICS[int(over[second].argmax())], float(over.max()))
