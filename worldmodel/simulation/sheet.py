"""Contact sheets: a few frames of a drive side by side, each with its time, speed and turning.

Knows pixels and a ``Drive``, nothing of how it was made.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from worldmodel.types import Drive, FrameArray

DEFAULT_TIMES_S = (0.0, 5.0, 20.0, 40.0, 60.0)
#: Height of the label above a tile.
STRIP_PX = 22


def contact_sheet(drive: Drive, times_s: Sequence[float] = DEFAULT_TIMES_S, *, columns: int = 3) -> FrameArray:
    """One picture of the frames nearest to ``times_s`` (those within the drive), twice enlarged and labelled."""
    within = [time_s for time_s in times_s if time_s <= drive.t_s[-1] + 0.05] or [float(drive.t_s[0])]
    tiles = []
    for time_s in within:
        index = int(np.abs(drive.t_s - time_s).argmin())
        # The last frame has no motion of its own; the one that led to it says more.
        motion = drive.motion[index if drive.motion.is_known[index] or not index else index - 1]
        label = (
            f"{drive.t_s[index]:.1f} s   {motion.speed_mps:.1f} m/s   {np.degrees(motion.yaw_rate_radps):+.1f} deg/s"
        )
        tiles.append(labelled(drive.frames[index], label, scale=2))
    return grid(tiles, columns=columns)


def labelled(frame: FrameArray, text: str, *, scale: int = 1) -> FrameArray:
    """``(H, W, 3)`` enlarged, with a strip of text above."""
    size = frame.shape[1] * scale, frame.shape[0] * scale
    picture = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    strip = np.full((STRIP_PX, picture.shape[1], 3), 24, dtype=np.uint8)
    cv2.putText(strip, text, (6, STRIP_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


def grid(tiles: Sequence[FrameArray], *, columns: int) -> FrameArray:
    """Equal ``(H, W, 3)`` tiles in rows of ``columns``, the rest of the last row dark."""
    columns = min(columns, len(tiles))
    missing = -len(tiles) % columns
    padded = [*tiles, *[np.full_like(tiles[0], 24)] * missing]
    rows = [np.concatenate(padded[i : i + columns], axis=1) for i in range(0, len(padded), columns)]
    return np.concatenate(rows)


def write_png(path: str | Path, picture: FrameArray) -> None:
    """Write an RGB picture.

    Raises:
        ValueError: the file cannot be written.
    """
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise ValueError(f"{path}: the picture cannot be written")
