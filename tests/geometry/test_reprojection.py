"""A motion moves a picture as the world truly moves it, where the depth is true."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import advance
from worldmodel.geometry.reprojection import reproject, source_pixels, street_inverse_depth
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.types import EgoMotion


def tensors(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value]) for value in values]


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(3, 60),
    y=st.floats(-8, 8),
    speed=st.floats(0, 30),
    yaw_rate=st.floats(-0.8, 0.8),
    height=st.floats(1, 2.5),
)
def test_a_point_on_the_ground_goes_where_the_camera_sees_it(
    x: float, y: float, speed: float, yaw_rate: float, height: float
) -> None:
    camera = canonical_camera(128, 256, height_m=height)
    motion = EgoMotion(np.float64(speed), np.float64(yaw_rate))
    pose = advance(np.zeros(3), motion, 0.1)
    # The point in the later camera's axes; (x, y) are in those of the earlier one.
    dx, dy, heading = x - pose[0], y - pose[1], pose[2]
    forward, left = math.cos(heading) * dx + math.sin(heading) * dy, -math.sin(heading) * dx + math.cos(heading) * dy
    later = camera.cx_px - camera.fx_px * left / forward, camera.cy_px + camera.fy_px * height / forward
    column, row = round(later[0]), round(later[1])
    if forward < 3 or not (2 <= column < 254 and 60 <= row < 126):
        return
    street = street_inverse_depth(torch.tensor([height]), camera)
    u, v = source_pixels(speed * 0.1 * street, *tensors(yaw_rate * 0.1), camera)
    # Read the map at the exact, fractional place.
    c0, r0 = int(later[0]), int(later[1])
    a, b = later[0] - c0, later[1] - r0
    weights = torch.tensor([[(1 - a) * (1 - b), a * (1 - b)], [(1 - a) * b, a * b]])
    found = [(part[0, r0 : r0 + 2, c0 : c0 + 2] * weights).sum().item() for part in (u, v)]
    truth = camera.cx_px - camera.fx_px * y / x, camera.cy_px + camera.fy_px * height / x
    assert np.allclose(found, truth, atol=0.35)


@settings(max_examples=50, deadline=None)
@given(
    x=st.floats(5, 80),
    y=st.floats(-20, 20),
    up=st.floats(-1.4, 8),
    speed=st.floats(0, 30),
    yaw_rate=st.floats(-0.8, 0.8),
)
def test_any_point_of_known_depth_goes_where_the_camera_sees_it(
    x: float, y: float, up: float, speed: float, yaw_rate: float
) -> None:
    camera = canonical_camera(128, 256)
    pose = advance(np.zeros(3), EgoMotion(np.float64(speed), np.float64(yaw_rate)), 0.1)
    dx, dy, heading = x - pose[0], y - pose[1], pose[2]
    forward, left = math.cos(heading) * dx + math.sin(heading) * dy, -math.sin(heading) * dx + math.cos(heading) * dy
    later = camera.cx_px - camera.fx_px * left / forward, camera.cy_px - camera.fy_px * up / forward
    column, row = round(later[0]), round(later[1])
    if forward < 3 or not (0 <= column < 256 and 0 <= row < 128):
        return
    parallax = torch.full((1, 128, 256), speed * 0.1 / forward)
    u, v = source_pixels(parallax, *tensors(yaw_rate * 0.1), camera)
    # The map at the nearest whole pixel, from which the true place is as far as the pixel is from the point's, nearly.
    found = u[0, row, column].item() + (later[0] - column), v[0, row, column].item() + (later[1] - row)
    truth = camera.cx_px - camera.fx_px * y / x, camera.cy_px - camera.fy_px * up / x
    assert np.allclose(found, truth, atol=0.4)


def test_turning_left_moves_the_far_world_to_the_right() -> None:
    camera = canonical_camera(64, 128)
    turn = 0.05
    u, v = source_pixels(torch.zeros(1, 64, 128), *tensors(turn), camera)
    middle = 63
    horizon = int(camera.cy_px)
    assert math.isclose(
        u[0, horizon, middle].item() - middle, -camera.fx_px * math.tan(turn), abs_tol=camera.fx_px * 1e-3
    )
    assert abs(v[0, horizon, middle].item() - horizon) < 0.05


def test_no_motion_leaves_the_picture_and_rows_have_their_own_motion() -> None:
    camera = canonical_camera(32, 64)
    frames = torch.rand(2, 3, 32, 64)
    motion = torch.tensor([0.0, 1.0])
    parallax = motion[:, None, None] * street_inverse_depth(torch.full((2,), 1.4), camera)
    moved = reproject(frames, parallax, motion * 0.01, camera)
    assert torch.allclose(moved[0], frames[0], atol=1e-5)
    assert not torch.allclose(moved[1], frames[1], atol=0.05)


@pytest.mark.parametrize("seed", [3, 4])
def test_it_explains_most_of_what_changes_between_true_frames(seed: int) -> None:
    """Beside copying the last frame, and beside the same motion with its turn mirrored."""
    options = draw_options(seed, weather="clear", time_of_day="day", road_kind="country", traffic="none")
    drive = render_drive(options, 25)
    x = torch.from_numpy(drive.frames).movedim(-1, 1).float()
    distance = torch.from_numpy(drive.motion.speed_mps[:-1] * 0.1)
    turn = torch.from_numpy(drive.motion.yaw_rate_radps[:-1] * 0.1)
    camera = canonical_camera(128, 256)
    street = street_inverse_depth(torch.full((24,), 1.4), camera)

    def error(distance: torch.Tensor, turn: torch.Tensor) -> float:
        moved = reproject(x[:-1], distance[:, None, None] * street, turn, camera)
        return (moved - x[1:])[:, :, 54:].abs().mean().item()

    true = error(distance, turn)
    assert true < 0.8 * error(distance * 0, turn * 0)
    assert true < error(distance, -turn)
    assert true < error(distance * 0.5, turn)
