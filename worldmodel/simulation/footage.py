"""A stretch of recorded driving: an episode of a prepared set, or straight from your mp4. Times, motion, frames.

Both are seen through the canonical view, at the size a world wants. Knows where footage lies, nothing of worlds.

Shapes: N frames of the stretch; T of a clip; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.datasets.readers.recordings import Recordings
from worldmodel.datasets.timing import choose_stride, motion_between, stretches
from worldmodel.geometry.camera import CanonicalView
from worldmodel.types import Camera, Clip, EgoMotion, FloatArray


@dataclasses.dataclass(frozen=True)
class Footage:
    """One uninterrupted stretch.

    Attributes:
        name: for people.
        t_s: ``(N,)`` seconds since the beginning of the episode or of the recording.
        motion: ``(N,)``; the last is unknown.
        read: ``(first, count)`` to a ``Clip``.
        about: for the provenance of what is made from it.
    """

    name: str
    t_s: FloatArray
    motion: EgoMotion
    read: Callable[[int, int], Clip]
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.t_s)

    def nearest(self, time_s: float) -> int:
        """Index of the frame nearest to a time.

        Raises:
            ValueError: the time is outside the stretch.
        """
        first, last = float(self.t_s[0]), float(self.t_s[-1])
        if not first - 0.1 <= time_s <= last + 0.1:
            raise ValueError(f"t_s={time_s:g}: {self.name} goes from {first:.1f} to {last:.1f} s")
        return int(np.abs(self.t_s - time_s).argmin())

    def on_clock(self, start_s: float, dt_s: float) -> EgoMotion:
        """Motion ``(S,)`` for steps of ``dt_s`` from ``start_s`` to the end of the stretch.

        Distance and turning are kept: each is summed up over time and read at the new times. A step that touches an
        unknown row is unknown.
        """
        steps = int((self.t_s[-1] - start_s) / dt_s + 1e-6)
        clock_S1 = start_s + np.arange(steps + 1) * dt_s
        spans = np.diff(self.t_s)

        def resampled(rate: FloatArray) -> FloatArray:
            total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(rate[:-1]) * spans)])
            unknown = np.concatenate([[0.0], np.cumsum(np.isnan(rate[:-1]) * spans)])
            gone = np.diff(np.interp(clock_S1, self.t_s, unknown)) > 1e-6
            return np.where(gone, np.nan, np.diff(np.interp(clock_S1, self.t_s, total)) / dt_s)

        return EgoMotion(resampled(self.motion.speed_mps), resampled(self.motion.yaw_rate_radps))


def open_episode(data: str | Path, episode: int | str, camera: Camera) -> Footage:
    """An episode of a prepared set, its frames at the camera's size.

    Args:
        data: folder of the set.
        episode: its number, its id, or the id of a drive, of which the longest episode is taken.
        camera: of the world.

    Raises:
        ValueError: no such folder or episode.
    """
    if not Path(data).is_dir():
        raise ValueError(f"data={data}: no such folder; prepare one with data/<name>/prepare.py")
    found = _find(list(EpisodeDataset(data)), episode, str(data))
    return Footage(
        found.episode_id,
        found.t_s - found.t_s[0],
        found.motion,
        lambda first, count: resized(found.clip(first, count), camera),
        {"source": found.info.source, "data": str(data), "frames_hash": found.frames_hash},
    )


def _find(episodes: list[Episode], wanted: int | str, data: str) -> Episode:
    if isinstance(wanted, int):
        if not 0 <= wanted < len(episodes):
            raise ValueError(f"episode={wanted}: {data} has episodes 0..{len(episodes) - 1}")
        return episodes[wanted]
    named = [e for e in episodes if wanted in (e.episode_id, e.info.drive_id)]
    if not named:
        known = [e.info.drive_id for e in episodes] + [e.episode_id for e in episodes]
        close = difflib.get_close_matches(wanted, known, n=1)
        remedy = (
            f"did you mean {close[0]!r}?" if close else f"its drives are {', '.join(sorted({*known[: len(episodes)]}))}"
        )
        raise ValueError(f"episode={wanted}: {data} has none of that name; {remedy}")
    return max(named, key=len)


def open_recording(
    path: str | Path, camera: Camera, *, time_s: float | None = None, cameras: str | Path = ""
) -> Footage:
    """The longest stretch of an mp4, or that around ``time_s``, with the table beside it.

    Args:
        path: of the mp4; its table and its own profile lie beside it, as ``datasets.readers.recordings`` has it.
        camera: of the world.
        time_s: seconds since its first frame that the stretch is to hold.
        cameras: a json file of profiles of cameras and vehicles by name, as ``data/recordings/profiles.json``.

    Raises:
        ValueError: no such file, a file that cannot be read, or one whose frames are too far apart.
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4" or not path.is_file():
        raise ValueError(f"context={path}: " + ("no such file" if path.suffix.lower() == ".mp4" else "expected an mp4"))
    recording = Recordings(path.parent, _profiles(cameras) if cameras else ()).open(path.stem)
    began_s = recording.t_s[0]
    stride = choose_stride(recording.t_s, recording.breaks)
    parts = [part for part in stretches(recording.t_s, stride, breaks=recording.breaks) if len(part) > 1]
    if time_s is None:
        rows = max(parts, key=len)
    else:
        rows = min(parts, key=lambda part: float(np.abs(recording.t_s[part] - began_s - time_s).min()))
    view = CanonicalView.of(recording.camera, camera.height_px, camera.width_px)

    def read(first: int, count: int) -> Clip:
        taken = rows[first : first + count]
        frames = list(recording.frames(taken.tolist()))
        lost = [int(row) for row, frame in zip(taken, frames) if frame is None]
        if lost:
            raise ValueError(f"{path}: frame {lost[0]} cannot be read")
        seen = np.stack([view.apply(frame) for frame in frames if frame is not None])
        times = recording.t_s[taken]
        motion = motion_between(recording.motion, recording.t_s, taken[:-1], taken[1:])
        motion = motion.of_frames()
        return Clip(seen, times, motion, recording.tags[taken], view.target, view.valid_mask)

    motion = motion_between(recording.motion, recording.t_s, rows, np.append(rows[1:], len(recording)))
    about = {"source": str(path), "speed_source": recording.speed_source, "yaw_rate_source": recording.yaw_rate_source}
    return Footage(path.name, recording.t_s[rows] - began_s, motion, read, about)


def _profiles(path: str | Path) -> list[dict[str, Any]]:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cameras={path}: cannot be read: {error}") from error


def resized(clip: Clip, camera: Camera) -> Clip:
    """A clip in the canonical view, at another size of that view."""
    size = camera.width_px, camera.height_px
    if clip.frames.shape[1:3] == size[::-1]:
        return clip
    frames = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in clip.frames])
    mask = cv2.resize(clip.valid_mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    camera = dataclasses.replace(camera, height_m=clip.camera.height_m)
    return dataclasses.replace(clip, frames=frames.astype(np.uint8), valid_mask=mask, camera=camera)
