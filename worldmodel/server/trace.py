"""What a person has driven since the start: a row per frame, and its picture in a file that is only appended to.

Going back cuts the trace; a branch copies the rows and shares the pictures. Knows rows and bytes, nothing of worlds.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
import zlib
from typing import IO

from worldmodel.types import Controls, EgoMotion, FrameArray, Tags


class Spool:
    """Encoded pictures on disk, in a temporary file of their own that vanishes with it.

    Args:
        most_bytes: it takes no more than this.
    """

    def __init__(self, most_bytes: int) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="worldmodel-drive-")  # noqa: SIM115
        self._most_bytes, self._end = most_bytes, 0
        self._lock = threading.Lock()

    @property
    def is_full(self) -> bool:
        """Whether a further picture might not find room."""
        return self._end >= self._most_bytes

    def append(self, image: bytes) -> tuple[int, int]:
        """Keep an image; returns where it lies."""
        with self._lock:
            self._file.seek(self._end)
            self._file.write(image)
            place = self._end, len(image)
            self._end += len(image)
        return place

    def read(self, place: tuple[int, int]) -> bytes:
        """The image at a place."""
        with self._lock:
            self._file.seek(place[0])
            return self._file.read(place[1])

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


@dataclasses.dataclass(frozen=True)
class Row:
    """One frame, and what was done about it.

    Attributes:
        image: where its picture lies in the spool.
        crc32: of the frame's own bytes, which a replay of the drive must meet.
        tags: ``()`` that the step to the *next* frame was told.
        motion: ``()`` to the next frame; unknown at the last.
        controls: ``()`` what was wanted; NaN at the last.
        driver: ``person`` or a policy's name; empty at the last.
    """

    image: tuple[int, int]
    crc32: int
    tags: Tags
    motion: EgoMotion
    controls: Controls
    driver: str


def crc32_of(frame: FrameArray) -> int:
    """Of a frame's bytes, as a whole number."""
    return zlib.crc32(frame.tobytes())
