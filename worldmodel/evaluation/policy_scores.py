"""From kept drives to a policy's scores: means with intervals, how many broke down, how many worlds fell apart.

Knows drives and accounts, nothing of files or pages.

Shapes: N drives.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.falling import Fall, FallWatch
from worldmodel.evaluation.keeping_drives import DEFAULT_CERTAINTY, JUDGE, TRUTH, Certainty, KeptDrive
from worldmodel.metrics.driving import PER_KM, SCORES
from worldmodel.metrics.intervals import Interval, bootstrap_interval, ratio_interval
from worldmodel.simulation.trials import Kind

#: A world, and who gives the account.
View = tuple[Kind, str]
#: Which world is scored by whom: in a learned world nobody knows the truth.
VIEWS: tuple[View, ...] = (("learned", JUDGE), ("true", TRUTH), ("true", JUDGE))


@dataclasses.dataclass(frozen=True)
class Scored:
    """Drives of one policy in one world, scored by one account.

    Attributes:
        scores: of each drive, as ``metrics.driving.score_drive``.
        broke_down: in words, of each drive; ``None`` where the policy answered to the end.
        falls: of each drive; empty where nobody watched.
        names: of the scenarios.
    """

    scores: list[dict[str, float]]
    broke_down: list[str | None]
    falls: list[Fall]
    names: list[str]

    def intervals(self) -> dict[str, Interval]:
        """Each of ``SCORES`` over the drives; a rate per km where it is one."""
        km = self.column("driven_km")
        return {
            name: ratio_interval(self.column(name), km) if name in PER_KM else bootstrap_interval(self.column(name))
            for name in SCORES
        }

    def column(self, name: str) -> np.ndarray:
        """One score ``(N,)`` of every drive."""
        return np.array([score[name] for score in self.scores], dtype=np.float64)

    @property
    def fallen(self) -> int:
        """Drives whose world fell apart."""
        return sum(fall.second is not None for fall in self.falls)

    def plain(self) -> dict[str, Any]:
        """For ``report.json``."""
        drives = [
            {"scenario": name, "broke_down": broke, **score}
            | ({"fell_apart_s": fall.second, "by": fall.statistic, "worst": fall.worst} if fall else {})
            for name, broke, score, fall in zip(
                self.names, self.broke_down, self.scores, self.falls or [None] * len(self.names)
            )
        ]
        return {
            "scores": {name: dataclasses.asdict(interval) for name, interval in self.intervals().items()},
            "drives": drives,
            "broke_down": sum(broke is not None for broke in self.broke_down),
            "fell_apart": self.fallen if self.falls else None,
        }


def scored(
    drives: Sequence[KeptDrive], who: str, watch: FallWatch | None, certainties: Mapping[str, Certainty] | None = None
) -> Scored:
    """Score drives of one policy in one world by ``truth`` or ``judge``, who is to be so certain by scenario."""
    certainties = certainties or {}
    return Scored(
        scores=[drive.score(who, certainties.get(drive.path.stem, DEFAULT_CERTAINTY)) for drive in drives],
        broke_down=[None if drive.is_done else drive.status for drive in drives],
        falls=[] if watch is None else [watch.fall(drive) for drive in drives],
        names=[drive.path.stem for drive in drives],
    )
