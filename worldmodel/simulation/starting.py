"""Where a drive starts: frames of the reference world, an episode, a recording, or tags alone.

What the user names becomes one context per row, at the world's own frame size, and the motion that was recorded from
there on, on the world's own clock. Knows where frames come from, not what a world does with them.

Shapes: S steps of the world.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.geometry.road import MAP_M, along
from worldmodel.reference.world import World
from worldmodel.simulation.footage import Footage, open_episode, open_recording, resized
from worldmodel.simulation.policies.oracle import OracleKeeper
from worldmodel.simulation.policies.policy import Observation
from worldmodel.types import OUTCOMES, Camera, Clip, EgoMotion, Tags

#: A reference context shows this unless tags say otherwise: what every model has seen most of.
USUAL = {"weather": "clear", "time_of_day": "day", "road_kind": "country", "traffic": "none", "event": "none"}
#: A reference context that is to begin at some speed drives unseen for so long before.
SETTLE_S = 12.0


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """Where a drive starts.

    Attributes:
        context: ``reference``, an mp4 file, or tags such as ``weather=rain,time_of_day=night``.
        data: a prepared data set to take the context from, instead of ``context``.
        episode: number of the episode in it, or its name.
        cameras: a json file of profiles of recordings' cameras and vehicles, beside what lies beside the mp4.
        t_s: seconds into the episode or recording; ``None`` as soon as the context is whole.
        context_s: seconds of frames before the drive.
        tags: wanted of a reference context.
    """

    context: str = "reference"
    data: str = ""
    episode: int | str = 0
    cameras: str = ""
    t_s: float | None = None
    context_s: float = 3.2
    tags: str = ""


@dataclasses.dataclass(frozen=True)
class Start:
    """A resolved start.

    Attributes:
        contexts: one per row.
        recorded: ``(S,)``, or ``(S, B)`` where rows differ, what the ego did from the newest frame of the context on;
            ``None`` where nobody knows.
        about: for the provenance.
    """

    contexts: tuple[Clip | Tags, ...]
    recorded: EgoMotion | None
    about: Mapping[str, Any]


def open_start(
    config: StartConfig,
    camera: Camera,
    *,
    dt_s: float,
    batch: int = 1,
    seed: int = 0,
    speed_mps: float | None = None,
    ahead: int = 0,
) -> Start:
    """Resolve where a drive starts.

    Args:
        config: what the user named.
        camera: of the world; frames are brought to its size.
        dt_s: of the world; recorded motion is laid out on it.
        batch: rows; in the reference world each has its own road, elsewhere all start alike.
        seed: of the first row.
        speed_mps: of a reference context, which is made for the drive; others have their own.
        ahead: steps for which the driver of a reference context goes on unseen, to be its recorded motion.

    Raises:
        ValueError: nothing of that name is there, or the time is outside it.
    """
    if config.data and config.context != "reference":
        raise ValueError(f"data={config.data} and context={config.context}: name one of the two")
    if config.data:
        return _from_footage(open_episode(config.data, config.episode, camera), config, dt_s, batch)
    if config.context == "reference":
        length = max(2, round(config.context_s / dt_s))
        tags = parse_tags(config.tags)
        made = [
            reference_clip(seed + row, length, camera, dt_s=dt_s, tags=tags, speed_mps=speed_mps, ahead=ahead)
            for row in range(batch)
        ]
        clips, motions = zip(*made)
        about = {"context": "reference", "context_frames": length, "reference_seed": seed}
        if not ahead:
            return Start(clips, None, about)
        rates = (np.stack([getattr(m, name) for m in motions], axis=1) for name in ("speed_mps", "yaw_rate_radps"))
        return Start(clips, EgoMotion(*rates), about)
    if Path(config.context).suffix:
        footage = open_recording(config.context, camera, time_s=config.t_s, cameras=config.cameras)
        return _from_footage(footage, config, dt_s, batch)
    if "=" in config.context:
        return Start((parse_tags(config.context),) * batch, None, {"context": config.context, "context_frames": 0})
    raise ValueError(
        f"context={config.context}: expected reference, an mp4 file, or tags such as weather=rain,time_of_day=night"
    )


def parse_tags(text: str) -> Tags:
    """Tags from ``weather=rain,time_of_day=night``; an empty text is unknown tags.

    Raises:
        ValueError: not of that form, not in the vocabulary, or of ``types.OUTCOMES``.
    """
    names = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        channel, equals, name = part.partition("=")
        if not equals:
            raise ValueError(f"tags: {part!r}: expected channel=name, e.g. weather=rain")
        names[channel.strip()] = name.strip()
    if names.get("event") in OUTCOMES:
        raise ValueError(f"tags: event={names['event']}: comes of how the ego drives and cannot be asked for")
    return Tags.named(**names)


def reference_clip(
    seed: int,
    length: int,
    camera: Camera,
    *,
    dt_s: float = 0.1,
    tags: Tags | None = None,
    speed_mps: float | None = None,
    ahead: int = 0,
) -> tuple[Clip, EgoMotion]:
    """``length`` frames of a calm drive in the reference world, and its motion ``(ahead,)`` from the last of them on.

    Args:
        seed: of the road and of what tags and ``USUAL`` leave open.
        length: frames.
        camera: of the frames.
        dt_s: between them.
        tags: what is wanted.
        speed_mps: the drive has settled at this speed, or at what the road allows below it, when the first frame is
            taken; ``None`` begins with the drive.
        ahead: steps that are driven on unseen.
    """
    tags = Tags.unknown() if tags is None else tags
    wanted = USUAL | {channel: name for channel, name in tags.names().items() if name != "unknown"}
    # Small pictures are averaged down from large ones, as those a model of that size is trained on.
    scale = max(1, 128 // camera.height_px)
    large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=camera.height_m)
    world, keeper = World(camera=large, dt_s=dt_s), OracleKeeper(speed_max_mps=speed_mps or math.inf)
    frame = world.start(Tags.named(**wanted), seed=seed)
    vehicle = VehicleState(world.info()["speed_mps"], np.zeros(1))
    settling = 0 if speed_mps is None else round(SETTLE_S / dt_s)
    frames, motions, codes, road = [], [], [], np.zeros((2, 0, 2))
    for index in range(settling + length + ahead):
        seen = Observation(frame, vehicle.speed_mps, vehicle.curvature_1pm, dt_s, world.info())
        vehicle, motion = drive(vehicle, keeper.act(seen), dt_s)
        if index >= settling:
            motions.append((motion.speed_mps[0], motion.yaw_rate_radps[0]))
        if settling <= index < settling + length:
            frames.append(frame[0])
            codes.append(world.tags()[0].codes)
            road = world.simulation(0).road_seen(MAP_M)
        if index + 1 < settling + length + ahead:
            drawn = world.step(motion, decode=settling <= index + 1 < settling + length)
            frame = frame if drawn is None else drawn
    speed, yaw_rate = np.array([*motions[: length - 1], (np.nan, np.nan)], dtype=np.float64).T
    further = np.array(motions[length - 1 : length - 1 + ahead], dtype=np.float64).reshape(-1, 2)
    t_s, before = np.arange(length, dtype=np.float64) * dt_s, EgoMotion(speed, yaw_rate)
    clip = Clip(
        frames=np.stack(frames),
        t_s=t_s,
        motion=before,
        tags=Tags(np.stack(codes)),
        camera=large,
        valid_mask=np.ones((large.height_px, large.width_px), dtype=bool),
        road=along(road, before, t_s),
    )
    return resized(clip, camera), EgoMotion(further[:, 0], further[:, 1])


def _from_footage(footage: Footage, config: StartConfig, dt_s: float, batch: int) -> Start:
    """The context that ends at ``t_s``, and the motion from there on."""
    begins, ends = float(footage.t_s[0]), float(footage.t_s[-1])
    newest = footage.nearest(min(begins + config.context_s, ends) if config.t_s is None else config.t_s)
    newest_s = float(footage.t_s[newest])
    first = int(np.searchsorted(footage.t_s, newest_s - config.context_s - 1e-6))
    clip = footage.read(first, newest - first + 1)
    about = {"context": footage.name, "t_s": newest_s, "context_frames": len(clip), **footage.about}
    return Start((clip,) * batch, footage.on_clock(newest_s, dt_s), about)
