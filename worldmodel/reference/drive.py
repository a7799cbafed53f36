"""Drives of the reference world from start to end: frames, motion, tags and scalar truth.

A drive is a pure function of its options, camera and time step; a longer drive begins with the frames of a shorter
one. Knows nothing of files. Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.geometry.motion import VehicleState, drive, ego_motion
from worldmodel.geometry.road import AHEAD_M, BEHIND_M, seen_from
from worldmodel.reference.dense import Box, DenseTruth
from worldmodel.reference.drivers import Driver
from worldmodel.reference.options import DriveOptions
from worldmodel.reference.simulation import Simulation, as_columns
from worldmodel.types import VOCABULARY, Camera, Clip, Controls, EgoMotion, FloatArray, FrameArray, Tags

_CHANNELS = list(VOCABULARY)
_EVENTS = VOCABULARY["event"]


@dataclasses.dataclass(frozen=True)
class DenseColumns:
    """Truth per pixel along a drive, before weather particles and sensor.

    Attributes:
        depth_m: ``(T, H, W)`` float32 along the optical axis; infinite in the sky.
        flow_px: ``(T, H, W, 2)`` float32 right and down, from frame t to t+1; the last frame's is NaN.
        ids: ``(T, H, W)`` int32, the number of the road user or 0.
        classes: ``(T, H, W)`` uint8 indices into ``dense.CLASSES``.
        boxes: per frame, the boxes of visible road users.
    """

    depth_m: NDArray[np.float32]
    flow_px: NDArray[np.float32]
    ids: NDArray[np.int32]
    classes: NDArray[np.uint8]
    boxes: list[tuple[Box, ...]]


@dataclasses.dataclass(frozen=True)
class ReferenceDrive:
    """A drive and its truth.

    Attributes:
        options: it was made from.
        frames: ``(T, H, W, 3)`` uint8.
        t_s: ``(T,)``.
        poses: ``(T, 3)`` x_m, y_m, heading_rad of the ground point under the camera.
        motion: ``(T,)`` from frame t to t+1; the last row is NaN.
        controls: ``(T,)`` what the driver said at each frame.
        tags: ``(T,)``.
        columns: named ``(T,)`` scalar truth.
        boxes: ``(T, K, 8)`` float32, the road users in the picture as ``boxes.COLUMNS``, nearest first, else NaN.
        road: ``(2, P, 2)`` a map (``geometry.road``) of the ego's lanes in the axes of ``poses``, of all that was seen.
        camera: of the frames.
        dense: truth per pixel, where it was asked for.
    """

    options: DriveOptions
    frames: FrameArray
    t_s: NDArray[np.float64]
    poses: FloatArray
    motion: EgoMotion
    controls: Controls
    tags: Tags
    columns: dict[str, NDArray]
    boxes: NDArray[np.float32]
    road: FloatArray
    camera: Camera
    dense: DenseColumns | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def clip(self) -> Clip:
        """The drive as a ``Clip``, every pixel valid, with the road as far as it was seen."""
        valid = np.ones(self.frames.shape[1:3], dtype=bool)
        road = np.stack([seen_from(self.road, pose) for pose in self.poses]).astype(np.float32)
        return Clip(self.frames, self.t_s, self.motion, self.tags, self.camera, valid, road)


def render_drive(
    options: DriveOptions,
    n_frames: int,
    *,
    camera: Camera | None = None,
    dt_s: float = 0.1,
    truth: bool = False,
    every: int = 1,
) -> ReferenceDrive:
    """Drive ``options`` for ``n_frames`` and return what the camera saw.

    Args:
        options: of the drive.
        n_frames: at least 1.
        camera: by default the canonical one of 128×256, 1.4 m high.
        dt_s: seconds per frame.
        truth: whether to render depth, flow and ids too.
        every: only one frame in so many is looked at and kept; it is driven all the same.

    Raises:
        ValueError: impossible options, camera, length or time step.
    """
    if n_frames < 1:
        raise ValueError(f"render_drive.n_frames: expected at least 1, got {n_frames!r}")
    if every < 1:
        raise ValueError(f"render_drive.every: expected at least 1, got {every!r}")
    camera = canonical_camera(128, 256, height_m=NOMINAL_HEIGHT_M) if camera is None else camera
    frames, rows, boxes, poses, said = [], [], [], [], []
    looks: list[DenseTruth] = []
    flows: list[NDArray[np.float32]] = []
    world, driver = start_drive(options, camera=camera, dt_s=dt_s)
    for index, controls in enumerate(driven(world, driver, n_frames)):
        if index % every == 0:
            frames.append(world.render())
            rows.append(world.truth())
            boxes.append(world.boxes())
            poses.append(world.pose)
            said.append(controls)
            if truth:
                if looks:
                    flows.append(world.flow_since(looks[-1]))
                looks.append(world.look())
    t_s = dt_s * every * np.arange(len(frames), dtype=np.float64)
    columns = as_columns(rows)
    accel = np.array([float(c.accel_mps2) for c in said])
    curvature = np.array([float(c.curvature_1pm) for c in said])
    return ReferenceDrive(
        options=options,
        frames=np.stack(frames),
        t_s=t_s,
        poses=np.stack(poses),
        motion=ego_motion(np.stack(poses), t_s),
        controls=Controls(accel, curvature),
        tags=frame_tags(options, columns),
        columns=columns,
        boxes=np.stack(boxes),
        road=world.road_map(behind_m=world.distance_m + BEHIND_M, ahead_m=AHEAD_M),
        camera=camera,
        dense=_dense_columns(looks, flows) if truth else None,
    )


def _dense_columns(looks: list[DenseTruth], flows: list[NDArray[np.float32]]) -> DenseColumns:
    unknown = np.full((*looks[-1].depth_m.shape, 2), np.nan, np.float32)
    return DenseColumns(
        np.stack([x.depth_m for x in looks]), np.stack([*flows, unknown]), np.stack([x.ids for x in looks]),
        np.stack([x.classes for x in looks]), [x.boxes for x in looks],
    )  # fmt: skip


def driven(world: Simulation, driver: Driver, n_frames: int) -> Iterator[Controls]:
    """What a driver does at each of ``n_frames``, at which the world is when it is said, from its first one on."""
    state = VehicleState(np.array(world.situation().speed_mps), world.line.curvature_at(0.0))
    for index in range(n_frames):
        controls = driver.controls(world.situation(), world.dt_s)
        yield controls
        if index + 1 < n_frames:
            state, motion = drive(state, controls, world.dt_s)
            world.step(motion)


def start_drive(options: DriveOptions, *, camera: Camera, dt_s: float) -> tuple[Simulation, Driver]:
    """The world at the first frame, and the ego's driver in its place."""
    world = Simulation(options, camera=camera, dt_s=dt_s)
    driver = Driver(options.seed, options.ego, world.road, world.line)
    world.place_ego(driver.start_d_m, driver.start_speed_mps)
    return world, driver


def frame_tags(options: DriveOptions, columns: dict[str, NDArray]) -> Tags:
    """Tags ``(T,)`` of a drive; the event channel follows the truth: a contact, off the road, or what was asked for."""
    codes = np.repeat(options.tags.codes[None], len(columns["collision"]), axis=0)
    event = np.full(len(codes), _EVENTS.index("none"))
    if "event" in columns:
        event = columns["event"].copy()
    event[columns["off_road"]] = _EVENTS.index("off_road")
    event[columns["collision"]] = _EVENTS.index("collision")
    codes[:, _CHANNELS.index("event")] = event
    return Tags(codes, options.caption)
