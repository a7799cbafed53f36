"""Paths, turning signs and intervals: perfect is perfect, and order does not matter."""

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worldmodel.metrics.intervals import bootstrap_interval, paired_interval, ratio_interval
from worldmodel.metrics.path import average_displacement_m, displacement_at, final_displacement_m
from worldmodel.metrics.signs import second_means, turning_signs

NUMBERS = st.floats(-100, 100)
PATHS = arrays(np.float64, (6, 3), elements=NUMBERS)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: Yaw rates of five seconds, each of one turn, straight ones among them.
YAW = st.lists(st.sampled_from([-0.4, -0.05, -0.02, 0.0, 0.01, 0.035, 0.3]), min_size=5, max_size=5).map(
    lambda turns: np.repeat(turns, 10) + 0.01 * np.sin(np.arange(50))
)
T_S = np.arange(50) / 10


@QUICK
@given(PATHS)
def test_a_path_does_not_stray_from_itself(path):
    assert (average_displacement_m(path, path) == 0).all()
    assert (final_displacement_m(path, path) == 0).all()


@QUICK
@given(PATHS, NUMBERS, NUMBERS)
def test_a_shifted_path_is_as_far_off_as_the_shift(path, dx, dy):
    shifted = path + np.array([dx, dy, 5.0])
    np.testing.assert_allclose(average_displacement_m(shifted, path), np.hypot(dx, dy), atol=1e-9)
    np.testing.assert_allclose(final_displacement_m(path, shifted), np.hypot(dx, dy), atol=1e-9)


def test_horizons_that_are_not_reached_are_left_out():
    truth = np.stack([np.arange(21.0), np.zeros(21)], axis=1)
    path = truth * (1.0, 1.0) + np.stack([np.zeros(21), 0.1 * np.arange(21)], axis=1)
    errors = displacement_at(path, truth, np.arange(21) / 10, (1.0, 2.0, 5.0))
    assert set(errors) == {1.0, 2.0}
    assert errors[1.0] == pytest.approx((0.55, 1.0))
    with pytest.raises(ValueError, match="horizons_s"):
        displacement_at(path, truth, np.arange(21) / 10, (0.0,))


def test_paths_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="path"):
        average_displacement_m(np.zeros((5, 2)), np.zeros((6, 2)))
    with pytest.raises(ValueError, match="two moments"):
        final_displacement_m(np.zeros((1, 2)), np.zeros((1, 2)))


@QUICK
@given(YAW)
def test_turning_as_told_is_right_and_the_other_way_is_wrong(yaw):
    same, mirrored = turning_signs(yaw, yaw, T_S), turning_signs(yaw, -yaw, T_S)
    assert same.right == same.turning
    assert mirrored.right == 0
    assert mirrored.turning == same.turning
    assert turning_signs(yaw, yaw, T_S, least_gain=0.9).right == same.turning


@QUICK
@given(YAW, st.permutations(range(5)))
def test_the_order_of_seconds_does_not_matter(yaw, order):
    read = np.roll(yaw, 7)
    rows = (np.array(order)[:, None] * 10 + np.arange(10)).ravel()
    assert dataclasses.asdict(turning_signs(yaw[rows], read[rows], T_S)) == pytest.approx(
        dataclasses.asdict(turning_signs(yaw, read, T_S)), nan_ok=True
    )


def test_seconds_that_were_not_read_are_not_right():
    told = np.full(50, 0.1)
    read = told.copy()
    read[10:20] = np.nan
    result = turning_signs(told, read, T_S)
    assert (result.turning, result.right, result.unread) == (5, 4, 1)
    assert result.share == pytest.approx(0.8)


def test_straight_driving_has_no_share_and_a_faint_turn_has_no_gain():
    assert np.isnan(turning_signs(np.zeros(50), np.ones(50), T_S).share)
    assert turning_signs(np.full(50, 0.1), np.full(50, 0.01), T_S).share == 1
    assert turning_signs(np.full(50, 0.1), np.full(50, 0.01), T_S, least_gain=0.5).share == 0


def test_means_of_seconds_ignore_what_is_unknown():
    values = np.where(np.arange(25) % 2 == 0, 3.0, np.nan)
    np.testing.assert_array_equal(second_means(values, np.arange(25) / 10), [3, 3, 3])
    np.testing.assert_array_equal(second_means(values[:23], np.arange(23) / 10), [3, 3])
    with pytest.raises(ValueError, match="values"):
        second_means(values, np.arange(5))


def test_unlike_signs_and_thresholds_are_refused():
    with pytest.raises(ValueError, match="read_radps"):
        turning_signs(np.zeros(5), np.zeros(4), np.arange(5))
    with pytest.raises(ValueError, match="threshold_radps"):
        turning_signs(np.zeros(5), np.zeros(5), np.arange(5), threshold_radps=-1)


@QUICK
@given(st.lists(NUMBERS, min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_intervals_hold_the_mean_whatever_the_order(scores, random):
    interval = bootstrap_interval(np.array(scores), draws=300)
    assert interval.low - 1e-9 <= interval.value <= interval.high + 1e-9
    random.shuffle(scores)
    again = bootstrap_interval(np.array(scores), draws=300)
    np.testing.assert_allclose([again.value, again.low, again.high], [interval.value, interval.low, interval.high])


def test_pairing_removes_what_drives_share():
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 10, 20)
    better, worse = hard + rng.normal(0, 0.1, 20), hard + 1
    interval = paired_interval(better, worse)
    assert interval.high < 0
    assert interval.high - interval.low < 0.3
    assert paired_interval(worse, worse).value == 0


def test_unscored_drives_are_left_out_and_one_drive_has_no_interval():
    interval = bootstrap_interval(np.array([1.0, np.nan]))
    assert (interval.value, interval.drives) == (1.0, 1)
    assert np.isnan(interval.low)
    assert bootstrap_interval(np.array([])).drives == 0
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(np.ones(3), level=1.0)
    with pytest.raises(ValueError, match="others"):
        paired_interval(np.ones(3), np.ones(2))


def test_a_ratio_of_sums_weighs_drives_by_what_they_say():
    below = np.array([4.0, 1.0, 0.0, np.nan])
    found = ratio_interval(np.array([2.0, 0.5, 0.0, 1.0]), below)
    assert (found.value, found.drives) == (0.5, 2)  # those that say something
    assert (found.low, found.high) == (0.5, 0.5)
    uneven = ratio_interval(np.array([8.0, 0.0]), np.array([8.0, 1.0]))
    assert uneven.value == pytest.approx(8 / 9)
    assert uneven.low <= uneven.value <= uneven.high
    assert np.isnan(ratio_interval(np.zeros(2), np.zeros(2)).value)
    with pytest.raises(ValueError, match="exposure"):
        ratio_interval(np.zeros(2), np.zeros(3))
