"""SE(2) and the vehicle: what must hold for any motion."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.geometry.motion import (
    VehicleLimits,
    VehicleState,
    advance,
    between,
    compose,
    curvature_of_steering,
    dead_reckon,
    drive,
    ego_motion,
    wrap_angle,
)
from worldmodel.types import Controls, EgoMotion

number = st.floats(-50, 50)
pose = st.tuples(number, number, st.floats(-3.1, 3.1)).map(np.array)


@given(pose, pose)
def test_between_undoes_compose(start: np.ndarray, relative: np.ndarray) -> None:
    assert np.allclose(between(start, compose(start, relative)), relative, atol=1e-9)


@given(st.floats(-100, 100))
def test_wrapping_keeps_the_direction(angle: float) -> None:
    wrapped = float(wrap_angle(angle))
    assert -math.pi < wrapped <= math.pi
    assert math.isclose(math.cos(wrapped), math.cos(angle), abs_tol=1e-9)
    assert math.isclose(math.sin(wrapped), math.sin(angle), abs_tol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_dead_reckoning_undoes_ego_motion(seed: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    motion = EgoMotion(rng.uniform(0, 40, length), rng.uniform(-0.8, 0.8, length))
    t_s = np.cumsum(rng.uniform(0.06, 0.15, length))
    poses = dead_reckon(motion, t_s)
    again = ego_motion(poses, t_s)
    assert np.allclose(again.speed_mps[:-1], motion.speed_mps[:-1], atol=1e-7)
    assert np.allclose(again.yaw_rate_radps[:-1], motion.yaw_rate_radps[:-1], atol=1e-7)
    assert np.isnan(again.speed_mps[-1])
    assert np.isnan(again.yaw_rate_radps[-1])
    step = advance(poses[0], motion[0], t_s[1] - t_s[0])
    assert np.allclose(step, poses[1], atol=1e-9)


def test_a_full_circle_comes_back() -> None:
    steps, radius_m = 100, 30.0
    turn = np.full(steps + 1, 2 * math.pi / steps)
    chord_m = 2 * radius_m * math.sin(math.pi / steps)
    poses = dead_reckon(EgoMotion(np.full(steps + 1, chord_m), turn), np.arange(steps + 1.0))
    assert np.allclose(poses[-1, :2], 0, atol=1e-9)
    assert np.allclose(poses[steps // 2, :2], (0, 2 * radius_m), atol=1e-6)  # turning left: the circle is to the left


@given(st.floats(0, 45), st.floats(-0.18, 0.18), st.floats(-20, 20), st.floats(-1, 1), st.floats(0.01, 0.5))
def test_the_vehicle_stays_within_its_limits(
    speed: float, curvature: float, accel: float, wanted: float, dt_s: float
) -> None:
    limits = VehicleLimits()
    state, motion = drive(VehicleState(speed, curvature), Controls(accel, wanted), dt_s)
    assert 0 <= state.speed_mps <= limits.speed_max_mps
    assert limits.accel_min_mps2 * dt_s - 1e-9 <= state.speed_mps - speed <= limits.accel_max_mps2 * dt_s + 1e-9
    assert abs(state.curvature_1pm) <= limits.curvature_max_1pm + 1e-12
    assert state.curvature_1pm * state.speed_mps**2 <= limits.lateral_accel_max_mps2 + 1e-6 or state.speed_mps < 1
    assert motion.speed_mps >= 0
    assert math.isclose(motion.yaw_rate_radps, 0, abs_tol=1e-12) or (
        np.sign(motion.yaw_rate_radps) == np.sign(state.curvature_1pm)
    )


def test_braking_stops_where_physics_says_and_never_reverses() -> None:
    state, travelled_m = VehicleState(10.0, 0.0), 0.0
    for _ in range(40):
        state, motion = drive(state, Controls(-4.0, 0.0), 0.1)
        travelled_m += float(motion.speed_mps) * 0.1
    assert state.speed_mps == 0
    assert math.isclose(travelled_m, 10.0**2 / (2 * 4.0), rel_tol=1e-9)


def test_steering_left_curves_left_by_the_bicycle() -> None:
    assert math.isclose(float(curvature_of_steering(math.atan(2.7 / 20), 2.7)), 1 / 20)
