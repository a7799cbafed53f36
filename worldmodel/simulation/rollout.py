"""The engine: a carry and an output, nothing else.

    carry = begin(world, context, policy, seed=0)
    for moment in rollout(world, policy, carry, steps=600):
        ...                                             # one frame of every row, and what was done about it

A policy sees the newest frames and its own speed; its controls become motion in ``geometry.motion`` alone; the world
moves by that motion. The same loop serves the learned and the reference world. It knows nothing of files, of networks
or of what the frames show. To branch a drive keep the carry, ``world.snapshot()`` and a deep copy of the policy.

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import VehicleLimits, VehicleState, drive
from worldmodel.simulation.policies.policy import Observation, Policy
from worldmodel.types import Clip, Controls, EgoMotion, FloatArray, FrameArray, Tags, World

#: Speed of a drive that starts from tags alone.
DEFAULT_SPEED_MPS = 12.0


@dataclasses.dataclass(frozen=True)
class Carry:
    """What one step hands to the next, beside the state the world and the policy keep themselves.

    Attributes:
        frames: ``(B, H, W, 3)`` the newest.
        vehicle: ``(B,)`` speed and curvature now.
        step: number of steps made.
    """

    frames: FrameArray
    vehicle: VehicleState
    step: int = 0


@dataclasses.dataclass(frozen=True)
class Moment:
    """One frame and what was done about it.

    Attributes:
        frames: ``(B, H, W, 3)``.
        t_s: since the start.
        motion: ``(B,)`` from this frame to the next; unknown at the last.
        controls: ``(B,)`` what the policy said, NaN at the last frame; ``None`` where motion was given.
        info: named ``(B, ...)`` columns the world tells about this frame.
    """

    frames: FrameArray
    t_s: float
    motion: EgoMotion
    controls: Controls | None
    info: Mapping[str, NDArray[Any]]


def begin(
    world: World,
    context: Clip | Tags | Sequence[Clip | Tags],
    policy: Policy,
    *,
    batch: int = 1,
    seed: int = 0,
    speed_mps: float | None = None,
) -> Carry:
    """Start ``batch`` rows of a world and the policy that drives them; row i is what ``seed + i`` gives alone.

    Args:
        world: learned or true.
        context: as ``World.start`` takes it.
        policy: reset for every row.
        batch: rows.
        seed: of the first row.
        speed_mps: own speed at the start; default the last known motion of the context, else what the world itself
            tells, else ``DEFAULT_SPEED_MPS``.
    """
    frames = world.start(context, batch=batch, seed=seed)
    rows = len(frames)
    contexts = [context] * rows if isinstance(context, (Clip, Tags)) else list(context)
    # A world that tells its own speed knows better than a context without frames.
    own = info_of(world).get("speed_mps", np.full(rows, DEFAULT_SPEED_MPS))
    states = [vehicle_after(each, speed_mps=speed_mps, own_mps=float(own[row])) for row, each in enumerate(contexts)]
    for row in range(rows):
        policy.reset(row, seed=seed + row)
    vehicle = VehicleState(np.array([s.speed_mps for s in states]), np.array([s.curvature_1pm for s in states]))
    return Carry(frames, vehicle)


def vehicle_after(
    context: Clip | Tags, *, speed_mps: float | None = None, own_mps: float = DEFAULT_SPEED_MPS
) -> VehicleState:
    """The vehicle ``()`` at the end of a context: as its last known motion left it, or going straight.

    Args:
        context: where the drive starts.
        speed_mps: overrides what the context says.
        own_mps: where the context says nothing.
    """
    speed, curvature = own_mps, 0.0
    if isinstance(context, Clip) and (known := np.flatnonzero(context.motion.is_known)).size:
        last = context.motion[known[-1]]
        speed = max(float(last.speed_mps), 0.0)
        curvature = float(last.yaw_rate_radps) / speed if speed > 1.0 else 0.0
    return VehicleState(np.array(speed if speed_mps is None else speed_mps), np.array(curvature))


def advance(
    world: World, policy: Policy, carry: Carry, *, tags: Tags | None = None, limits: VehicleLimits | None = None
) -> tuple[Carry, Moment]:
    """Make one step: the next carry, and the moment that has just ended.

    Raises:
        ValueError: the policy answered with something that is not finite, or needs truth that this world has not.
    """
    rows = len(carry.frames)
    truth = info_of(world)
    if policy.needs_truth and not truth:
        raise ValueError(f"policy: {policy.name!r} sees the truth, which only the reference world has")
    observation = Observation(
        carry.frames,
        carry.vehicle.speed_mps,
        carry.vehicle.curvature_1pm,
        world.dt_s,
        truth if policy.needs_truth else None,
    )
    action = policy.act(observation)
    if isinstance(action, Controls):
        controls = _per_row(action.validate(), rows)
        vehicle, motion = drive(carry.vehicle, controls, world.dt_s, limits)
    else:
        controls, motion = None, _per_row(action.validate(), rows)
        vehicle = vehicle_given(carry.vehicle, motion)
    frames = world.step(motion, tags=tags)
    assert frames is not None
    moment = Moment(carry.frames, carry.step * world.dt_s, motion, controls, truth)
    return Carry(frames, vehicle, carry.step + 1), moment


def rollout(
    world: World,
    policy: Policy,
    carry: Carry,
    *,
    steps: int,
    tags: Tags | Callable[[int], Tags] | None = None,
    limits: VehicleLimits | None = None,
) -> Iterator[Moment]:
    """Yield ``steps + 1`` moments: one before every step, and the last frame, after which nothing is known.

    ``tags`` hold throughout, or are a function of the number of the frame that is next, from 1. A moment is yielded as
    soon as it is known; nothing is kept. Errors are those of ``advance``.
    """
    moment = None
    for number in range(1, steps + 1):
        told = tags(number) if callable(tags) else tags
        carry, moment = advance(world, policy, carry, tags=told, limits=limits)
        yield moment
    shape = (len(carry.frames),)
    controls = None
    if moment is not None and moment.controls is not None:
        controls = Controls(np.full(shape, np.nan), np.full(shape, np.nan))
    yield Moment(carry.frames, carry.step * world.dt_s, EgoMotion.unknown(shape), controls, info_of(world))


def info_of(world: World) -> dict[str, NDArray[Any]]:
    """What a world tells about its newest frames, ``(B, ...)`` by name; a world without ``info()`` tells nothing."""
    tell = getattr(world, "info", None)
    return {} if tell is None else {name: np.array(column) for name, column in tell().items()}


def _per_row(action: Any, rows: int) -> Any:
    """Controls or motion ``()`` or ``(B,)`` as ``(B,)``."""
    names = [field.name for field in dataclasses.fields(action)]
    return type(action)(*(np.broadcast_to(getattr(action, name), (rows,)) for name in names))


def vehicle_given(vehicle: VehicleState, motion: EgoMotion) -> VehicleState:
    """The vehicle after a motion that was given: unknown channels leave it as it was."""
    speed: FloatArray = np.where(np.isfinite(motion.speed_mps), np.maximum(motion.speed_mps, 0.0), vehicle.speed_mps)
    turning = np.isfinite(motion.yaw_rate_radps) & (speed > 1.0)
    curvature = np.where(turning, motion.yaw_rate_radps / np.maximum(speed, 1.0), vehicle.curvature_1pm)
    return VehicleState(speed, curvature)
