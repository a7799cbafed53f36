"""Drives of policies as they are kept, and the accounts that scores are made of: the truth's and the judge's.

A drive is one npz file of columns, written last, so that what is there is complete; its frames are an mp4 beside it.
Knows columns and their names, nothing of who drove or why.

Shapes: T frames; F features.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.driving import Account, gave_up, moving_mean, score_drive, sustained
from worldmodel.simulation.closed_loop import DONE, HOLD_S, Driven
from worldmodel.types import FloatArray

#: Who gives an account.
TRUTH, JUDGE = "truth", "judge"


@dataclasses.dataclass(frozen=True)
class Certainty:
    """Probabilities above which the judge has seen a failure, once they have held for a while."""

    collision: float = 0.5
    off_road: float = 0.5


DEFAULT_CERTAINTY = Certainty()


@dataclasses.dataclass(frozen=True)
class KeptDrive:
    """One drive as its file has it.

    Attributes:
        path: of the file.
        status: ``done``, or how the policy broke down.
        start_speed_mps, length_s: of the scenario.
        columns: named ``(T,)``, as of ``closed_loop.Driven``.
        features: ``(T, F)`` of the judge.
    """

    path: Path
    status: str
    start_speed_mps: float
    length_s: float
    columns: dict[str, NDArray[Any]]
    features: NDArray[np.float32]

    @property
    def is_done(self) -> bool:
        """Whether the policy answered to the end."""
        return self.status == DONE

    @property
    def has_truth(self) -> bool:
        """Whether the truth is known."""
        return "truth.lane_offset_m" in self.columns

    @property
    def film(self) -> Path | None:
        """The mp4 of its frames, where one was kept."""
        path = self.path.with_suffix(".mp4")
        return path if path.is_file() else None

    def score(self, who: str, certainty: Certainty = DEFAULT_CERTAINTY) -> dict[str, float]:
        """Scores by ``truth`` or ``judge``; the drive of a policy that broke down is worth nothing."""
        scores = score_drive(
            account_of(self, who, certainty), start_speed_mps=self.start_speed_mps, length_s=self.length_s
        )
        return scores if self.is_done else gave_up(scores)


def keep(path: Path, driven: Driven, dt_s: float) -> None:
    """Write a drive under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {f"column/{name}": column for name, column in driven.columns.items()}
    about = {"start_speed_mps": float(driven.trial.vehicle.speed_mps), "length_s": driven.trial.steps * dt_s}
    arrays |= {f"about/{name}": np.array(value) for name, value in about.items()}
    arrays |= {"status": np.array(driven.status), "features": driven.features.astype(np.float16)}
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with open(temporary, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    os.replace(temporary, path)


def load(path: Path) -> KeptDrive:
    """Read what ``keep`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    columns = {name.removeprefix("column/"): a for name, a in arrays.items() if name.startswith("column/")}
    start, length = float(arrays["about/start_speed_mps"]), float(arrays["about/length_s"])
    return KeptDrive(path, str(arrays["status"]), start, length, columns, arrays["features"].astype(np.float32))


def held(drive: KeptDrive, kind: str) -> FloatArray:
    """``(T,)`` the judge's probability of a failure, averaged over the while it has to hold."""
    columns = drive.columns
    dt_s = float(np.median(np.diff(columns["t_s"]))) if len(columns["t_s"]) > 1 else 0.1
    return moving_mean(columns[f"judge.{kind}"], dt_s, hold_s=HOLD_S[kind])


def account_of(drive: KeptDrive, who: str, certainty: Certainty = DEFAULT_CERTAINTY) -> Account:
    """What ``truth`` or ``judge`` say of a drive; a drive of one frame is held for one more.

    The judge's speed and turning are read from the pixels, of the step that ended at a frame, and told at the frame it
    began. Its failures are those it is sure enough of for a while (``closed_loop.HOLD_S``).
    """
    columns = {name: _at_least_two(column) for name, column in drive.columns.items()}
    t_s = columns["t_s"].copy()
    if len(drive.columns["t_s"]) < 2:
        t_s[1] = t_s[0] + 0.1
    dt_s = float(np.median(np.diff(t_s)))

    def said(name: str) -> NDArray[Any]:
        return columns[f"{who}.{name}"].astype(np.float64)

    heading, aside, gap, closing = (
        said(name) for name in ("heading_error_rad", "lane_offset_m", "gap_m", "closing_speed_mps")
    )
    if who == TRUTH:
        speed, yaw = columns["speed_mps"], columns["yaw_rate_radps"]
        collision, off_road = (said(name) > 0.5 for name in ("collision", "off_road"))
    else:
        speed, yaw = (np.append(said(name)[1:], np.nan) for name in ("speed_mps", "yaw_rate_radps"))
        collision, off_road = (
            sustained(said(n), dt_s, hold_s=HOLD_S[n], sure=getattr(certainty, n)) for n in ("collision", "off_road")
        )
        gap = np.where(sustained(said("has_gap"), dt_s, hold_s=0.3), gap, np.nan)
    return Account(t_s, speed, yaw, heading, aside, gap, closing, collision, off_road)


def _at_least_two(column: NDArray[Any]) -> NDArray[Any]:
    return column if len(column) > 1 else np.repeat(column, 2)
