"""Held-out drives and training frames: what a model is measured against, of the reference world or of a prepared set.

Rendered or decoded at the model's size and read by the judge, here or in a worker process. Knows nothing of learned
worlds.

Shapes: T frames; P steps of a probe; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from worldmodel.datasets.windows import split
from worldmodel.evaluation.control import any_drive, road_of, told_otherwise
from worldmodel.evaluation.pairs import Side, read_side
from worldmodel.evaluation.probes import STEPS, probes_of
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import dead_reckon
from worldmodel.geometry.road import seen_from
from worldmodel.perception.reader import Reader
from worldmodel.simulation.footage import resized
from worldmodel.simulation.starting import parse_tags
from worldmodel.types import Camera, Clip, Drive, EgoMotion, FloatArray, FrameArray, Tags

#: Pictures of the reference world are rendered at least this high, and averaged down where a model's are smaller, as
#: those it was trained on are.
_LEAST_HEIGHT_PX = 128


@dataclasses.dataclass(frozen=True)
class Source:
    """Where held-out drives come from.

    Attributes:
        data: ``reference`` or a prepared set.
        tags: kept fixed in the reference world.
        camera: of the model.
        frames: of each drive, the context included.
        context: frames of the context.
    """

    data: str
    tags: str
    camera: Camera
    frames: int
    context: int

    def fixed(self) -> dict[str, str]:
        """Options of reference drives that ``tags`` names."""
        names = parse_tags(self.tags).names().items()
        return {name: value for name, value in names if value != "unknown" and name != "event"}

    def check(self, drives: int) -> None:
        """Make sure that there are so many held-out drives.

        Raises:
            ValueError: there are not.
        """
        if self.data != "reference" and drives > (found := len(self._episodes())):
            raise ValueError(
                f"data={self.data}: {found} held-out drives of {self.frames} frames with known motion, asked for "
                f"{drives}; name fewer drives= or a shorter length_s="
            )

    def drive(self, number: int) -> Drive:
        """A held-out drive at the model's size, ``frames`` an array ``(T, H, W, 3)``."""
        if self.data == "reference":
            return _at(any_drive(self._large(), self.frames, number=number, **self.fixed()), self.camera)
        from worldmodel.datasets.episodes import EpisodeDataset

        episode = EpisodeDataset(self.data).find(self._episodes()[number])
        clip = resized(episode.clip(0, self.frames), self.camera)
        origin = {"data": self.data, "episode": episode.episode_id}
        return Drive(clip.frames, clip.t_s, clip.motion, None, {}, clip.tags, clip.camera, origin)  # pyright: ignore[reportArgumentType]

    def road(self, number: int) -> FloatArray | None:
        """A map of the road of a drive, in the axes of its first frame; of a prepared set none is known."""
        return road_of(self._large(), number=number, **self.fixed()) if self.data == "reference" else None

    def probes(self, number: int, told: Mapping[str, EgoMotion]) -> dict[str, FrameArray]:
        """The true world from the end of a drive's context on, moved by each motion; nothing of a prepared set."""
        if self.data != "reference":
            return {}
        found = told_otherwise(self._large(), self.context, told, number=number, **self.fixed())
        return {name: shrunk(frames, self.camera) for name, frames in found}

    def _large(self) -> Camera:
        return large_camera(self.camera)

    def _episodes(self) -> list[str]:
        from worldmodel.datasets.episodes import EpisodeDataset

        dataset = EpisodeDataset(self.data)
        _, held_out = split(list(dataset))
        usable = [s for s in held_out or dataset if s.length >= self.frames]
        return [s.episode_id for s in usable if s.motion[: self.frames - 1].is_known.all()]


