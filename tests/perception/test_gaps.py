"""The gap from boxes: who is on the ego's course counts, the nearest of them, on straight roads and in bends."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.gaps import NOSE_M, BoxReadings, Way, best_gap, in_way, read_boxes

CAMERA = canonical_camera(128, 256, height_m=1.4)


def box(distance_m, aside_m, width_m=1.8):
    """Edges of a car's rear at a place, left positive."""
    middle = CAMERA.cx_px + 0.5 - CAMERA.fx_px * aside_m / distance_m
    half = CAMERA.fx_px * width_m / 2 / distance_m
    bottom = CAMERA.cy_px + 0.5 + CAMERA.fy_px * 1.4 / distance_m
    return [middle - half, bottom - 2 * half, middle + half, bottom]


def way(heading=0.0, curvature=0.0, frames=1):
    ones = np.ones(frames)
    return Way(heading * ones, curvature * ones, 0.005 * ones, 0.0005 * ones)


def read(places, course, scores=None):
    edges = np.array([[box(*place) for place in places]])
    metres = np.array([[place[0] for place in places]])
    score = np.full(metres.shape, 0.9) if scores is None else np.array([scores])
    return read_boxes(edges, score, metres, np.full(metres.shape, 0.05), course, CAMERA)


@given(st.floats(6, 45), st.floats(-0.05, 0.05), st.floats(-0.004, 0.004), st.sampled_from([-3.7, 0.0, 3.7]))
def test_who_follows_the_same_course_is_in_the_way_and_the_next_lane_is_not(metres, heading, curvature, lane_m):
    aside = -heading * metres + curvature * metres**2 / 2 + lane_m
    likely = in_way(np.array([[box(metres, aside)]]), np.array([[metres]]), way(heading, curvature), CAMERA)[0, 0]
    assert (likely > 0.5) == (lane_m == 0)


def test_the_nearest_in_the_way_is_ahead():
    found = read([(40.0, 0.0), (20.0, 0.3), (10.0, 3.6)], way())
    assert found.gap_m[0] == pytest.approx(20 - NOSE_M)
    assert found.gap_scale[0] == pytest.approx(0.05 * 20 / (20 - NOSE_M))
    assert read([(10.0, 3.6), (15.0, -3.6)], way()).gap_m[0] != found.gap_m[0]
    assert np.isnan(read([(10.0, 3.6), (15.0, -3.6)], way()).gap_m[0])
    assert read([(40.0, 0.0), (20.0, 0.3)], way(), [0.9, 0.1]).gap_m[0] == pytest.approx(40 - NOSE_M)
    assert read([(1.5, 0.0)], way()).gap_m[0] == pytest.approx(0.5)


def test_frames_without_boxes_have_no_gap():
    nan = np.full((2, 3), np.nan)
    found = read_boxes(np.full((2, 3, 4), np.nan), nan, nan, nan, way(frames=2), CAMERA)
    assert np.isnan(found.gap_m).all()


def test_the_surer_of_two_gaps_counts_more_the_nearer_of_two_users_and_nobody_is_made_up():
    nan = np.nan
    own_m, own_scale = np.array([10.0, 10, 10, nan, 40, 10]), np.array([0.1, 0.3, 0.2, 0.2, 0.1, 0.1])
    box_m, box_scale = np.array([12.0, 12, nan, 20, 9, 30]), np.array([0.3, 0.1, nan, 0.1, 0.2, 0.1])
    bare = np.zeros((6, 1))
    gap_m, scale = best_gap(own_m, own_scale, BoxReadings(bare[..., None], bare, bare, bare, box_m, box_scale))
    first, second, alone, nobody, nearer, own = gap_m
    assert 10 < first < 10.5 < 11.5 < second < 12
    assert alone == pytest.approx(10)
    assert np.isnan(nobody)
    assert nearer == pytest.approx(9)
    assert own == pytest.approx(10)
    assert ((scale >= 0.1 - 1e-9) & (scale <= 0.3)).all()
