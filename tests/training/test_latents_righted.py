"""Latents of frames, and of the frames before them as they are moved and put right."""

import dataclasses
from pathlib import Path

import numpy as np
import torch

from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import BEHIND, POINTS, SPACING_M
from worldmodel.training.config import ClipsConfig, DataConfig, TrainConfig
from worldmodel.training.latents import latents_of
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH = 15


def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(cache=str(tmp_path / "cache")),
        tokenizer=TOKENIZER,
        dynamics=dataclasses.replace(DYNAMICS, road=True),
        clips=ClipsConfig(short=4, long=12),
        device="cpu",
        progress=False,
    )


def stretch(seed: int = 0) -> MemoryEpisode:
    """A drive through colours, on a straight lane."""
    rng = np.random.default_rng(seed)
    clip = Clip(
        frames=np.repeat(rng.integers(0, 256, (LENGTH, 32, 16, 3), dtype=np.uint8), 4, axis=2),
        t_s=np.arange(LENGTH) * 0.1,
        motion=EgoMotion(rng.uniform(8, 20, LENGTH), rng.uniform(-0.1, 0.1, LENGTH)),
        tags=Tags.unknown((LENGTH,)),
        camera=canonical_camera(32, 64, height_m=1.4),
        valid_mask=np.ones((32, 64), dtype=bool),
    )
    return MemoryEpisode.of(clip, drive_id=f"d{seed}", truth={"road": road().expand(LENGTH, 2, POINTS, 2).numpy()})


def road() -> torch.Tensor:
    """The window of a straight lane, whose ego is a metre from its right edge."""
    x_m = SPACING_M * (torch.arange(POINTS) - BEHIND)
    return torch.stack([torch.stack([x_m, torch.full_like(x_m, edge_m)], dim=-1) for edge_m in (2.5, -1.0)])


def test_the_frame_before_is_put_right_as_the_sampler_has_it(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    true = stretch()
    righted = dataclasses.replace(settings, sampler=SamplerConfig(righted=0.3))
    plain, put_right = (latents_of(c, tokenizer, true).float() for c in (settings, righted))
    assert torch.equal(plain[:, 0], put_right[:, 0])
    assert not torch.equal(plain[1:, 1], put_right[1:, 1])
    nowhere = dataclasses.replace(true, truth={"road": np.full_like(true.truth["road"], np.nan)})
    assert torch.allclose(latents_of(righted, tokenizer, nowhere)[1:, 1].float(), plain[1:, 1], atol=2e-3)
