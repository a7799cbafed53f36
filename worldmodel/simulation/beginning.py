"""The beginning of a scenario on the reference world: driven up to the moment where the context ends.

From there on anybody can take over, in the true world as it stands or in a learned one that is shown the context.
``Shrunk`` shows a world at another size. Knows the reference world, nothing of what comes after the beginning.

Shapes: T frames of the context; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.geometry.road import MAP_M, along
from worldmodel.reference.drive import frame_tags
from worldmodel.reference.options import DriveOptions
from worldmodel.reference.world import World as ReferenceWorld
from worldmodel.simulation.policies.policy import Policy
from worldmodel.simulation.rollout import Carry, Moment, advance, begin, info_of
from worldmodel.simulation.scenario import ReferenceContext, ScenarioFile
from worldmodel.types import Camera, Clip, EgoMotion, FrameArray, Tags, World


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


@dataclasses.dataclass(frozen=True)
class Begun:
    """A scenario's true world when its context ends.

    Attributes:
        world: at that moment.
        carry: the newest frame and the vehicle.
        options: of the drive, the scenario's events included.
        moments: of the context, all but the newest; their frames are black where nothing was drawn.
    """

    world: Shrunk
    carry: Carry
    options: DriveOptions
    moments: list[Moment]

    def clip(self) -> Clip:
        """The context ``(T,)`` and the road for kilometres; the motion of its newest frame is not known yet.

        Only before ``world`` has gone on.
        """
        newest = Moment(self.carry.frames, 0.0, EgoMotion.unknown((1,)), None, info_of(self.world))
        moments, camera = [*self.moments, newest], self.world.camera
        t_s, motion = self.world.dt_s * np.arange(len(moments), dtype=np.float64), motion_of(moments)
        assert isinstance(self.world.world, ReferenceWorld)
        road = self.world.world.simulation(0).road_seen(MAP_M)
        return Clip(
            frames=np.stack([moment.frames[0] for moment in moments]),
            t_s=t_s,
            motion=motion,
            tags=frame_tags(self.options, columns_of(moments)),
            camera=camera,
            valid_mask=np.ones((camera.height_px, camera.width_px), dtype=bool),
            road=along(road, motion, t_s),
        )


def begin_reference(
    scenario: ScenarioFile, camera: Camera, *, dt_s: float, policy: Policy, is_shown: bool = True
) -> Begun:
    """Drive a scenario on the reference world up to the end of its context.

    Args:
        scenario: with a ``ReferenceContext``.
        camera: of the frames; of the usual height where it has none.
        dt_s: of the world.
        policy: who drives up to there.
        is_shown: whether the context's frames are drawn; the newest always is.
    """
    context = scenario.context
    assert isinstance(context, ReferenceContext)
    shown, settling = max(2, round(scenario.context_s / dt_s)), round(context.settle_s / dt_s)
    begins_s = (settling + shown - 1) * dt_s
    events = tuple((event.kind, round(begins_s + event.t_s, 6)) for event in scenario.events)
    options = dataclasses.replace(context.options, events=events)
    # Small pictures are averaged down from large ones, as those a model of that size is trained on.
    scale = max(1, 128 // camera.height_px)
    height_m = NOMINAL_HEIGHT_M if np.isnan(camera.height_m) else camera.height_m
    camera = dataclasses.replace(camera, height_m=height_m)
    large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=height_m)
    world = Shrunk(ReferenceWorld(camera=large, dt_s=dt_s), camera)
    carry = begin(world, [options], policy)  # pyright: ignore[reportArgumentType]
    moments: list[Moment] = []
    first_drawn, last = settling if is_shown else settling + shown - 1, settling + shown - 1
    for index in range(last):
        # The frame this step ends at is the first of the context or a later one, or somebody drives by sight.
        world.is_dark = policy.needs_truth and index + 1 < first_drawn
        carry, moment = advance(world, policy, carry)
        moments.append(moment)
    world.is_dark = False
    return Begun(world, carry, options, moments[settling:])


def motion_of(moments: list[Moment]) -> EgoMotion:
    """Motion ``(T,)`` of the moments of one row."""
    return EgoMotion(
        np.array([moment.motion.speed_mps[0] for moment in moments]),
        np.array([moment.motion.yaw_rate_radps[0] for moment in moments]),
    )


def columns_of(moments: list[Moment]) -> dict[str, NDArray[Any]]:
    """What the world told ``(T,)`` by name, of the moments of one row."""
    return {name: np.array([moment.info[name][0] for moment in moments]) for name in moments[0].info}
