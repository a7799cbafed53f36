"""The learned branches beside the true ones: how far off at each horizon, and what the truth says of gap and contact.

Knows drives of branches and judges, nothing of files or of how they were driven.

Shapes: T frames; B samples; K branches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.judging import Verdict, judge, path_of, travelled_m
from worldmodel.metrics.image import ssim
from worldmodel.metrics.intervals import known_mean
from worldmodel.metrics.path import displacement_m
from worldmodel.perception.reader import Reader
from worldmodel.simulation.branching import BranchDrive
from worldmodel.types import Camera, FloatArray

HORIZONS_S = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 30.0, 60.0)
#: Lane offset and gap of a moment are medians over so many frames before and after it: read frame by frame, they jump.
_NEAR_FRAMES = 3
#: Columns of the table: key to heading.
COLUMNS = {
    "branch": "branch",
    "t_s": "s",
    "path_m": "path off, m",
    "unedited_path_m": "(unedited)",
    "floor_m": "(true frames)",
    "travel_told_m": "driven: told, m",
    "travel_read_m": "read, m",
    "lane_error_m": "lane off, m",
    "ssim": "SSIM",
    "unedited_ssim": "(unedited)",
    "gap_true_m": "gap: true, m",
    "unedited_gap_true_m": "(unedited)",
    "gap_read_m": "read, m",
    "gap_floor_m": "(true frames)",
    "unedited_gap_read_m": "(unedited)",
    "collision_true": "collision: true",
    "collision_read": "read",
}


@dataclasses.dataclass(frozen=True)
class Compared:
    """One branch, in the learned world and, where there is one, in the true world.

    Attributes:
        learned: the drive, of B samples.
        true: the drive, of one row, or ``None``.
        verdicts: of the samples' frames.
        true_verdict: the same judge on the true frames: the floor of every error.
        ssim: ``(T, B)`` of the samples to the true frames; NaN without them.
    """

    learned: BranchDrive
    true: BranchDrive | None
    verdicts: Sequence[Verdict]
    true_verdict: Verdict | None
    ssim: FloatArray

    @property
    def name(self) -> str:
        """Of the branch."""
        return self.learned.course.name

    def path(self, sample: int) -> FloatArray:
        """``(T, 3)`` where the ego should be: the true path, or the one that was told."""
        motion = self.learned.motion[:, sample] if self.true is None else self.true.motion[:, 0]
        return path_of(motion, self.learned.t_s)

    def path_error_m(self) -> FloatArray:
        """``(T, B)`` between the path read from each sample and ``path``."""
        errors = [displacement_m(verdict.path, self.path(b)) for b, verdict in enumerate(self.verdicts)]
        return np.stack(errors, axis=1) if errors else np.full((len(self.learned.t_s), 1), np.nan)

    def truth(self, name: str) -> NDArray[Any] | None:
        """``(T,)`` a truth column of the true branch."""
        return None if self.true is None or name not in self.true.info else self.true.info[name][:, 0]


def compare(
    learned: Sequence[BranchDrive],
    true: Sequence[BranchDrive] | None,
    camera: Camera,
    *,
    read: bool,
    reader: Reader | None = None,
) -> list[Compared]:
    """Judge every branch; without ``read`` the frames are compared and not read, without ``reader`` not for traffic.

    A branch's frames before it parts are the unedited ones and are read with it, so that a path is read whole.
    """
    compared = []
    for index, drive in enumerate(learned):
        true_drive = None if true is None else true[index]
        samples = range(drive.frames.shape[1])
        alike = np.full((len(drive.t_s), len(samples)), np.nan)
        if true_drive is not None:
            alike = np.stack([ssim(drive.frames[:, b], true_drive.frames[:, 0]) for b in samples], axis=1)
        compared.append(
            Compared(
                learned=drive,
                true=true_drive,
                verdicts=[judge(drive.frames[:, b], drive.t_s, camera, reader=reader) for b in samples] if read else [],
                true_verdict=(
                    judge(true_drive.frames[:, 0], drive.t_s, camera, reader=reader) if read and true_drive else None
                ),
                ssim=alike,
            )
        )
    return compared


def horizon_rows(branches: Sequence[Compared]) -> list[dict[str, Any]]:
    """A row per branch and horizon, the unedited branch's errors beside each; means over samples.

    What was not read is ``None``, and so is a gap where nobody is ahead.
    """
    unedited, rows = branches[0], []
    t_s = unedited.learned.t_s
    for branch in branches:
        for horizon_s in (h for h in HORIZONS_S if h <= t_s[-1] + 1e-6):
            at = int(np.abs(t_s - horizon_s).argmin())
            own, base = _at(branch, at), _at(unedited, at)
            row = {"branch": branch.name, "t_s": horizon_s, **own}
            row |= {f"unedited_{key}": base[key] for key in ("path_m", "ssim", "gap_true_m", "gap_read_m")}
            rows.append({key: row[key] for key in COLUMNS})
    return rows


def frame_rows(branches: Sequence[Compared]) -> list[dict[str, Any]]:
    """A row per branch, world, sample and frame: told and read motion and place, and the truth where it is known."""
    rows = []
    for branch in branches:
        t_s = branch.learned.t_s
        sides = [("learned", branch.learned, branch.verdicts)]
        if branch.true is not None:
            sides.append(("true", branch.true, [branch.true_verdict] if branch.true_verdict else []))
        for world, drive, verdicts in sides:
            for b in range(drive.frames.shape[1]):
                told, path = drive.motion[:, b], path_of(drive.motion[:, b], t_s)
                read = verdicts[b].columns() if verdicts else {}
                for t, time_s in enumerate(t_s):
                    row: dict[str, Any] = {
                        "branch": branch.name,
                        "world": world,
                        "sample": b,
                        "t_s": float(time_s),
                        "speed_mps": float(told.speed_mps[t]),
                        "yaw_rate_radps": float(told.yaw_rate_radps[t]),
                        "x_m": float(path[t, 0]),
                        "y_m": float(path[t, 1]),
                        **{f"read_{name}": float(column[t]) for name, column in read.items()},
                        "ssim": float(branch.ssim[t, b]) if world == "learned" else float("nan"),
                    }
                    for name in ("lane_offset_m", "gap_m", "closing_speed_mps"):
                        column = branch.truth(name) if world == "true" else None
                        row[name] = float("nan") if column is None else float(column[t])
                    for name in ("collision", "off_road"):
                        column = branch.truth(name) if world == "true" else None
                        row[name] = None if column is None else bool(column[t])
                    rows.append(row)
    return rows


def _at(branch: Compared, at: int) -> dict[str, Any]:
    gap, hit, lane = branch.truth("gap_m"), branch.truth("collision"), branch.truth("lane_offset_m")
    floor = None
    if branch.true_verdict is not None:
        floor = float(displacement_m(branch.true_verdict.path, branch.path(0))[at])
    lane_errors = []
    near = slice(max(0, at - _NEAR_FRAMES), at + _NEAR_FRAMES + 1)
    if lane is not None:
        # Markings are seen in some frames and not in others: those around the moment say more than it alone.
        errors = [np.abs(verdict.lane_offset_m[near] - lane[near]) for verdict in branch.verdicts]
        lane_errors = [float(np.median(each[np.isfinite(each)])) for each in errors if np.isfinite(each).any()]
    contacts = [verdict.collision for verdict in branch.verdicts if verdict.collision is not None]
    return {
        "path_m": known_mean(branch.path_error_m()[at]),
        "floor_m": floor,
        "travel_told_m": float(travelled_m(branch.path(0))[at]),
        "travel_read_m": known_mean([float(travelled_m(verdict.path)[at]) for verdict in branch.verdicts]),
        "lane_error_m": known_mean(lane_errors),
        "ssim": known_mean(branch.ssim[at]),
        "gap_true_m": None if gap is None or not np.isfinite(gap[at]) else float(gap[at]),
        "gap_read_m": known_mean([_gap_of(verdict, near) for verdict in branch.verdicts]),
        "gap_floor_m": known_mean([_gap_of(branch.true_verdict, near)]),
        "collision_true": None if hit is None else bool(hit[: at + 1].any()),
        "collision_read": any(bool(hits[: at + 1].any()) for hits in contacts) if contacts else None,
    }


def _gap_of(verdict: Verdict | None, near: slice) -> float:
    """NaN where perception was not asked, or sees nobody in most of the frames."""
    gap = np.array([]) if verdict is None or verdict.gap_m is None else verdict.gap_m[near]
    known = gap[np.isfinite(gap)]
    return float(np.median(known)) if 2 * len(known) > len(gap) else float("nan")
