"""Prepared episodes as a training corpus: decoded once, shrunk to the model's size where they were prepared larger."""

from __future__ import annotations

import functools
from pathlib import Path

from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.training.corpus import Made, shrink


def episode_names(path: str | Path) -> list[str]:
    """Names, one per episode of a prepared set, each with a hash: what is prepared or labelled anew is decoded anew.

    Raises:
        ValueError: no prepared set there.
    """
    _by_name.cache_clear()
    return list(_by_name(str(path)))


def read_episode(name: str, *, path: str, size: tuple[int, int]) -> Made:
    """The episode of one of ``episode_names`` at the model's ``(height, width)``; runs in a worker process.

    Raises:
        ValueError: prepared at a size that is no whole multiple of the model's.
    """
    episode = _by_name(path)[name]
    clip = episode.clip(0, episode.length)
    height, width = clip.frames.shape[1:3]
    scale = height // size[0]
    if (size[0] * scale, size[1] * scale) != (height, width) or scale == 0:
        raise ValueError(
            f"{path}: episodes are {height}x{width}, the model's frames are {size[0]}x{size[1]}; "
            f"prepare them again with --size {size[0]}x{size[1]}"
        )
    return Made(episode.info.drive_id, episode.info.place_id, shrink(clip, scale), split=episode.info.split)


@functools.lru_cache(maxsize=1)
def _by_name(path: str) -> dict[str, Episode]:
    """Kept, since a worker reads many episodes of one set and its ``meta/`` may be large."""
    return {f"{episode.episode_id}@{episode.content_hash}": episode for episode in EpisodeDataset(path)}
