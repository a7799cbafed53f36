"""Choosing real frames at a constant stride, and motion as the forward difference between those chosen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.datasets.steering import SteeredVehicle
from worldmodel.datasets.timing import MAX_STEP_S, MIN_STEP_S, choose_stride, mean_between, motion_between, stretches
from worldmodel.geometry.motion import ego_motion
from worldmodel.types import EgoMotion


@pytest.mark.parametrize(
    ("rate_hz", "stride", "step_ms"),
    [(9.643, 1, 103.7), (12, 1, 83.3), (25, 2, 80), (30, 3, 100), (20, 2, 100), (23.976, 2, 83.4), (15, 1, 66.7),
     (10, 1, 100), (60, 6, 100), (100, 10, 100), (8.333, 1, 120), (6.7, 1, 149.3)],
)  # fmt: skip
def test_the_stride_is_the_one_nearest_100_ms(rate_hz, stride, step_ms):
    t_s = np.arange(50) / rate_hz
    assert choose_stride(t_s) == stride
    assert abs(stride / rate_hz * 1e3 - step_ms) < 0.1


@pytest.mark.parametrize("rate_hz", [2, 5, 6])
def test_a_source_too_slow_is_refused_with_its_step(rate_hz):
    with pytest.raises(ValueError, match=rf"a frame every {1e3 / rate_hz:.0f} ms"):
        choose_stride(np.arange(20) / rate_hz)


def test_steps_outside_60_to_150_ms_and_breaks_end_a_stretch():
    t_s = np.cumsum([0, 0.1, 0.1, 0.16, 0.1, 0.1, 0.02, 0.1, 0.1, 0.1])
    breaks = np.zeros(10, bool)
    breaks[9] = True
    assert [rows.tolist() for rows in stretches(t_s, 1, breaks=breaks)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    usable = np.ones(10, bool)
    usable[1] = False
    assert [rows.tolist() for rows in stretches(t_s, 1, usable=usable)] == [[0], [2], [3, 4, 5], [6, 7, 8, 9]]


def test_a_cut_between_taken_frames_ends_a_stretch_too():
    breaks = np.zeros(12, bool)
    breaks[4] = True  # between rows 3 and 4, neither of which is taken at stride 3 from 0
    assert [rows.tolist() for rows in stretches(np.arange(12) / 30, 3, breaks=breaks)] == [[0, 3], [4, 7, 10], [11]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.001, 0.4), min_size=2, max_size=60), st.integers(1, 4), st.data())
def test_stretches_never_blend_repeat_or_leave_the_bounds(steps, stride, data):
    t_s = np.cumsum([0.0, *steps])
    breaks = np.array(data.draw(st.lists(st.booleans(), min_size=len(t_s), max_size=len(t_s))))
    usable = np.array(data.draw(st.lists(st.booleans(), min_size=len(t_s), max_size=len(t_s))))
    seen = []
    for rows in stretches(t_s, stride, breaks=breaks, usable=usable):
        assert usable[rows].all()
        assert (np.diff(rows) == stride).all()
        step_s = np.diff(t_s[rows])
        assert ((step_s >= MIN_STEP_S - 2e-6) & (step_s <= MAX_STEP_S + 2e-6)).all()
        assert not breaks[rows[0] + 1 : rows[-1] + 1].any()
        seen += rows.tolist()
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)


def path_of(count, dt_s, seed=0):
    random = np.random.default_rng(seed)
    heading = np.cumsum(random.normal(0, 0.02, count))
    step = 0.5 + 0.3 * random.random(count)
    x = np.cumsum(step * np.cos(heading))
    y = np.cumsum(step * np.sin(heading))
    return np.stack([x, y, heading], axis=-1), np.cumsum(np.full(count, dt_s))


def test_composed_motion_is_the_difference_between_the_frames_taken():
    poses, t_s = path_of(61, 1 / 30)
    every = ego_motion(poses, t_s)
    rows = np.arange(0, 61, 3)
    composed = motion_between(every, t_s, rows, rows + 3)
    direct = ego_motion(poses[rows], t_s[rows])
    np.testing.assert_allclose(composed.yaw_rate_radps, direct.yaw_rate_radps, atol=1e-9)
    np.testing.assert_allclose(composed.speed_mps, direct.speed_mps, rtol=5e-4)  # a random walk slips sideways
    assert np.isnan(composed.speed_mps[-1])


def test_an_unknown_row_makes_only_its_own_steps_and_channel_unknown():
    motion = EgoMotion(np.full(9, 10.0), np.full(9, 0.1))
    motion.yaw_rate_radps[4] = np.nan
    rows = np.arange(0, 9, 2)
    composed = motion_between(motion, np.arange(9) * 0.05, rows, rows + 2)
    assert np.isnan(composed.yaw_rate_radps).tolist() == [False, False, True, False, True]
    assert np.isnan(composed.speed_mps).tolist() == [False, False, False, False, True]
    np.testing.assert_allclose(composed.speed_mps[:4], 10, rtol=1e-4)


def test_reversing_keeps_its_sign():
    motion = EgoMotion(np.full(5, -2.0), np.zeros(5))
    rows = np.arange(0, 4, 2)
    assert (motion_between(motion, np.arange(5) * 0.05, rows, rows + 2).speed_mps == -2).all()


def test_mean_between_frames_is_the_integral_over_the_time():
    sample = np.arange(0, 5, 0.013)
    frames = np.cumsum([0.5, 0.1, 0.07, 0.13, 0.1])
    mean = mean_between(sample, np.sin(sample), frames)
    exact = (np.cos(frames[:-1]) - np.cos(frames[1:])) / np.diff(frames)
    np.testing.assert_allclose(mean[:-1], exact, atol=1e-4)
    assert np.isnan(mean[-1])


def test_mean_between_is_unknown_outside_samples_and_over_gaps():
    sample = np.array([0.0, 0.1, 0.2, 1.2, 1.3, 1.4])
    mean = mean_between(sample, np.ones(6), np.array([0.05, 0.15, 0.25, 1.25, 1.35, 1.45]))
    assert np.isnan(mean).tolist() == [False, True, True, False, True, True]


def test_a_steered_vehicle_turns_left_for_left_and_reaches_its_circle():
    t_s = np.arange(0, 4, 0.1)
    vehicle = SteeredVehicle(wheelbase_m=2.8, full_scale_deg=25, right_positive=True, response_s=0.15)
    motion = vehicle.motion(t_s, np.full(40, 8.0), np.full(40, -0.4))
    expected = 8 * np.tan(np.radians(10)) / 2.8
    np.testing.assert_allclose(motion.yaw_rate_radps[20:-1], expected, rtol=1e-3)
    assert np.isnan(motion.yaw_rate_radps[-1])


def test_the_response_of_a_steered_vehicle_is_first_order():
    t_s = np.arange(0, 6, 0.1)
    steering = np.where(t_s < 2, 0.0, 0.5)
    vehicle = SteeredVehicle(wheelbase_m=2.0, full_scale_deg=20, right_positive=False, response_s=0.3)
    turned = np.cumsum(vehicle.motion(t_s, np.full(60, 5.0), steering).yaw_rate_radps[:-1] * np.diff(t_s))
    final = 5 * np.tan(np.radians(10)) / 2
    # A first-order lag costs exactly the final rate times its time constant.
    asked = final * (t_s[-1] - 2 + 0.05)
    np.testing.assert_allclose(turned[-1], asked - final * 0.3, rtol=1e-3)


def test_a_steered_vehicle_with_readings_missing_is_unknown_there_only():
    t_s = np.arange(20) * 0.1
    steering, speed = np.full(20, 0.2), np.full(20, 6.0)
    steering[8] = np.nan
    motion = SteeredVehicle(2.8, 25, True, 0.1).motion(t_s, speed, steering)
    assert np.flatnonzero(np.isnan(motion.yaw_rate_radps)).tolist() == [7, 8, 19]
    assert np.flatnonzero(np.isnan(motion.speed_mps)).tolist() == [19]


@pytest.mark.parametrize(("field", "value"), [("wheelbase_m", 0.0), ("full_scale_deg", -3.0), ("response_s", -1.0)])
def test_impossible_vehicles_are_refused(field, value):
    good = {"wheelbase_m": 2.8, "full_scale_deg": 25.0, "right_positive": True}
    with pytest.raises(ValueError, match=rf"steering\.{field}"):
        SteeredVehicle(**(good | {field: value}))
