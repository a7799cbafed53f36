"""Dynamics is trained on drives that begin in another weather or light than is told, and turn to it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.dynamics.test_objective import Oracle, told
from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, unit_hash
from worldmodel.dynamics.objective import ObjectiveConfig, draw_levels, shortcut_forcing_loss
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.options import draw_options
from worldmodel.training import run as run_module
from worldmodel.training.config import ClipsConfig, DataConfig, LooksConfig, StageConfig, TrainConfig
from worldmodel.training.latents import cached_latents
from worldmodel.training.looks import changing_looks, mixed
from worldmodel.training.run import run
from worldmodel.training.sources import in_another_look, load_sets, looking_otherwise
from worldmodel.training.with_boxes import WithBoxes
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH, PIECE = 15, 6
BACK = 0.3


def config(tmp_path: Path, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=1.5, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    settings = {
        "data": data,
        "tokenizer": TOKENIZER,
        "dynamics": DYNAMICS,
        "clips": ClipsConfig(short=4, long=12, long_every=2),
        "looks": LooksConfig(share=1.0, frames=PIECE, back=BACK),
        "out": str(tmp_path / "out"),
        "device": "cpu",
        "progress": False,
        "threads": 1,
        **{f"{name}_stage": StageConfig(0) for name in ("tokenizer", "depth", "drift", "astray", "dynamics")},
        **changes,
    }
    return TrainConfig(**settings)


def test_a_drive_looks_otherwise_and_is_the_same_drive(tmp_path: Path) -> None:
    changed = set()
    for seed in range(40):
        one = draw_options(seed)
        other = looking_otherwise(one)
        some = {f for f in ("weather", "time_of_day") if getattr(one, f) != getattr(other, f)}
        assert some
        assert dataclasses.replace(other, weather=one.weather, time_of_day=one.time_of_day) == one
        changed.add(frozenset(some))
    assert len(changed) == 3
    settings = config(tmp_path)
    (true,) = load_sets(settings).values()
    others = in_another_look(settings, [s.info.drive_id for s in true])
    for own, other in zip(true, others, strict=True):
        assert own.info.drive_id == other.info.drive_id
        assert own.episode_id != other.episode_id, "their latents would be mistaken for each other"
        np.testing.assert_array_equal(own.motion.speed_mps, other.motion.speed_mps)
        np.testing.assert_array_equal(own.truth["road"], other.truth["road"])
        np.testing.assert_array_equal(own.truth["boxes"], other.truth["boxes"])
        assert not np.array_equal(own.tags.codes, other.tags.codes)
        assert np.abs(own.frames.astype(int) - other.frames).mean() > 2


def test_every_frame_and_the_one_before_it_have_their_own_share_of_the_other_look() -> None:
    own, other = np.zeros((3, 2, 1, 1), np.float16), np.ones((3, 2, 1, 1), np.float16)
    own[0, 1] = np.nan  # nothing is known of what was before
    made = mixed(own, other, np.array([0.8, 0.4, 0.2]))
    np.testing.assert_allclose(made[:, 0, 0, 0], [0.8, 0.4, 0.2], atol=1e-3)
    np.testing.assert_allclose(made[:, 1, 0, 0], [np.nan, 0.8, 0.4], atol=1e-3)
    assert made.dtype == np.float16


def test_pieces_turn_to_what_is_told(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    latents = cached_latents(settings, tokenizer, load_sets(settings))
    pieces = changing_looks(settings, tokenizer, latents)
    assert [p.length for p in pieces] == [PIECE] * 4
    own = {s.info.drive_id: s for s in latents["reference"]}
    for piece in pieces:
        true, first = own[piece.info.drive_id], round(float(piece.t_s[0]) * 10)
        np.testing.assert_array_equal(piece.tags.codes, true.tags.codes[first : first + PIECE])
        np.testing.assert_array_equal(piece.truth["road"], true.truth["road"][first : first + PIECE])
        off_T = np.abs(piece.frames[:, 0].astype(np.float32) - true.frames[first : first + PIECE, 0]).mean(axis=(1, 2))
        share_T = piece.truth["astray"]
        np.testing.assert_allclose(share_T[1:] / share_T[:-1], 1 - BACK, rtol=1e-5)
        assert (np.diff(off_T) < 0).all(), "less of the other look with every frame"
    assert len({float(p.truth["astray"][0]) for p in pieces}) == 4
    first, last = sorted(unit_hash(f"looks_{s.episode_id}") for s in latents["reference"])
    some = dataclasses.replace(settings, looks=LooksConfig(share=(first + last) / 2, frames=PIECE, back=BACK))
    assert {p.episode_id for p in changing_looks(some, tokenizer, latents)} < {p.episode_id for p in pieces}
    none = dataclasses.replace(settings, looks=LooksConfig(share=1.0, frames=LENGTH + 1))
    with pytest.raises(ValueError, match="looks: with share=1 of 2 drives and pieces of frames=16 there is none"):
        changing_looks(none, tokenizer, latents)


def test_batches_say_how_far_frames_are_astray() -> None:
    model = tiny_model()
    frames = np.zeros((8, 2, model.tokenizer.config.tokens, model.tokenizer.config.channels), np.float16)
    true = _stretch("true", frames, None)
    astray = _stretch("astray", frames, np.linspace(1, 0.3, 8).astype(np.float32))
    windows = WithBoxes(ClipWindows({"true": [true], "astray": [astray]}, length=4, batch_size=16))
    batch = windows(0)
    assert sorted({float(x) > 0 for x in batch.astray[:, 0]}) == [False, True]
    for row in batch.astray:
        assert (row == 0).all() or np.allclose(np.diff(row), -0.1, atol=1e-5)


def test_frames_astray_are_asked_for_only_where_the_past_is_seen() -> None:
    rows, settings = 6, ObjectiveConfig(independent_share=0.4, together_share=0.5, past_share=0.5)
    astray_BT = torch.zeros(rows, 12)
    astray_BT[::2] = 0.9 * 0.7 ** torch.arange(12.0)
    generator = torch.Generator().manual_seed(3)
    levels = draw_levels(400, 8, settings, generator, shortcut=False, astray_B1=torch.ones(400, 1, dtype=torch.bool))
    assert not levels.together.any()
    past = (levels.tau >= settings.past_tau_min).float().mean()
    assert abs(past - (0.5 + 0.5 * 9 / 32)) < 0.03, "no clip has levels of its own in every frame"

    clean, says = torch.randn(rows, 12, 1, 4, 3, requires_grad=True), told(rows, 12)

    def loss(astray: torch.Tensor | None) -> torch.Tensor:
        network, again = Oracle(torch.zeros_like(clean)), torch.Generator().manual_seed(5)
        args = (clean, says, settings, again)
        return shortcut_forcing_loss(network, *args, shortcut=False, astray_BT=astray)[0]  # type: ignore[arg-type]

    assert torch.equal(loss(None), loss(torch.zeros(rows, 12)))
    (gradient,) = torch.autograd.grad(loss(astray_BT), clean)
    asked_BT = gradient.abs().sum(dim=(2, 3, 4)) > 0
    assert not asked_BT[::2, 0].any(), "no clip may begin astray as if that were likely"
    assert asked_BT[::2, 1:8].any()
    assert not asked_BT[::2, 1:8].all()
    assert asked_BT[::2, 9:].all(), "at the end they are as good as true"
    assert asked_BT[1::2].all()


def _stretch(name: str, frames: np.ndarray, astray: np.ndarray | None) -> MemoryEpisode:
    length = len(frames)
    clip = Clip(
        frames=frames,
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(np.full(length, 9.0), np.zeros(length)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(32, 64, height_m=1.4),
        valid_mask=np.ones((32, 64), dtype=bool),
    )
    return MemoryEpisode.of(clip, drive_id=name, truth={} if astray is None else {"astray": astray})


def test_dynamics_is_trained_on_true_drives_and_on_those_that_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, windows = {}, run_module._windows

    def record(settings: TrainConfig, sets: dict[str, list[MemoryEpisode]], length: int, batch: int) -> object:
        seen[length] = {name: [s.length for s in some] for name, some in sets.items()}
        return windows(settings, sets, length, batch)

    monkeypatch.setattr(run_module, "_windows", record)
    run(config(tmp_path, dynamics_stage=StageConfig(2, batch=3, picture_every=0)))
    assert seen[4] == {"reference": [LENGTH] * 2, "looks": [PIECE] * 4}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"looks": LooksConfig(share=1.5)}, "looks.share: expected a share from 0 to 1, got 1.5"),
        ({"looks": LooksConfig(back=-0.1)}, "looks.back: expected a share"),
        ({"data": DataConfig(source="episodes", paths=("some",))}, "looks.share: drives of the reference world"),
        ({"data": DataConfig(live=True)}, "looks.share: drives of the reference world"),
        ({"looks": LooksConfig(share=0.5, frames=3)}, "looks.frames: expected at least clips.short = 4"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    config(tmp_path).validate()
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, **changes).validate()
