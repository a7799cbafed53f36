"""The check that every prepared set goes through: does its labelled turn belong to its pictures?

The most winding windows of a set, spread over its drives, are looked at; lag, sign and gain of the labelled yaw rate
(or, in a set without one, of the column ``steering``) are estimated against the turn read from the pictures. What is
found stands in ``motion_check.json`` beside the episodes, and in the summary; a set that fails says what would fit.

Shapes: T frames of an episode.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Literal

import numpy as np

from worldmodel.datasets.alignment import estimate_alignment, image_turn
from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.types import FloatArray

#: Frames of a window, and between the windows of one set so that they are not set against each other.
WINDOW, MAX_LAG = 60, 8
#: Labelled turns that vary less than this, in radians a frame, cannot be told from noise.
STILL_RAD = 0.002
#: Below this correlation nothing belongs together; above this lag, in frames, something is wrong.
MIN_CORRELATION, MAX_LAG_FRAMES = 0.4, 0.5
_FILE = "motion_check.json"

Verdict = Literal["fits", "FLAGGED", "not told"]


@dataclasses.dataclass(frozen=True)
class MotionCheck:
    """What the check of a set found.

    Attributes:
        verdict: ``fits``, ``FLAGGED``, or ``not told`` where there was too little to see.
        label: what was looked at: ``yaw_rate``, ``steering`` or nothing.
        reason: for people; where flagged, the lag and sign that would fit.
        rows: frames that the estimate rests on.
        lag_frames: by which labels come late (positive) against the pictures; NaN when not told.
        lag_error_frames: its standard error; a long bend says little of the lag.
        correlation, gain: at that lag; a gain of a steering has no unit and no meaning.
    """

    verdict: Verdict
    label: str
    reason: str
    rows: int = 0
    lag_frames: float = float("nan")
    lag_error_frames: float = float("nan")
    correlation: float = float("nan")
    gain: float = float("nan")

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"

    def write(self, root: Path) -> None:
        """Keep it beside the episodes of a set."""
        (root / _FILE).write_text(json.dumps(dataclasses.asdict(self), indent=1))

    @classmethod
    def read(cls, root: Path) -> MotionCheck:
        """What ``write`` kept.

        Raises:
            ValueError: the set was not checked.
        """
        path = Path(root) / _FILE
        if not path.exists():
            raise ValueError(f"{path}: missing; prepare the set again")
        return cls(**json.loads(path.read_text()))


def check_motion(root: str | Path, *, max_frames: int = 600) -> MotionCheck:
    """Check a prepared set; looks at ``max_frames`` frames at most (about 10 ms each at 128x256).

    Raises:
        ValueError: there is no complete episode.
    """
    episodes = list(EpisodeDataset(root))
    label = "yaw_rate"
    labelled = [_yaw_turn(episode) for episode in episodes]
    if not any(np.isfinite(turn).any() for turn in labelled):
        label, labelled = "steering", [_steering(episode) for episode in episodes]
    if not any(np.isfinite(turn).any() for turn in labelled):
        return MotionCheck("not told", "", "neither yaw rate nor steering is known")
    windows = _most_winding(episodes, labelled, max_frames // WINDOW)
    images, labels = [np.empty(0)], [np.empty(0)]
    gap = np.full(2 * MAX_LAG, np.nan)
    for place, start in windows:
        episode = episodes[place]
        frames = episode.read(start, min(WINDOW, len(episode) - start))
        turn = image_turn(frames, episode.info.camera, episode.info.valid_mask)
        images += [turn, gap]
        labels += [labelled[place][start : start + len(turn)], gap]
    image, turned = np.concatenate(images), np.concatenate(labels)
    known = np.isfinite(image) & np.isfinite(turned)
    rows = int(known.sum())
    if rows < 30:
        return MotionCheck("not told", label, f"the turn can be read in {rows} frames only", rows)
    low, high = np.percentile(image[known], (16, 84))
    spread = turned[known].std() if label == "yaw_rate" else (high - low) / 2
    if spread < STILL_RAD or turned[known].std() < 1e-6:
        return MotionCheck("not told", label, "the drives hardly turn", rows)
    return judge(image, turned, label)


def judge(image_turn_rad: FloatArray, labelled: FloatArray, label: str = "yaw_rate") -> MotionCheck:
    """The verdict on image turns ``(N,)`` and labels ``(N,)``, NaN where unknown.

    Raises:
        ValueError: fewer than 30 rows where both are known, or labels that never change.
    """
    fit = estimate_alignment(image_turn_rad, labelled, max_lag_frames=MAX_LAG)
    error = _lag_error(image_turn_rad, labelled, round(fit.lag_frames))
    lag, found = round(fit.lag_frames, 1), (fit.rows, fit.lag_frames, error, fit.correlation, fit.gain)
    measured = f"{label} at a lag of {lag:+.1f} ± {error:.1f} frames, correlation {fit.correlation:.2f}"
    measured += f", gain {fit.gain:.2f}" if label == "yaw_rate" else ""
    if abs(fit.correlation) < MIN_CORRELATION:
        if fit.rows < 2 * WINDOW:
            return MotionCheck("not told", label, f"{measured}: too few frames", *found)
        return MotionCheck("FLAGGED", label, f"{measured}: at no lag and sign does it belong to the pictures", *found)
    wrong = []
    if fit.correlation < 0:
        wrong.append("the other sign")
    if abs(fit.lag_frames) - 3 * error >= MAX_LAG_FRAMES:
        wrong.append(f"labels {abs(lag):.1f} frames {'earlier' if lag > 0 else 'later'}")
    if wrong:
        return MotionCheck("FLAGGED", label, f"{measured}: {' and '.join(wrong)} would fit", *found)
    if abs(fit.lag_frames) >= MAX_LAG_FRAMES:
        return MotionCheck("not told", label, f"{measured}: it turns too evenly to tell the lag", *found)
    return MotionCheck("fits", label, measured, *found)


def _lag_error(image: FloatArray, label: FloatArray, lag: int) -> float:
    """Standard error of a lag, in frames: noise over slope, for residuals that are correlated from row to row."""
    shifted = np.roll(label, -lag)
    if lag:
        shifted[-lag if lag > 0 else 0 : None if lag > 0 else -lag] = np.nan
    known = np.isfinite(image) & np.isfinite(shifted)
    if known.sum() < 10:
        return float("inf")
    gain, offset = np.polyfit(shifted[known], image[known], 1)
    residual = np.where(known, image - gain * shifted - offset, 0.0)
    slope = np.nan_to_num(gain * np.gradient(shifted))
    energy = float((residual**2).sum())
    if energy == 0:
        return 0.0
    follows = float(np.clip((residual[1:] * residual[:-1]).sum() / energy, 0.0, 0.95))
    noise = np.sqrt(energy / known.sum() * (1 + follows) / (1 - follows))
    return float(noise / max(np.sqrt((slope[known] ** 2).sum()), 1e-12))


def _yaw_turn(episode: Episode) -> FloatArray:
    """``(T - 1,)`` labelled turn from each frame to the next."""
    return episode.motion.yaw_rate_radps[:-1] * np.diff(episode.t_s)


def _steering(episode: Episode) -> FloatArray:
    column = episode.columns.get("steering")
    return np.full(len(episode) - 1, np.nan) if column is None else np.asarray(column, dtype=np.float64)[:-1]


def _most_winding(episodes: list[Episode], labelled: list[FloatArray], count: int) -> list[tuple[int, int]]:
    """Windows (episode, first frame) whose labels vary most; every drive comes once before any comes again."""
    by_drive: dict[str, list[tuple[float, int, int]]] = {}
    for place, (episode, turn) in enumerate(zip(episodes, labelled)):
        for start in range(0, max(1, len(turn) - WINDOW // 2), WINDOW):
            part = turn[start : start + WINDOW]
            if np.isfinite(part).sum() >= 10:
                drive = by_drive.setdefault(episode.info.drive_id, [])
                drive.append((float(np.nanstd(part)), place, start))
    ranked = [(rank, -spread, place, start) for windows in by_drive.values()
              for rank, (spread, place, start) in enumerate(sorted(windows, reverse=True))]  # fmt: skip
    return [(place, start) for _, _, place, start in sorted(ranked)[:count]]
