"""Many worlds in one batch: each row is what a single environment gives, and begins anew on its own."""

import gymnasium
import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.streaming import COLUMNS, Glance
from worldmodel.simulation.env import FAILURE_COST_M, INFO_KEYS, DriveEnv
from worldmodel.simulation.referee import Referee
from worldmodel.simulation.vector_env import VectorDriveEnv
from worldmodel.types import Scenario, Tags


def actions(step, rows=3):
    return np.stack([[np.sin(step + row), 0.01 * row] for row in range(rows)]).astype(np.float32)


def test_rows_are_what_single_environments_give(make_fake_world):
    rows = VectorDriveEnv(make_fake_world(), 3)
    observations, infos = rows.reset(seed=5)
    singles = [DriveEnv(make_fake_world()) for _ in range(3)]
    firsts = [single.reset(seed=5 + i) for i, single in enumerate(singles)]
    for i, (observation, info) in enumerate(firsts):
        np.testing.assert_array_equal(observations["frame"][i], observation["frame"])
        assert infos["truth"][i] == info["truth"]
    for step in range(8):
        observations, rewards, ends, cuts, infos = rows.step(actions(step))
        assert rows.observation_space.contains(observations)
        for i, single in enumerate(singles):
            observation, reward, end, cut, info = single.step(actions(step)[i])
            np.testing.assert_array_equal(observations["frame"][i], observation["frame"])
            np.testing.assert_array_equal(observations["speed"][i], observation["speed"])
            assert (rewards[i], ends[i], cuts[i]) == (pytest.approx(reward), end, cut)
            for key in set(INFO_KEYS) - {"truth"}:
                assert infos[key][i] == pytest.approx(info[key])


def test_a_row_begins_anew_and_leaves_the_others_alone(make_fake_world):
    def scenario(seed):
        return Scenario(Tags.unknown(), seed=seed, length_s=0.5 if seed == 1 else 2.0)

    rows = VectorDriveEnv(make_fake_world(), 2, scenario_of_seed=scenario)
    rows.reset(seed=0)
    cuts, distances, rewards = [], [], []
    for _ in range(8):
        _, reward, _, cut, infos = rows.step(np.zeros((2, 2), dtype=np.float32))
        cuts.append(cut.tolist())
        distances.append(infos["distance_m"].tolist())
        rewards.append(reward.tolist())
    assert [c[1] for c in cuts] == [False] * 4 + [True] + [False] * 3
    assert [d[1] for d in distances] == pytest.approx([1.2, 2.4, 3.6, 4.8, 6.0, 0.0, 1.2, 2.4])
    assert [d[0] for d in distances] == pytest.approx([1.2 * (i + 1) for i in range(8)])
    assert rewards[5] == [pytest.approx(1.2), 0.0]


class Eye:
    """Takes a green frame for a collision."""

    def __init__(self):
        self.forgotten = []

    def forget(self, row):
        self.forgotten.append(row)

    def read(self, frames, camera, *, dt_s, rows):
        columns = {name: np.zeros(len(frames)) for name in COLUMNS}
        columns["collision"] = (frames[:, 0, 0, 1] > 140).astype(float)
        return Glance(columns, {}, np.zeros((len(frames), 4)), np.zeros((len(frames), 2)))


def test_a_referee_ends_episodes_where_the_world_tells_nothing(make_fake_world):
    turning = np.array([0.0, 0.05], dtype=np.float32)
    single = DriveEnv(make_fake_world(tells=False), referee=Referee(Eye()))
    single.reset(seed=0)
    ends = []
    while not ends or not ends[-1]:
        _, reward, end, _, info = single.step(turning)
        ends.append(end)
        assert info["truth"] == {}
    assert info["collision"]
    assert reward < -FAILURE_COST_M / 2
    eye = Eye()
    rows = VectorDriveEnv(make_fake_world(tells=False), 2, referee=Referee(eye))
    rows.reset(seed=0)
    found = [rows.step(np.stack([turning, 0 * turning]))[2].tolist() for _ in range(len(ends) + 1)]
    assert [row[0] for row in found] == [*ends, False]
    assert not any(row[1] for row in found)
    assert eye.forgotten == [0, 1, 0]


def test_mistakes_are_named(make_fake_world):
    rows = VectorDriveEnv(make_fake_world(), 2)
    with pytest.raises(ValueError, match="only option is 'scenario'"):
        rows.reset(options={"start": 1})
    with pytest.raises(ValueError, match="3 of scenario for 2 rows"):
        rows.reset(options={"scenario": [Scenario(Tags.unknown())] * 3})
    rows.reset(seed=0)
    with pytest.raises(ValueError, match="accel_mps2"):
        rows.step(np.full((2, 2), np.nan, dtype=np.float32))


def test_make_vec_makes_one_batch():
    rows = gymnasium.make_vec("worldmodel:Reference-v0", num_envs=2, tags="traffic=none", height_px=32, width_px=64)
    assert isinstance(rows.unwrapped, VectorDriveEnv)
    observations, _ = rows.reset(seed=3)
    assert observations["frame"].shape == (2, 32, 64, 3)
    alone = gymnasium.make("worldmodel:Reference-v0", tags="traffic=none", height_px=32, width_px=64)
    np.testing.assert_array_equal(observations["frame"][1], alone.reset(seed=4)[0]["frame"])


def test_wrappers_of_gymnasium_stack_frames_and_repeat_actions(fake_world):
    from gymnasium.wrappers import FrameStackObservation, MaxAndSkipObservation

    env = FrameStackObservation(gymnasium.wrappers.FilterObservation(DriveEnv(fake_world), ["frame", "speed"]), 3)
    observation, _ = env.reset(seed=0)
    assert observation["frame"].shape == (3, 32, 64, 3)
    frames_alone = gymnasium.wrappers.TransformObservation(
        DriveEnv(fake_world), lambda o: o["frame"], DriveEnv(fake_world).observation_space["frame"]
    )
    skipping = MaxAndSkipObservation(frames_alone, skip=4)
    skipping.reset(seed=0)
    _, reward, *_ = skipping.step(np.zeros(2, dtype=np.float32))
    assert reward == pytest.approx(4.8)  # four steps of 1.2 m


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_stable_baselines_trains_on_it_as_it_is(make_fake_world):
    sb3 = pytest.importorskip("stable_baselines3")
    world = make_fake_world(camera=canonical_camera(64, 128, height_m=1.4))  # its network needs 36 pixels
    env = gymnasium.wrappers.TimeLimit(DriveEnv(world), 20)
    model = sb3.PPO("MultiInputPolicy", env, n_steps=16, batch_size=8, n_epochs=1, device="cpu", seed=0)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(32)
    assert any((a != b).any() for a, b in zip(before, model.policy.parameters()))
