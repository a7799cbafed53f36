"""Drives the branches of one moment in a world: shared history is computed once.

The unedited course is driven whole; where a branch parts from it the world is snapshotted, and each branch goes on
from its own parting. Works in any ``World``. Knows worlds and courses, nothing of files or of what is measured.

Shapes: S steps; B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.simulation.courses import Course, CourseDriver
from worldmodel.simulation.rollout import Carry, Moment, advance, info_of
from worldmodel.types import EgoMotion, FloatArray, FrameArray, Tags, World


@dataclasses.dataclass(frozen=True)
class BranchDrive:
    """One branch, driven.

    Attributes:
        course: that was driven.
        frames: ``(S + 1, B, H, W, 3)``.
        t_s: ``(S + 1,)``.
        motion: ``(S + 1, B)`` as it was; the last is unknown.
        info: named ``(S + 1, B)`` columns the world tells; empty where it tells nothing.
        fresh_steps: computed for this branch alone; the others were shared.
    """

    course: Course
    frames: FrameArray
    t_s: FloatArray
    motion: EgoMotion
    info: Mapping[str, NDArray[Any]]
    fresh_steps: int


def drive_branches(
    world: World,
    carry: Carry,
    courses: Sequence[Course],
    *,
    steps: int,
    tags: Tags | None = None,
    seed: int = 0,
    progress: Callable[[int], object] = lambda steps: None,
) -> list[BranchDrive]:
    """Drive every course from where the world is now; the first is the one the others part from.

    Args:
        world: at the moment of ``carry``.
        carry: the newest frames and the vehicle.
        courses: the unedited one first.
        steps: S.
        tags: ``(S + 1,)`` of the frames, for a world that goes by them; ``None`` tells it nothing.
        seed: of policies that take over.
        progress: told the number of steps made since it was last told.

    Raises:
        ValueError: a policy that needs a truth this world has not.
    """
    base = courses[0]
    forks: dict[int, tuple[Any, Carry]] = {}
    partings = {course.first_step for course in courses[1:]}
    driver = _begin(base, 0, len(carry.frames), seed)
    shared: list[Moment] = []
    start = carry
    for step in range(steps):
        if step in partings:
            forks[step] = world.snapshot(), carry
        carry, moment = advance(world, driver, carry, tags=_told(tags, step))
        shared.append(moment)
        progress(1)
    drives = [_joined(base, shared, _last(world, carry), world.dt_s, steps)]
    for course in courses[1:]:
        if course.first_step >= steps:
            drives.append(dataclasses.replace(drives[0], course=course, fresh_steps=0))
            continue
        snapshot, carry = forks[course.first_step]
        world.restore(snapshot)
        driver = _begin(course, course.first_step, len(start.frames), seed)
        moments = shared[: course.first_step]
        for step in range(course.first_step, steps):
            carry, moment = advance(world, driver, carry, tags=_told(tags, step))
            moments.append(moment)
            progress(1)
        drives.append(_joined(course, moments, _last(world, carry), world.dt_s, steps - course.first_step))
    return drives


def count_steps(courses: Sequence[Course], steps: int) -> int:
    """Steps that ``drive_branches`` makes in all."""
    return steps + sum(steps - min(course.first_step, steps) for course in courses[1:])


def _begin(course: Course, step: int, rows: int, seed: int) -> CourseDriver:
    driver = course.driver()
    for row in range(rows):
        driver.reset(row, seed=seed + row)
    driver.skip(step)
    return driver


def _told(tags: Tags | None, step: int) -> Tags | None:
    return None if tags is None else tags[step + 1]


def _last(world: World, carry: Carry) -> Moment:
    return Moment(carry.frames, carry.step * world.dt_s, EgoMotion.unknown((len(carry.frames),)), None, info_of(world))


def _joined(course: Course, moments: Sequence[Moment], last: Moment, dt_s: float, fresh: int) -> BranchDrive:
    every = [*moments, last]
    return BranchDrive(
        course=course,
        frames=np.stack([moment.frames for moment in every]),
        t_s=dt_s * np.arange(len(every), dtype=np.float64),
        motion=EgoMotion(
            np.stack([moment.motion.speed_mps for moment in every]),
            np.stack([moment.motion.yaw_rate_radps for moment in every]),
        ),
        info={name: np.stack([moment.info[name] for moment in every]) for name in last.info},
        fresh_steps=fresh,
    )
