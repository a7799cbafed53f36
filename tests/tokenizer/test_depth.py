"""Depth learned from motion: better than the street it begins with, on drives and for reasons that can be checked."""

import numpy as np
import pytest
import torch

from worldmodel.dynamics.conditioning import between
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.reprojection import SIDE_M, reproject, street_inverse_depth
from worldmodel.reference.drive import ReferenceDrive, render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.depth import FAR_M, DepthNetwork, inverse_depth, parallax_loss
from worldmodel.tokenizer.drift import look_ahead
from worldmodel.tokenizer.tokenizer import to_network

CAMERA = canonical_camera(32, 64, height_m=1.4)
WIDTHS = (12, 16, 24)
#: Frames between the two of a pair: at this size one frame moves little.
APART = 3


def drive_of(seed: int, length: int, *, truth: bool = False) -> ReferenceDrive:
    options = draw_options(seed, weather="clear", time_of_day="day", road_kind="country", traffic="none")
    return render_drive(options, length, camera=CAMERA, truth=truth)


def motion_of(drive: ReferenceDrive) -> tuple[torch.Tensor, torch.Tensor]:
    """From each frame but the last few to the one ``APART`` later."""
    rates = torch.from_numpy(np.stack([drive.motion.speed_mps, drive.motion.yaw_rate_radps], axis=-1)).float()
    outgoing = (rates * 0.1).unfold(0, APART, 1).transpose(1, 2)[: len(drive) - APART]
    return between(outgoing, torch.zeros(len(outgoing)), torch.full((len(outgoing),), APART))


def test_at_birth_every_place_is_the_street() -> None:
    network = DepthNetwork(WIDTHS)
    height = torch.tensor([1.2, 1.6])
    x, still = torch.rand(2, 3, 32, 64) * 2 - 1, torch.tensor([1.0, 2.0])
    street = street_inverse_depth(height, CAMERA)
    depth, same = (inverse_depth(some, x, still, still * 0.01, height, CAMERA) for some in (network, None))
    moved, plain = (look_ahead(some, None, x, still, still * 0.01, height, CAMERA) for some in (network, None))
    assert torch.equal(same, street)
    assert torch.allclose(depth, street.clamp(min=1 / FAR_M), rtol=1e-5)
    assert (moved - plain).abs().mean() < 0.01
    # The street: ground under the horizon, at the height of the camera; walls beside it; nothing nearer than those.
    assert street[0, 31, 32].item() == pytest.approx((31 - CAMERA.cy_px) / CAMERA.fy_px / 1.2, rel=1e-5)
    assert street[0, 0, 0].item() == pytest.approx(CAMERA.cx_px / CAMERA.fx_px / SIDE_M, rel=1e-5)


def test_rows_of_unknown_motion_and_pixels_nobody_saw_teach_nothing() -> None:
    network = DepthNetwork(WIDTHS)
    torch.nn.init.normal_(network.last.weight, std=0.1)
    x = torch.rand(2, 2, 3, 32, 64) * 2 - 1
    valid = torch.ones(2, 32, 64, dtype=torch.bool)
    valid[0, :, :10] = False

    def loss(after: torch.Tensor) -> torch.Tensor:
        d, turn = torch.tensor([1.0, torch.nan]), torch.tensor([0.0, 0.0])
        return parallax_loss(network, x[0], after, d, turn, torch.full((2,), 1.4), CAMERA, valid_BHW=valid)

    other = x[1].clone()
    other[1], other[0, :, :, :10] = 0, 0
    assert torch.equal(loss(x[1]), loss(other))
    other[0, :, 15:] = 0
    assert not torch.equal(loss(x[1]), loss(other))


@pytest.mark.slow
def test_it_learns_from_motion_how_far_things_are() -> None:
    """Trained on one drive, it foretells another better than the street does, and nears the true depth of trees."""
    torch.manual_seed(0)
    network = DepthNetwork(WIDTHS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    drive, held_out = drive_of(3, 80), drive_of(11, 24, truth=True)
    x = to_network(torch.from_numpy(drive.frames))
    height = torch.full((16,), 1.4)
    valid = torch.ones(16, 32, 64, dtype=torch.bool)
    random = np.random.default_rng(0)
    for _ in range(150):
        t = torch.from_numpy(random.integers(0, len(x) - APART, 16))
        d, turn = (part[t] for part in motion_of(drive))
        optimizer.zero_grad()
        parallax_loss(network, x[t], x[t + APART], d, turn, height, CAMERA, valid_BHW=valid).backward()
        optimizer.step()
    seen = to_network(torch.from_numpy(held_out.frames))
    d, turn = motion_of(held_out)
    errors, depths = [], []
    with torch.no_grad():
        for some in (None, network):
            now = (seen[:-APART], d, turn, torch.full_like(d, 1.4), CAMERA)
            depths.append(inverse_depth(some, *now))
            moved = reproject(seen[:-APART], d[:, None, None] * depths[-1], turn, CAMERA)
            errors.append((moved - seen[APART:]).square().mean().item())
    assert errors[1] < 0.97 * errors[0]
    assert held_out.dense is not None
    truth = torch.from_numpy(held_out.dense.depth_m[APART:])
    standing = (truth < 60) & (torch.arange(32)[:, None] < CAMERA.cy_px - 1)
    off = [(d.log() + truth.log())[standing].abs().median().item() for d in depths]
    assert standing.sum() > 100
    assert off[1] < 0.9 * off[0], off
