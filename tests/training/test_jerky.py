"""Clips in which time jumps are told the motion that truly lies between the frames that are left."""

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.geometry.motion import between, dead_reckon
from worldmodel.training.jerky import composed, jump
from worldmodel.types import EgoMotion

DT_S = 0.1


def clip(rng: np.random.Generator, length: int) -> tuple[EgoMotion, torch.Tensor]:
    motion = EgoMotion(rng.uniform(0, 30, length), rng.uniform(-0.5, 0.5, length))
    rates = (torch.from_numpy(x)[None] for x in (motion.speed_mps, motion.yaw_rate_radps))
    return motion, incoming(motion_channels(*rates, torch.tensor(DT_S), torch.tensor(1.4)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_a_jerky_clips_motion_is_the_pose_between_its_frames(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    motion, channels = clip(rng, length)
    index = jump(length, 1, torch.Generator().manual_seed(seed))
    assert ((index[:, 1:] - index[:, :-1] >= 0) & (index[:, 1:] - index[:, :-1] <= 2)).all()
    assert index[0, 0] == 0
    assert index.max() < length
    told = composed(channels, index)[0]
    poses = dead_reckon(motion, np.arange(length) * DT_S)[index[0].numpy()]
    truth = between(poses[:-1], poses[1:])
    assert np.allclose(told[1:, 0], np.hypot(truth[:, 0], truth[:, 1]), atol=1e-3)
    assert np.allclose(told[1:, 1], truth[:, 2], atol=1e-5)
    assert told[0, :2].isnan().all()
    assert torch.equal(told[1:, 2:], channels[0, 1:, 2:])


def test_a_true_clip_is_left_as_it_is_and_unknown_steps_stay_unknown() -> None:
    _, channels = clip(np.random.default_rng(0), 12)
    straight = torch.arange(12)[None]
    assert torch.allclose(composed(channels, straight)[:, 1:], channels[:, 1:], atol=1e-4)
    channels[0, 5, 1] = math.nan  # from frame 4 to frame 5
    told = composed(channels, torch.tensor([[0, 1, 3, 4, 4, 6, 7, 7, 9, 10, 11, 11]]))[0, :, :2]
    assert told[[0, 5]].isnan().all()
    assert told[[1, 2, 3, 4, 6, 7, 8, 9, 10, 11]].isfinite().all()
    assert (told[[4, 7, 11]] == 0).all()
