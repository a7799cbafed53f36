"""The driver that looks: in the true world it keeps its lane from pixels alone."""

import copy

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.reference.options import draw_options
from worldmodel.reference.world import World
from worldmodel.simulation.policies.keeper import LaneKeeper
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.policies.policy import Observation

DT_S = 0.1
SEEDS = (7_000_000, 7_000_001)


def true_world(seeds: tuple[int, ...]) -> tuple[World, np.ndarray]:
    """Clear days without traffic: a country road and a motorway."""
    world = World(camera=canonical_camera(64, 128, height_m=1.4))
    kinds = ("country", "motorway")
    options = [
        draw_options(seed, weather="clear", time_of_day="day", road_kind=kinds[seed % 2], traffic="none")
        for seed in seeds
    ]
    return world, world.start(options, batch=len(options))


def test_it_keeps_its_lane_from_pixels_alone() -> None:
    policy = open_policy("lane-keeper")
    assert not policy.needs_truth
    world, frames = true_world(SEEDS)
    info = world.info()
    begun_mps = info["speed_mps"].copy()
    state, offsets = VehicleState(info["speed_mps"], np.zeros(2)), []
    for row in range(2):
        policy.reset(row, seed=0)
    turned = np.zeros(2)
    for _ in range(150):
        controls = policy.act(Observation(frames, state.speed_mps, state.curvature_1pm, DT_S))
        state, motion = drive(state, controls, DT_S)  # pyright: ignore[reportArgumentType]
        drawn = world.step(motion)
        assert drawn is not None
        frames = drawn
        offsets.append(world.info()["lane_offset_m"])
        turned += np.abs(motion.yaw_rate_radps) * DT_S
    assert np.sqrt(np.mean(np.square(offsets), axis=0)).max() < 0.25
    assert np.abs(offsets).max() < 0.7
    assert turned.max() > 0.1  # there were bends
    assert (state.speed_mps <= begun_mps + 0.01).all()


def test_rows_do_not_influence_each_other_and_a_copy_goes_on_alike() -> None:
    _, frames = true_world(SEEDS)
    speed, zero = np.array([20.0, 25.0]), np.zeros(2)
    both, one = LaneKeeper(), LaneKeeper()
    for row in range(2):
        both.reset(row, seed=0)
    one.reset(0, seed=0)
    for _ in range(3):
        together = both.act(Observation(frames, speed, zero, DT_S))
        alone = one.act(Observation(frames[1:], speed[1:], zero[1:], DT_S))
        assert together[1:].curvature_1pm == pytest.approx(alone.curvature_1pm)
    branch = copy.deepcopy(both)
    ours = both.act(Observation(frames, speed, zero, DT_S))
    theirs = branch.act(Observation(frames, speed, zero, DT_S))
    assert np.array_equal(ours.curvature_1pm, theirs.curvature_1pm)
    both.reset(0, seed=0)
    fresh = both.act(Observation(frames, speed, zero, DT_S))
    assert fresh.curvature_1pm[0] != ours.curvature_1pm[0]
    assert fresh.curvature_1pm[1] != pytest.approx(0)


def test_without_lines_it_goes_on_ever_straighter() -> None:
    _, frames = true_world(SEEDS[:1])
    policy = LaneKeeper()
    policy.reset(0, seed=0)
    speed = np.array([15.0])
    for _ in range(5):
        curvature = [policy.act(Observation(frames, speed, np.zeros(1), DT_S)).curvature_1pm[0]]
    fog = np.full_like(frames, 128)
    for _ in range(60):
        controls = policy.act(Observation(fog, speed, np.zeros(1), DT_S))
        curvature.append(controls.curvature_1pm[0])
        assert controls.accel_mps2[0] == 0  # it keeps the speed it began with
    assert curvature[0] != 0
    assert (np.diff(np.abs(curvature)) < 0).all()