@dataclasses.dataclass(frozen=True)
class Truth:
    """A held-out drive and what the judge reads of it.

    Attributes:
        drive: the whole, its frames an array ``(T, H, W, 3)``.
        context: frames of the context.
        probed: whether the world is asked more than to go on.
        readings: of the frames from the newest of the context on; holds no frames itself.
        told: by name of a probe, what is told instead ``(P,)``; empty where the drive is not probed or too short.
        probes: what the true world then shows, read; empty where it cannot be driven so.
        road: a map of its road ``(2, P, 2)`` in the axes of its first frame, where there is one.
    """

    drive: Drive
    context: int
    probed: bool
    readings: Side
    told: Mapping[str, EgoMotion]
    probes: Mapping[str, EgoMotion]
    road: FloatArray | None = None

    @property
    def after(self) -> slice:
        """Frames from the newest of the context on."""
        return slice(self.context - 1, len(self.drive))

    @property
    def motion(self) -> EgoMotion:
        """From the newest of the context on; the last row is unknown."""
        return self.drive.motion[self.after]

    @property
    def side(self) -> Side:
        """What was read, with the frames it was read of."""
        return dataclasses.replace(self.readings, frames=np.asarray(self.drive.frames)[self.after])

    def clip(self) -> Clip:
        """The context, with a map of the road where there is one."""
        drive, rows, road = self.drive, slice(0, self.context), None
        frames = np.asarray(drive.frames)[rows]
        motion = drive.motion[: self.context - 1].of_frames()
        if self.road is not None:
            poses = dead_reckon(motion, drive.t_s[rows])
            road = np.stack([seen_from(self.road, pose) for pose in poses]).astype(np.float32)
        valid = np.ones(frames.shape[1:3], bool)
        return Clip(frames, drive.t_s[rows], motion, drive.tags[rows], drive.camera, valid, road)


def read_truth(source: Source, number: int, reader: Reader, probed: bool) -> Truth:
    """Render or decode a held-out drive and read it, with its probes in the true world where it is ``probed``.

    Raises:
        ValueError: its motion is unknown after its context.
    """
    drive = source.drive(number)
    rows = slice(source.context - 1, len(drive))
    motion = drive.motion[rows]
    if not motion[:-1].is_known.all():
        raise ValueError("the motion of a drive to be continued is unknown after its context")
    side = read_side(np.asarray(drive.frames)[rows], drive.t_s[rows] - drive.t_s[rows.start], drive.camera, reader)
    told = probes_of(motion[:-1]) if probed else {}
    dt_s = float(np.median(np.diff(drive.t_s)))
    true = {name: read_probe(f, dt_s, drive.camera, reader) for name, f in source.probes(number, told).items()}
    # The frames are the drive's: they need not travel twice.
    side = dataclasses.replace(side, frames=side.frames[:0])
    return Truth(drive, source.context, probed, side, told, true, source.road(number))


def read_probe(frames: FrameArray, dt_s: float, camera: Camera, reader: Reader) -> EgoMotion:
    """Motion ``(P,)`` the judge reads of a probe's frames ``(P + 1, H, W, 3)``."""
    return reader.read(frames, dt_s * np.arange(len(frames), dtype=np.float64), camera).motion[:STEPS]


def large_camera(camera: Camera) -> Camera:
    """The camera that pictures for a smaller one are rendered with."""
    scale = max(1, _LEAST_HEIGHT_PX // camera.height_px)
    return canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=camera.height_m)


def shrunk(frames: FrameArray, camera: Camera) -> FrameArray:
    """Frames ``(T, H, W, 3)`` at the size of a camera."""
    count, valid = len(frames), np.ones(frames.shape[1:3], bool)
    clip = Clip(
        frames, np.arange(count, dtype=np.float64), EgoMotion.unknown((count,)), Tags.unknown((count,)), camera, valid
    )
    return resized(clip, camera).frames


def _at(drive: Drive, camera: Camera) -> Drive:
    frames = shrunk(np.stack([np.asarray(frame) for frame in drive.frames]), camera)
    return dataclasses.replace(drive, frames=frames, camera=camera)
