"""Small synthetic drives that always run, and the real recordings where ``WORLDMODEL_RECORDINGS`` names them."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.datasets.video import VideoReader, VideoWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import EgoMotion, Tags

HEIGHT, WIDTH = 32, 64


def textured(count: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0, step_px: int = 2) -> np.ndarray:
    """Frames ``(count, height, width, 3)`` of a smooth texture that moves right; each knows its index by its shift."""
    random = np.random.default_rng(seed)
    noise = random.integers(0, 256, (height, 2 * width, 3), dtype=np.uint8)
    base = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    return np.stack([np.roll(base, step_px * i, axis=1)[:, :width] for i in range(count)])


def write_video(
    path: Path, count: int, fps: float = 10.0, height: int = HEIGHT, width: int = WIDTH, seed: int = 0
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, height, width, fps=fps) as writer:
        writer.write_all(textured(count, height, width, seed))
    return path


def write_episode(
    root: Path,
    drive: int,
    part: int = 0,
    length: int = 40,
    place: str = "",
    split: str = "",
    faster_mps: float = 0.0,
    **columns: np.ndarray,
) -> None:
    camera = canonical_camera(HEIGHT, WIDTH, height_m=1.2)
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[:, :5] = False
    info = EpisodeInfo(
        f"drive{drive}",
        place or f"place{drive}",
        camera,
        mask,
        "measured",
        "inferred",
        "a test",
        "CC0",
        "synthetic",
        split,
    )
    motion = EgoMotion(np.arange(length) * 0.1 + drive + faster_mps, np.sin(np.arange(length) / 5) * 0.2)
    tags = Tags.named(weather="rain")
    frames = textured(length, seed=drive)
    EpisodeWriter(root).write(
        info, frames, 100 + np.arange(length) * 0.1, motion, tags, drive=drive, part=part, columns=columns
    )


def check_whole(root: Path) -> None:
    """Whatever is in the set is whole: every episode listed can be read, to its last frame."""
    if list(root.glob("data/*/*.parquet")):
        for episode in EpisodeDataset(root):
            assert len(episode.t_s) == episode.length
            with VideoReader(episode.video_path) as video:
                assert len(video) == episode.length
                video.read([episode.length - 1])


@pytest.fixture
def small_set(tmp_path) -> EpisodeDataset:
    """Three drives of one place each, the first in two episodes."""
    root = tmp_path / "set"
    for drive, part, length in ((0, 0, 40), (0, 1, 25), (1, 0, 50), (2, 0, 33)):
        write_episode(root, drive, part, length)
    lerobot.rebuild_meta(root)
    return EpisodeDataset(root)


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder that holds ``recordings/`` and ``native/``."""
    folder = os.environ.get("WORLDMODEL_RECORDINGS")
    if not folder:
        pytest.skip("set WORLDMODEL_RECORDINGS to the folder that holds recordings/ and native/ to run this")
    return Path(folder)


@pytest.fixture(scope="session")
def profiles() -> list[dict]:
    return json.loads((Path(__file__).parents[2] / "data" / "recordings" / "profiles.json").read_text())
