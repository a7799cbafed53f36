"""Edits become motion: the course of every branch, step by step, from the motion that was driven.

Edits of pace keep to the road that was driven: heading stays a function of distance, so a car that brakes in a bend
follows the same bend. Up to the step at which an edit begins, motion is the unedited motion to the bit; that is what
lets branches share their history. Knows kinematics, nothing of worlds.

Shapes: N steps of the motion that is known; S steps of the drive.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from worldmodel.geometry.motion import VehicleLimits, dead_reckon, ego_motion
from worldmodel.simulation.documents import FieldError, Place
from worldmodel.simulation.edits import Brake, Branch, Edit, React, Shift, Speed, Switch
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.policies.policy import Action, Observation
from worldmodel.types import EgoMotion, FloatArray

UNEDITED = "unedited"
#: A motion may exceed a limit by so much: what a recording does is not always what a vehicle can.
_SLACK = 1.02


@dataclasses.dataclass(frozen=True)
class Course:
    """How a branch is driven.

    Attributes:
        name: of the branch.
        motion: ``(S,)``; where a policy has taken over, what would have been without it.
        first_step: of the first motion that is not the unedited one; S where none is.
        policy: who takes over, if anybody.
        policy_step: ... and when.
    """

    name: str
    motion: EgoMotion
    first_step: int
    policy: str = ""
    policy_step: int = 0

    def driver(self) -> CourseDriver:
        """A new policy that drives this course from its first step."""
        return CourseDriver(self)


class CourseDriver:
    """Plays a course's motion and hands over to its policy in time."""

    def __init__(self, course: Course) -> None:
        self.name = course.name
        self._motion, self._step = course.motion, 0
        self._policy = open_policy(course.policy) if course.policy else None
        self._policy_step = course.policy_step
        self.needs_truth = self._policy is not None and self._policy.needs_truth

    def reset(self, row: int, *, seed: int) -> None:
        """Begin anew."""
        self._step = 0
        if self._policy is not None:
            self._policy.reset(row, seed=seed)

    def skip(self, steps: int) -> None:
        """Go to a later step, as if those before it had been driven."""
        self._step = steps

    def act(self, observation: Observation) -> Action:
        """The course's motion of this step, or what the policy says."""
        step = self._step
        self._step += 1
        if self._policy is not None and step >= self._policy_step:
            return self._policy.act(observation)
        return self._motion[min(step, self._motion.shape[0] - 1)]


def lay_out(
    branches: tuple[Branch, ...], base: EgoMotion, steps: int, dt_s: float, *, limits: VehicleLimits | None = None
) -> list[Course]:
    """The course of every branch, the unedited one first.

    Args:
        branches: what is to be different.
        base: ``(N,)`` motion that was driven, at least as long as the drive.
        steps: of the drive.
        dt_s: of the world.
        limits: of the vehicle; what the recording itself exceeds is allowed to its branches.

    Raises:
        FieldError: an edit after the end of the drive, of unknown motion, or beyond the vehicle's limits.
    """
    limits = limits or VehicleLimits()
    courses = [Course(UNEDITED, base[:steps], steps)]
    for branch in branches:
        motion, policy, policy_step = base, "", steps
        for index, edit in enumerate(branch.edits):
            place: Place = (*branch.place, "edits", index)
            first = round(edit.from_s / dt_s)
            if first >= steps:
                raise FieldError((*place, "from_s"), f"{edit.from_s:g} s is after the end, at {steps * dt_s:g} s")
            if isinstance(edit, Switch):
                policy, policy_step = edit.policy, first
                continue
            if not bool(motion.is_known.all()):
                unknown = int(np.flatnonzero(~motion.is_known)[0]) * dt_s
                raise FieldError(place, f"the motion to be edited is unknown at {unknown:.1f} s")
            motion = apply(edit, motion, dt_s)
            _check(motion[:steps], base, dt_s, limits, place, edit)
        first_step = _parting(motion[:steps], base[:steps])
        driven = EgoMotion(
            np.concatenate([base.speed_mps[:first_step], motion.speed_mps[first_step:steps]]),
            np.concatenate([base.yaw_rate_radps[:first_step], motion.yaw_rate_radps[first_step:steps]]),
        )
        courses.append(Course(branch.name, driven, min(first_step, policy_step), policy, policy_step))
    return courses


def _parting(motion: EgoMotion, base: EgoMotion) -> int:
    """The first step at which two motions differ by more than arithmetic does; their length where none does."""
    apart = np.maximum(np.abs(motion.speed_mps - base.speed_mps), np.abs(motion.yaw_rate_radps - base.yaw_rate_radps))
    differs = apart > 1e-9
    return int(np.argmax(differs)) if differs.any() else len(differs)


def apply(edit: Edit, motion: EgoMotion, dt_s: float) -> EgoMotion:
    """Motion ``(N,)`` as it is with one edit; up to its beginning it is the same to the bit.

    Args:
        edit: any but a ``Switch``, which is no motion.
        motion: ``(N,)``, known throughout.
        dt_s: of a step.
    """
    first = round(edit.from_s / dt_s)
    count = motion.shape[0]
    since_s: FloatArray = np.maximum(np.arange(count) - first + 1, 0.0) * dt_s
    match edit:
        case Brake():
            return _paced(motion, _braked(motion.speed_mps, edit, first, dt_s), first, dt_s)
        case Speed():
            gain = 1 + (edit.factor - 1) * np.clip(since_s / edit.over_s, 0.0, 1.0)
            return _paced(motion, motion.speed_mps * gain, first, dt_s)
        case React():
            return _late(motion, first, round(edit.later_s / dt_s))
        case Shift():
            return _moved_aside(motion, edit, first, dt_s)
        case Switch():
            raise TypeError("a switch is not a motion")


