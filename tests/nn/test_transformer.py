"""A step through the ring is the same thing as a frame of the whole clip, at any age of the world."""

import pytest
import torch

from worldmodel.nn.groups import TokenGroups
from worldmodel.nn.transformer import Transformer, TransformerConfig

WINDOW = 4


@pytest.fixture
def stack() -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(width=32, depth=6, heads=4, kv_heads=2, feed_forward=64, time_every=3, window=WINDOW)
    return Transformer(config).eval()


@torch.no_grad()
def test_step_equals_full_forward_before_at_and_after_the_ring_wraps(stack: Transformer) -> None:
    x_BTND = torch.randn(2, 5 * WINDOW + 1, 7, 32)
    whole = stack(x_BTND)
    ring = stack.new_ring(2, 7, like=x_BTND)
    for t in range(x_BTND.shape[1]):
        stack.step(torch.randn(2, 7, 32), ring)  # a denoising pass over the same frame leaves no trace
        step = stack.step(x_BTND[:, t], ring)
        ring.advance()
        assert (step - whole[:, t]).abs().max() < 1e-4, f"frame {t}"


@torch.no_grad()
def test_a_frame_sees_the_window_and_nothing_else(stack: Transformer) -> None:
    x_BTND = torch.randn(1, 3 * WINDOW, 5, 32)
    changed = x_BTND.clone()
    changed[:, 0] += 1
    difference = (stack(changed) - stack(x_BTND)).abs().amax(dim=(0, 2, 3))
    # Two temporal layers reach back twice; the future never reaches anything.
    reach = 2 * (WINDOW - 1)
    assert (difference[: reach + 1] > 1e-6).all()
    assert (difference[reach + 1 :] == 0).all()
    future = x_BTND.clone()
    future[:, -1] += 1
    assert (stack(future) - stack(x_BTND))[:, :-1].abs().max() == 0


@torch.no_grad()
def test_a_forgotten_row_is_a_fresh_one_and_its_neighbour_does_not_notice(stack: Transformer) -> None:
    x_BTND = torch.randn(2, 2 * WINDOW + 3, 5, 32)
    ring, other = (stack.new_ring(2, 5, like=x_BTND) for _ in range(2))
    for t in range(WINDOW + 2):
        for r in (ring, other):
            stack.step(x_BTND[:, t], r)
            r.advance()
    ring.forget(0)
    fresh = stack.new_ring(1, 5, like=x_BTND)
    for t in range(WINDOW + 2, x_BTND.shape[1]):
        step, undisturbed, alone = (
            stack.step(x_BTND[:, t], ring),
            stack.step(x_BTND[:, t], other),
            stack.step(x_BTND[:1, t], fresh),
        )
        for r in (ring, other, fresh):
            r.advance()
        assert (step[0] - alone[0]).abs().max() < 1e-5
        assert torch.equal(step[1], undisturbed[1])


def test_time_attention_stands_in_every_third_block_here(stack: Transformer) -> None:
    assert [block.over_time for block in stack.blocks] == [False, True, False, False, True, False]


def test_absent_groups_cost_nothing_and_unknown_ones_are_refused() -> None:
    groups = TokenGroups(8, {"view0": 3, "motion": 1, "tags": 1})
    view, motion = torch.randn(2, 4, 3, 8), torch.randn(2, 4, 1, 8)
    packed = groups.pack({"motion": motion, "view0": view})
    assert packed.shape == (2, 4, 4, 8)
    assert torch.equal(groups.part(packed, "view0", {"view0": 0, "motion": 0}), view + groups.embedding["view0"])
    assert torch.equal(groups.part(packed, "motion", {"view0": 0, "motion": 0}), motion + groups.embedding["motion"])
    with pytest.raises(ValueError, match="token group 'lidar'"):
        groups.pack({"lidar": view})
    with pytest.raises(ValueError, match="expected 3 tokens, got 1"):
        groups.pack({"view0": motion})
