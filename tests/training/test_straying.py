"""Dynamics is trained on drives whose road has gone astray, and which come back to their map."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import MemoryEpisode, unit_hash
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import BEHIND, POINTS, SPACING_M
from worldmodel.training import run as run_module
from worldmodel.training import straying
from worldmodel.training.config import ClipsConfig, DataConfig, StageConfig, StrayingConfig, TrainConfig
from worldmodel.training.latents import latents_of
from worldmodel.training.run import run
from worldmodel.training.straying import coming_back, strayed_latents
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH, PIECE = 15, 6


def config(tmp_path: Path, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=1.5, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    names = ("tokenizer", "depth", "drift", "astray", "dynamics")
    settings = {
        "data": data,
        "tokenizer": TOKENIZER,
        "dynamics": dataclasses.replace(DYNAMICS, road=True),
        "clips": ClipsConfig(short=4, long=12, long_every=2),
        "straying": StrayingConfig(share=1.0, frames=PIECE, back=0.3),
        "out": str(tmp_path / "out"),
        "device": "cpu",
        "progress": False,
        "threads": 1,
        **{f"{name}_stage": StageConfig(0) for name in names},
        **changes,
    }
    return TrainConfig(**settings)


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


def test_what_is_astray_comes_back_as_it_would_be_put_right() -> None:
    on = roads([-1.0] * 5)
    assert torch.allclose(coming_back(on, torch.full((5,), 2.0), 0.2), 0.8 ** torch.arange(5.0))
    assert torch.equal(coming_back(on, torch.zeros(5), 0.2), torch.ones(5)), "not while the ego stands"
    some = coming_back(roads([-1.0, 0.5, 1.0, 2.5, -1.0]), torch.tensor([2.0, 2.0, 0.25, 2.0, torch.nan]), 0.2)
    wanted = [1, 0.8, 0.8 * (1 - 0.2 * 0.75), 0.8 * (1 - 0.2 * 0.75) * (1 - 0.2 * 0.5 * 0.5)]
    assert torch.allclose(some, torch.tensor([*wanted, wanted[-1]])), "nor beyond the road"


def test_pieces_are_of_their_drive_and_are_led_astray(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    true = stretch()
    pieces = straying._pieces(settings, true)
    assert [(p.length, float(p.t_s[0])) for p, _ in pieces] == [(6, 0.0), (6, pytest.approx(0.6))]
    piece = pieces[1][0]
    np.testing.assert_array_equal(piece.truth["road"], true.truth["road"][6:12])
    apart = []  # grey levels of each frame from the true one
    for off in (np.zeros(3, np.float32), np.array([0.5, 0.5, 0.0], np.float32)):
        made = straying._frames(settings, tokenizer, piece, off)
        apart.append(np.abs(made.astype(int) - piece.frames).mean(axis=(1, 2, 3)))
    assert (apart[0] < 1).all()
    assert apart[1][0] > apart[0][0] + 0.1
    assert not np.array_equal(pieces[0][1], pieces[1][1])


def test_its_latents_are_of_frames_led_astray_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    stretches = [stretch(0), stretch(1)]
    made = strayed_latents(settings, tokenizer, stretches)
    assert len(made) == 4
    for latents, (piece, first) in zip(made, (p for s in stretches for p in straying._pieces(settings, s))):
        astray = dataclasses.replace(piece, frames=straying._frames(settings, tokenizer, piece, first))
        np.testing.assert_array_equal(latents.frames, latents_of(settings, tokenizer, astray).numpy())
        assert latents.episode_id == piece.episode_id

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(straying, "_frames", fail)
    again = strayed_latents(settings, tokenizer, stretches)
    assert all(np.array_equal(a.frames, b.frames, equal_nan=True) for a, b in zip(made, again))
    first, last = sorted(unit_hash(f"astray_{s.episode_id}") for s in stretches)
    some = dataclasses.replace(settings, straying=StrayingConfig(share=(first + last) / 2, frames=PIECE, back=0.3))
    assert {e.episode_id for e in strayed_latents(some, tokenizer, stretches)} < {e.episode_id for e in made}


def test_settings_that_leave_no_piece_are_refused(tmp_path: Path) -> None:
    settings = config(tmp_path, straying=StrayingConfig(share=1.0, frames=LENGTH + 1))
    with pytest.raises(ValueError, match="straying: with share=1 of 1 drives and pieces of frames=16 there is none"):
        strayed_latents(settings, tiny_model().tokenizer, [stretch()])


def test_the_frame_before_is_put_right_as_the_sampler_has_it(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    true = stretch()
    righted = dataclasses.replace(settings, sampler=SamplerConfig(righted=0.3))
    plain, put_right = (latents_of(c, tokenizer, true).float() for c in (settings, righted))
    assert torch.equal(plain[:, 0], put_right[:, 0])
    assert not torch.equal(plain[1:, 1], put_right[1:, 1])
    nowhere = dataclasses.replace(true, truth={"road": np.full_like(true.truth["road"], np.nan)})
    assert torch.allclose(latents_of(righted, tokenizer, nowhere)[1:, 1].float(), plain[1:, 1], atol=2e-3)


def test_dynamics_is_trained_on_true_drives_and_on_those_astray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, windows = {}, run_module._windows

    def record(settings: TrainConfig, sets: dict[str, list[MemoryEpisode]], length: int, batch: int) -> object:
        seen[length] = {name: [s.length for s in some] for name, some in sets.items()}
        made = windows(settings, sets, length, batch)
        seen[length]["drawn"] = {s.episode_id.count("astray") for s in made.stretches}  # pyright: ignore
        return made

    monkeypatch.setattr(run_module, "_windows", record)
    run(config(tmp_path, dynamics_stage=StageConfig(2, batch=3, picture_every=0)))
    assert seen[4]["reference"] == [15, 15]
    assert seen[4]["astray"] == [PIECE] * 4
    assert seen[4]["drawn"] == {0, 1}
    assert seen[12]["drawn"] == {0}, "pieces are too short for long clips"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"straying": StrayingConfig(share=1.5)}, "straying.share: expected a share from 0 to 1, got 1.5"),
        ({"straying": StrayingConfig(back=-0.1)}, "straying.back: expected a share"),
        ({"dynamics": DYNAMICS}, "straying.share: drives of the reference world are led astray from the map"),
        ({"data": DataConfig(source="episodes", paths=("some",))}, "straying.share: drives of the reference world"),
        (
            {"straying": StrayingConfig(share=0.5, frames=3)},
            "straying.frames: expected at least clips.short = 4",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    config(tmp_path).validate()
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, **changes).validate()
