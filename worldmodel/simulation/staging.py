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

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.reference.drive import frame_tags
from worldmodel.reference.world import World as ReferenceWorld
from worldmodel.simulation.documents import FieldError
from worldmodel.simulation.footage import Footage, open_episode, open_recording
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.rollout import Carry, Moment, advance, begin, info_of
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


class Shrunk:
    """A world seen at another size: frames are averaged down, everything else is the world's own.

    Args:
        world: of larger frames.
        camera: of the wanted ones.

    Attributes:
        is_dark: nothing is drawn, frames are black: for stretches that nobody will see.
    """

    def __init__(self, world: World, camera: Camera) -> None:
        self.world, self.camera, self.dt_s = world, camera, world.dt_s
        self.is_dark = False

    def start(self, context: Any, *, batch: int = 1, seed: int = 0) -> FrameArray:
        """As the world's own."""
        self._batch = batch
        return self._small(self.world.start(context, batch=batch, seed=seed))

    def step(self, motion: EgoMotion, *, tags: Tags | None = None, decode: bool = True) -> NDArray[np.uint8] | None:
        """As the world's own."""
        frames = self.world.step(motion, tags=tags, decode=decode and not self.is_dark)
        if self.is_dark and decode:
            return np.zeros((self._batch, self.camera.height_px, self.camera.width_px, 3), dtype=np.uint8)
        return None if frames is None else self._small(frames)

    def snapshot(self) -> Any:
        """As the world's own."""
        return self.world.snapshot()

    def restore(self, snapshot: Any) -> None:
        """As the world's own."""
        self.world.restore(snapshot)

    def reset(self, row: int, context: Clip | Tags, *, seed: int | None = None) -> None:
        """As the world's own."""
        self.world.reset(row, context, seed=seed)

    def info(self) -> dict[str, NDArray[Any]]:
        """As the world's own."""
        return info_of(self.world)

    def _small(self, frames: FrameArray) -> FrameArray:
        size = self.camera.width_px, self.camera.height_px
        if frames.shape[1:3] == size[::-1]:
            return frames
        return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]).astype(np.uint8)


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
    shown, settling = max(2, round(scenario.context_s / dt_s)), round(context.settle_s / dt_s)
    begins_s = (settling + shown - 1) * dt_s
    events = tuple((event.kind, round(begins_s + event.t_s, 6)) for event in scenario.events)
    options = dataclasses.replace(context.options, events=events)
    # Small pictures are averaged down from large ones, as those a model of that size is trained on.
    scale = max(1, 128 // camera.height_px)
    height_m = NOMINAL_HEIGHT_M if np.isnan(camera.height_m) else camera.height_m
    camera = dataclasses.replace(camera, height_m=height_m)
    large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=height_m)
    world, policy = Shrunk(ReferenceWorld(camera=large, dt_s=dt_s), camera), open_policy(policy_name or DEFAULT_DRIVER)
    carry = begin(world, [options], policy)  # pyright: ignore[reportArgumentType]
    moments: list[Moment] = []
    for index in range(settling + shown - 1):
        # The frame this step ends at is the first of the context or a later one, or somebody drives by sight.
        world.is_dark = policy.needs_truth and index + 1 < settling
        carry, moment = advance(world, policy, carry)
        moments.append(moment)
    wanted = scenario.look_along(steps, dt_s)
    fork = Fork(world, world.snapshot(), copy.deepcopy(carry), wanted)
    for index in range(steps + round(further_s / dt_s)):
        world.is_dark = policy.needs_truth and index >= steps
        told = None if wanted is None else wanted[min(index + 1, steps)]
        carry, moment = advance(world, policy, carry, tags=told)
        moments.append(moment)
    world.is_dark = False
    moments.append(Moment(carry.frames, 0.0, EgoMotion.unknown((1,)), None, info_of(world)))
    before, after = moments[settling : settling + shown], moments[settling + shown - 1 :]
    clip = Clip(
        frames=np.stack([moment.frames[0] for moment in before]),
        t_s=dt_s * np.arange(shown, dtype=np.float64),
        motion=_motion([*before[:-1], moments[-1]]),
        tags=frame_tags(options, _columns(before)),
        camera=camera,
        valid_mask=np.ones((camera.height_px, camera.width_px), dtype=bool),
    )
    return Staged(
        scenario=scenario,
        context=clip,
        steps=steps,
        motion=_motion(after[:-1]),
        tags=scenario.tags_along(clip.tags[-1], steps, dt_s),
        seen=np.stack([moment.frames[0] for moment in after[: steps + 1]]),
        valid_mask=clip.valid_mask,
        truth=_columns(after[: steps + 1]),
        camera=camera,
        fork=fork,
        about={"context": "reference", "options": dataclasses.asdict(options), "driver": policy.name},
    )


def _motion(moments: list[Moment]) -> EgoMotion:
    return EgoMotion(
        np.array([moment.motion.speed_mps[0] for moment in moments]),
        np.array([moment.motion.yaw_rate_radps[0] for moment in moments]),
    )


def _columns(moments: list[Moment]) -> dict[str, NDArray[Any]]:
    return {name: np.array([moment.info[name][0] for moment in moments]) for name in moments[0].info}
