"""Latents moved by motion."""

import torch

from tests.tiny import tiny_model
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.tokenizer.moving import move_latents


def test_unknown_motion_gives_nan_and_rows_do_not_feel_each_other() -> None:
    tokenizer = tiny_model().tokenizer
    config = tokenizer.config
    latents = torch.rand(3, config.tokens, config.channels) * 2 - 1
    distance = torch.tensor([1.5, torch.nan, 0.3])
    turn, height = torch.tensor([0.02, 0.0, -0.03]), torch.tensor([1.3, 1.4, torch.nan])
    moved = move_latents(tokenizer, latents, distance, turn, height)
    assert moved[1].isnan().all()
    assert moved[[0, 2]].isfinite().all()
    height[2] = NOMINAL_HEIGHT_M
    for row in (0, 2):
        alone = move_latents(tokenizer, *(x[row : row + 1] for x in (latents, distance, turn, height)))
        assert torch.allclose(alone[0], moved[row], atol=1e-4)


def test_standing_still_is_decoding_and_encoding_again() -> None:
    tokenizer = tiny_model().tokenizer
    latents = torch.rand(2, tokenizer.config.tokens, tokenizer.config.channels) * 2 - 1
    with torch.no_grad():
        again = tokenizer.encode(tokenizer.decode(latents).clamp(-1, 1))
    still = move_latents(tokenizer, latents, torch.zeros(2), torch.zeros(2), torch.full((2,), 1.4))
    assert torch.allclose(still, again, atol=1e-4)
