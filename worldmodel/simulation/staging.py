"""Brings a scenario on stage: the context a model is shown, the motion that went on, and what was really seen.

A scenario on the reference world is driven there first, by a policy of the run; that drive is its recording, and its
world can be taken up again at the moment the context ends, so that branches run in the true world too. Knows where
scenarios come from, not what is done with them.

Shapes: S steps of the drive, N of the motion that is known (at least S); H, W pixels.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.simulation.beginning import begin_reference, columns_of, motion_of
from worldmodel.simulation.documents import FieldError
from worldmodel.simulation.footage import Footage, open_episode, open_recording
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.rollout import Carry, Moment, advance, info_of
from worldmodel.simulation.scenario import FootageContext, ReferenceContext, ScenarioFile
from worldmodel.types import Camera, Clip, EgoMotion, FrameArray, Scenario, Tags, World

DEFAULT_DRIVER = "oracle-keeper"


@dataclasses.dataclass(frozen=True)
class Fork:
    """The true world when a context ends: restore, and drive on from ``carry``, telling it ``tags`` (S + 1,)."""

    world: World
    snapshot: Any
    carry: Carry
    tags: Tags | None


@dataclasses.dataclass(frozen=True)
class Staged:
    """A scenario, ready to be driven.

    Attributes:
        scenario: the file.
        context: what a model is shown.
        steps: of the drive.
        motion: ``(N,)`` what the ego did from the newest frame of the context on, on the world's clock; ``None`` where
            there is no recording.
        tags: ``(S + 1,)`` of every frame, for worlds that are told of events by tags.
        seen: ``(S + 1, H, W, 3)`` what was really seen at those times, or ``None``.
        valid_mask: ``(H, W)`` false where the recording's camera saw nothing.
        truth: named ``(S + 1,)`` columns; empty where nobody knows.
        camera: of the frames; its height is the recording's, NaN where unknown.
        fork: of the true world, on the reference world.
        about: for the provenance.
    """

    scenario: ScenarioFile
    context: Clip | Tags
    steps: int
    motion: EgoMotion | None
    tags: Tags
    seen: FrameArray | None
    valid_mask: NDArray[np.bool_]
    truth: Mapping[str, NDArray[Any]]
    camera: Camera
    fork: Fork | None
    about: Mapping[str, Any]

    def as_scenario(self) -> Scenario:
        """What an environment's ``reset(options={"scenario": ...})`` takes, to drive from here in a learned world."""
        file = self.scenario
        return Scenario(
            context=self.context,
            tags=self.tags[0],
            events=tuple(dataclasses.asdict(event) for event in file.events),
            seed=file.seed,
            length_s=file.length_s,
            name=file.name,
        ).validate()


def stage(scenario: ScenarioFile, camera: Camera, *, dt_s: float, policy: str = "", further_s: float = 0.0) -> Staged:
    """Resolve a scenario for a world.

    Args:
        scenario: as its file has it.
        camera: of the world; frames are brought to its size.
        dt_s: of the world.
        policy: who drives on the reference world; empty for the keeper, who knows the truth.
        further_s: seconds of motion wanted beyond the drive (a branch that is faster needs them), where there are any.

    Raises:
        ValueError: no such episode, a time outside it, a drive longer than its recording, or a policy where the
            recording has a motion of its own; with file, line and field.
    """
    steps = max(1, round(scenario.length_s / dt_s))
    with scenario.locating():
        if isinstance(scenario.context, ReferenceContext):
            return _stage_reference(scenario, scenario.context, camera, dt_s, steps, policy, further_s)
        if policy:
            raise ValueError(f"policy={policy}: only scenarios on the reference world are driven by one")
        if isinstance(scenario.context, FootageContext):
            return _stage_footage(scenario, scenario.context, camera, dt_s, steps, further_s)
        whole = np.ones((camera.height_px, camera.width_px), dtype=bool)
        tags = scenario.tags_along(scenario.context, steps, dt_s)
        about = {"context": scenario.context.names()}
        return Staged(scenario, scenario.context, steps, None, tags, None, whole, {}, camera, None, about)


