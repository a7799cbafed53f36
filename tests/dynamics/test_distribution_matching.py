"""Telling own clips from true ones by what two denoisers make of them."""

import copy
import dataclasses

import pytest
import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.matching import critic_loss, denoised, matched, noised_together
from worldmodel.types import VOCABULARY

MODEL = tiny_model()


def clips(batch: int = 3, length: int = WINDOW) -> tuple[torch.Tensor, Told]:
    generator = torch.Generator().manual_seed(1)
    shape = (batch, length, 1, MODEL.tokenizer.config.tokens, MODEL.dynamics.channels)
    motion = torch.rand(batch, length, 4, generator=generator)
    own, moved = (torch.randn(shape, generator=generator) for _ in range(2))
    moved[:, 0] = torch.nan
    return own, Told(motion, torch.zeros(batch, length, len(VOCABULARY), dtype=torch.int64), moved)


class Says(torch.nn.Module):
    """A denoiser that always takes the clip to be the same."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, x: torch.Tensor, *_: object) -> torch.Tensor:
        return self.clean.repeat(len(x) // len(self.clean), 1, 1, 1, 1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_clip_and_what_is_moved_share_one_level() -> None:
    own, told = clips(batch=64)
    x, tau, noised = noised_together(own, told, generator())
    assert (tau == tau[:, :1]).all()
    assert len(set(tau[:, 0].tolist())) > 16
    assert noised.moved is not None
    assert noised.moved_tau is not None
    assert told.moved is not None
    assert torch.equal(noised.moved.isnan(), told.moved.isnan())
    assert torch.equal(noised.moved_tau, tau.clamp(min=1 / 64))
    # What is left after the signal is noise of the deviation that the level says.
    rest = (x - tau[:, :, None, None, None] * own).flatten(1).std(dim=1)
    assert torch.allclose(rest, 1 - tau[:, 0], rtol=0.3)


def test_own_clips_are_pulled_from_what_the_critic_says_to_what_the_teacher_says() -> None:
    own, told = clips()
    likely, usual = own + 0.5, own - 0.25
    goal = matched(Says(likely), Says(usual), own, told, generator())  # pyright: ignore[reportArgumentType]
    assert torch.allclose(goal - own, (likely - usual) / 0.5, atol=1e-5)
    same = matched(MODEL.dynamics, copy.deepcopy(MODEL.dynamics), own, told, generator())
    assert torch.equal(same, own), "nothing to learn where teacher and critic agree"


@pytest.mark.parametrize(("motion", "tags"), [(1.0, 1.0), (2.0, 1.0), (1.5, 3.0)])
def test_guidance_goes_further_than_what_is_untold_on_tags_as_far_as_there_is_noise(motion: float, tags: float) -> None:
    own, told = clips()
    x, tau, told = noised_together(own, told, generator())
    told = dataclasses.replace(told, tags=torch.ones_like(told.tags))  # pyright: ignore[reportArgumentType]
    said, still, untagged = (
        denoised(MODEL.dynamics, x, tau, t) for t in (told, told.without_motion(), told.without_tags())
    )
    out = denoised(MODEL.dynamics, x, tau, told, guidance=motion, tag_guidance=tags)
    noise = (1 - tau)[:, :, None, None, None]
    assert len(noise.unique()) > 1
    assert torch.allclose(out, said + (motion - 1) * (said - still) + (tags - 1) * noise * (said - untagged), atol=1e-4)
    assert not torch.allclose(said, still, atol=1e-3)
    assert not torch.allclose(said, untagged, atol=1e-4)


def test_a_listener_says_what_difference_tags_make() -> None:
    own, told = clips()
    told = dataclasses.replace(told, tags=torch.ones_like(told.tags))  # pyright: ignore[reportArgumentType]
    network, usual = MODEL.dynamics, Says(own)

    def goal(teacher: torch.nn.Module, tags: float, listener: torch.nn.Module | None) -> torch.Tensor:
        return matched(teacher, usual, own, told, generator(), tag_guidance=tags, listener=listener)  # pyright: ignore

    itself = goal(network, 3.0, network)
    assert torch.allclose(itself, goal(network, 3.0, None), atol=1e-4), "who listens to itself is guided as ever"
    assert torch.allclose(goal(network, 3.0, Says(own)), goal(network, 1.0, None), atol=1e-5), "a deaf one says nothing"
    assert not torch.allclose(itself, goal(network, 1.0, None), atol=1e-4)


def test_a_critic_that_learns_own_clips_is_less_wrong_of_them_than_the_teacher() -> None:
    own, told = clips()
    critic = copy.deepcopy(MODEL.dynamics).train().requires_grad_(True)
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    for k in range(60):
        optimizer.zero_grad()
        critic_loss(critic, own, told, generator(k)).backward()
        optimizer.step()
    with torch.no_grad():
        ours, theirs = (sum(float(critic_loss(n, own, told, generator(1000 + k))) for k in range(8))
                        for n in (critic, MODEL.dynamics))  # fmt: skip
    assert ours < 0.8 * theirs


def test_unknown_motion_is_nothing_new() -> None:
    own, told = clips()
    goal = matched(MODEL.dynamics, Says(own), own, told.without_motion(), generator(), guidance=2)  # pyright: ignore
    assert goal.isfinite().all()
