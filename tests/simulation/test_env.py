"""The Gymnasium environment over any world."""

import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodel.simulation.env import FAILURE_COST_M, INFO_KEYS, DriveEnv
from worldmodel.types import Scenario, Tags

STRAIGHT = np.array([0.0, 0.0], dtype=np.float32)


@pytest.fixture
def env(fake_world):
    return DriveEnv(fake_world, render_mode="rgb_array")


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized")
def test_check_env_passes(make_fake_world):
    check_env(DriveEnv(make_fake_world(), render_mode="rgb_array"), skip_render_check=True)


def test_spaces_and_step_are_the_contract(env):
    observation, info = env.reset(seed=3)
    assert set(observation) == {"frame", "speed"}
    assert env.observation_space.contains(observation)
    assert tuple(info) == INFO_KEYS
    assert env.dt_s == 0.1
    observation, reward, terminated, truncated, info = env.step(np.array([1.0, 0.0], dtype=np.float32))
    assert tuple(info) == INFO_KEYS
    assert observation["speed"][0] == pytest.approx(12.1)
    assert reward == pytest.approx(1.205)
    assert not terminated
    assert not truncated
    np.testing.assert_array_equal(env.render(), observation["frame"])


def test_worlds_with_and_without_truth_have_the_same_keys(make_fake_world):
    for tells in (True, False):
        env = DriveEnv(make_fake_world(tells=tells))
        assert tuple(env.reset(seed=0)[1]) == INFO_KEYS
        assert bool(env.step(STRAIGHT)[4]["truth"]) is tells


def test_off_road_and_collision_terminate(env):
    env.reset(seed=0)
    total, terminated = 0.0, False
    while not terminated:
        _, reward, terminated, _, info = env.step(np.array([0.0, 0.05], dtype=np.float32))
        total += reward
    assert info["off_road"]
    assert total == pytest.approx(info["distance_m"] - FAILURE_COST_M, rel=1e-3)


def test_scenario_sets_start_length_and_seed(env, clip):
    scenario = Scenario(context=clip, length_s=0.5, seed=11)
    observation, _ = env.reset(options={"scenario": scenario})
    assert observation["speed"][0] == 10.0
    assert env.world.seeds.tolist() == [11]
    assert [env.step(STRAIGHT)[3] for _ in range(5)] == [False] * 4 + [True]
    env.reset(seed=12, options={"scenario": scenario})
    assert env.world.seeds.tolist() == [12]


def test_mistakes_are_named(env):
    with pytest.raises(ValueError, match="only option is 'scenario'"):
        env.reset(options={"scenari": None})
    with pytest.raises(ValueError, match="length_s"):
        env.reset(options={"scenario": Scenario(Tags.unknown(), length_s=-1.0)})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="curvature_1pm"):
        env.step(np.array([0.0, np.nan], dtype=np.float32))


@pytest.mark.parametrize("order", ["import worldmodel, gymnasium", "import gymnasium, worldmodel", "import gymnasium"])
def test_environments_are_known_in_any_order_of_imports(order):
    code = (
        f"{order}; import importlib; importlib.import_module('worldmodel')  # as gymnasium.make('worldmodel:...') does"
    )
    code += "\nassert {'Drive-v0', 'Reference-v0'} <= set(gymnasium.registry)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_worldmodel_imports_without_gymnasium():
    code = "import sys; sys.modules['gymnasium'] = None; import worldmodel; print(worldmodel.__version__)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrappers_of_gymnasium_apply(fake_world):
    env = gymnasium.wrappers.FlattenObservation(gymnasium.wrappers.TimeLimit(DriveEnv(fake_world), 3))
    observation, _ = env.reset(seed=0)
    assert observation.shape == (32 * 64 * 3 + 1,)
    assert [env.step(STRAIGHT)[3] for _ in range(3)] == [False, False, True]
