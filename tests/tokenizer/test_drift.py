"""What moves by itself is seen in two pictures, and goes on as it did."""

import pytest
import torch
from torch import Tensor

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.reprojection import reproject, street_inverse_depth
from worldmodel.tokenizer.drift import DriftNetwork, Earlier, drift_loss, drifting, look_ahead, presence

CAMERA = canonical_camera(32, 64, height_m=1.4)
WIDTHS = (12, 16, 24)
ROWS = 12
HEIGHT_M = torch.full((ROWS,), 1.4)
STREET = street_inverse_depth(HEIGHT_M, CAMERA)
STILL = torch.zeros(ROWS)
#: Half the width of a car, and the height of the camera, times the focal length: their pixels at 1 m.
SIZE_PX = (0.9 * CAMERA.fx_px, 1.4 * CAMERA.fy_px)


def drawn(least: float, most: float) -> Tensor:
    return least + (most - least) * torch.rand(ROWS)


def three(ahead_m: Tensor, car_m: Tensor, first_m: Tensor, then_m: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """A street of noise that moves by two steps, on it the back of a car that drives ``car_m`` in each; and where."""
    frames = [torch.nn.functional.interpolate(torch.rand(ROWS, 3, 16, 32), size=(32, 64)) - 0.5]
    for step_m in (first_m, then_m):
        frames.append(reproject(frames[-1], step_m[:, None, None] * STREET, STILL, CAMERA))
    column, row = (torch.arange(64) - CAMERA.cx_px)[None, None], (torch.arange(32) - CAMERA.cy_px)[None, :, None]
    paint = 1.6 * torch.rand(ROWS, 3, 6, 6) - 0.8
    places, gap_m = [], ahead_m
    for number in range(3):
        left, down = (size_px / gap_m[:, None, None] for size_px in SIZE_PX)
        on_car = torch.stack(torch.broadcast_tensors(column / left, (row / down - 0.35) / 0.65), dim=-1)
        places.append((on_car.abs() < 1).all(dim=-1))
        car = torch.nn.functional.grid_sample(paint, on_car, padding_mode="border", align_corners=False)
        frames[number] = torch.where(places[-1][:, None], car, frames[number])
        gap_m = gap_m + car_m - (first_m, then_m, then_m)[number]
    return frames, places


def test_at_birth_and_without_a_picture_before_all_stands() -> None:
    network = DriftNetwork(WIDTHS)
    x, step_m, turn = torch.rand(2, ROWS, 3, 32, 64) * 2 - 1, drawn(0, 2), drawn(-0.02, 0.02)
    now = (x[0], step_m, turn, HEIGHT_M, CAMERA)
    earlier = Earlier(x[1], step_m, turn, torch.ones(ROWS))
    standing = look_ahead(None, None, *now)
    assert torch.equal(look_ahead(None, network, *now, earlier=earlier), standing)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    with torch.no_grad():
        assert torch.equal(look_ahead(None, network, *now), standing)
        assert not torch.allclose(look_ahead(None, network, *now, earlier=earlier), standing, atol=0.01)
        # Seen over three times as long as is looked ahead, a third of it is still to come.
        longer = earlier._replace(steps_B=torch.full((ROWS,), 3.0))
        whole, third = (drifting(network, x[0], step_m, turn, STREET, CAMERA, some)[1] for some in (earlier, longer))
        assert torch.allclose(third, whole / 3)
        # Rows of which nothing earlier is known do not drift, whatever lies in its place.
        earlier = earlier._replace(displacement_m_B=torch.where(torch.arange(ROWS) < 4, torch.nan, step_m))
        moved = look_ahead(None, network, *now, earlier=earlier)
    assert torch.equal(moved[:4], standing[:4])
    assert not torch.allclose(moved[4:], standing[4:], atol=0.01)


def test_rows_of_unknown_motion_teach_nothing() -> None:
    network = DriftNetwork(WIDTHS)
    torch.nn.init.normal_(network.last.weight, std=0.3)
    x, d = torch.rand(3, ROWS, 3, 32, 64) - 0.5, torch.where(torch.arange(ROWS) < 4, torch.nan, 1.0)
    users = torch.ones(ROWS, 32, 64)

    def losses(after: Tensor) -> tuple[float, float]:
        earlier = Earlier(x[0], d, STILL, torch.ones(ROWS))
        found = drift_loss(
            None, network, earlier, x[1], after, d, STILL, HEIGHT_M, CAMERA, users_BHW=users, seen_BCHW=x[1]
        )
        return found[0].item(), found[1].item()

    other = x[2].clone()
    other[:4] = 0
    assert losses(x[2]) == losses(other)
    other[4:] = 0
    assert losses(x[2])[0] != losses(other)[0]


@pytest.mark.slow
def test_who_is_followed_gets_away_from_an_ego_that_brakes() -> None:
    """It is learned at all speeds, and from an ego that did not quite move as it was told."""
    torch.manual_seed(0)
    network = DriftNetwork(WIDTHS)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(250):
        first_m = drawn(0.5, 2.0)
        then_m, car_m = first_m * drawn(0.4, 1.2), first_m * drawn(0.6, 1.3)
        (earlier, before, after), places = three(drawn(6, 9), car_m, first_m, then_m)
        told = Earlier(earlier, first_m * drawn(0.9, 1.1), STILL, torch.ones(ROWS))
        users = (places[1] | places[2]).float()
        optimizer.zero_grad()
        about = (before, after, then_m, STILL, HEIGHT_M, CAMERA)
        foretold, said = drift_loss(None, network, told, *about, users_BHW=users, seen_BCHW=before)
        (foretold + 0.1 * said).backward()
        optimizer.step()
    first_m = drawn(1.0, 2.0)
    then_m = first_m * 0.4
    (earlier, before, after), places = three(torch.full((ROWS,), 7.0), first_m, first_m, then_m)
    told = Earlier(earlier, first_m, STILL, torch.ones(ROWS))
    car = places[1] | places[2]
    with torch.no_grad():
        moved = look_ahead(None, network, before, then_m, STILL, HEIGHT_M, CAMERA, earlier=told)
        somebody, drift = drifting(network, before, then_m, STILL, STREET, CAMERA, told)
    standing = look_ahead(None, None, before, then_m, STILL, HEIGHT_M, CAMERA)
    error, without = ((x - after).abs().mean(dim=1)[car].mean() for x in (moved, standing))
    assert error < 0.8 * without
    assert (presence(somebody) * drift)[places[2]].mean() < -0.05, "it drives ahead of the street it covers"
    assert ((presence(somebody) > 0.5) & ~car).float().mean() < 0.05
