"""Drives a network makes while it is trained: drawn as a rollout draws them, beside the truth they follow."""

import copy

import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.objective import ObjectiveConfig
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.training.own_drives import OwnDrives, lay_on
from worldmodel.types import VOCABULARY

LENGTH = 3 * WINDOW
TRUE_FRAMES = 4
MODEL = tiny_model()
CONFIG = ObjectiveConfig(past_tau_min=0.8)
SAMPLER = SamplerConfig(2, guidance=1.5)


def life(k: int) -> tuple[Told, torch.Tensor]:
    """Latents and motion that differ from life to life."""
    generator = torch.Generator().manual_seed(k)
    motion = torch.rand(1, LENGTH, 4, generator=generator) * torch.tensor([2.0, 0.05, 0.1, 1.5])
    clean = torch.randn(1, LENGTH, 1, MODEL.tokenizer.config.tokens, MODEL.dynamics.channels, generator=generator)
    return Told(motion, torch.zeros(1, LENGTH, len(VOCABULARY), dtype=torch.int64), clean), clean


def advance(own: OwnDrives, frames: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    own.advance(MODEL.dynamics, MODEL.tokenizer, CONFIG, generator, frames=frames, sampler=SAMPLER)


def test_a_clip_begins_with_the_truth_and_goes_on_with_what_was_drawn() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    assert own.clips(1, oldest=LENGTH) is None
    advance(own, LENGTH - 1)
    assert own.clips(LENGTH, oldest=LENGTH) is None
    advance(own, 1)
    drives = own.clips(LENGTH, oldest=LENGTH)
    assert drives is not None
    latents, told, clean = drives
    for row in range(2):  # rows follow lives 0 and 1
        says, truth = life(row)
        assert torch.equal(clean[row], truth[0])
        assert torch.equal(told.motion[row], says.motion[0])
        assert torch.equal(latents[row, :TRUE_FRAMES], truth[0, :TRUE_FRAMES])
        same = (latents[row, TRUE_FRAMES:] == truth[0, TRUE_FRAMES:]).flatten(1).all(1)
        assert not same.any()
    # What was shown is its own last frame moved, not the truth's: unknown only where nothing came before.
    assert told.moved is not None
    assert told.moved[:, 0].isnan().all()
    assert told.moved[:, 1:].isfinite().all()
    assert not torch.equal(told.moved[:, 1:], clean[:, 1:])
    # A shorter clip is the end of it, and after the end the rows follow other drives.
    shorter = own.clips(WINDOW, oldest=LENGTH)
    assert shorter is not None
    assert torch.equal(shorter[0], latents[:, -WINDOW:])
    advance(own, WINDOW)
    younger = own.clips(WINDOW, oldest=LENGTH)
    assert younger is not None
    assert torch.equal(younger[2][0], life(2)[1][0, :WINDOW])


def test_a_frame_depends_on_what_was_drawn_and_told_before_it_alone() -> None:
    """Two lives that part at a frame give the same frames until then and others after."""
    at = LENGTH // 2

    def parted(k: int) -> tuple[Told, torch.Tensor]:
        told, clean = life(k)
        motion = told.motion.clone()
        motion[:, at:, 0] += 1
        return Told(motion, told.tags, told.moved), clean

    drives = []
    for some in (life, parted):
        own = OwnDrives(some, rows=1, true_frames=TRUE_FRAMES)
        advance(own, LENGTH)
        clips = own.clips(LENGTH, oldest=LENGTH)
        assert clips is not None
        drives.append(clips[0])
    assert torch.equal(drives[0][:, :at], drives[1][:, :at])
    assert not torch.isclose(drives[0][:, at:], drives[1][:, at:]).flatten(2).all(2).any()


def test_restored_rows_go_on_as_they_would_have() -> None:
    own = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    advance(own, WINDOW + 1)
    state = copy.deepcopy(own.state())
    advance(own, LENGTH, seed=5)  # past the end: new lives are taken up
    again = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    again.restore(state, MODEL.dynamics)
    advance(again, LENGTH, seed=5)
    ours, theirs = own.clips(WINDOW, oldest=LENGTH), again.clips(WINDOW, oldest=LENGTH)
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours[0], theirs[0])
    assert torch.equal(ours[2], theirs[2])
    assert own.state()["born"] == again.state()["born"]
    fresh = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES)
    fresh.restore(
        OwnDrives(life, rows=3, true_frames=TRUE_FRAMES).state(), MODEL.dynamics
    )  # nothing to restore is a beginning
    assert fresh.clips(1, oldest=LENGTH) is None


def test_restored_rows_follow_the_drives_they_followed_whatever_the_data_gives_now() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    advance(own, WINDOW + 1)
    again = OwnDrives(lambda k: life(k + 100), rows=2, true_frames=TRUE_FRAMES)
    again.restore(copy.deepcopy(own.state()), MODEL.dynamics)
    for drives in (own, again):
        advance(drives, 3, seed=5)
    ours, theirs = own.clips(WINDOW, oldest=LENGTH), again.clips(WINDOW, oldest=LENGTH)
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours[2], theirs[2])
    assert torch.equal(ours[0], theirs[0])


def test_old_drives_are_no_longer_taught() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    advance(own, 2 * WINDOW)
    assert own.clips(WINDOW, oldest=2 * WINDOW) is not None
    advance(own, 1)
    assert own.clips(WINDOW, oldest=2 * WINDOW) is None


def test_errors_are_of_own_frames_alone_and_laid_on_their_own_truth_give_the_own_drive() -> None:
    own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
    advance(own, TRUE_FRAMES + WINDOW - 1)
    assert own.errors(WINDOW) is None
    advance(own, 1)
    errors, clips = own.errors(WINDOW), own.clips(WINDOW, oldest=LENGTH)
    assert errors is not None
    assert clips is not None
    drawn, told, clean = clips
    assert torch.allclose(clean + errors[0], drawn, atol=1e-6)
    at = slice(TRUE_FRAMES, TRUE_FRAMES + WINDOW)
    truly_moved = torch.cat([life(row)[0].moved[:, at] for row in range(2)])  # pyright: ignore[reportOptionalSubscript]
    assert told.moved is not None
    assert torch.allclose(truly_moved + errors[1], told.moved, atol=1e-6)


def test_errors_are_laid_on_a_share_of_the_clips_at_many_strengths() -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(400, WINDOW, 1, 2, 3, generator=generator)
    moved = torch.cat([torch.full_like(clean[:, :1], torch.nan), clean[:, :-1]], dim=1)
    told = Told(torch.zeros(400, WINDOW, 4), None, moved)
    small = torch.full((1, WINDOW, 1, 2, 3), 0.1)
    errors = torch.cat([small, 2 * torch.randn(1, WINDOW, 1, 2, 3, generator=generator)])
    past, shown = lay_on(clean, told, (errors, errors), 0.5, generator)
    rms = (past - clean).square().flatten(1).mean(dim=1).sqrt()
    assert 0.4 < (rms == 0).float().mean() < 0.6
    assert rms.max() <= 1 + 1e-6
    assert rms.max() > 0.9
    is_small = (past - clean).flatten(1).std(dim=1) < 1e-4
    assert rms[is_small].max() <= 0.3 + 1e-6  # enlarged three times at most
    assert shown.moved is not None
    assert torch.allclose((shown.moved - moved)[:, 1:], (past - clean)[:, 1:], atol=1e-6)
    assert shown.moved[:, 0].isnan().all()
    untouched = lay_on(clean, told, (errors, errors), 0.0, generator)[0]
    assert torch.equal(untouched, clean)
