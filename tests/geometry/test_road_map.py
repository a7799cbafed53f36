"""A map stays where it is on the ground, wherever it is seen from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.geometry.motion import compose, dead_reckon
from worldmodel.geometry.road import BEHIND, POINTS, SPACING_M, along, seen_from, window
from worldmodel.types import EgoMotion

POSES = st.tuples(st.floats(0, 300), st.floats(-5, 5), st.floats(-0.5, 0.5)).map(np.array)


def winding(points: int = 150) -> np.ndarray:
    """A map ``(2, P, 2)`` of a road that bends."""
    s = SPACING_M * np.arange(points)
    heading = 0.4 * np.sin(s / 60)
    middle = np.cumsum(SPACING_M * np.stack([np.cos(heading), np.sin(heading)], axis=-1), axis=0)
    across = np.stack([-np.sin(heading), np.cos(heading)], axis=-1)
    return np.stack([middle + 1.8 * across, middle - 1.7 * across])


@given(POSES)
def test_a_window_is_the_map_as_it_is_seen_from_a_pose(pose: np.ndarray) -> None:
    seen = window(winding(), pose)
    assert seen.shape == (2, POINTS, 2)
    known = np.isfinite(seen[0, :, 0])
    there = seen[:, known].astype(np.float64)
    ground = compose(pose, np.concatenate([there, np.zeros((2, known.sum(), 1))], axis=-1))[..., :2]
    first = int(np.hypot(*(winding()[0] - ground[0, 0]).T).argmin())
    assert np.allclose(ground, winding()[:, first : first + known.sum()], atol=1e-3)
    nearest = int(np.hypot(*there.mean(axis=0).T).argmin())
    assert nearest == (BEHIND if known[0] else known.sum() - (POINTS - BEHIND))


def test_where_the_map_does_not_reach_nothing_is_known() -> None:
    road, end = winding(60), winding(60)[:, -1].mean(axis=0)
    assert np.isnan(window(road, np.array([*end, 0.0]))[:, BEHIND + 1 :]).all()
    assert np.isfinite(window(road, np.array([*end, 0.0]))[:, : BEHIND + 1]).all()
    assert np.isnan(window(road, np.full(3, np.nan))).all()
    assert np.isnan(window(np.full((2, 9, 2), np.nan), np.zeros(3))).all()
    assert np.isnan(window(np.zeros((2, 0, 2)), np.zeros(3))).all()


@given(st.lists(st.tuples(st.floats(0, 30), st.floats(-0.4, 0.4)), min_size=2, max_size=8))
def test_every_frame_of_a_clip_sees_the_same_ground(rates: list[tuple[float, float]]) -> None:
    motion, t_s = EgoMotion(*np.array(rates).T), 0.1 * np.arange(len(rates))
    poses = dead_reckon(motion, t_s)
    road = seen_from(winding(), poses[-1])
    for pose, seen in zip(poses, along(road, motion, t_s)):
        assert np.allclose(seen, seen_from(winding(), pose), atol=1e-2)


def test_frames_before_a_gap_do_not_know_the_road() -> None:
    motion = EgoMotion(np.array([10.0, np.nan, 10.0, np.nan]), np.zeros(4))
    seen = along(winding(), motion, 0.1 * np.arange(4))
    assert np.isnan(seen[:2]).all()
    assert np.isfinite(seen[2:]).all()
