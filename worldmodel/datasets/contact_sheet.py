"""One picture of a prepared set: a row of frames per drive, its name, and where the horizon should be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.geometry.camera import HORIZON
from worldmodel.types import FrameArray


def write_contact_sheet(root: str | Path, *, columns: int = 6, rows: int = 24) -> Path:
    """Write ``contact_sheet.png`` into a prepared set and return its path.

    A row holds ``columns`` frames spread over one drive's episodes; at most ``rows`` drives are shown, spread over all.
    Short ticks on both sides mark the row of the canonical horizon.

    Raises:
        ValueError: there is no complete episode.
    """
    dataset = EpisodeDataset(root)
    drives: dict[str, list[Episode]] = {}
    for episode in dataset:
        drives.setdefault(episode.info.drive_id, []).append(episode)
    names = sorted(drives)
    shown = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(rows, len(names))).round().astype(int))]
    sheet = np.concatenate([_strip(name, drives[name], columns) for name in shown])
    path = dataset.root / "contact_sheet.png"
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    return path


def _strip(name: str, episodes: list[Episode], columns: int) -> FrameArray:
    starts = np.cumsum([0] + [len(e) for e in episodes])
    frames = []
    for at in np.linspace(0, starts[-1] - 1, columns).astype(int):
        index = int(np.searchsorted(starts, at, "right")) - 1
        frame = episodes[index].read(int(at - starts[index]), 1)[0].copy()
        horizon = round(HORIZON * frame.shape[0])
        frame[horizon, :8] = frame[horizon, -8:] = (255, 40, 40)
        frames.append(frame)
    strip = np.concatenate(frames, axis=1)
    info = episodes[0].info
    caption = (
        f"{name}  {len(episodes)} episodes, {starts[-1]} frames, motion {info.speed_source}/{info.yaw_rate_source}"
    )
    banner = np.zeros((16, strip.shape[1], 3), np.uint8)
    cv2.putText(banner, caption, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(np.concatenate([banner, strip]), dtype=np.uint8)
