"""The two ways in which sources keep their frames, as a ``source.FrameReader``: single images, and video files.

A frame that cannot be read is ``None``, and its reason joins the recording's problems.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from worldmodel.datasets.source import read_image
from worldmodel.datasets.video import VideoReader
from worldmodel.types import FrameArray


@dataclasses.dataclass(frozen=True)
class ImageFrames:
    """Single images.

    Attributes:
        paths: of every row; ``None`` where there is no file.
        shape: ``(H, W, 3)`` that every image must have.
        problems: what could not be read is added here.
    """

    paths: Sequence[Path | None]
    shape: tuple[int, ...]
    problems: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, paths: Sequence[Path | None], problems: list[str], where: object) -> ImageFrames:
        """Frames of the size of the first image that can be read.

        Raises:
            ValueError: none of the images can be read.
        """
        reason = "there is none"
        for path in paths:
            if path is not None:
                try:
                    return cls(paths, read_image(path).shape, problems)
                except ValueError as error:
                    reason = str(error)
        raise ValueError(f"{where}: no image of it can be read: {reason}")

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        """The images of the given rows."""
        for row in rows:
            path = self.paths[row]
            try:
                if path is None:
                    raise ValueError(f"row {row}: image missing")
                frame = read_image(path)
                if frame.shape != self.shape:
                    raise ValueError(f"{path}: size {frame.shape[:2]}, others have {self.shape[:2]}")
            except ValueError as error:
                self.problems.append(str(error))
                yield None
            else:
                yield frame


@dataclasses.dataclass(frozen=True)
class VideoFrames:
    """Frames of a seekable video file.

    Attributes:
        path: of the file.
        first: frame of the file that row 0 is.
        problems: what could not be decoded is added here.
    """

    path: Path
    first: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        """The frames of the given rows."""
        with VideoReader(self.path) as video:
            for row in rows:
                try:
                    frame = video.read(self.first + row, 1)[0]
                except ValueError as error:
                    self.problems.append(str(error))
                    yield None
                else:
                    yield frame
