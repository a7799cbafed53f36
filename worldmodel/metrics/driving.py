"""How well was a drive driven? Scores of one drive from an account of it, whoever gives the account.

The same code scores the true world by its truth, the true world by the judge, and a learned world by the judge: an
``Account`` holds what one of them says, frame by frame. Everything counts up to the first failure, where the drive is
over for its scores. Pure functions; nothing of worlds, policies or pixels.

Shapes: T frames of a drive.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray

#: Limits of comfort: nuPlan (arXiv 2403.04133), acceleration along and across, and jerk along.
ACCEL_MPS2, LATERAL_MPS2, JERK_MPS3 = (-4.05, 2.40), 4.89, 4.13
#: A time to collision below this is too short.
SHORT_TTC_S = 2.0
#: An offset of this much, half of a usual lane, is worth nothing.
_HALF_LANE_M = 1.75
#: Speed is smoothed over so long before it is differentiated.
_SMOOTHING_S = 1.5
#: Nobody is asked for less than this, however slowly a drive begins.
_LEAST_SPEED_MPS = 5.0
#: Keys of ``score_drive``, how people call them, and which way is better.
SCORES = {
    "composite": ("composite", "up"),
    "completion": ("share of the way", "up"),
    "progress_m": ("metres along the lane", "up"),
    "collision": ("collisions per km", "down"),
    "off_road": ("off the road per km", "down"),
    "time_to_collision": ("share of time above 2 s to collision", "up"),
    "lane_deviation_m": ("off the lane's middle, m", "down"),
    "comfort": ("share of time inside comfort", "up"),
    "jerk_mps3": ("jerk, m/s³", "down"),
    "lateral_mps2": ("sideways acceleration, m/s²", "down"),
}
#: Of these the score over many drives is the sum over the sum of kilometres.
PER_KM = ("collision", "off_road")


@dataclasses.dataclass(frozen=True)
class Account:
    """What somebody says of a drive, ``(T,)`` each.

    Attributes:
        t_s: seconds.
        speed_mps, yaw_rate_radps: from frame t to t + 1; NaN where not known, as in the last row.
        heading_error_rad: of the ego against its lane, left positive.
        lane_offset_m: from the middle of the lane; NaN where not known.
        gap_m: to whoever is ahead, NaN where nobody is. closing_speed_mps: at which it shrinks.
        collision, off_road: bool.
    """

    t_s: FloatArray
    speed_mps: FloatArray
    yaw_rate_radps: FloatArray
    heading_error_rad: FloatArray
    lane_offset_m: FloatArray
    gap_m: FloatArray
    closing_speed_mps: FloatArray
    collision: NDArray[np.bool_]
    off_road: NDArray[np.bool_]

    def validate(self) -> Account:
        """Raise ``ValueError`` unless there are at least two frames and every column has their number."""
        count = len(self.t_s)
        if count < 2:
            raise ValueError(f"Account.t_s: expected at least two frames, got {count}")
        for field in dataclasses.fields(self):
            column = np.shape(getattr(self, field.name))
            if column != (count,):
                raise ValueError(f"Account.{field.name}: expected shape ({count},), got {column}")
        return self


def failure_of(account: Account) -> int | None:
    """The first frame at which the ego collides or is off the road; ``None`` if it never is."""
    failed = np.flatnonzero(account.collision | account.off_road)
    return int(failed[0]) if len(failed) else None


def score_drive(account: Account, *, start_speed_mps: float, length_s: float) -> dict[str, float]:
    """Scores of one drive.

    ``completion`` is progress over what the speed at the start would have covered in ``length_s``, at most 1.
    ``composite`` is completion times (5 + 5 time_to_collision + 2 comfort + 2 lane) / 14: the terms and weights of
    NAVSIM's score (arXiv 2406.15349) and of its lane keeping (arXiv 2506.04218), but that completion multiplies,
    because a drive here ends where it fails, and that each term is a share, so that it tells policies apart.

    Args:
        account: of the drive.
        start_speed_mps: at which it began.
        length_s: for which it would have gone on without failure.

    Returns:
        ``SCORES`` (``collision`` and ``off_road`` as 0 or 1: which of the two ended it, or both), ``driven_km`` that
        they are counted over, and ``failed_s``, NaN where it did not fail. What nobody could know is NaN.
    """
    account.validate()
    failed = failure_of(account)
    last = len(account.t_s) - 1 if failed is None else failed
    dt_s = float(np.median(np.diff(account.t_s)))
    speed, yaw = _filled(account.speed_mps[:last]), _filled(account.yaw_rate_radps[:last])
    heading = np.nan_to_num(account.heading_error_rad[:last])
    progress_m = max(0.0, float((speed * np.cos(heading)).sum() * dt_s)) if last else 0.0
    wanted_m = max(start_speed_mps, _LEAST_SPEED_MPS) * length_s
    completion = min(1.0, progress_m / wanted_m)
    smooth, accel, jerk = derivatives(speed, dt_s)
    lateral = np.abs(smooth * yaw[: len(smooth)]) if last else np.zeros(0)
    comfort = (accel > ACCEL_MPS2[0]) & (accel < ACCEL_MPS2[1]) & (lateral < LATERAL_MPS2) & (np.abs(jerk) < JERK_MPS3)
    comfort_share = float(comfort.mean()) if last else 1.0
    ttc = time_to_collision(account.gap_m[: last + 1], account.closing_speed_mps[: last + 1])
    safe = float((ttc >= SHORT_TTC_S).mean())
    aside = np.abs(account.lane_offset_m[: last + 1])
    aside_m = float(np.nanmean(aside)) if np.isfinite(aside).any() else float("nan")
    lane = 0.5 if np.isnan(aside_m) else max(0.0, 1 - aside_m / _HALF_LANE_M)
    return {
        "composite": completion * (5 + 5 * safe + 2 * comfort_share + 2 * lane) / 14,
        "completion": completion,
        "progress_m": progress_m,
        "collision": float(failed is not None and account.collision[failed]),
        "off_road": float(failed is not None and account.off_road[failed]),
        "time_to_collision": safe,
        "lane_deviation_m": aside_m,
        "comfort": comfort_share,
        "jerk_mps3": float(np.sqrt(np.mean(jerk**2))) if last else 0.0,
        "lateral_mps2": float(np.sqrt(np.mean(lateral**2))) if last else 0.0,
        "driven_km": float(np.abs(speed).sum() * dt_s) / 1000,
        "failed_s": float("nan") if failed is None else float(account.t_s[failed] - account.t_s[0]),
    }


def gave_up(score: dict[str, float]) -> dict[str, float]:
    """The scores of a drive whose policy broke down: what was driven stays as it is, but the composite is 0."""
    return score | {"composite": 0.0}


def time_to_collision(gap_m: FloatArray, closing_mps: FloatArray) -> FloatArray:
    """Seconds ``(T,)`` until the gap is used up at the present closing speed; infinite where it does not shrink."""
    closing = np.isfinite(gap_m) & (np.nan_to_num(closing_mps) > 1e-3)
    return np.where(closing, np.maximum(gap_m, 0.0) / np.where(closing, closing_mps, 1.0), np.inf)


def derivatives(values: FloatArray, dt_s: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Values ``(T,)`` smoothed, and their first and second derivatives: a local parabola by least squares.

    Savitzky and Golay, Analytical Chemistry 36, 1627 (1964); at the ends the nearest whole window's parabola goes on.
    """
    count = len(values)
    width = min(round(_SMOOTHING_S / dt_s) | 1, count if count % 2 else count - 1)
    if width < 3:
        flat = np.zeros(count)
        return np.asarray(values, dtype=np.float64).copy(), flat, flat.copy()
    half = width // 2
    offset_s = dt_s * np.arange(-half, half + 1)
    solve = np.linalg.pinv(np.stack([np.ones(width), offset_s, offset_s**2], axis=1))
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    middle = np.clip(np.arange(count), half, count - 1 - half)
    a, b, c = (windows @ solve.T)[middle - half].T
    away_s = dt_s * (np.arange(count) - middle)
    return a + b * away_s + c * away_s**2, b + 2 * c * away_s, 2 * c


def sustained(probability: FloatArray, dt_s: float, *, hold_s: float, sure: float = 0.5) -> NDArray[np.bool_]:
    """``(T,)`` where the mean of a probability over the last ``hold_s`` is above ``sure``.

    A reading that errs in single frames would end every long drive; one that holds does not. NaN counts as 0.
    """
    return moving_mean(probability, dt_s, hold_s=hold_s) > sure


def moving_mean(values: FloatArray, dt_s: float, *, hold_s: float) -> FloatArray:
    """``(T,)`` mean of each value and those of the ``hold_s`` before it; before the first all were 0, as NaN is."""
    width = max(1, round(hold_s / dt_s))
    padded = np.concatenate([np.zeros(width - 1), np.nan_to_num(np.asarray(values, dtype=np.float64))])
    return np.lib.stride_tricks.sliding_window_view(padded, width).mean(axis=1)


def _filled(values: FloatArray) -> FloatArray:
    """What is not known as it was between what is."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values))
    at = np.arange(len(values))
    return np.interp(at, at[known], np.asarray(values, dtype=np.float64)[known])
