"""What a reader of a public dataset hands over: drives, each a table of times and motion beside lazily read frames.

A reader is one file under ``readers/`` with one ``Source``. It knows a publisher's layout and nothing of ours: frames
are of the source's own camera at the source's own rate. Choosing frames, the canonical view, episodes, workers and
reports are done once, for all readers, in ``prepare``.

Shapes: N rows of a drive.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.pictures import why_undecodable
from worldmodel.types import Camera, EgoMotion, FloatArray, FrameArray, MotionSource, Tags

#: Reads the frames at increasing rows, one after the other; ``None`` for one that cannot be read.
FrameReader = Callable[[Sequence[int]], Iterator[FrameArray | None]]


@dataclasses.dataclass
class Recording:
    """One drive of a source, opened: its whole table, and its frames on demand.

    Attributes:
        drive_id: unique in the source.
        place_id: shared by drives of one place; equal to ``drive_id`` when nothing is known.
        t_s: ``(N,)`` seconds.
        motion: ``(N,)`` from each row to the next: forward differences over the true time.
        speed_source, yaw_rate_source: how each channel was obtained.
        camera: of the source's frames.
        frames: reads frames by row.
        breaks: ``(N,)`` true where a row does not follow on from the row before.
        usable: ``(N,)`` false where a row's frame is known to be missing; its motion still counts.
        tags: ``(N,)``.
        caption, licence: of the whole.
        split: the publisher's, ``train``, ``val`` or ``test``; empty when there is none.
        columns: further ``(N,)`` columns, kept beside the motion; the same ones in every drive of a source.
        problems: what was skipped and why, each naming its file; it grows while frames are read.
    """

    drive_id: str
    place_id: str
    t_s: FloatArray
    motion: EgoMotion
    speed_source: MotionSource
    yaw_rate_source: MotionSource
    camera: Camera
    frames: FrameReader
    breaks: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    tags: Tags
    caption: str = ""
    licence: str = ""
    split: str = ""
    columns: dict[str, FloatArray] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.t_s)


class Source(Protocol):
    """A dataset on disk. Pickles, so that workers open its drives themselves."""

    @property
    def name(self) -> str:
        """Of the dataset."""
        ...

    def drives(self) -> list[str]:
        """Ids of all drives, sorted, without opening them.

        Raises:
            ValueError: nothing of this layout is there; the message says what was looked for and where.
        """
        ...

    def open(self, drive_id: str) -> Recording:
        """Open one drive.

        Raises:
            ValueError: it cannot be used at all; the message names the file and the reason.
        """
        ...


def read_image(path: Path) -> FrameArray:
    """An image file as ``(H, W, 3)`` uint8 RGB; grey becomes RGB.

    Raises:
        ValueError: the file is missing, empty or not an image.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise ValueError(f"{path}: empty file")
    return decode_image(data, path)


