"""Any driving video: dashcam files, or the downloads of OpenDV's lists; nothing but pictures, so motion is unknown.

Videos are found in the folder and three folders below. Where the picture changes all at once (a cut, a title), the
stretch of driving ends: the first frame after the cut is given as unreadable and named among the problems. Slow
fades are not found. The field of view and the row of the horizon are the user's to say; 65 degrees and 0.5 otherwise.

OpenDV: https://github.com/OpenDriveLab/DriveAGI/tree/main/opendv (lists of videos, with seconds to leave out at both
ends, which ``skip_start_s`` and ``skip_end_s`` do; its default is 90 and 30).

Shapes: N frames of a video.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.frames import VideoFrames
from worldmodel.datasets.source import FrameReader, Recording, assemble
from worldmodel.datasets.video import VideoReader
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import FrameArray

ENDINGS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".ts")
#: Between frames a tenth of a second apart: mean change of a thumbnail, and correlation of its columns and rows.
CUT_CHANGE, CUT_CORRELATION = 18.0, 0.65


@dataclasses.dataclass(frozen=True)
class Dashcam:
    """A folder of videos; a ``source.Source``.

    Attributes:
        root: the folder.
        hfov_deg, horizon: of the camera: field of view, and row of the horizon over the height.
        skip_start_s, skip_end_s: left out at both ends of every video.
    """

    root: Path
    hfov_deg: float = 65.0
    horizon: float = 0.5
    skip_start_s: float = 0.0
    skip_end_s: float = 0.0
    name: str = "dashcam"

    def _videos(self) -> dict[str, Path]:
        root = Path(self.root)
        paths = [p for depth in ("", "*/", "*/*/", "*/*/*/") for p in sorted(root.glob(f"{depth}*"))]
        return {p.relative_to(root).as_posix(): p for p in paths if p.suffix.lower() in ENDINGS and p.is_file()}

    def drives(self) -> list[str]:
        """Paths of the videos from the root, sorted."""
        found = self._videos()
        if not found:
            raise ValueError(f"{self.root}: no video ({' '.join(ENDINGS)}) in it, nor three folders below")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one video; errors name the file."""
        path = self._videos()[drive_id]
        with VideoReader(path) as video:
            t_s, height_px, width_px = video.times_s, video.height_px, video.width_px
        problems: list[str] = []
        return assemble(
            drive_id,
            t_s=t_s,
            camera=nominal_camera(width_px, height_px, self.hfov_deg, horizon=self.horizon),
            frames=UncutFrames(VideoFrames(path, problems=problems), t_s, str(path), problems),
            where=path,
            usable=(t_s >= self.skip_start_s) & (t_s <= t_s[-1] - self.skip_end_s),
            licence="not stated; that of the video",
            problems=problems,
        )


@dataclasses.dataclass(frozen=True)
class UncutFrames:
    """A ``FrameReader`` that gives the first frame after a cut as unreadable.

    Attributes:
        frames: of the video.
        t_s: ``(N,)`` times of its rows.
        where: what problems call it.
        problems: cuts are added here.
    """

    frames: FrameReader
    t_s: NDArray[np.float64]
    where: str
    problems: list[str]

    def __call__(self, rows: Sequence[int]) -> Iterator[FrameArray | None]:
        """The frames of the given rows."""
        before = None
        for row, frame in zip(rows, self.frames(rows)):
            small = None if frame is None else thumbnail(frame)
            if before is not None and small is not None and is_cut(before, small):
                self.problems.append(f"{self.where}: a cut at {self.t_s[row]:.1f} s; the frame after it is left out")
                frame = None
            before = small
            yield frame


def thumbnail(frame: FrameArray) -> NDArray[np.float64]:
    """A ``(18, 32)`` grey picture of a frame."""
    small = cv2.resize(frame, (32, 18), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.float64)


def is_cut(before: NDArray[np.float64], after: NDArray[np.float64]) -> bool:
    """True where one thumbnail does not follow from the other, even when the camera turned or shook."""
    if before.std() < 1 and after.std() < 1:
        return False  # nothing to be seen in either
    best, change = -1.0, np.inf
    for shift in range(-4, 5):
        a, b = before[:, max(0, shift) : 32 + min(0, shift)], after[:, max(0, -shift) : 32 - max(0, shift)]
        change = min(change, float(np.abs(a - b).mean()))
        spread = a.std() * b.std()
        if spread > 1:
            best = max(best, float(((a - a.mean()) * (b - b.mean())).mean() / spread))
    return change > CUT_CHANGE and best < CUT_CORRELATION
