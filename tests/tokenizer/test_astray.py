"""Where a road lies beside its map is read, and put right, along the road alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny import TOKENIZER
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.reprojection import reproject, street_inverse_depth
from worldmodel.geometry.road import BEHIND, POINTS, SPACING_M, window
from worldmodel.model import WorldModel
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer import astray as module
from worldmodel.tokenizer.astray import (
    Astray,
    AstrayNetwork,
    astray,
    astray_loss,
    distances_m,
    lead_astray,
    put_right,
    total_loss,
)
from worldmodel.tokenizer.moving import move_latents
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network

CAMERA = canonical_camera(128, 256, height_m=1.4)
HEIGHT_M = torch.tensor([1.4])
STREET = street_inverse_depth(HEIGHT_M, CAMERA)
#: Of pixels below the horizon: metres ahead and to the left.
AHEAD_M = 1 / STREET.clamp(min=1e-3)
LEFT_M = AHEAD_M * ((CAMERA.cx_px - torch.arange(256)) / CAMERA.fx_px)
NAN = torch.full((1, 2, POINTS, 2), torch.nan)


def lane(curvature_1pm: float = 0.0, left_m: float = 1.8, right_m: float = -1.8) -> Tensor:
    """A map whose edges lie beside a parabola."""
    x_m = SPACING_M * (torch.arange(POINTS) - BEHIND)
    edges = [torch.stack([x_m, curvature_1pm * x_m**2 / 2 + edge_m], dim=-1) for edge_m in (left_m, right_m)]
    return torch.stack(edges)[None]


def painted(curvature_1pm: float, off_m: Tensor) -> Tensor:
    """A bright road on dark ground, ``off_m`` to the left of that lane, and a sky of its own."""
    middle_m = curvature_1pm * AHEAD_M**2 / 2 + off_m
    on_road = ((LEFT_M - middle_m).abs() < 1.8).float()
    below = (torch.arange(128)[:, None] > CAMERA.cy_px + 1).expand(1, 128, 256)
    return torch.where(below, 1.4 * on_road - 0.7, 0.3)[:, None].expand(1, 3, -1, -1)


@pytest.mark.parametrize("curvature_1pm", [0.0, 0.004, -0.004])
@pytest.mark.parametrize("coefficients", [(0.6, 0.0, 0.0), (0.0, 0.9, 0.0), (-0.3, 0.3, -0.4)])
def test_what_is_known_to_be_astray_is_put_where_the_map_has_it(
    curvature_1pm: float, coefficients: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FULL_M", 1e-6)
    found = Astray(torch.tensor([coefficients]), module._at_rows(lane(curvature_1pm)))
    off_m = torch.einsum("bhwi,i->bhw", module._basis(AHEAD_M.clamp(3.5, 70)), torch.tensor(coefficients))
    still, true, wrong = torch.zeros(1), painted(curvature_1pm, 0 * off_m), painted(curvature_1pm, off_m)
    # The ego comes a hair's breadth, so that nothing else moves.
    aside = put_right(found, STREET, still + 1e-5, CAMERA, share=1.0)
    righted = reproject(wrong, 0 * STREET, still, CAMERA, aside_BHW=aside)
    between = ((AHEAD_M > 7) & (AHEAD_M < 60))[:, None].expand_as(true)
    before, after = ((x - true)[between].abs().mean() for x in (wrong, righted))
    assert after < 0.25 * before
    beyond = ((LEFT_M - curvature_1pm * AHEAD_M**2 / 2).abs() > 1.8 + 2 + 3 + 0.3) & (AHEAD_M < 70)
    assert (aside[beyond] == 0).all(), "what lies beyond the road stays"
    assert (aside[AHEAD_M > 101] == 0).all()


@pytest.mark.parametrize("curvature_1pm", [0.0, 0.004])
@pytest.mark.parametrize("coefficients", [(0.6, 0.0, 0.0), (-0.3, 0.9, -0.4)])
def test_a_road_is_led_astray_where_it_is_wanted_and_nothing_else_moves(
    curvature_1pm: float, coefficients: tuple[float, ...]
) -> None:
    off_m = torch.einsum("bhwi,i->bhw", module._basis(AHEAD_M.clamp(3.5, 70)), torch.tensor(coefficients))
    true, wanted = painted(curvature_1pm, 0 * off_m), painted(curvature_1pm, off_m)
    led = lead_astray(true, torch.tensor([coefficients]), lane(curvature_1pm), STREET, CAMERA)
    between = ((AHEAD_M > 7) & (AHEAD_M < 40))[:, None].expand_as(true)
    before, after = ((x - wanted)[between].abs().mean() for x in (true, led))
    assert after < 0.45 * before
    beyond = ((LEFT_M - curvature_1pm * AHEAD_M**2 / 2).abs() > 1.8 + 2 + 3 + off_m.abs() + 0.3) | (AHEAD_M > 101)
    still = reproject(true, 0 * STREET, torch.zeros(1), CAMERA)
    assert torch.allclose(led[:, 0][beyond], still[:, 0][beyond], atol=1e-4)
    assert torch.allclose(lead_astray(true, torch.tensor([coefficients]), NAN, STREET, CAMERA), still, atol=1e-4)


def test_a_part_is_put_right_as_the_ego_comes_on_and_nothing_while_it_stands() -> None:
    found = Astray(torch.tensor([[0.5, 0.2, 0.0]]), module._at_rows(lane()))
    stands, creeps, drives, races = (
        put_right(found, STREET, torch.tensor([m]), CAMERA, share=0.2) for m in (0.0, 0.25, 0.5, 3.0)
    )
    assert (stands == 0).all()
    near = (AHEAD_M > 8) & (AHEAD_M < 20) & (LEFT_M.abs() < 1.5)
    assert torch.allclose(2 * creeps[near], drives[near], rtol=0.05)
    assert torch.allclose(races[near], drives[near], rtol=0.1)
    assert (drives[near] > 0).all(), "it lies too far left: what belongs here is farther left there"


def test_who_has_left_the_road_of_the_map_sees_nothing_put_right() -> None:
    torch.manual_seed(0)
    network, frames = AstrayNetwork(4), torch.rand(1, 3, 128, 256) * 2 - 1

    def found(left_m: float) -> Tensor:
        """Of an ego that far to the left of the middle of its lane."""
        road = lane(left_m=1.8 - left_m, right_m=-1.8 - left_m)
        return astray(network, frames, road, HEIGHT_M, CAMERA).coefficients_B3

    with torch.no_grad():
        for sign in (1.0, -1.0):
            assert found(sign * 1.7).abs().max() > 0
            # Two metres beyond the edge, nothing; half of the way there, half.
            assert (found(sign * 3.9) == 0).all()
            alone = network(
                frames, module._at_rows(lane(left_m=1.8 - sign * 2.8, right_m=-1.8 - sign * 2.8)), HEIGHT_M, CAMERA
            )[1]
            assert torch.allclose(found(sign * 2.8), 0.5 * alone, atol=1e-6)


def test_where_no_map_is_known_pictures_are_moved_as_without() -> None:
    torch.manual_seed(0)
    tokenizer = Tokenizer(TOKENIZER).eval()
    latents, still = torch.randn(2, TOKENIZER.tokens, TOKENIZER.channels).tanh(), torch.zeros(2)
    args = (tokenizer, latents, still + 1.0, still + 0.01, still + 1.4)
    plain = move_latents(*args).latents_BND
    assert torch.equal(move_latents(*args, road_BEK2=NAN.repeat(2, 1, 1, 1), righted=0.2).latents_BND, plain)
    one = move_latents(*args, road_BEK2=torch.cat([lane(), NAN]), righted=0.2).latents_BND
    assert not torch.equal(one[0], plain[0])
    assert torch.allclose(one[1], plain[1], atol=1e-5)
    assert torch.equal(move_latents(*args, road_BEK2=torch.cat([lane(), NAN])).latents_BND, plain), (
        "nor unless asked to"
    )
    tokenizer.astray = None
    assert torch.equal(move_latents(*args, road_BEK2=torch.cat([lane(), NAN]), righted=0.2).latents_BND, plain)


def test_a_map_that_ends_or_turns_away_is_followed_as_far_as_it_goes() -> None:
    road = lane()
    road[:, :, 12:] = torch.nan  # 32 m ahead
    edges = module._at_rows(road)
    ahead = distances_m(torch.device("cpu"))
    assert torch.equal(edges[0].isfinite(), (ahead < SPACING_M * (11 - BEHIND))[None].expand(2, -1))
    assert torch.allclose(edges[0, 0][edges[0, 0].isfinite()], torch.tensor(1.8))
    angle = torch.arange(POINTS) * SPACING_M / 20  # a bend of 20 m that turns all the way
    bend = torch.stack([20 * torch.sin(angle), 20 - 20 * torch.cos(angle)], dim=-1)
    edges = module._at_rows(torch.stack([bend, bend])[None])
    known = edges[0, 0].isfinite()
    assert torch.equal(known, ahead < bend[:, 0].max())
    wanted = 20 - torch.sqrt(400 - ahead[known] ** 2)
    assert torch.allclose(edges[0, 0][known], wanted, atol=0.9), "the first time that it is crossed"


def test_it_is_learned_from_pictures_and_maps_alone() -> None:
    torch.manual_seed(0)
    network = AstrayNetwork(8)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)

    def some(count: int) -> tuple[Tensor, Tensor, Tensor]:
        curvature = (0.006 * torch.rand(count) - 0.003).tolist()
        frames = torch.cat([painted(c, torch.zeros_like(AHEAD_M)) for c in curvature])
        off = torch.randn(count, 3) * torch.tensor([0.3, 0.5, 0.1])
        return frames + 0.1 * torch.randn(frames.shape), torch.cat([lane(c) for c in curvature]), off

    def loss(count: int) -> tuple[Tensor, Tensor]:
        frames, roads, off = some(count)
        return astray_loss(network, frames, roads, HEIGHT_M.expand(count), CAMERA, off_B3=off)

    with torch.no_grad():
        before = loss(32)[1]
    for _ in range(60):
        optimizer.zero_grad()
        total_loss(*loss(8)).backward()
        optimizer.step()
    with torch.no_grad():
        assert loss(32)[1] < 0.25 * before


@pytest.fixture(scope="module")
def seen() -> tuple[Tensor, Tensor]:
    """Frames of drives that nothing was trained on, and their maps."""
    frames, roads = [], []
    for seed in range(910_000, 910_006):
        drive = render_drive(draw_options(seed, ego="good"), 13, camera=CAMERA, every=6)
        frames.append(torch.from_numpy(drive.frames))
        roads.append(torch.from_numpy(np.stack([window(drive.road, pose) for pose in drive.poses])))
    return to_network(torch.cat(frames)).float(), torch.cat(roads).float()


@pytest.mark.parametrize("as_kept", [False, True], ids=["true frames", "as the tokenizer keeps them"])
def test_the_bundled_one_reads_how_far_a_map_was_moved(seen: tuple[Tensor, Tensor], as_kept: bool) -> None:
    tokenizer = WorldModel.from_pretrained("nano").tokenizer
    assert tokenizer.astray is not None
    frames, roads = seen
    heights = HEIGHT_M.expand(len(frames))
    with torch.no_grad():
        if as_kept:
            frames = tokenizer.decode(tokenizer.encode(frames)).clamp(-1, 1)
        found = []
        for off_m in (0.6, -0.6):
            moved = roads.clone()
            moved[..., 1] -= off_m  # the road lies that much to the left of the map
            found.append(astray(tokenizer.astray, frames, moved, heights, CAMERA).coefficients_B3[:, 0])
    left, right = found
    assert (left - right).median() > 0.3
    assert (left > right).float().mean() > 0.85
