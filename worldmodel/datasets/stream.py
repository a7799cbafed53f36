"""Videos without an index, read once from their beginning: raw HEVC, or a video inside an archive.

``video`` needs a file it can seek in; this needs any file object. With ``video`` the only importer of ``av``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from worldmodel.datasets.files import Tree
from worldmodel.types import FrameArray

#: What decoding of damaged streams ends in.
_ERRORS = (av.error.FFmpegError, OSError, EOFError, ValueError, IndexError, zipfile.BadZipFile, zlib.error)


@dataclasses.dataclass(frozen=True)
class StreamFrames:
    """A ``source.FrameReader``: row r is the r-th frame of the stream, in the order of presentation.

    Attributes:
        tree, name: where the stream is.
        format: what the stream is, as FFmpeg calls it, where it does not say itself (``hevc``).
        problems: what could not be decoded is added here.
    """

    tree: Tree
    name: str
    format: str | None = None
    problems: list[str] = dataclasses.field(default_factory=list)

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        """The frames at increasing rows; ``None`` from the first one on that cannot be decoded."""
        wanted = iter(rows)
        row = next(wanted, None)
        with self.tree.open(self.name) as file:
            for index, frame in enumerate(self._decode(file)):
                if row is None:
                    return
                if index == row:
                    yield frame
                    row = next(wanted, None)
        if row is not None:
            self.problems.append(f"{self.tree.where(self.name)}: ends before frame {row}")
        while row is not None:
            yield None
            row = next(wanted, None)

    def size(self) -> tuple[int, int]:
        """Height and width in pixels, from the first frame.

        Raises:
            ValueError: nothing can be decoded.
        """
        with self.tree.open(self.name) as file:
            frame = next(self._decode(file), None)
        if frame is None:
            reason = f": {self.problems.pop()}" if self.problems else ""
            raise ValueError(f"{self.tree.where(self.name)}: no frame can be decoded{reason}")
        return frame.shape[0], frame.shape[1]

    def _decode(self, file: IO[bytes]) -> Iterator[FrameArray]:
        reformatter = VideoReformatter()
        shape = None
        with contextlib.ExitStack() as stack:
            try:
                container: Any = stack.enter_context(av.open(file, format=self.format, metadata_errors="replace"))
                if not container.streams.video or container.streams.video[0].codec_context is None:
                    raise ValueError("no video stream")
                container.streams.video[0].codec_context.thread_count = 1
                for picture in container.decode(container.streams.video[0]):
                    if picture.is_corrupt:
                        raise ValueError("damaged frame")
                    frame = reformatter.reformat(picture, format="rgb24", threads=1).to_ndarray()
                    if shape not in (None, frame.shape):
                        raise ValueError(f"the size changes to {frame.shape[:2]}")
                    shape = frame.shape
                    yield np.asarray(frame, dtype=np.uint8)
            except _ERRORS as error:
                self.problems.append(f"{self.tree.where(self.name)}: {error}")
