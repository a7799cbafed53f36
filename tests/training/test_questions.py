"""Dynamics is trained on drives that are shown as they are not told, and is asked for frames as they are."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.dynamics.test_objective import Oracle, told
from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, unit_hash
from worldmodel.dynamics.objective import ObjectiveConfig, draw_levels, drop, shortcut_forcing_loss
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.options import draw_options
from worldmodel.training import run as run_module
from worldmodel.training.config import ClipsConfig, DataConfig, QuestionsConfig, StageConfig, TrainConfig
from worldmodel.training.latents import cached_latents
from worldmodel.training.questions import mixed, questions
from worldmodel.training.run import run
from worldmodel.training.sources import in_another_look, load_sets, looking_otherwise
from worldmodel.training.with_boxes import WithBoxes
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH, PIECE, TIMES = 15, 6, 3


def config(tmp_path: Path, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=1.5, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    settings = {
        "data": data,
        "tokenizer": TOKENIZER,
        "dynamics": dataclasses.replace(DYNAMICS, road=True),
        "clips": ClipsConfig(short=4, long=12, long_every=2),
        "questions": QuestionsConfig(looks=1.0, roads=1.0, frames=PIECE, asked=0.4),
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


def test_what_is_asked_for_is_as_told_and_nothing_else_is(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    train = load_sets(settings)
    latents = cached_latents(settings, tokenizer, train)
    made = questions(settings, tokenizer, train, latents)
    assert {kind: [p.length for p in pieces] for kind, pieces in made.items()} == {
        kind: [PIECE] * (2 * TIMES * (LENGTH // PIECE)) for kind in ("looks", "roads")
    }
    own = {s.info.drive_id: s for s in latents["reference"]}
    for piece in (p for pieces in made.values() for p in pieces):
        true, first = own[piece.info.drive_id], round(float(piece.t_s[0]) * 10)
        rows = slice(first, first + PIECE)
        np.testing.assert_array_equal(piece.tags.codes, true.tags.codes[rows])
        np.testing.assert_array_equal(piece.truth["road"], true.truth["road"][rows])
        off_TV = np.abs(piece.frames.astype(np.float32) - true.frames[rows]).mean(axis=(2, 3))
        asked_T = piece.truth["asked"]
        np.testing.assert_array_equal(off_TV[:, 0] == 0, asked_T)
        before_T = off_TV[1:, 1][np.isfinite(off_TV[1:, 1])]
        np.testing.assert_array_equal(before_T == 0, asked_T[:-1][np.isfinite(off_TV[1:, 1])])
    asked = np.concatenate([p.truth["asked"] for pieces in made.values() for p in pieces])
    assert abs(asked.mean() - 0.4) < 0.15
    assert len({p.episode_id for pieces in made.values() for p in pieces}) == 4 * TIMES * (LENGTH // PIECE)


def test_some_drives_are_asked_about(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    train = load_sets(settings)
    latents = cached_latents(settings, tokenizer, train)
    first, last = sorted(unit_hash(f"looks_{s.episode_id}") for s in latents["reference"])
    wanted = QuestionsConfig(looks=(first + last) / 2, frames=PIECE)
    some = questions(dataclasses.replace(settings, questions=wanted), tokenizer, train, latents)
    assert list(some) == ["looks"]
    assert len({p.info.drive_id for p in some["looks"]}) == 1
    for kind in ("looks", "roads"):
        wanted = QuestionsConfig(**{kind: 1.0}, frames=LENGTH + 1)
        with pytest.raises(ValueError, match=rf"questions.{kind}: .* 1 of 2 drives and pieces of frames=16 there is"):
            questions(dataclasses.replace(settings, questions=wanted), tokenizer, train, latents)


def test_batches_say_what_is_asked_for() -> None:
    model = tiny_model()
    frames = np.zeros((8, 2, model.tokenizer.config.tokens, model.tokenizer.config.channels), np.float16)
    asked_T = np.arange(8) % 3 == 1
    sets = {"true": [_stretch("true", frames, None)], "asked": [_stretch("asked", frames, asked_T)]}
    windows = WithBoxes(ClipWindows(sets, length=4, batch_size=1))
    np.testing.assert_array_equal(windows.at([(0, 1), (1, 2)]).asked, np.stack([np.ones(4, bool), asked_T[2:6]]))


def test_the_others_are_shown_and_not_asked_for() -> None:
    rows, settings = 6, ObjectiveConfig(independent_share=0.4, together_share=0.5, past_share=0.5)
    asked_BT = torch.ones(400, 8, dtype=torch.bool)
    asked_BT[::2] = torch.rand(200, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    asks_B = ~asked_BT.all(dim=1)
    for shortcut in (False, True):
        levels = draw_levels(400, 8, settings, torch.Generator().manual_seed(3), shortcut=shortcut, asked_BT=asked_BT)
        plain = draw_levels(400, 8, settings, torch.Generator().manual_seed(3), shortcut=shortcut)
        assert not levels.together[asks_B].any()
        assert levels.together[~asks_B].any()
        assert (levels.tau[~asked_BT] >= settings.past_tau_min).all(), "what is shown is nearly clean"
        assert not levels.is_shortcut[~asked_BT].any()
        tau = levels.tau[asked_BT & asks_B[:, None] & ~levels.is_shortcut]
        assert abs((tau == 0).float().mean() - (0.5 + 0.5 / settings.finest)) < 0.06
        assert tau.max() > 0.9
        assert torch.equal(levels.tau[~asks_B], plain.tau[~asks_B]), "ordinary clips are what they were"

    clean, says = torch.randn(rows, 12, 1, 4, 3, requires_grad=True), told(rows, 12)
    some_BT = asked_BT[:rows, :4].repeat(1, 3)

    def loss(asked: torch.Tensor | None) -> torch.Tensor:
        network, again = Oracle(torch.zeros_like(clean)), torch.Generator().manual_seed(5)
        args = (clean, says, settings, again)
        return shortcut_forcing_loss(network, *args, shortcut=False, asked_BT=asked)[0]  # type: ignore[arg-type]

    (gradient,) = torch.autograd.grad(loss(some_BT), clean)
    counts_BT = gradient.abs().sum(dim=(2, 3, 4)) / clean.detach().abs().sum(dim=(2, 3, 4))
    assert torch.equal(counts_BT > 0, some_BT)
    counts = counts_BT[~some_BT.all(dim=1)]
    torch.testing.assert_close(counts[counts > 0], counts.max().expand(int((counts > 0).sum())))  # at every level


def test_nothing_that_is_told_there_is_dropped() -> None:
    everything = ObjectiveConfig(drop_motion=1.0, drop_tags=1.0)
    says = told(4, 5)
    says = dataclasses.replace(says, tags=torch.ones(4, 5, 8, dtype=torch.long))
    kept_B1 = torch.tensor([[True], [False], [True], [False]])
    left = drop(says, everything, torch.Generator().manual_seed(0), kept_B1)
    assert left.tags is not None
    assert left.tags.bool().all(dim=(1, 2)).tolist() == [True, False, True, False]
    assert torch.isnan(left.motion[..., 0]).all(dim=1).tolist() == [False, True, False, True]


def _stretch(name: str, frames: np.ndarray, asked: np.ndarray | None) -> MemoryEpisode:
    length = len(frames)
    clip = Clip(
        frames=frames,
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(np.full(length, 9.0), np.zeros(length)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(32, 64, height_m=1.4),
        valid_mask=np.ones((32, 64), dtype=bool),
    )
    return MemoryEpisode.of(clip, drive_id=name, truth={} if asked is None else {"asked": asked})


def test_dynamics_is_trained_on_true_drives_and_on_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, windows = {}, run_module._windows

    def record(settings: TrainConfig, sets: dict[str, list[MemoryEpisode]], length: int, batch: int) -> object:
        seen[length] = {name: [s.length for s in some] for name, some in sets.items()}
        return windows(settings, sets, length, batch)

    monkeypatch.setattr(run_module, "_windows", record)
    run(config(tmp_path, dynamics_stage=StageConfig(2, batch=3, picture_every=0)))
    count = 2 * TIMES * (LENGTH // PIECE)
    assert seen[4] == {"reference": [LENGTH] * 2, "looks": [PIECE] * count, "roads": [PIECE] * count}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"questions": QuestionsConfig(looks=1.5)}, "questions.looks: expected a share from 0 to 1, got 1.5"),
        ({"questions": QuestionsConfig(roads=-1)}, "questions.roads: expected a share from 0 to 1, got -1"),
        ({"questions": QuestionsConfig(asked=-0.1)}, "questions.asked: expected a share"),
        ({"data": DataConfig(source="episodes", paths=("some",))}, "questions: drives of the reference world"),
        ({"data": DataConfig(live=True)}, "questions: drives of the reference world"),
        ({"questions": QuestionsConfig(looks=0.5, frames=3)}, "questions.frames: expected at least clips.short = 4"),
        ({"dynamics": DYNAMICS}, "questions.roads: roads lie beside the map that dynamics.road=true is told"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    config(tmp_path).validate()
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, **changes).validate()
