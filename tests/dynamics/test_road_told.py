"""What a network is told of the road is where its edges are in the picture, and it listens to it."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tiny import tiny_model
from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.road import FEATURES, NUMBERS, ROWS, road_features
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import POINTS, SPACING_M, seen_from

CAMERA, GRID = canonical_camera(128, 256, height_m=1.4), (8, 8)
HEIGHT = torch.tensor(1.4)


def straight(left_m: float = 2.0, right_m: float = -1.5, *, points: int = POINTS) -> np.ndarray:
    x = SPACING_M * (np.arange(points) - 3.0)
    return np.stack([np.stack([x, np.full(points, y)], axis=-1) for y in (left_m, right_m)])


def told(road: np.ndarray) -> torch.Tensor:
    """``(rows, columns, R, numbers)``."""
    features = road_features(torch.from_numpy(road).float(), HEIGHT, CAMERA, GRID)
    assert features.shape == (64, FEATURES)
    return features.reshape(8, 8, ROWS, NUMBERS)


@settings(deadline=None)
@given(st.floats(-3, 3), st.floats(-0.15, 0.15))
def test_it_says_how_many_pixels_the_edges_are_away(aside_m: float, turned_rad: float) -> None:
    """Along a row of pixels, against where the edge crosses that row, by the pinhole."""
    seen = told(seen_from(straight(points=POINTS), np.array([0.0, aside_m, turned_rad])))
    for row, r in ((5, 3), (6, 0), (7, 4)):
        v = row * 16 + 2 * r + 0.5
        x = 1.4 * CAMERA.fy_px / (v - CAMERA.cy_px)
        for edge, y in enumerate((2.0, -1.5)):
            at = y - aside_m  # of the edge, from the ego across the road; then along the row, which is turned
            crossing = (at - x * np.sin(turned_rad)) / np.cos(turned_rad)
            u = CAMERA.cx_px - CAMERA.fx_px * crossing / x
            wanted = np.tanh((u - (32 * np.arange(8) + 15.5)) * np.cos(turned_rad) / 32)
            known = seen[row, :, r, 4] == 1
            assert known.any()
            assert np.allclose(seen[row, :, r, 2 + edge][known], wanted[known.numpy()], atol=0.02)


def test_above_the_horizon_beyond_the_map_and_without_one_all_is_zero() -> None:
    seen = told(straight())
    assert (seen[:3] == 0).all()
    assert (seen[7] != 0).any()
    assert (seen[3, :, :3] == 0).all()  # the horizon is at row 53.8
    far = (3, 3)  # a pixel under it, more than 148 m away
    assert (seen[far][:4] == 0).all()
    assert (told(np.full((2, POINTS, 2), np.nan)) == 0).all()
    short = straight()
    short[:, 10:] = np.nan  # the first row of those tokens is 25 m away, the map ends after 24 m
    assert (told(short)[4, :, 0] == 0).all()
    assert torch.equal(told(short)[7], seen[7])


def test_height_is_the_usual_one_where_it_is_not_known() -> None:
    road = torch.from_numpy(straight()).float()
    unknown = road_features(road, torch.tensor(torch.nan), CAMERA, GRID)
    assert torch.equal(unknown, road_features(road, HEIGHT, CAMERA, GRID))
    assert not torch.equal(unknown, road_features(road, torch.tensor(2.0), CAMERA, GRID))


def test_a_network_listens_to_it_once_it_has_learned_to() -> None:
    d = tiny_model(road=True).dynamics
    z, level = torch.randn(2, 3, 1, d.tokens, d.channels), torch.full((2, 3), 0.5)
    motion = torch.zeros(2, 3, 4)
    road = torch.zeros(2, 3, d.tokens, FEATURES)
    road[1] = torch.randn(3, d.tokens, FEATURES)
    with torch.no_grad():
        without = d(z, level, level, Told(motion))
        heard = d(z, level, level, Told(motion, road=road))
        assert torch.allclose(without[0], heard[0], atol=1e-6)  # zeros are what is not known
        assert not torch.allclose(without[1], heard[1], atol=1e-3)
        torch.nn.init.zeros_(d.road_in.weight)  # as at birth
        assert torch.allclose(without, d(z, level, level, Told(motion, road=road)), atol=1e-6)
        deaf = Dynamics(tiny_model().dynamics.config, tokens=d.tokens, channels=d.channels)
        deaf.load_state_dict({k: v for k, v in d.state_dict().items() if k != "road_in.weight"})
        assert torch.allclose(without, deaf(z, level, level, Told(motion, road=road)), atol=1e-6)
