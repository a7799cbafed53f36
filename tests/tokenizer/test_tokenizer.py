"""Frames to latents and back: shapes, ranges, masks, and that training brings the picture closer."""

import pytest
import torch

from worldmodel.tokenizer.losses import ReconstructionLossConfig, psnr_db, reconstruction_loss
from worldmodel.tokenizer.tokenizer import Tokenizer, TokenizerConfig, to_frames, to_network

SMALL = TokenizerConfig(
    height_px=32, width_px=64, merge=(1, 2), channels=5, stem_widths=(8, 16), width=32, heads=2, feed_forward=48,
    encoder_depth=1, decoder_depth=1,
)  # fmt: skip


@pytest.mark.parametrize("patch_px", [8, 16])
@pytest.mark.parametrize("merge", [(1, 1), (1, 2), (2, 2)])
def test_shapes_and_range(patch_px: int, merge: tuple[int, int]) -> None:
    config = TokenizerConfig(**{**vars(SMALL), "patch_px": patch_px, "merge": merge})
    network = Tokenizer(config)
    latents = network.encode(torch.randn(3, 3, 32, 64))
    assert latents.shape == (3, config.tokens, 5)
    assert latents.abs().max() <= 1
    assert network.decode(latents).shape == (3, 3, 32, 64)


def test_frames_survive_the_door_to_the_network() -> None:
    frames = torch.randint(0, 256, (2, 3, 8, 8, 3), dtype=torch.uint8)
    assert torch.equal(to_frames(to_network(frames)), frames)
    assert to_network(frames).shape == (2, 3, 3, 8, 8)


def test_sizes_that_do_not_divide_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.height_px: 40 is not a multiple"):
        TokenizerConfig(height_px=40).validate()


def test_loss_ignores_what_the_camera_never_saw_and_keeps_edges() -> None:
    target = torch.zeros(1, 3, 8, 8)
    valid = torch.ones(1, 1, 8, 8)
    valid[..., :4, :] = 0
    wrong = target.clone()
    wrong[..., :4, :] = 5
    config = ReconstructionLossConfig()
    assert reconstruction_loss(wrong, target, valid, config) == 0
    assert psnr_db(wrong, target, valid).item() > 90
    # Equal squared and absolute error, but one of them is an edge that is not there.
    flat, edge = target + 0.1, target + 0.1
    edge[..., ::2] = -0.1
    everywhere = torch.ones(1, 1, 8, 8)
    assert reconstruction_loss(edge, target, everywhere, config) > reconstruction_loss(flat, target, everywhere, config)


def test_psnr_of_a_known_error() -> None:
    target = torch.zeros(1, 3, 8, 8)
    assert psnr_db(target + 0.2, target, torch.ones(1, 1, 8, 8)).item() == pytest.approx(20.0)


def test_training_brings_the_picture_closer() -> None:
    torch.manual_seed(0)
    network = Tokenizer(SMALL)
    ramp = torch.linspace(-1, 1, 64).expand(32, 64)
    frames = torch.stack([ramp, -ramp, ramp.flip(0) * 0.5])[None].repeat(4, 1, 1, 1)
    valid = torch.ones(4, 1, 32, 64)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for k in range(40):
        output = network(frames, generator=torch.Generator().manual_seed(k))
        loss = reconstruction_loss(output, frames, valid, ReconstructionLossConfig())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
