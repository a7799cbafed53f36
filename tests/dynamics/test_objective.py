"""Levels, targets and the loss: properties that hold whatever the weights are."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_model
from worldmodel.dynamics.conditioning import MotionEmbedding, incoming, motion_channels
from worldmodel.dynamics.dynamics import MOVED_VARIANCE, Dynamics, DynamicsConfig, Told, best_guess
from worldmodel.dynamics.objective import (
    Levels,
    ObjectiveConfig,
    blend,
    draw_levels,
    drop,
    noise_moved,
    shortcut_forcing_loss,
    shortcut_target,
)
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, row_noise, sketched
from worldmodel.nn.ring import Ring
from worldmodel.nn.transformer import TransformerConfig
from worldmodel.types import VOCABULARY

SMALL = DynamicsConfig(
    transformer=TransformerConfig(width=32, depth=4, heads=2, kv_heads=1, feed_forward=48, window=4), registers=1
)


class Oracle:
    """Knows the clean latents, whatever it is shown."""

    def __init__(self, clean: torch.Tensor) -> None:
        self.clean = clean

    def __call__(self, *_: object) -> torch.Tensor:
        return self.clean

    def step(self, *_: object) -> torch.Tensor:
        return self.clean


def told(batch: int, length: int) -> Told:
    return Told(torch.randn(batch, length, 4), torch.ones(batch, length, len(VOCABULARY), dtype=torch.int64))


@given(seed=st.integers(0, 2**31), shortcut=st.booleans(), independent=st.floats(0, 1), together=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_levels_are_on_their_grids(seed: int, shortcut: bool, independent: float, together: float) -> None:
    config = ObjectiveConfig(independent_share=independent, together_share=together)
    levels = draw_levels(5, 9, config, torch.Generator().manual_seed(seed), shortcut=shortcut)
    assert ((levels.tau >= 0) & (levels.tau < 1)).all()
    assert (levels.tau + levels.d * levels.is_shortcut <= 1 + 1e-6).all()
    assert (levels.d[~levels.is_shortcut] == 1 / config.finest).all()
    assert (levels.d[levels.is_shortcut] > 1 / config.finest).all()
    steps = (levels.tau / levels.d)[levels.is_shortcut]
    assert torch.equal(steps, steps.round())
    assert shortcut or not levels.is_shortcut.any()
    one_level = levels.tau[levels.together[:, 0]]
    assert (one_level == one_level[:, :1]).all()
    assert levels.together.any() == (together > 0) or 0 < together < 1


def test_an_oracles_shortcut_target_is_the_clean_latent() -> None:
    clean, noise = torch.randn(2, 3, 1, 4, 5), torch.randn(2, 3, 1, 4, 5)
    tau = torch.full((2, 3), 0.5)
    levels = Levels(
        tau, torch.full((2, 3), 0.25), torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.bool)
    )
    target = shortcut_target(Oracle(clean), blend(clean, noise, tau), levels, told(2, 3))  # type: ignore[arg-type]
    assert torch.allclose(target, clean, atol=1e-5)


def test_guidance_goes_further_where_motion_is_told_and_nowhere_else() -> None:
    class Listens:
        """Says 1 of a row whose motion it is told, and whose moved frame it is shown, else 0."""

        def step(self, x: torch.Tensor, tau: torch.Tensor, d: torch.Tensor, told: Told, ring: object) -> torch.Tensor:
            assert told.moved is not None
            shown = told.motion[:, 0, :2].isfinite().all(1) & told.moved[:, 0].isfinite().flatten(1).all(1)
            return shown[:, None, None, None].expand_as(x).float()

    says = dataclasses.replace(told(2, 1), moved=torch.zeros(2, 1, 1, 4, 5), moved_tau=torch.ones(2, 1))
    says.motion[1, :, 0], says.moved[1] = torch.nan, torch.nan  # type: ignore[index]
    for guidance in (1.0, 1.5, 3.0):
        sampler = SamplerConfig(4, guidance=guidance)
        ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
        drawn = draw_frame(Listens(), torch.randn(2, 1, 4, 5), says, ring, sampler)  # type: ignore[arg-type]
        assert torch.allclose(drawn[0], torch.tensor(guidance))
        assert torch.allclose(drawn[1], torch.tensor(0.0), atol=1e-6)
    with pytest.raises(ValueError, match="guidance"):
        SamplerConfig(guidance=0.5).validate()


def test_each_guidance_pulls_away_from_what_would_come_without_its_own() -> None:
    class Listens:
        """Says 1 for motion that is told and 10 for tags that are."""

        def step(self, x: torch.Tensor, tau: torch.Tensor, d: torch.Tensor, told: Told, ring: object) -> torch.Tensor:
            assert told.tags is not None
            says = told.motion[:, 0, :2].isfinite().all(1).float() + 10 * (told.tags[:, 0] > 0).any(-1).float()
            return says[:, None, None, None].expand_as(x)

    says = dataclasses.replace(told(2, 1), tags=torch.zeros(2, 1, len(VOCABULARY), dtype=torch.int64))
    says.tags[0, 0, 0] = 2  # type: ignore[index]
    ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
    for motion, tags in ((1.0, 2.0), (1.5, 1.0), (1.5, 3.0)):
        sampler = SamplerConfig(4, guidance=motion, prompt_guidance=tags)
        drawn = draw_frame(Listens(), torch.randn(2, 1, 4, 5), says, ring, sampler)  # type: ignore[arg-type]
        assert torch.allclose(drawn[0], torch.tensor(motion + 10 * tags), atol=1e-4)
        assert torch.allclose(drawn[1], torch.tensor(motion), atol=1e-4)  # no tags are told: none are pulled at
    with pytest.raises(ValueError, match="prompt_guidance"):
        SamplerConfig(prompt_guidance=11).validate()
    with pytest.raises(ValueError, match="righted"):
        SamplerConfig(righted=1.5).validate()


def test_guidance_of_one_asks_once() -> None:
    asked = []

    class Counts:
        def step(self, x: torch.Tensor, *_: object) -> torch.Tensor:
            asked.append(len(x))
            return x

    draw_frame(Counts(), torch.randn(2, 1, 4, 5), told(2, 1), None, SamplerConfig(4))  # type: ignore[arg-type]
    assert asked == [2] * 4


@pytest.mark.parametrize("from_tau", [0.0, 0.3, 0.9])
def test_a_sketch_is_drawn_from_its_level_on(from_tau: float) -> None:
    clean, given, noise = (torch.randn(3, 1, 4, 5) for _ in range(3))
    seen = []

    class Watches(Oracle):
        def step(self, x: torch.Tensor, tau: torch.Tensor, *rest: object) -> torch.Tensor:
            seen.append((float(tau[0]), x))
            return clean

    x = sketched(given, noise, from_tau)
    drawn = draw_frame(Watches(clean), x, told(3, 1), None, SamplerConfig(4), from_tau=from_tau)  # type: ignore[arg-type]
    assert torch.allclose(drawn, clean, atol=1e-5)
    assert torch.equal(seen[0][1], from_tau * given + (1 - from_tau) * noise)
    for tau, at in seen:  # on the straight line from the sketch to the clean frame, where the network was trained
        share = (tau - from_tau) / (1 - from_tau)
        assert torch.allclose(at, (1 - share) * x + share * clean, atol=1e-5)


def test_told_and_untold_in_one_pass_are_as_good_as_two() -> None:
    network = tiny_model().dynamics
    ring = network.transformer.new_ring(2, network.frame_tokens(), like=torch.zeros(1))
    says = dataclasses.replace(
        told(2, 1),
        tags=torch.zeros(2, 1, len(VOCABULARY), dtype=torch.int64),
        moved=torch.randn(2, 1, 1, network.tokens, network.channels),
        moved_tau=torch.full((2, 1), 0.9),
    )
    z = torch.randn(6, 2, 1, network.tokens, network.channels)
    for t in range(5):  # the ring wraps; then one row begins anew
        commit_frame(network, z[t], z[t], says, ring, 0.9)
    ring.forget(1)
    before, d = ring.clone(), torch.full((2,), 1 / 32)
    drawn = draw_frame(network, z[5], says, ring, SamplerConfig(2, guidance=1.7))
    for one, other in zip(ring.keys + ring.values, before.keys + before.values):
        assert torch.equal(one, other)
    x = z[5]
    with torch.no_grad():
        for k in range(2):
            tau = torch.full((2,), k / 2)
            clean = network.step(x, tau, d, says, ring)
            free = network.step(x, tau, d, says.without_motion(), ring)
            x = x + (free + 1.7 * (clean - free) - x) / (2 - k)
    assert torch.allclose(drawn, x, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 4, 32])
def test_an_oracle_draws_the_clean_latent_in_any_number_of_steps(steps: int) -> None:
    clean = torch.randn(3, 1, 4, 5)
    drawn = draw_frame(Oracle(clean), torch.randn(3, 1, 4, 5), told(3, 1), None, SamplerConfig(steps))  # type: ignore[arg-type]
    assert torch.allclose(drawn, clean, atol=1e-5)


def test_the_loss_is_a_function_of_its_generator_and_falls_with_training() -> None:
    torch.manual_seed(0)
    network = Dynamics(SMALL, tokens=4, channels=3)
    # A clip whose frames are all alike: the past says everything.
    clean = torch.randn(6, 1, 1, 4, 3).expand(6, 8, 1, 4, 3).contiguous()
    says, config = told(6, 8), ObjectiveConfig()

    def loss(seed: int) -> torch.Tensor:
        return shortcut_forcing_loss(network, clean, says, config, torch.Generator().manual_seed(seed))[0]

    assert torch.equal(loss(1), loss(1))
    assert not torch.equal(loss(1), loss(2))
    before = loss(1).item()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for k in range(60):
        optimizer.zero_grad()
        loss(k).backward()
        optimizer.step()
    assert loss(1).item() < 0.75 * before  # which the guess has made small


def shift(z: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """A world in which moving changes nothing: each frame is shown the one before."""
    return torch.cat([torch.full_like(z[:, :1], torch.nan), z[:, :-1]], 1)


def test_what_was_moved_is_noised_to_its_level_and_dropped_with_the_motion() -> None:
    clean = torch.randn(6, 8, 1, 4, 3)
    says = dataclasses.replace(told(6, 8), moved=shift(clean, clean))
    config = ObjectiveConfig(drop_motion=0.5, drop_moved=0.3, moved_tau_min=0.4)
    noised = noise_moved(drop(says, config, torch.Generator().manual_seed(0)), config, torch.Generator().manual_seed(1))
    assert noised.moved is not None
    assert noised.moved_tau is not None
    assert ((noised.moved_tau >= 0.4) & (noised.moved_tau <= 1)).all()
    unknown = noised.motion[:, 1, 0].isnan()
    assert 0 < unknown.sum() < 6
    assert noised.moved[unknown].isnan().all()
    known = ~noised.moved[:, 1:].isnan().flatten(1).any(1)
    assert 0 < known.sum() <= (~unknown).sum()
    # What is left after taking the share of the frame before away is noise of the remaining level.
    tau = noised.moved_tau[known, 1:, None, None, None]
    rest = (noised.moved[known, 1:] - tau * clean[known, :-1]) / (1 - tau)
    assert abs(rest.std() - 1) < 0.1
    assert noised.moved[:, 0].isnan().all()


def test_a_frame_shown_the_frame_before_can_be_copied_from_it() -> None:
    """The path from what is moved to what is drawn learns: with it, frames that repeat are predicted without a past."""
    torch.manual_seed(0)
    network = Dynamics(SMALL, tokens=4, channels=3)
    config = ObjectiveConfig(drop_moved=0, drop_motion=0, moved_tau_min=1, independent_share=1)
    clean = torch.randn(24, 1, 1, 4, 3).expand(24, 2, 1, 4, 3).contiguous()
    shown = dataclasses.replace(told(24, 2), moved=shift(clean, clean))

    def error(says: Told, steps: int) -> float:
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
        for k in range(steps):
            fresh = torch.randn(24, 1, 1, 4, 3).expand(24, 2, 1, 4, 3).contiguous()
            optimizer.zero_grad()
            says = dataclasses.replace(says, moved=shift(fresh, fresh))
            generator = torch.Generator().manual_seed(k)
            shortcut_forcing_loss(network, fresh, says, config, generator, shortcut=False)[0].backward()
            optimizer.step()
        tau = torch.zeros(24, 2)
        with torch.no_grad():
            out = network(torch.randn_like(clean), tau, tau + 1 / 32, noise_moved(shown, config, torch.Generator()))
        return (out[:, 1] - clean[:, 1]).square().mean().item()

    before = error(shown, 0)
    assert before < 0.05  # the guess knows it without training; copying nothing would be off by 1
    assert error(shown, 80) < 0.5 * before


@pytest.mark.parametrize("tau", [0.0, 0.4, 0.9])
@pytest.mark.parametrize("level", [None, 0.6, 1.0])
def test_the_guess_is_as_far_off_as_it_says_and_nothing_linear_is_nearer(tau: float, level: float | None) -> None:
    torch.manual_seed(0)
    shape = (400, 5, 1, 4, 5)
    clean, tau_BT = torch.randn(shape), torch.full(shape[:2], tau)
    x = blend(clean, torch.randn(shape), tau_BT)
    says = told(*shape[:2])
    witnesses = [x]
    if level is not None:
        moved = clean + MOVED_VARIANCE**0.5 * torch.randn(shape)  # unbiased, off by as much as moved frames are
        level_BT = torch.full(shape[:2], level)
        witnesses.append(blend(moved, torch.randn(shape), level_BT))
        says = dataclasses.replace(says, moved=witnesses[1], moved_tau=level_BT)
    guess, spread = best_guess(x, tau_BT, says)
    error = (guess - clean).square().mean().item()
    assert error == pytest.approx(spread.square().mean().item(), rel=0.05)
    columns = torch.stack([w.flatten() for w in witnesses], dim=1)
    best = torch.linalg.lstsq(columns, clean.flatten()[:, None]).solution
    assert error <= (columns @ best - clean.flatten()[:, None]).square().mean().item() * 1.02


def test_a_moved_frame_that_is_not_known_is_no_witness_and_a_clean_frame_is_its_own() -> None:
    z, tau = torch.randn(2, 3, 1, 4, 5), torch.rand(2, 3)
    says = told(2, 3)
    blind = dataclasses.replace(says, moved=torch.full_like(z, torch.nan), moved_tau=tau)
    for a, b in zip(best_guess(z, tau, says), best_guess(z, tau, blind)):
        assert torch.equal(*torch.broadcast_tensors(a, b))
    guess, spread = best_guess(z, torch.ones(2, 3), dataclasses.replace(says, moved=z * 0, moved_tau=tau + 0.5))
    assert torch.allclose(guess, z, atol=1e-4)
    assert spread.max() < 2e-3


def test_masked_tokens_do_not_count() -> None:
    clean = torch.randn(2, 4, 1, 4, 3, requires_grad=True)
    weight = torch.tensor([[1.0, 1, 0, 1], [1, 1, 0, 1]])
    loss, _ = shortcut_forcing_loss(
        Oracle(torch.zeros(2, 4, 1, 4, 3)),  # type: ignore[arg-type]
        clean,
        told(2, 4),
        ObjectiveConfig(),
        torch.Generator().manual_seed(3),
        shortcut=False,
        weight_BTN=weight[:, None].expand(-1, 4, -1),
    )
    (gradient,) = torch.autograd.grad(loss, clean)
    assert (gradient[:, :, :, 2] == 0).all()
    assert (gradient[:, :, :, [0, 1, 3]] != 0).all()


def test_incoming_motion_is_the_outgoing_one_a_frame_later() -> None:
    outgoing = torch.randn(2, 5, 4)
    shifted = incoming(outgoing)
    assert torch.equal(shifted[:, 1:], outgoing[:, :-1])
    assert shifted[:, 0].isnan().all()


def test_unknown_motion_is_embedded_and_known_motion_matters() -> None:
    embed = MotionEmbedding(16)
    nan, one = torch.tensor(torch.nan), torch.tensor(1.0)
    unknown = embed(motion_channels(nan, nan, one * 0.1, nan))
    slow, fast = (embed(motion_channels(one * v, one * 0, one * 0.1, one)) for v in (1, 20))
    assert unknown.isfinite().all()
    assert not torch.allclose(slow, fast)
    assert not torch.allclose(unknown, slow)


@given(seed=st.integers(0, 2**40), step=st.integers(0, 10**6), others=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_a_rows_noise_knows_only_its_seed_and_step(seed: int, step: int, others: int) -> None:
    like = torch.zeros(1)
    alone = row_noise((2, 3), [seed], [step], stream=0, like=like)
    among = row_noise((2, 3), [seed + 1] * others + [seed], [step] * (others + 1), stream=0, like=like)
    assert torch.equal(alone[0], among[-1])
    assert not torch.equal(alone[0], row_noise((2, 3), [seed], [step], stream=1, like=like)[0])
    assert not torch.equal(alone[0], row_noise((2, 3), [seed], [step + 1], stream=0, like=like)[0])