def _braked(speed: FloatArray, edit: Brake, first: int, dt_s: float) -> FloatArray:
    slower = speed.copy()
    last = first + round(edit.for_s / dt_s)
    for step in range(first, len(speed)):
        before = slower[step - 1] if step else speed[0]
        own = speed[step] - (speed[step - 1] if step else speed[0])
        change = min(own, -edit.decel_mps2 * dt_s) if step < last else own
        # Never faster than it was, and it does not reverse.
        slower[step] = min(max(before + change, 0.0), max(speed[step], 0.0))
    return slower


def _paced(motion: EgoMotion, speed: FloatArray, first: int, dt_s: float) -> EgoMotion:
    """The same road at another speed; beyond its end it goes on with its last curvature."""
    driven = np.maximum(motion.speed_mps, 0.0) * dt_s
    road_m = np.concatenate([[0.0], np.cumsum(driven)])
    heading = np.concatenate([[0.0], np.cumsum(motion.yaw_rate_radps * dt_s)])
    moving = np.flatnonzero(driven > 1e-6)
    last_curvature = motion.yaw_rate_radps[moving[-1]] * dt_s / driven[moving[-1]] if len(moving) else 0.0
    there_m = np.concatenate([road_m[: first + 1], road_m[first] + np.cumsum(np.maximum(speed[first:], 0.0) * dt_s)])
    # Where the ego stood and turned, distance tells two headings; the interpolation takes one of them.
    turned = np.interp(there_m, road_m, heading) + last_curvature * np.maximum(there_m - road_m[-1], 0.0)
    yaw = np.diff(turned) / dt_s
    return EgoMotion(
        np.concatenate([motion.speed_mps[:first], speed[first:]]),
        np.concatenate([motion.yaw_rate_radps[:first], yaw[first:]]),
    )


def _late(motion: EgoMotion, first: int, steps: int) -> EgoMotion:
    count = motion.shape[0]
    index = np.arange(count)
    held = max(first - 1, 0)
    source = np.where(index < first, index, np.where(index < first + steps, held, index - steps))
    return motion[source]


def _moved_aside(motion: EgoMotion, edit: Shift, first: int, dt_s: float) -> EgoMotion:
    count = motion.shape[0]
    t_s = dt_s * np.arange(count + 1, dtype=np.float64)
    poses = dead_reckon(motion.of_frames(), t_s)
    share = np.clip((t_s - first * dt_s) / edit.over_s, 0.0, 1.0)
    aside_m = edit.left_m * (6 * share**5 - 15 * share**4 + 10 * share**3)
    aside_mps = edit.left_m * (30 * share**4 - 60 * share**3 + 30 * share**2) / edit.over_s
    speed = np.append(motion.speed_mps, motion.speed_mps[-1])
    tilt = np.arctan2(aside_mps, np.maximum(speed, 0.1))
    shifted = np.stack(
        [
            poses[:, 0] - np.sin(poses[:, 2]) * aside_m,
            poses[:, 1] + np.cos(poses[:, 2]) * aside_m,
            poses[:, 2] + tilt,
        ],
        axis=-1,
    )
    new = ego_motion(shifted, t_s)
    return EgoMotion(
        np.concatenate([motion.speed_mps[:first], new.speed_mps[first:count]]),
        np.concatenate([motion.yaw_rate_radps[:first], new.yaw_rate_radps[first:count]]),
    )


def _check(motion: EgoMotion, base: EgoMotion, dt_s: float, limits: VehicleLimits, place: Place, edit: Edit) -> None:
    """Raise ``FieldError`` where an edited motion is beyond the limits, and beyond what the recording does itself."""

    def of(m: EgoMotion) -> dict[str, FloatArray]:
        accel = np.diff(m.speed_mps) / dt_s
        return {
            "m/s2 along the road": np.maximum(accel, 0.0),
            "m/s2 of braking": np.maximum(-accel, 0.0),
            "m/s": m.speed_mps,
            "m/s2 sideways": np.abs(m.speed_mps * m.yaw_rate_radps),
            "1/m of curvature": np.where(
                m.speed_mps > 1.0, np.abs(m.yaw_rate_radps) / np.maximum(m.speed_mps, 1.0), 0.0
            ),
        }

    bounds = (
        limits.accel_max_mps2,
        -limits.accel_min_mps2,
        limits.speed_max_mps,
        limits.lateral_accel_max_mps2,
        limits.curvature_max_1pm,
    )
    field = {"Brake": "decel_mps2", "Speed": "factor", "Shift": "left_m", "React": "later_s"}[type(edit).__name__]
    recorded = of(base)
    for bound, (unit, values) in zip(bounds, of(motion).items()):
        allowed = max(bound * _SLACK, float(np.max(recorded[unit], initial=0.0)) * _SLACK)
        if (worst := float(np.max(values, initial=0.0))) > allowed:
            raise FieldError((*place, field), f"beyond the vehicle's limits: {worst:.3g} {unit} is above {bound:g}")
