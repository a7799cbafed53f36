"""Latents moved by motion."""

import pytest
import torch

from tests.tiny import tiny_model
from worldmodel.dynamics.dynamics import DynamicsConfig
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.tokenizer.moving import move_latents
from worldmodel.training.config import TrainConfig


def test_unknown_motion_gives_nan_and_rows_do_not_feel_each_other() -> None:
    tokenizer = tiny_model().tokenizer
    config = tokenizer.config
    latents = torch.rand(3, config.tokens, config.channels) * 2 - 1
    distance = torch.tensor([1.5, torch.nan, 0.3])
    turn, height = torch.tensor([0.02, 0.0, -0.03]), torch.tensor([1.3, 1.4, torch.nan])
    moved, memory = move_latents(tokenizer, latents, distance, turn, height)
    assert torch.equal(memory[:, 3].isnan().all(dim=(1, 2)), distance.isnan())
    assert moved[1].isnan().all()
    assert moved[[0, 2]].isfinite().all()
    height[2] = NOMINAL_HEIGHT_M
    for row in (0, 2):
        alone, _ = move_latents(tokenizer, *(x[row : row + 1] for x in (latents, distance, turn, height)))
        assert torch.allclose(alone[0], moved[row], atol=1e-4)


def test_standing_still_is_decoding_and_encoding_again() -> None:
    tokenizer = tiny_model().tokenizer
    latents = torch.rand(2, tokenizer.config.tokens, tokenizer.config.channels) * 2 - 1
    with torch.no_grad():
        again = tokenizer.encode(tokenizer.decode(latents).clamp(-1, 1))
    still, _ = move_latents(tokenizer, latents, torch.zeros(2), torch.zeros(2), torch.full((2,), 1.4))
    assert torch.allclose(still, again, atol=1e-4)


def test_a_picture_is_remembered_and_the_less_of_it_the_nearer_it_comes() -> None:
    """Black pictures after white ones: what is still white is remembered."""
    tokenizer = tiny_model().tokenizer
    latents = torch.zeros(2, tokenizer.config.tokens, tokenizer.config.channels)
    white = torch.ones(2, 3, tokenizer.config.height_px, tokenizer.config.width_px)
    about = torch.tensor([0.0, 2.0]), torch.zeros(2), torch.full((2,), 1.4)

    def step(pictures: torch.Tensor, memory: torch.Tensor | None, newest: float = 0.4) -> torch.Tensor:
        return move_latents(
            tokenizer, latents, *about, frames_BCHW=pictures, memory_B4HW=memory, newest=newest
        ).memory_B4HW

    memory = step(white, None)
    assert torch.allclose(memory[:, :3], white)
    for times in (1, 2, 3):
        memory = step(-white, memory)
        left = (memory[:, :3] + 1) / 2
        assert torch.allclose(left[0], torch.full_like(left[0], 0.6**times), atol=1e-4)  # who stands
        assert (left[1] < 0.6**times - 1e-3).all()
        far, near = left[1, 0, left.shape[2] // 2, left.shape[3] // 2], left[1, 0, -1, left.shape[3] // 2]
        assert near < far
    assert torch.allclose(step(white, step(-white, None, 1.0), 1.0)[:, :3], white)  # nothing is remembered
    unknown = torch.full_like(memory, torch.nan)
    assert torch.equal(step(white, unknown), step(white, None))


def test_one_after_the_other_is_as_one_by_one() -> None:
    tokenizer = tiny_model().tokenizer
    latents = torch.rand(5, tokenizer.config.tokens, tokenizer.config.channels) * 2 - 1
    told = torch.tensor([1.0, 2.0, torch.nan, 0.5, 1.5]), 0.02 * torch.ones(5), torch.full((5,), 1.4)
    in_turn, memory = move_latents(tokenizer, latents, *told, newest=0.3, in_turn=True)
    kept = None
    for row in range(5):
        one, kept = move_latents(
            tokenizer, latents[row : row + 1], *(x[row : row + 1] for x in told), memory_B4HW=kept, newest=0.3
        )
        assert torch.allclose(one[0], in_turn[row], atol=1e-4, equal_nan=True), row
        assert torch.allclose(kept[0], memory[row], atol=1e-4, equal_nan=True), row


@pytest.mark.parametrize("newest", [-0.1, 0.0, 1.5])
def test_nothing_but_a_share_can_be_replaced(newest: float) -> None:
    with pytest.raises(ValueError, match=r"dynamics\.newest"):
        TrainConfig(dynamics=DynamicsConfig(newest=newest)).validate()
