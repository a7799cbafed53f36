"""Roads lie beside their map, by as much for a while and then otherwise."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import BEHIND, POINTS, SPACING_M
from worldmodel.training import straying
from worldmodel.training.config import ClipsConfig, DataConfig, QuestionsConfig, TrainConfig
from worldmodel.training.latents import latents_of
from worldmodel.training.straying import off_map, strayed_latents
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH, PIECE = 15, 6


def config(tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(cache=str(tmp_path / "cache")),
        tokenizer=TOKENIZER,
        dynamics=dataclasses.replace(DYNAMICS, road=True),
        clips=ClipsConfig(short=4, long=12),
        questions=QuestionsConfig(roads=1.0, frames=PIECE),
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
    return MemoryEpisode.of(clip, drive_id=f"d{seed}", truth={"road": roads([-1.0] * LENGTH).numpy()})


def roads(beyond_m: list[float]) -> torch.Tensor:
    """Windows of a straight lane, whose ego is so far beyond its right edge."""
    x_m = SPACING_M * (torch.arange(POINTS) - BEHIND)
    return torch.stack(
        [torch.stack([torch.stack([x_m, 0 * x_m + edge_m + m], dim=-1) for edge_m in (3.5, 0.0)]) for m in beyond_m]
    )


def test_a_road_is_astray_by_as_much_for_a_while() -> None:
    offs = [off_map(stretch(seed), PIECE) for seed in range(200)]
    assert offs[0].shape == (LENGTH, 3)
    for first in (0, PIECE, 2 * PIECE):
        part = offs[0][first : first + PIECE]
        assert torch.equal(part, part[:1].expand_as(part))
    assert not torch.equal(offs[0][0], offs[0][PIECE])
    assert not torch.equal(offs[0], offs[1]), "drawn by the stretch's name"
    assert torch.equal(offs[0], off_map(stretch(0), PIECE))
    spread = torch.stack(offs)[:, ::PIECE].flatten(0, 1).std(dim=0)
    assert torch.allclose(spread / torch.tensor(straying._OFF_M), torch.full((3,), 1.1), atol=0.25)


def test_its_latents_are_of_frames_led_astray_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    stretches = [stretch(0), stretch(1)]
    made = strayed_latents(settings, tokenizer, stretches)
    for latents, true in zip(made, stretches, strict=True):
        assert latents.length == true.length
        assert latents.episode_id != true.episode_id, "their latents would be mistaken for each other"
        named = dataclasses.replace(true, episode_id=latents.episode_id)
        frames = straying._frames(settings, tokenizer, named)
        assert np.abs(frames.astype(int) - true.frames).mean() > 0.1
        astray = latents_of(settings, tokenizer, dataclasses.replace(named, frames=frames))
        np.testing.assert_array_equal(latents.frames, astray.numpy())

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(straying, "_frames", fail)
    again = strayed_latents(settings, tokenizer, stretches)
    assert all(np.array_equal(a.frames, b.frames, equal_nan=True) for a, b in zip(made, again))


def test_frames_led_astray_by_nothing_are_the_true_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = stretch()
    monkeypatch.setattr(straying, "off_map", lambda s, _: torch.zeros(s.length, 3))
    made = straying._frames(config(tmp_path), tiny_model().tokenizer, true)
    assert made.shape == true.frames.shape
    assert np.abs(made.astype(int) - true.frames).max() <= 1


def test_the_frame_before_is_put_right_as_the_sampler_has_it(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    true = stretch()
    righted = dataclasses.replace(settings, sampler=SamplerConfig(righted=0.3))
    plain, put_right = (latents_of(c, tokenizer, true).float() for c in (settings, righted))
    assert torch.equal(plain[:, 0], put_right[:, 0])
    assert not torch.equal(plain[1:, 1], put_right[1:, 1])
    nowhere = dataclasses.replace(true, truth={"road": np.full_like(true.truth["road"], np.nan)})
    assert torch.allclose(latents_of(righted, tokenizer, nowhere)[1:, 1].float(), plain[1:, 1], atol=2e-3)
