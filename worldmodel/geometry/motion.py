"""How the ego moves: SE(2), the vehicle that turns controls into motion, dead reckoning.

Poses are ``(..., 3)`` arrays of x_m, y_m, heading_rad (x forwards, y left, heading counter-clockwise). The reference
point is the ground point under the camera, taken to follow the path without slip. A motion's chord points half way
between the headings before and after, which is exact on a circular arc, so ``ego_motion`` and ``dead_reckon`` are
inverses of each other.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import Controls, EgoMotion, FloatArray

PoseArray = NDArray[np.float64]


def wrap_angle(angle_rad: FloatArray | float) -> NDArray[np.float64]:
    """The same angle in (-pi, pi]."""
    wrapped = np.mod(np.asarray(angle_rad, dtype=np.float64) + math.pi, 2 * math.pi) - math.pi
    return np.where(wrapped == -math.pi, math.pi, wrapped)


def compose(pose: PoseArray, relative: PoseArray) -> PoseArray:
    """``pose`` followed by ``relative``, which is given in the axes of ``pose``; leading shapes broadcast."""
    x, y, heading = np.moveaxis(np.asarray(pose, dtype=np.float64), -1, 0)
    dx, dy, turn = np.moveaxis(np.asarray(relative, dtype=np.float64), -1, 0)
    cos, sin = np.cos(heading), np.sin(heading)
    return np.stack([x + cos * dx - sin * dy, y + sin * dx + cos * dy, heading + turn], axis=-1)


def between(start: PoseArray, end: PoseArray) -> PoseArray:
    """``end`` seen from ``start``: the SE(2) element start^-1 end, its angle wrapped."""
    delta = np.asarray(end, dtype=np.float64) - np.asarray(start, dtype=np.float64)
    cos, sin = np.cos(start[..., 2]), np.sin(start[..., 2])
    dx, dy = delta[..., 0], delta[..., 1]
    return np.stack([cos * dx + sin * dy, -sin * dx + cos * dy, wrap_angle(delta[..., 2])], axis=-1)


def ego_motion(poses: PoseArray, t_s: FloatArray) -> EgoMotion:
    """Motion ``(T,)`` of a path of poses ``(T, 3)``: the forward difference over the true time; the last is unknown."""
    relative = between(poses[:-1], poses[1:])
    dt_s = np.diff(np.asarray(t_s, dtype=np.float64))
    chord_m = np.hypot(relative[:, 0], relative[:, 1]) * np.where(relative[:, 0] < 0, -1.0, 1.0)
    return EgoMotion(np.append(chord_m / dt_s, np.nan), np.append(relative[:, 2] / dt_s, np.nan))


def dead_reckon(motion: EgoMotion, t_s: FloatArray, start: PoseArray | None = None) -> PoseArray:
    """Poses ``(T, 3)`` reached by motion ``(T,)``, whose last row is not used; NaN motion makes NaN poses."""
    dt_s = np.diff(np.asarray(t_s, dtype=np.float64))
    first = np.zeros(3) if start is None else np.asarray(start, dtype=np.float64)
    turn = motion.yaw_rate_radps[:-1] * dt_s
    heading = first[2] + np.concatenate([[0.0], np.cumsum(turn)])
    chord_m = motion.speed_mps[:-1] * dt_s
    direction = heading[:-1] + turn / 2
    x = first[0] + np.concatenate([[0.0], np.cumsum(chord_m * np.cos(direction))])
    y = first[1] + np.concatenate([[0.0], np.cumsum(chord_m * np.sin(direction))])
    return np.stack([x, y, heading], axis=-1)


def advance(pose: PoseArray, motion: EgoMotion, dt_s: float) -> PoseArray:
    """The pose ``(..., 3)`` after moving for ``dt_s``."""
    turn = motion.yaw_rate_radps * dt_s
    chord_m = motion.speed_mps * dt_s
    relative = np.stack([chord_m * np.cos(turn / 2), chord_m * np.sin(turn / 2), turn], axis=-1)
    return compose(pose, relative)


def curvature_of_steering(steering_rad: FloatArray | float, wheelbase_m: float) -> NDArray[np.float64]:
    """Path curvature of a kinematic bicycle at a road-wheel angle, left positive."""
    return np.tan(np.asarray(steering_rad, dtype=np.float64)) / wheelbase_m


@dataclasses.dataclass(frozen=True)
class VehicleLimits:
    """What the ego can do.

    Attributes:
        accel_min_mps2, accel_max_mps2: along the path.
        speed_max_mps: forwards; it never reverses.
        curvature_max_1pm: tightest turn (a turning circle of 11 m).
        curvature_rate_max_1pmps: how fast the wheel turns, as change of curvature per second.
        lateral_accel_max_mps2: grip; tighter wishes are widened to it.
    """

    accel_min_mps2: float = -8.0
    accel_max_mps2: float = 4.0
    speed_max_mps: float = 45.0
    curvature_max_1pm: float = 0.18
    curvature_rate_max_1pmps: float = 0.3
    lateral_accel_max_mps2: float = 7.0


@dataclasses.dataclass(frozen=True)
class VehicleState:
    """Speed and curvature ``(...)`` the vehicle has now."""

    speed_mps: FloatArray
    curvature_1pm: FloatArray


def drive(
    state: VehicleState, controls: Controls, dt_s: float, limits: VehicleLimits | None = None
) -> tuple[VehicleState, EgoMotion]:
    """A kinematic bicycle with limits: controls held for ``dt_s`` become the next state and the motion in between.

    Speed changes linearly and stops at zero, so the distance is the integral of the true speed profile; curvature is
    that reached at the end of the step. The motion is exact for an arc of that curvature.
    """
    limits = limits or VehicleLimits()
    speed = np.asarray(state.speed_mps, dtype=np.float64)
    accel = np.clip(controls.accel_mps2, limits.accel_min_mps2, limits.accel_max_mps2)
    next_speed = np.clip(speed + accel * dt_s, 0.0, limits.speed_max_mps)
    # Braking to a stand within the step: v^2 / 2a, not the trapezium over the whole step.
    stopping = (speed + accel * dt_s < 0) & (accel < 0)
    distance_m = np.where(
        stopping, speed**2 / np.maximum(-2 * np.minimum(accel, -1e-9), 1e-9), (speed + next_speed) / 2 * dt_s
    )
    rate = limits.curvature_rate_max_1pmps * dt_s
    grip = limits.lateral_accel_max_mps2 / np.maximum(next_speed, 1.0) ** 2
    bound = np.minimum(limits.curvature_max_1pm, grip)
    wanted = np.clip(controls.curvature_1pm, state.curvature_1pm - rate, state.curvature_1pm + rate)
    curvature = np.clip(wanted, -bound, bound)
    turn = distance_m * curvature
    chord_m = distance_m * np.sinc(turn / 2 / math.pi)
    return VehicleState(next_speed, curvature), EgoMotion(chord_m / dt_s, turn / dt_s)
