"""Speed and turning of a real recording, read by the judge as it ships and fine-tuned on the recording's first half.

    python data/recordings/prepare.py RECORDINGS --out data/cache/recordings
    python benchmarks/perception_on_real_video.py data/cache/recordings --episode car_kitti_odo03#000

Scores are of the second half alone, beside plane geometry, which learns nothing, and the mean of the first half.
"""

import argparse
import copy
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import trange

from worldmodel.datasets.episodes import Episode, EpisodeDataset
from worldmodel.datasets.windows import ClipWindows, load_all
from worldmodel.perception.network import Look, Perceiver
from worldmodel.perception.plane import read_motion
from worldmodel.perception.reader import Reader
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.perceiving import ClipsWithTruth, changed, clip_length, perception_loss, read_row, target_of
from worldmodel.training.stages import as_tensors
from worldmodel.types import EgoMotion


def fine_tuned(network: Perceiver, episode: Episode, *, steps: int, learning_rate: float) -> Perceiver:
    """A copy of the network that has seen the first half of an episode."""
    network = copy.deepcopy(network).train().requires_grad_(True)
    (whole,) = load_all([episode])
    half = whole.length // 2
    length = clip_length(network.config)
    windows = ClipWindows([whole], length=length, batch_size=1, seed=0)
    clips, generator = ClipsWithTruth(windows), torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate)
    for step in trange(steps, desc="fine-tuning"):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (1 - step / steps)
        firsts = torch.randint(0, half - length, (8,), generator=generator).tolist()
        batch = as_tensors(clips.gather([(0, first) for first in firsts]))
        x = changed(to_network(batch.frames), generator)
        looks = network.look(network.sized(x.flatten(0, 1)))
        row = network.config.context - 1
        percept = read_row(network, Look(*(part.unflatten(0, x.shape[:2]) for part in looks)), row)
        loss, _ = perception_loss(network, percept, target_of(batch, row))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval().requires_grad_(False)


def main() -> None:
    """Parse the command line, fine-tune, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", type=Path, help="a prepared set")
    add("--episode", default="car_kitti_odo03#000")
    add("--judge", default="judge", help="bundled name or folder of perception")
    add("--steps", type=int, default=300)
    add("--learning-rate", type=float, default=5e-4)
    arguments = parser.parse_args()
    episode = EpisodeDataset(arguments.data).find(arguments.episode)
    shipped = Reader.from_pretrained(arguments.judge)
    adapted = Reader(fine_tuned(shipped.network, episode, steps=arguments.steps, learning_rate=arguments.learning_rate))
    half = episode.length // 2
    clip = episode.clip(half, episode.length - half)
    true, seen = clip.motion, episode.motion[:half]
    mean = EgoMotion(
        np.full(len(clip), np.nanmean(seen.speed_mps)), np.full(len(clip), np.nanmean(seen.yaw_rate_radps))
    )
    ground = read_motion(clip.frames, clip.t_s, clip.camera, valid_mask=clip.valid_mask)
    readings = {
        "fine-tuned": adapted.read(clip.frames, clip.t_s, clip.camera).motion,
        "as it ships": shipped.read(clip.frames, clip.t_s, clip.camera).motion,
        "plane geometry": EgoMotion(ground.speed_mps, ground.yaw_rate_radps),
        "mean of the first half": mean,
    }
    print(f"{arguments.episode}, frames {half} to {episode.length}: mean {np.nanmean(true.speed_mps):.1f} m/s")
    for name, motion in readings.items():
        speed = np.nanmean(np.abs(motion.speed_mps - true.speed_mps))
        yaw = np.nanmean(np.abs(motion.yaw_rate_radps - true.yaw_rate_radps))
        print(f"{name:24} speed off by {speed:.2f} m/s, yaw rate by {yaw:.4f} rad/s")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
