"""True video to set beside a drive: what the same instruments say of the reference world, the floor of every score.

The reference world driven by the very motion a drive was told (it may leave the road, as no driver looks), a drive of
its own driver under another seed, and one that its driver begins and a given motion ends. Knows nothing of learned
worlds.

Shapes: T frames; P steps; H, W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.geometry.road import MAP_M
from worldmodel.reference.drive import render_drive, start_drive
from worldmodel.reference.options import DriveOptions, draw_options
from worldmodel.reference.world import World
from worldmodel.types import Camera, Drive, EgoMotion, FloatArray, FrameArray, Tags

#: Seeds of controls begin here, far from those that training sets count up from zero.
_FIRST_SEED = 7_000_000_000
#: Seconds per frame of drives that are numbered.
_DT_S = 0.1


def own_drive(camera: Camera, n_frames: int, *, dt_s: float = 0.1, seed: int = 0, tags: Tags | None = None) -> Drive:
    """A drive of the reference world by its own good driver, of the road and light of ``tags`` (a clear day if none).

    Raises:
        ValueError: a camera without height, or no frames.
    """
    names = {"weather": "clear", "time_of_day": "day", "road_kind": "country"}
    if tags is not None:
        names |= {name: tag for name, tag in tags.names().items() if name in names and tag != "unknown"}
    options = draw_options(_FIRST_SEED + seed, **names, ego="good", events=(), sensor=False)
    made = render_drive(options, n_frames, camera=camera, dt_s=dt_s)
    return Drive(list(made.frames), made.t_s, made.motion, None, {}, made.tags, camera, {"world": "reference"})


def any_drive(camera: Camera, n_frames: int, *, number: int, **fixed: Any) -> Drive:
    """A held-out drive of the reference world, of any kind unless ``fixed`` says which, its truth in ``info``.

    Besides scalar columns that is ``boxes`` ``(T, K, 8)``, as ``reference.boxes.COLUMNS``.

    Raises:
        ValueError: a camera without height, no frames, or an option that no drive has.
    """
    made = render_drive(draw_options(_FIRST_SEED + number, **fixed), n_frames, camera=camera, dt_s=_DT_S)
    origin = {"world": "reference", "seed": made.options.seed}
    truth = {**made.columns, "boxes": made.boxes}
    return Drive(list(made.frames), made.t_s, made.motion, made.controls, truth, made.tags, camera, origin)


def road_of(camera: Camera, *, number: int, **fixed: Any) -> FloatArray:
    """A map ``(2, P, 2)`` (``geometry.road``) of the road of ``any_drive``, in the axes of its first frame.

    Raises:
        ValueError: a camera without height, or an option that no drive has.
    """
    world, _ = start_drive(draw_options(_FIRST_SEED + number, **fixed), camera=camera, dt_s=_DT_S)
    return world.road_seen(MAP_M)


def paired_drives(
    camera: Camera, n_frames: int, *, number: int, looks: Sequence[Mapping[str, str]], **fixed: Any
) -> tuple[list[Drive], FloatArray]:
    """A held-out drive in several looks: the same road, traffic and ego path under other weather and light.

    Args:
        camera: of the frames.
        n_frames: of each drive.
        number: of the drive.
        looks: weather and time of day of each.
        fixed: options that all share.

    Returns:
        a drive per look, its truth in ``info``, and the true flow ``(T, H, W, 2)`` that they share (``DenseColumns``).

    Raises:
        ValueError: a camera without height, no frames, or an option that no drive has.
    """
    drives, flow_px = [], None
    for look in looks:
        options = draw_options(_FIRST_SEED + number, **fixed, **look)
        made = render_drive(options, n_frames, camera=camera, truth=flow_px is None)
        origin = {"world": "reference", "seed": options.seed}
        motion, tags = made.motion, made.tags
        drives.append(Drive(list(made.frames), made.t_s, motion, made.controls, made.columns, tags, camera, origin))
        if made.dense is not None:
            flow_px = made.dense.flow_px.astype(np.float64)
    assert flow_px is not None
    return drives, flow_px


def stretches_of(
    options: DriveOptions, camera: Camera, starts: Sequence[int], length: int
) -> tuple[list[FrameArray], EgoMotion]:
    """Some stretches of ``render_drive``, from frames that increase and do not overlap on.

    Only they are rendered: the rest of the drive is a tenth of the work.

    Returns:
        the stretches ``(length, H, W, 3)``, and the motion ``(T,)`` of all frames up to the end of the last.
    """
    world, driver = start_drive(options, camera=camera, dt_s=_DT_S)
    state = VehicleState(np.array(world.situation().speed_mps), world.line.curvature_at(0.0))
    found: list[list[FrameArray]] = [[] for _ in starts]
    moved = []
    for index in range(starts[-1] + length):
        for frames, start in zip(found, starts):
            if start <= index < start + length:
                frames.append(world.render())
        state, motion = drive(state, driver.controls(world.situation(), _DT_S), _DT_S)
        world.step(motion)
        moved.append((float(motion.speed_mps), float(motion.yaw_rate_radps)))
    return [np.stack(frames) for frames in found], EgoMotion(*np.array(moved).T)


def told_otherwise(
    camera: Camera, context: int, motions: Mapping[str, EgoMotion], *, number: int, **fixed: Any
) -> Iterator[tuple[str, FrameArray]]:
    """``any_drive`` up to the newest of ``context`` frames, and from there moved by each of some motions ``(P,)``.

    Yields:
        the motion's name and the frames ``(P + 1, H, W, 3)`` from the newest of the context on.
    """
    world, driver = start_drive(draw_options(_FIRST_SEED + number, **fixed), camera=camera, dt_s=_DT_S)
    state = VehicleState(np.array(world.situation().speed_mps), world.line.curvature_at(0.0))
    for _ in range(context - 1):
        state, motion = drive(state, driver.controls(world.situation(), _DT_S), _DT_S)
        world.step(motion)
    begun = world.snapshot()
    for name, told in motions.items():
        world.restore(begun)
        frames = [world.render()]
        for step in range(len(told.speed_mps)):
            world.step(told[step])
            frames.append(world.render())
        yield name, np.stack(frames)


def same_motion(camera: Camera, told: EgoMotion, t_s: FloatArray, *, seed: int = 0) -> Drive:
    """The reference world on a clear day in the country, moved by ``told`` ``(T,)`` from frame to frame.

    An unknown step moves as the one before it.

    Raises:
        ValueError: a camera without height, or no motion at all.
    """
    if not len(t_s) or told.shape != t_s.shape:
        raise ValueError(f"told: expected shape {t_s.shape} and at least one row, got {told.shape}")
    dt_s = float(np.median(np.diff(t_s))) if len(t_s) > 1 else 0.1
    moved = np.stack([told.speed_mps, told.yaw_rate_radps], axis=1)
    moved[-1] = np.nan
    for step in range(len(moved) - 1):
        if not np.isfinite(moved[step]).all():
            moved[step] = moved[step - 1] if step else 0.0
    tags = Tags.named(weather="clear", time_of_day="day", road_kind="country", traffic="none", event="none")
    world = World(camera=camera, dt_s=dt_s)
    frames = [world.start(tags, seed=_FIRST_SEED + seed)[0]]
    for speed, yaw in moved[:-1]:
        frame = world.step(EgoMotion(speed, yaw))
        assert frame is not None
        frames.append(frame[0])
    count = len(frames)
    motion = EgoMotion(moved[:, 0], moved[:, 1])
    times = dt_s * np.arange(count, dtype=np.float64)
    codes = np.repeat(tags.codes[None], count, axis=0)
    return Drive(frames, times, motion, None, {}, Tags(codes), camera, {"world": "reference"})