def _stage_footage(
    scenario: ScenarioFile, context: FootageContext, camera: Camera, dt_s: float, steps: int, further_s: float
) -> Staged:
    footage = _open(context, camera)
    earliest = float(footage.t_s[0]) + scenario.context_s
    try:
        newest = footage.nearest(min(earliest, float(footage.t_s[-1])) if context.t_s is None else context.t_s)
    except ValueError as error:
        raise FieldError(("context", "t_s"), str(error)) from error
    newest_s = float(footage.t_s[newest])
    motion = footage.on_clock(newest_s, dt_s)
    if motion.shape[0] < steps:
        left_s = motion.shape[0] * dt_s
        raise FieldError(("length_s",), f"{scenario.length_s:g} s: only {left_s:.1f} s of {footage.name} are left")
    first = int(np.searchsorted(footage.t_s, newest_s - scenario.context_s - 1e-6))
    clip = footage.read(first, newest - first + 1)
    # The frame nearest to each moment of the world's clock, never blended.
    clock_s = newest_s + dt_s * np.arange(steps + 1)
    nearest = np.array([int(np.abs(footage.t_s - time_s).argmin()) for time_s in clock_s])
    shown = footage.read(newest, int(nearest[-1]) - newest + 1)
    about = {"context": footage.name, "t_s": newest_s, "context_frames": len(clip), **footage.about}
    return Staged(
        scenario=scenario,
        context=clip,
        steps=steps,
        motion=motion[: steps + round(further_s / dt_s)],
        tags=scenario.tags_along(clip.tags[-1], steps, dt_s),
        seen=shown.frames[nearest - newest],
        valid_mask=clip.valid_mask,
        truth={},
        camera=dataclasses.replace(camera, height_m=clip.camera.height_m),
        fork=None,
        about=about,
    )


def _open(context: FootageContext, camera: Camera) -> Footage:
    if context.episode is None:
        try:
            return open_recording(context.path, camera, time_s=context.t_s, cameras=context.cameras)
        except ValueError as error:
            raise FieldError(("context", "recording"), str(error)) from error
    try:
        return open_episode(context.path, context.episode, camera)
    except ValueError as error:
        field = "episode" if str(error).startswith("episode") else "data"
        raise FieldError(("context", field), str(error)) from error


def _stage_reference(
    scenario: ScenarioFile,
    context: ReferenceContext,
    camera: Camera,
    dt_s: float,
    steps: int,
    policy_name: str,
    further_s: float,
) -> Staged:
    policy = open_policy(policy_name or DEFAULT_DRIVER)
    begun = begin_reference(scenario, camera, dt_s=dt_s, policy=policy)
    world, carry, camera = begun.world, begun.carry, begun.world.camera
    wanted = scenario.look_along(steps, dt_s)
    fork = Fork(world, world.snapshot(), copy.deepcopy(carry), wanted)
    after: list[Moment] = []
    for index in range(steps + round(further_s / dt_s)):
        world.is_dark = policy.needs_truth and index >= steps
        told = None if wanted is None else wanted[min(index + 1, steps)]
        carry, moment = advance(world, policy, carry, tags=told)
        after.append(moment)
    world.is_dark = False
    after.append(Moment(carry.frames, 0.0, EgoMotion.unknown((1,)), None, info_of(world)))
    clip = begun.clip()
    return Staged(
        scenario=scenario,
        context=clip,
        steps=steps,
        motion=motion_of(after[:-1]),
        tags=scenario.tags_along(clip.tags[-1], steps, dt_s),
        seen=np.stack([moment.frames[0] for moment in after[: steps + 1]]),
        valid_mask=clip.valid_mask,
        truth=columns_of(after[: steps + 1]),
        camera=camera,
        fork=fork,
        about={"context": "reference", "options": dataclasses.asdict(begun.options), "driver": policy.name},
    )
