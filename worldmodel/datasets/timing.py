"""From a source's own times and motion to ours: constant strides of real frames, and motion from frame to frame.

Real frames are taken at the constant stride whose step is nearest ``STEP_S``; none is blended or repeated. Motion at
row t is always the forward difference from frame t to the next one taken. Knows arrays, not files.

Shapes: N rows of the source; M frames taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import advance
from worldmodel.types import EgoMotion, FloatArray

#: The step between frames that is aimed at, and the bounds a step must keep.
STEP_S = 0.1
MIN_STEP_S, MAX_STEP_S = 0.06, 0.15
_SLACK_S = 1e-6


def choose_stride(t_s: FloatArray, breaks: NDArray[np.bool_] | None = None) -> int:
    """How many source frames to advance per step, so that the median step is nearest 0.1 s (of two, the shorter).

    Args:
        t_s: ``(N,)`` seconds.
        breaks: ``(N,)`` true where a frame does not follow on from the one before.

    Raises:
        ValueError: no stride gives a step between 60 and 150 ms.
    """
    follows = np.ones(len(t_s) - 1, bool) if breaks is None else ~breaks[1:]
    steps = np.diff(t_s)[follows]
    steps = steps[steps > 0]
    if not len(steps):
        raise ValueError("times: fewer than two frames that follow each other")
    step_s = float(np.median(steps))
    below = max(1, math.floor(STEP_S / step_s))
    # Sources name round rates: 40 ms is 80 or 120, equally far; rounding keeps that a tie, and a tie takes the shorter.
    stride = min((below, below + 1), key=lambda k: round(abs(k * step_s - STEP_S), 5))
    if not MIN_STEP_S - _SLACK_S <= stride * step_s <= MAX_STEP_S + _SLACK_S:
        raise ValueError(
            f"times: a frame every {step_s * 1e3:.0f} ms gives no step between {MIN_STEP_S * 1e3:.0f} and "
            f"{MAX_STEP_S * 1e3:.0f} ms; this source is too slow to learn from"
        )
    return stride


def stretches(
    t_s: FloatArray, stride: int, *, breaks: NDArray[np.bool_] | None = None, usable: NDArray[np.bool_] | None = None
) -> list[NDArray[np.int64]]:
    """Source rows of every uninterrupted stretch, each ``(M,)``, taken at a constant stride.

    A stretch ends where a break lies between two frames, where the next frame is not usable, or where the step leaves
    60–150 ms; the next begins at the first usable row after it.
    """
    count = len(t_s)
    usable = np.ones(count, bool) if usable is None else usable
    crossed = np.concatenate([[0], np.cumsum(np.zeros(count - 1, bool) if breaks is None else breaks[1:])])
    found: list[NDArray[np.int64]] = []
    at = 0
    while at < count:
        if not usable[at]:
            at += 1
            continue
        rows = [at]
        while True:
            here, there = rows[-1], rows[-1] + stride
            if there >= count or crossed[there] != crossed[here] or not usable[there]:
                break
            if not MIN_STEP_S - _SLACK_S <= t_s[there] - t_s[here] <= MAX_STEP_S + _SLACK_S:
                break
            rows.append(there)
        found.append(np.array(rows, dtype=np.int64))
        at = rows[-1] + 1
    return found


def motion_between(motion: EgoMotion, t_s: FloatArray, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> EgoMotion:
    """Motion ``(M,)`` from each row of ``starts`` to that of ``ends``, composed from per-row forward motion ``(N,)``.

    A channel is NaN when any row it is made of is, or when ``ends`` lies beyond the last row. Where only speed is
    known the path within one step is taken as straight, which shortens a chord by less than 0.1 %.
    """
    motion = motion.of_frames()
    times = np.append(np.asarray(t_s, dtype=np.float64), np.nan)
    last = len(t_s) - 1
    beyond = (ends > last) | (starts > last)
    ends, starts = np.minimum(ends, last), np.minimum(starts, last)
    pose = np.zeros((len(starts), 3))
    turn = np.zeros(len(starts))
    for offset in range(int((ends - starts).max(initial=0))):
        row = np.where(starts + offset < ends, starts + offset, last + 1)
        active = starts + offset < ends
        step = motion[row]
        dt_s = np.where(active, times[np.minimum(row + 1, last)] - times[np.minimum(row, last)], 0.0)
        straight = EgoMotion(step.speed_mps, np.nan_to_num(step.yaw_rate_radps))
        pose = np.where(active[:, None], advance(pose, straight, dt_s), pose)  # type: ignore[arg-type]
        turn = np.where(active, turn + step.yaw_rate_radps * dt_s, turn)
    span_s = times[ends] - times[starts]
    span_s = np.where(beyond | (span_s <= 0), np.nan, span_s)
    sign = np.where(pose[:, 0] < 0, -1.0, 1.0)
    return EgoMotion(sign * np.hypot(pose[:, 0], pose[:, 1]) / span_s, turn / span_s)


def mean_between(sample_t_s: FloatArray, values: FloatArray, t_s: FloatArray, *, max_gap_s: float = 0.5) -> FloatArray:
    """Mean of a sampled signal between each frame time and the next ``(N,)``: instantaneous rates become motion.

    The signal is taken as linear between samples. NaN where a span leaves the samples, or touches a NaN sample or a
    gap above ``max_gap_s``; the last row is NaN.
    """
    sample_t_s, values = np.asarray(sample_t_s, np.float64), np.asarray(values, np.float64)
    t_s = np.asarray(t_s, np.float64)
    out = np.full(len(t_s), np.nan)
    known = np.isfinite(sample_t_s) & np.isfinite(values)
    if known.sum() < 2 or len(t_s) < 2:
        return out
    at, of = sample_t_s[known], values[known]
    order = np.argsort(at, kind="stable")
    at, of = at[order], of[order]
    knots = np.union1d(at, t_s)
    signal = np.interp(knots, at, of)
    steps = np.diff(knots)
    integral = np.concatenate([[0.0], np.cumsum((signal[1:] + signal[:-1]) / 2 * steps)])
    # Count, up to every knot, the pieces that lie in a gap of the samples or outside them.
    right = np.searchsorted(at, knots[1:], side="left")
    inside = (knots[:-1] >= at[0]) & (knots[1:] <= at[-1])
    gap = at[np.minimum(right, len(at) - 1)] - at[np.maximum(right - 1, 0)]
    bad = np.concatenate([[0], np.cumsum((~inside | (gap > max_gap_s)) & (steps > 0))])
    here = np.searchsorted(knots, t_s)
    span_s = np.diff(t_s)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (integral[here[1:]] - integral[here[:-1]]) / span_s
    out[:-1] = np.where((bad[here[1:]] == bad[here[:-1]]) & (span_s > 0), mean, np.nan)
    return out
