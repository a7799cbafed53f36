"""Learning from own drives with a teacher in place of a truth."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from tests.training.test_own_drives import LENGTH, TRUE_FRAMES, life
from worldmodel.dynamics.sampler import SamplerConfig, draw_frame
from worldmodel.geometry.road import POINTS
from worldmodel.nn.transformer import Block, compile_blocks
from worldmodel.reference.boxes import COLUMNS
from worldmodel.training.config import DistilConfig, TrainConfig
from worldmodel.training.distilling import DistilStage, Taught, distilled_sampler, twin
from worldmodel.training.own_drives import Brief, OwnDrives
from worldmodel.training.run import _named_dynamics
from worldmodel.training.stages import as_tensors, clips_loss
from worldmodel.training.with_boxes import BoxedBatch
from worldmodel.types import VOCABULARY

SAMPLER = SamplerConfig(2)


def test_what_is_taught_drives_as_it_would_otherwise_and_one_step_has_gradients() -> None:
    model = tiny_model()
    recents = []
    for taught in (None, Taught(0), Taught(1)):
        own = OwnDrives(life, rows=2, true_frames=TRUE_FRAMES)
        rng = torch.Generator().manual_seed(0)
        for frames, draw in ((LENGTH - 3, draw_frame), (2, taught or draw_frame)):
            own.advance(model.dynamics, model.tokenizer, rng, frames=frames, sampler=SAMPLER, draw=draw)
        recent = own.recent(4, drawn=2)
        assert recent is not None
        recents.append(recent[1])
        if taught is None:
            continue
        made = torch.stack(taught.made, dim=1)
        assert made.shape == recent[1][:, -2:].shape
        model.dynamics.zero_grad()
        made.square().mean().backward()
        grads = [p.grad for p in model.dynamics.transformer.parameters()]
        assert all(g is not None and g.isfinite().all() for g in grads)
        assert any(g is not None and g.abs().sum() > 0 for g in grads)
        # The last step's clean frame is the frame.
        assert torch.allclose(made, recent[1][:, -2:], atol=1e-5) == (taught.at == 1)
    assert torch.equal(recents[0], recents[1])
    assert torch.equal(recents[0], recents[2])


def test_clips_are_of_rows_that_have_gone_on_by_themselves() -> None:
    model = tiny_model()
    own = OwnDrives(life, rows=3, true_frames=TRUE_FRAMES, staggered=True)
    rng = torch.Generator().manual_seed(0)
    for _ in range(2 * LENGTH):
        own.advance(model.dynamics, model.tokenizer, rng, frames=1, sampler=SAMPLER)
        recent = own.recent(4, drawn=2)
        ages = own.state()["ages"]
        old = [row for row, age in enumerate(ages) if age >= TRUE_FRAMES + 2]
        assert (recent[0] if recent else []) == old
        if recent is not None:
            _, latents, told = recent
            assert told.moved is not None
            assert told.moved[:, 0].isnan().all()
            assert told.moved[:, 1:].isfinite().all()
            assert told.motion[:, 0].isnan().all()
            assert told.motion[:, 1:].isfinite().all()
            for latent, row in zip(latents, old):
                assert torch.equal(latent, own.state()["own"][0][row, ages[row] - 4 : ages[row]])


def test_frames_near_the_truth_are_pulled_to_it_and_no_others() -> None:
    model, frames = tiny_model(), 2
    near = DistilConfig(rows=3, true_frames=TRUE_FRAMES, beginners=1, beginner_life=8, followers=1, follower_life=4)
    pulls = []
    for truth in (0.0, 1.0):
        distil = dataclasses.replace(near, truth=truth, guidance=1.0, tag_guidance=1.0)
        stage = DistilStage(TrainConfig(distil=distil), model.dynamics, model.tokenizer, lambda k: None)
        own = OwnDrives(life, 3, true_frames=TRUE_FRAMES, followers=Brief(1, 4), beginners=Brief(1, 8))
        stage.own, rng = own, torch.Generator().manual_seed(0)
        for _ in range(3):
            own.advance(model.dynamics, model.tokenizer, rng, frames=frames, sampler=SAMPLER)
        recent = own.recent(4, drawn=frames)
        assert recent is not None
        rows, latents, told = recent
        assert rows == [0, 1, 2]
        made = latents[:, -frames:].clone()
        pull, _ = stage._judged(made, rows, latents, told, torch.Generator().manual_seed(1))
        pulls.append(pull)
        wanted, since = own.truth(rows, frames)
        assert (since[:2] <= 4).all()
    assert torch.equal(pulls[1][:2], made[:2] - wanted[:2])
    assert torch.equal(pulls[1][2], pulls[0][2]), "a beginner has no truth"
    assert not torch.equal(pulls[1][:2], pulls[0][:2])


def test_what_tags_say_to_a_listener_moves_what_is_learned() -> None:
    model, deaf = tiny_model(), tiny_model(seed=1).dynamics
    torch.nn.init.zeros_(deaf.latent_out.weight)
    pulls = []
    for listener, tags in ((None, 1.0), (deaf, 3.0), (twin(model.dynamics), 3.0), (None, 3.0)):
        distil = DistilConfig(rows=2, true_frames=TRUE_FRAMES, beginners=0, guidance=1.0, tag_guidance=tags)
        stage = DistilStage(
            TrainConfig(distil=distil), model.dynamics, model.tokenizer, lambda k: None, listener=listener
        )
        own, rng = OwnDrives(life, 2, true_frames=TRUE_FRAMES), torch.Generator().manual_seed(0)
        own.advance(model.dynamics, model.tokenizer, rng, frames=6, sampler=SAMPLER)
        recent = own.recent(4, drawn=2)
        assert recent is not None
        rows, latents, told = recent
        told = dataclasses.replace(told, tags=torch.ones((*latents.shape[:2], len(VOCABULARY)), dtype=torch.int64))
        pulls.append(stage._judged(latents[:, -2:].clone(), rows, latents, told, torch.Generator().manual_seed(1))[0])
        assert listener is None or not any(p.requires_grad for p in listener.parameters())
    plain, unheard, heard, guided = pulls
    torch.testing.assert_close(unheard, plain, rtol=1e-4, atol=1e-4)  # tags make no difference to it
    torch.testing.assert_close(heard, guided, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(heard, plain, atol=1e-3)


@pytest.mark.parametrize("role", ["teacher", "listener"])
def test_whose_latents_mean_something_else_cannot_help(role: str, tmp_path: Path) -> None:
    tiny_model(seed=1).save(tmp_path / "other")
    config = TrainConfig(distil=dataclasses.replace(DistilConfig(), **{role: str(tmp_path / "other")}))
    with pytest.raises(ValueError, match=rf"distil.{role}=.*other: its tokenizer is not the one of this run"):
        _named_dynamics(config, tiny_model().tokenizer, role)
    assert _named_dynamics(config, tiny_model(seed=1).tokenizer, role) is not None
    assert _named_dynamics(TrainConfig(), tiny_model().tokenizer, role) is None


def test_true_clips_are_learned_besides_by_their_weight() -> None:
    model, drawn = tiny_model(), []
    shape = model.tokenizer.config
    rng = np.random.default_rng(0)
    frames = rng.normal(size=(2, 4, 2 * model.dynamics.views, shape.tokens, shape.channels)).astype(np.float16)
    batch = BoxedBatch(
        frames,
        *(np.ones((2, 4, 2), np.float32), np.full((2, 4), 0.1, np.float32), np.ones((2, 4, len(VOCABULARY)), np.int64)),
        *(np.ones((2, shape.height_px, shape.width_px), bool), np.full(2, 1.4, np.float32)),
        *(np.full((2, 4, 1, len(COLUMNS)), np.nan, np.float32), np.full((2, 4, 2, POINTS, 2), np.nan, np.float32)),
        *(frames, np.zeros(2, bool)),
    )

    def clips(k: int) -> BoxedBatch:
        drawn.append(k)
        return batch

    losses = []
    for weight in (0.0, 1.0, 2.0):
        config = TrainConfig(tokenizer=shape, distil=DistilConfig(rehearsed=weight))
        stage = DistilStage(config, model.dynamics, model.tokenizer, lambda k: None, clips=clips)
        stage.log = lambda *_, **__: None
        losses.append(stage._rehearsed(stage.generator()))
    there = BoxedBatch(*as_tensors(batch))
    whole, _ = clips_loss(config, model.dynamics, there, stage.generator(), shortcut=False)
    assert losses[0] == 0
    assert torch.equal(losses[1], whole)
    assert torch.equal(losses[2], 2 * whole)
    assert drawn == [0, 0], "not where it weighs nothing"


def test_a_twin_of_a_compiled_network_has_blocks_of_its_own() -> None:
    network = tiny_model().dynamics
    compile_blocks(network)
    other = twin(network)
    assert all(x.data_ptr() != y.data_ptr() for x, y in zip(network.parameters(), other.parameters()))
    assert all(torch.equal(x, y) for x, y in zip(network.state_dict().values(), other.state_dict().values()))
    for block in other.modules():
        if isinstance(block, Block):
            assert block.within.__self__ is block  # pyright: ignore[reportFunctionMemberAccess]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (DistilConfig(rows=3, beginners=4), "distil.beginners: expected 0 to distil.rows = 3, got 4"),
        (DistilConfig(beginners=4, beginner_life=15), "at least 16 frames, got 15"),
        (DistilConfig(rows=6, followers=3), "distil.followers: expected 0 to 2, the rows less beginners, got 3"),
        (DistilConfig(followers=4, follower_life=12), "need at least 16 frames, got 12"),
        (DistilConfig(followers=1, life=20), "distil.life: a follower needs .* = 24 frames, got 20"),
        (DistilConfig(truth=1.2), "distil.truth: expected a share, got 1.2"),
        (DistilConfig(rehearsed=-0.5), "distil.rehearsed: expected a weight from 0, got -0.5"),
        (DistilConfig(clip=4, frames=4), "distil.clip: expected more than distil.frames = 4, got 4"),
    ],
)
def test_settings_that_contradict_each_other_are_told(wrong: DistilConfig, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainConfig(distil=wrong).validate()


def test_first_frames_are_drawn_in_the_steps_that_were_practised() -> None:
    sampler = distilled_sampler(TrainConfig(distil=DistilConfig(steps=3), sampler=SamplerConfig(8, guidance=2.0)))
    assert (sampler.steps, sampler.first_steps, sampler.guidance) == (3, 3, 1.0)
