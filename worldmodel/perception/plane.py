"""Speed and yaw rate read back from video by plain geometry, with nothing learned.

A first yaw rate is the small rotation that explains the paths of corners at any depth. Speed is the shift of a plane at
the camera's height that lays one frame's ground onto the next: a search over whole shifts, the most likely smooth
course through them, then a refinement in which the turn and the body's pitch are unknown too (it pitches on braking,
and half a degree would be a tenth of the speed). Knows one level camera of known height; nothing of worlds, networks
or files. Where the pictures do not say, the reading is NaN.

On eight clear days of the reference world (4 s each; country, motorway, town; weaving, swerving, dense traffic) it was
off by 0.13 m/s and 0.002 rad/s a step on average at 128×256, and by 0.21 m/s and 0.002 rad/s at 64×128; on one night
of rain by 0.16 m/s and 0.002 rad/s, where corners alone are 0.05 rad/s off.

Shapes: T frames of one uninterrupted stretch; H, W pixels; K shifts; P pixels of ground.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.alignment import image_turn
from worldmodel.perception.ground import (
    GroundBand,
    Image,
    agreement,
    local_contrast,
    nearest_visible_m,
    require_frames,
    require_level,
    sample,
)
from worldmodel.types import Camera, FloatArray, FrameArray

#: No road vehicle turns or goes faster: a larger reading is a failure of the reading.
_YAW_LIMIT_RADPS, _SPEED_LIMIT_MPS = 2.0, 46.0
#: The search: step of whole shifts, the band of ground it looks at, and how soon an acceleration becomes unlikely.
_SHIFT_M, _NEAR_M, _FAR_M, _ACCEL_MPS2, _COURSE_COST = 0.1, 6.5, 25.0, 6.0, 0.02
#: The refinement: how much ground must agree for a reading to count, and the scale of an unlike pixel.
_MATCH_MIN, _UNLIKE = 0.33, 0.5
#: One standard deviation of dive, its change, and the error of the first turn, each in rad.
_DIVE_RAD, _DIVE_CHANGE_RAD, _TURN_ERROR_RAD = 0.01, 0.002, 0.004
_NOISE = 2.0
_PRIOR = np.array([0, 1 / _DIVE_RAD, 1 / _DIVE_CHANGE_RAD, 1 / _TURN_ERROR_RAD]) ** 2
_NUDGE = np.array([0.02, 0.001, 0.0005, 0.0005])


@dataclasses.dataclass(frozen=True)
class GroundMotion:
    """What the ground says of each step, ``(T,)`` each; the last row is NaN.

    Attributes:
        speed_mps: forwards; NaN where the ground of two frames does not match at any shift.
        yaw_rate_radps: left positive; NaN as speed is.
        dive_rad: nose-down pitch of the body.
        match: agreement of the two frames' ground at the best shift; 1 equal, 0 unrelated.
    """

    speed_mps: FloatArray
    yaw_rate_radps: FloatArray
    dive_rad: FloatArray
    match: FloatArray


def read_motion(
    frames: FrameArray, t_s: FloatArray, camera: Camera, *, valid_mask: NDArray[np.bool_] | None = None
) -> GroundMotion:
    """Speed, yaw rate and pitch of every step: a first turn from corners, all from the ground where it matches.

    Where it does not, the yaw rate is that of the corners and the speed is unknown.

    Args:
        frames: ``(T, H, W, 3)`` uint8.
        t_s: ``(T,)`` seconds.
        camera: level, of known height.
        valid_mask: ``(H, W)`` false where the camera saw nothing.

    Raises:
        ValueError: a camera that is not level or of unknown height, shapes that disagree, times that do not increase.
    """
    require_level(camera)
    corners = read_yaw_of_corners(frames, t_s, camera, valid_mask=valid_mask)
    ground = read_ground_motion(frames, t_s, camera, _steadied(corners))
    yaw = np.where(np.isfinite(ground.yaw_rate_radps), ground.yaw_rate_radps, corners)
    return dataclasses.replace(ground, yaw_rate_radps=yaw)


def read_yaw_rate(
    frames: FrameArray, t_s: FloatArray, camera: Camera, *, valid_mask: NDArray[np.bool_] | None = None
) -> FloatArray:
    """``(T,)`` rad/s, left positive; row t from frame t to t + 1, the last NaN: that of ``read_motion``.

    From corners alone when the camera's height is unknown.

    Raises:
        ValueError: as ``read_motion``.
    """
    if np.isnan(camera.height_m):
        return read_yaw_of_corners(frames, t_s, camera, valid_mask=valid_mask)
    return read_motion(frames, t_s, camera, valid_mask=valid_mask).yaw_rate_radps


def read_yaw_of_corners(
    frames: FrameArray, t_s: FloatArray, camera: Camera, *, valid_mask: NDArray[np.bool_] | None = None
) -> FloatArray:
    """``(T,)`` rad/s, left positive, from the paths of corners; the last row is NaN. Needs no height of the camera.

    Raises:
        ValueError: shapes that disagree, or times that do not increase.
    """
    require_frames(frames, t_s, camera)
    yaw = np.full(len(frames), np.nan)
    if len(frames) > 1:
        yaw[:-1] = image_turn(frames, camera, valid_mask) / np.diff(t_s)
    yaw[np.abs(np.nan_to_num(yaw)) > _YAW_LIMIT_RADPS] = np.nan
    return yaw


def read_speed(frames: FrameArray, t_s: FloatArray, camera: Camera, yaw: FloatArray) -> FloatArray:
    """``(T,)`` m/s, as ``read_ground_motion`` reads it; the last row is NaN.

    Raises:
        ValueError: as ``read_ground_motion``.
    """
    return read_ground_motion(frames, t_s, camera, yaw).speed_mps


def read_ground_motion(frames: FrameArray, t_s: FloatArray, camera: Camera, yaw: FloatArray) -> GroundMotion:
    """Speed, yaw rate and pitch of every step by laying the ground of one frame onto the next.

    Args:
        frames: ``(T, H, W, 3)`` uint8.
        t_s: ``(T,)`` seconds.
        camera: level, of known height.
        yaw: ``(T,)`` rad/s to begin with; NaN counts as straight on. It may be 0.04 rad/s off.

    Raises:
        ValueError: a camera that is not level or of unknown height, shapes that disagree, times that do not increase.
    """
    require_level(camera)
    require_frames(frames, t_s, camera)
    if np.shape(yaw) != (len(frames),):
        raise ValueError(f"yaw: expected shape ({len(frames)},), got {np.shape(yaw)}")
    count = len(frames)
    speed, turned, dives, matches = np.full((4, count), np.nan)
    if count < 2:
        return GroundMotion(speed, turned, dives, matches)
    dt_s = np.diff(t_s)
    turn = np.nan_to_num(np.asarray(yaw, dtype=np.float64)[:-1]) * dt_s
    ground = [local_contrast(frame) for frame in frames]
    shifts = np.arange(-1, np.ceil(_SPEED_LIMIT_MPS * dt_s.max() / _SHIFT_M) + 1) * _SHIFT_M
    band = GroundBand(camera, _NEAR_M, _FAR_M, stride=2 if camera.height_px >= 128 else 1)
    scores = np.array([_scores(band, a, b, shifts, angle) for (a, b), angle in zip(itertools.pairwise(ground), turn)])
    course = shifts[_likely_course(scores, _SHIFT_M / float(np.median(dt_s)) ** 2 / _ACCEL_MPS2)]
    for t, (a, b) in enumerate(itertools.pairwise(ground)):
        unknowns, matches[t] = _refine(camera, a, b, float(course[t]), float(turn[t]))
        forward, dives[t], _, turn_error = unknowns
        if matches[t] >= _MATCH_MIN and abs(forward - course[t]) < 4 * _SHIFT_M:
            speed[t], turned[t] = forward / dt_s[t], (turn[t] + turn_error) / dt_s[t]
    return GroundMotion(speed, turned, dives, matches)


def _steadied(yaw: FloatArray) -> FloatArray:
    """Median of five: yaw changes little in 0.4 s, and one bad step must not lead the ground astray."""
    padded = np.pad(yaw, 2, constant_values=np.nan)
    around = np.lib.stride_tricks.sliding_window_view(padded, 5)
    known = np.isfinite(around).any(axis=1)
    steady = np.zeros(len(yaw))
    steady[known] = np.nanmedian(around[known], axis=1)
    return steady


def _scores(band: GroundBand, before: Image, after: Image, shifts: FloatArray, turn_rad: float) -> FloatArray:
    """``(K,)`` agreement of the ground at each shift."""
    scores = np.empty(len(shifts))
    here = before[band.index]
    for k, shift in enumerate(shifts):
        columns, rows = band.moved(float(shift), turn_rad)
        inside = band.inside(columns, rows)
        scores[k] = agreement(here[inside], sample(after, columns, rows)[inside])
    return scores


def _likely_course(scores: FloatArray, step_cost: float) -> NDArray[np.int64]:
    """Indices ``(T - 1,)`` of the course through ``(T - 1, K)`` with the best sum of scores less jumps (Viterbi)."""
    steps = np.arange(scores.shape[1])
    jump = _COURSE_COST * ((steps[:, None] - steps[None]) * step_cost) ** 2
    total, came_from = scores[0], []
    for row in scores[1:]:
        reach = total[:, None] - jump
        came_from.append(reach.argmax(axis=0))
        total = reach.max(axis=0) + row
    course = [int(total.argmax())]
    for back in reversed(came_from):
        course.append(int(back[course[-1]]))
    return np.array(course[::-1])


def _refine(camera: Camera, before: Image, after: Image, shift_m: float, turn_rad: float) -> tuple[FloatArray, float]:
    """Shift, dive, change of dive and error of the turn by robust Gauss-Newton, and the agreement they reach."""
    near = max(nearest_visible_m(camera) + shift_m + 0.3, 4.0)
    band = GroundBand(camera, near, _FAR_M)
    # Pixels are chosen once, with some room, so that every step compares the same ground.
    inside = band.inside(*band.moved(shift_m + 0.15, turn_rad))
    here = before[band.index][inside]

    def unlike(unknowns: FloatArray) -> FloatArray:
        columns, rows = band.moved(unknowns[0], turn_rad + unknowns[3], unknowns[1], unknowns[2])
        return (sample(after, columns, rows)[inside] - here).astype(np.float64)

    unknowns = np.array([shift_m, 0.0, 0.0, 0.0])
    residual = unlike(unknowns)
    for _ in range(20):
        # Central differences: forward ones correlate with the residual's own noise and pull the shift by a percent.
        slopes = [(unlike(unknowns + e) - unlike(unknowns - e)) / (2 * e.sum()) for e in np.diag(_NUDGE)]
        jacobian = np.stack(slopes, axis=1)
        weight = 1 / (1 + (residual / _UNLIKE) ** 2) / _NOISE**2
        normal = (jacobian * weight[:, None]).T @ jacobian + np.diag(_PRIOR) + 1e-9 * np.eye(4)
        slope = (jacobian * weight[:, None]).T @ residual + _PRIOR * unknowns
        change = np.clip(np.linalg.solve(normal, slope), -0.15, 0.15)
        unknowns -= change
        residual = unlike(unknowns)
        if np.abs(change[0]) < 1e-3 and np.abs(change[3]) < 2e-5:
            break
    return unknowns, agreement(here, (residual + here).astype(np.float32))