def decode_image(data: bytes, where: object) -> FrameArray:
    """The bytes of an image file as ``(H, W, 3)`` uint8 RGB; grey becomes RGB.

    Raises:
        ValueError: not an image, one whose end is missing, or of an impossible size; the message begins with ``where``.
    """
    wrong = why_undecodable(data)
    if wrong:
        raise ValueError(f"{where}: not an image that can be used: {wrong}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise ValueError(f"{where}: not an image: {error}") from error
    if image is None:
        raise ValueError(f"{where}: not an image, or a damaged one")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


class Problems:
    """Reasons, each with the places it concerns: one line per reason, however many places."""

    def __init__(self, where: object) -> None:
        self._where, self._places = where, dict[str, list[str]]()

    def add(self, reason: str, place: object) -> None:
        """Note a reason at a place."""
        self._places.setdefault(reason, []).append(str(place))

    def lines(self) -> list[str]:
        """One line per reason, with its first places."""
        return [
            f"{self._where}: {reason}: {len(places)} ({', '.join(places[:3])}{', …' if len(places) > 3 else ''})"
            for reason, places in self._places.items()
        ]


def assemble(
    drive_id: str,
    *,
    t_s: FloatArray,
    camera: Camera,
    frames: FrameReader,
    where: object,
    motion: EgoMotion | None = None,
    speed_source: MotionSource = "measured",
    yaw_rate_source: MotionSource = "measured",
    place_id: str = "",
    breaks: NDArray[np.bool_] | None = None,
    pause_s: float = 1.0,
    usable: NDArray[np.bool_] | None = None,
    tags: Tags | None = None,
    caption: str = "",
    licence: str = "",
    split: str = "",
    columns: dict[str, FloatArray] | None = None,
    problems: list[str] | None = None,
) -> Recording:
    """A ``Recording`` from what a reader has found, checked, with everything left out taken as unknown.

    A row breaks from the one before where ``breaks`` says so, where time steps back, and after a pause. Motion never
    reaches over a break; motion no road vehicle reaches, or that jumps as none can, becomes unknown and is reported.

    Args:
        where: the file that errors and problems name.
        pause_s: a longer step in time is a break.
        tags: ``()`` for all rows, or ``(N,)``.

    Raises:
        ValueError: no rows, times that are not numbers, or lengths that differ.
    """
    problems = [] if problems is None else problems
    t_s = np.asarray(t_s, dtype=np.float64)
    count = len(t_s)
    if count == 0:
        raise ValueError(f"{where}: no rows")
    if not np.isfinite(t_s).all():
        raise ValueError(f"{where}: row {int(np.argmax(~np.isfinite(t_s)))}: its time is not a number")
    motion = EgoMotion.unknown((count,)) if motion is None else motion
    usable = np.ones(count, bool) if usable is None else usable
    with np.errstate(over="ignore"):
        steps = np.diff(t_s)
    broken = np.concatenate([[True], (steps <= 0) | (steps > pause_s)])
    broken = broken if breaks is None else broken | breaks
    tags = Tags.unknown() if tags is None else tags
    codes = np.broadcast_to(tags.validate().codes, (count, tags.codes.shape[-1]))
    for name, length in (("motion", motion.shape), ("usable", usable.shape)):
        if length != (count,):
            raise ValueError(f"{where}: {name}: expected {count} rows, got {length}")
    motion = _plausible(motion, t_s, broken, where, problems)
    return Recording(
        drive_id=drive_id,
        place_id=place_id or drive_id,
        t_s=t_s,
        motion=motion,
        speed_source=speed_source if np.isfinite(motion.speed_mps).any() else "unknown",
        yaw_rate_source=yaw_rate_source if np.isfinite(motion.yaw_rate_radps).any() else "unknown",
        camera=camera.validate(),
        frames=frames,
        breaks=broken,
        usable=usable,
        tags=Tags(np.array(codes)),
        caption=caption,
        licence=licence,
        split=split,
        columns=columns or {},
        problems=problems,
    )


#: Per channel: beyond this no road vehicle goes; and a change from row to row beyond slack + rate * dt is a jump.
_BOUNDS = {"speed_mps": (100.0, 3.0, 30.0), "yaw_rate_radps": (5.0, 1.5, 15.0)}


def _plausible(
    motion: EgoMotion, t_s: FloatArray, breaks: NDArray[np.bool_], where: object, problems: list[str]
) -> EgoMotion:
    over = np.append(breaks[1:], True)  # the motion of a row before a break would reach over it
    dt_s = np.append(np.where(over[:-1], np.inf, np.diff(t_s)), np.inf)
    kept = []
    for channel, (bound, slack, rate) in _BOUNDS.items():
        values = np.where(over, np.nan, getattr(motion, channel))
        with np.errstate(invalid="ignore", over="ignore"):
            wild = np.isinf(values) | (np.abs(values) > bound)
            values = np.where(wild, np.nan, values)
            jump = np.abs(np.diff(values)) > slack + rate * dt_s[:-1]
        jumps = np.append(jump, False) | np.append(False, jump)
        for found, what in ((wild, "impossible"), (jumps, "jumping")):
            if found.any():
                rows = np.flatnonzero(found)
                problems.append(f"{where}: {len(rows)} rows of {what} {channel}, first {rows[0]}; set unknown")
        kept.append(np.where(jumps, np.nan, values))
    return EgoMotion(*kept)
