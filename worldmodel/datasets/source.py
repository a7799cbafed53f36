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
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path}: not an image, or a damaged one")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
