"""A labelling pass: motion for footage that came without, read from its pixels, marked as inferred, with a confidence.

    python -m worldmodel.training.labelling data/cache/dashcam [--camera-height-m 1.4] [--redo]

Only channels that are unknown throughout an episode are filled, by plane geometry (``perception.plane``): speed needs
the height of the camera, turning does not. What was measured is never touched. The column ``motion_match`` says how
well the ground of each two frames agreed (1 equal, 0 unrelated; NaN where nothing was read); speeds of steps below
``--least-match`` stay unknown. Killed, it goes on with the next episode.

Shapes: T frames of an episode.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.metrics.intervals import known_mean
from worldmodel.perception.plane import GroundMotion, read_motion, read_yaw_of_corners
from worldmodel.types import EgoMotion

#: Name of the confidence column.
CONFIDENCE = "motion_match"
Channels = tuple[str, ...]
#: Frames read at a time.
_STRETCH = 200


@dataclasses.dataclass(frozen=True)
class Labelled:
    """What became of one episode.

    Attributes:
        episode_id: of it.
        channels: that were filled.
        known_share: of its steps that are known in those channels now.
    """

    episode_id: str
    channels: tuple[str, ...]
    known_share: float


def read_episode_motion(episode: Episode, height_m: float) -> tuple[EgoMotion, np.ndarray]:
    """Motion ``(T,)`` of an episode as its pixels tell it, and the match ``(T,)``; speed is NaN without a height."""
    camera, t_s = dataclasses.replace(episode.info.camera, height_m=height_m), episode.t_s
    mask = episode.info.valid_mask
    columns = np.full((3, episode.length), np.nan)
    for start in range(0, episode.length - 1, _STRETCH):
        stop = min(start + _STRETCH + 1, episode.length)  # one more, so that the step between stretches is read too
        frames = episode.read(start, stop - start)
        if math.isnan(height_m):
            columns[1, start : stop - 1] = read_yaw_of_corners(frames, t_s[start:stop], camera, valid_mask=mask)[:-1]
            continue
        found: GroundMotion = read_motion(frames, t_s[start:stop], camera, valid_mask=mask)
        rows = np.stack([found.speed_mps, found.yaw_rate_radps, found.match])
        columns[:, start : stop - 1] = rows[:, :-1]
    return EgoMotion(columns[0], columns[1]), columns[2]


def label(root: str | Path, *, camera_height_m: float = math.nan, least_match: float = 0.5, redo: bool = False,
          progress: bool = True) -> list[Labelled]:  # fmt: skip
    """Fill what is unknown in a prepared set; returns a row for each episode that was filled.

    Args:
        root: of the set.
        camera_height_m: where the set does not know it; NaN leaves such footage without a speed.
        least_match: steps whose ground agrees less stay unknown in speed.
        redo: read again what an earlier pass has inferred.
        progress: show a bar.

    Raises:
        ValueError: no prepared set there.
    """
    dataset, done = EpisodeDataset(root), []
    for episode in tqdm(dataset, "labelling", disable=not progress):
        footer = lerobot.read_footer(episode.table_path)
        if CONFIDENCE in footer["columns"] and not redo:
            continue
        height_m = episode.info.camera.height_m
        height_m = camera_height_m if math.isnan(height_m) else height_m
        wanted = _wanted(footer, height_m)
        motion, match = EgoMotion.unknown((episode.length,)), np.full(episode.length, np.nan)
        if wanted:
            motion, match = read_episode_motion(episode, height_m)
            motion = EgoMotion(np.where(match >= least_match, motion.speed_mps, np.nan), motion.yaw_rate_radps)
        known = _write(episode, footer, wanted, motion, match)
        if wanted:
            done.append(Labelled(episode.episode_id, wanted, known))
    lerobot.rebuild_meta(Path(root))
    return done


def _wanted(footer: dict[str, Any], height_m: float) -> Channels:
    """Channels nobody knows, or that an earlier pass has inferred."""
    channels = ("speed", "yaw_rate") if not math.isnan(height_m) else ("yaw_rate",)
    ours = ("unknown", "inferred") if CONFIDENCE in footer["columns"] else ("unknown",)
    return tuple(channel for channel in channels if footer[f"{channel}_source"] in ours)


def _write(
    episode: Episode, footer: dict[str, Any], wanted: tuple[str, ...], motion: EgoMotion, match: np.ndarray
) -> float:
    """Write the episode's table anew, atomically; returns the share of steps that are known now."""
    table = pq.read_table(episode.table_path)
    action = lerobot.from_arrow(table.column("action")).astype(np.float32).copy()
    for index, (channel, values) in enumerate((("speed", motion.speed_mps), ("yaw_rate", motion.yaw_rate_radps))):
        if channel in wanted:
            action[:, index] = values
            footer[f"{channel}_source"] = "inferred"
    action[-1:] = np.nan
    confidence = match.astype(np.float32)
    for name, array in (("action", action), (CONFIDENCE, confidence)):
        column = lerobot.to_arrow(array)
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, column)
        else:
            table = table.append_column(name, column)
        footer["stats"][name] = lerobot.column_stats(array)
    footer["columns"][CONFIDENCE] = str(confidence.dtype)
    lerobot.write_table(episode.table_path, table, footer)
    rows = [index for index, channel in enumerate(("speed", "yaw_rate")) if channel in wanted]
    return known_mean(np.isfinite(action[:-1, rows]).all(axis=1).astype(float)) or 0.0


def main() -> None:
    """Read the command line, label, say what was done."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodel.training.labelling", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folder", type=Path, help="a prepared set")
    parser.add_argument("--camera-height-m", type=float, default=math.nan, help="where the set does not know it")
    parser.add_argument("--least-match", type=float, default=0.5, help="speeds of worse steps stay unknown")
    parser.add_argument("--redo", action="store_true", help="read again what an earlier pass has inferred")
    parser.add_argument("--json", type=Path, help="write what was done here")
    arguments = parser.parse_args()
    try:
        done = label(
            arguments.folder, camera_height_m=arguments.camera_height_m, least_match=arguments.least_match,
            redo=arguments.redo,
        )  # fmt: skip
    except ValueError as error:
        sys.exit(f"error: {error}")
    for row in done:
        print(f"{row.episode_id}: {', '.join(row.channels)} inferred, {row.known_share:.0%} of the steps are known")
    print(f"{len(done)} episodes labelled")
    if arguments.json:
        arguments.json.write_text(json.dumps([dataclasses.asdict(row) for row in done], indent=1))


if __name__ == "__main__":
    main()
