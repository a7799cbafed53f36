"""Drives a network makes while it is trained: drawn as a rollout draws them, beside the truth they follow."""

import copy
import dataclasses

import pytest
import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.road import FEATURES
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.training.own_drives import Brief, OwnDrives
from worldmodel.types import VOCABULARY

LENGTH = 3 * WINDOW
TRUE_FRAMES = 4
MODEL = tiny_model(road=True)
SAMPLER = SamplerConfig(2, guidance=1.5, past_tau=0.8, moved_tau=0.5)


def life(k: int) -> tuple[Told, torch.Tensor]:
    """Latents and motion that differ from life to life."""
    generator = torch.Generator().manual_seed(k)
    motion = torch.rand(1, LENGTH, 4, generator=generator) * torch.tensor([2.0, 0.05, 0.1, 1.5])
    clean = torch.randn(1, LENGTH, 1, MODEL.tokenizer.config.tokens, MODEL.dynamics.channels, generator=generator)
    road = torch.randn(1, LENGTH, MODEL.tokenizer.config.tokens, FEATURES, generator=generator)
    return Told(motion, torch.zeros(1, LENGTH, len(VOCABULARY), dtype=torch.int64), clean, road=road), clean


def advance(own: OwnDrives, frames: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    own.advance(MODEL.dynamics, MODEL.tokenizer, generator, frames=frames, sampler=SAMPLER)


def so_far(own: OwnDrives) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents of rows of one age, and what was shown moved, up to now."""
    state = own.state()
    age = state["ages"][0]
    assert state["ages"] == [age] * len(state["ages"])
    latents, moved, _ = state["own"]
    return latents[:, :age].clone(), moved[:, :age].clone()


def test_a_drive_begins_with_the_truth_and_goes_on_with_what_was_drawn() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    assert own.state() == {}
    advance(own, LENGTH)
    latents, moved = so_far(own)
    for row in range(2):  # rows follow lives 0 and 1
        truth = life(row)[1][0]
        assert torch.equal(latents[row, :TRUE_FRAMES], truth[:TRUE_FRAMES])
        assert not (latents[row, TRUE_FRAMES:] == truth[TRUE_FRAMES:]).flatten(1).all(1).any()
    # What was shown is its own last frame moved, not the truth's: unknown only where nothing came before.
    assert moved[:, 0].isnan().all()
    assert moved[:, 1:].isfinite().all()
    # A clip is the end of it.
    recent = own.recent(WINDOW, drawn=2)
    assert recent is not None
    assert recent[0] == [0, 1]
    assert torch.equal(recent[1], latents[:, -WINDOW:])
    for row in range(2):
        assert torch.equal(recent[2].motion[row, 1:], life(row)[0].motion[0, 1 - WINDOW :])
        assert torch.equal(recent[2].road[row], life(row)[0].road[0, -WINDOW:])  # pyright: ignore
    # After the end the rows follow other drives.
    advance(own, TRUE_FRAMES)
    for row in range(2):
        assert torch.equal(so_far(own)[0][row], life(2 + row)[1][0, :TRUE_FRAMES])


def test_a_frame_depends_on_what_was_drawn_and_told_before_it_alone() -> None:
    """Two lives that part at a frame give the same frames until then and others after."""
    at = LENGTH // 2

    def parted(k: int) -> tuple[Told, torch.Tensor]:
        told, clean = life(k)
        motion = told.motion.clone()
        motion[:, at:, 0] += 1
        return dataclasses.replace(told, motion=motion), clean

    def elsewhere(k: int) -> tuple[Told, torch.Tensor]:
        told, clean = life(k)
        assert told.road is not None
        road = told.road.clone()
        road[:, at:] += 1
        return dataclasses.replace(told, road=road), clean

    drives = []
    for some in (life, parted, elsewhere):
        own = OwnDrives(some, rows=1, true_frames=TRUE_FRAMES)
        advance(own, LENGTH)
        drives.append(so_far(own)[0])
    for other in drives[1:]:
        assert torch.equal(drives[0][:, :at], other[:, :at])
        assert not torch.isclose(drives[0][:, at:], other[:, at:]).flatten(2).all(2).any()


@pytest.mark.parametrize("newest", [1.0, 0.4])
def test_restored_rows_go_on_as_they_would_have(newest: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODEL.dynamics, "config", dataclasses.replace(MODEL.dynamics.config, newest=newest))
    own = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    advance(own, WINDOW + 1)
    state = copy.deepcopy(own.state())
    advance(own, LENGTH, seed=5)  # past the end: new lives are taken up
    again = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    again.restore(state, MODEL.dynamics, MODEL.tokenizer)
    advance(again, LENGTH, seed=5)
    assert torch.equal(so_far(own)[0], so_far(again)[0])
    assert torch.equal(own.state()["clean"], again.state()["clean"])
    assert own.state()["born"] == again.state()["born"]
    fresh = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    fresh.restore({}, MODEL.dynamics, MODEL.tokenizer)  # nothing to restore is a beginning
    assert fresh.state() == {}


def test_restored_rows_follow_the_drives_they_followed_whatever_the_data_gives_now() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    advance(own, WINDOW + 1)
    again = OwnDrives(lambda k: life(k + 100), rows=2, true_frames=TRUE_FRAMES)
    again.restore(copy.deepcopy(own.state()), MODEL.dynamics, MODEL.tokenizer)
    for drives in (own, again):
        advance(drives, 3, seed=5)
    assert torch.equal(own.state()["clean"], again.state()["clean"])
    assert torch.equal(so_far(own)[0], so_far(again)[0])


def test_beginners_draw_their_first_frames_too_and_begin_anew_with_a_step() -> None:
    frames = 4
    own = OwnDrives(life, rows=4, true_frames=TRUE_FRAMES, beginners=Brief(3, life=12))  # they live 4, 8 and 12
    advance(own, frames)
    old, (first, latents, told) = [], own.newborn(frames) or ([], None, None)
    assert first == [1, 2, 3]
    assert latents is not None
    assert told is not None
    assert not (latents == torch.cat([life(row)[1][:, :frames] for row in first])).any()
    assert told.motion[:, 0].isnan().all()
    assert told.moved is not None
    assert told.moved[:, 0].isnan().all()
    assert told.moved[:, 1:].isfinite().all()
    for step in range(1, 7):
        advance(own, frames, seed=step)
        ages = own.state()["ages"]
        assert ages[1:] == [4, 4 * (1 + step % 2), 4 * (1 + step % 3)]
        born = own.newborn(frames)
        assert (born[0] if born else []) == [row for row in (1, 2, 3) if ages[row] == frames]
        older = own.recent(8, drawn=frames)
        old += older[0] if older else []
    assert set(old) == {0, 2, 3}


def test_followers_soon_follow_another_drive_from_anywhere_in_it_and_know_its_truth() -> None:
    frames, brief = 4, 8
    own = OwnDrives(life, rows=4, true_frames=TRUE_FRAMES, followers=Brief(2, life=brief), beginners=Brief(1, life=8))
    lives = {1: TRUE_FRAMES + 4, 2: TRUE_FRAMES + 8}  # row 0 is an old one, 3 a beginner
    firsts = set()
    for step in range(12):
        advance(own, frames, seed=step)
        state = own.state()
        ages, clean, motion = state["ages"], state["clean"], state["told"][0]
        assert ages[1:3] == [4 * (1 + step % (lives[row] // 4)) for row in (1, 2)]
        truth, since = own.truth([0, 1, 2, 3], frames)
        assert since[3].isinf().all()
        for row in (0, 1, 2):
            assert torch.equal(truth[row], clean[row, ages[row] - frames : ages[row]])
            assert since[row].tolist() == [age + 1 - TRUE_FRAMES for age in range(ages[row] - frames, ages[row])]
        for row in (1, 2):  # what it follows is a stretch of one of the drives, with that stretch's motion
            found = [
                (k, at)
                for k in range(state["born"])
                for at in range(LENGTH - lives[row] + 1)
                if torch.equal(life(k)[1][0, at : at + lives[row]], clean[row, : lives[row]])
            ]
            (k, at) = found[0]
            firsts.add(at)
            assert torch.equal(motion[row, 1 : lives[row]], life(k)[0].motion[0, at + 1 : at + lives[row]])
            assert motion[row, 0].isnan().all() or at == 0
    assert len(firsts) > 3
