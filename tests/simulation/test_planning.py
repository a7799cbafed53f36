"""What a planner needs of a session, the planner itself, and the network that imitates."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.imitating import train
from worldmodel.simulation.policies.imagining import ImaginingPlanner, PlannerConfig, planner_session
from worldmodel.simulation.policies.library import Tools, open_policy
from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.session import Session
from worldmodel.types import Clip, EgoMotion, Tags

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import WINDOW, tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model(3)  # of a network without training that finds something better than to go straight on


def clip(session, seed, length=WINDOW):
    camera, rng = session.camera, np.random.default_rng(seed)
    frames = rng.integers(0, 255, (length, camera.height_px, camera.width_px, 3), dtype=np.uint8)
    motion = EgoMotion(9.0 + np.arange(length), 0.01 * np.arange(length))
    valid = np.ones(frames.shape[1:3], dtype=bool)
    return Clip(frames, 0.1 * np.arange(length), motion, Tags.unknown((length,)), camera, valid)


def step(session, rows):
    return session.step(EgoMotion(np.full(rows, 8.0), np.zeros(rows)))


def test_a_frame_that_is_observed_is_as_good_as_one_of_the_context(model):
    whole, shown = Session(model), Session(model)
    contexts = [clip(whole, seed) for seed in (1, 2)]
    whole.start(contexts, batch=2)
    shown.start([context[:-1] for context in contexts], batch=2)
    motion = EgoMotion(
        *(np.array([getattr(c.motion, n)[-2] for c in contexts]) for n in ("speed_mps", "yaw_rate_radps"))
    )
    shown.observe(np.stack([context.frames[-1] for context in contexts]), motion)
    torch.testing.assert_close(shown.latents(), whole.latents(), rtol=0, atol=1e-4)
    step(whole, 2), step(shown, 2)
    torch.testing.assert_close(shown.latents(), whole.latents(), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="observe: frames are"):
        shown.observe(np.zeros((2, 8, 8, 3), dtype=np.uint8), motion)


def test_rows_of_a_state_go_on_as_they_would_have(model):
    session, futures = Session(model), Session(model)
    session.start([clip(session, 1), clip(session, 2)], batch=2)
    futures.restore(session.snapshot().of_rows([1, 0, 1]))
    expected, found = step(session, 2), step(futures, 3)
    np.testing.assert_array_less(np.abs(found.astype(int) - expected[[1, 0, 1]]), 2)
    assert session.batch == 2


@pytest.fixture
def planner(model):
    torch.manual_seed(0)
    network = Perceiver(PerceptionConfig(64, 128, widths=(8, 8, 8), maps=2, hidden=16))
    memory = Session(model)
    config = PlannerConfig(candidates=4, horizon=2, every_s=0.3)
    return ImaginingPlanner(memory, planner_session(memory, steps=2), StreamingReader(network), config)


def drive(planner, seeds, frames, steps, speed=10.0):
    """Controls ``(S, B, 2)``; ``frames`` ``(S, B, H, W, 3)``."""
    for row, seed in enumerate(seeds):
        planner.reset(row, seed=seed)
    said = []
    for t in range(steps):
        seen = Observation(frames[t], np.full(len(seeds), speed), np.zeros(len(seeds)), 0.1)
        controls = planner.act(seen)
        said.append(np.stack([controls.accel_mps2, controls.curvature_1pm], axis=-1))
    return np.stack(said)


@pytest.mark.slow
def test_a_planner_plans_now_and_then_and_rows_do_not_matter_to_each_other(planner, model):
    frames = np.random.default_rng(0).integers(0, 255, (7, 2, 32, 64, 3), dtype=np.uint8)
    both = drive(planner, [3, 4], frames, 7)
    assert planner._futures.sampler.steps == 2
    np.testing.assert_array_equal(both[0], both[2])  # holds its plan for three steps
    assert (both[3] != both[0]).any()
    assert np.isfinite(both).all()
    again = drive(planner, [4, 3], frames[:, ::-1], 7)
    np.testing.assert_allclose(again[:, ::-1], both, atol=1e-9)


@pytest.mark.slow
def test_imitation_learns_and_drives(tmp_path):
    folder = tmp_path / "small"
    train(folder, drives=2, steps=5, drive_s=2.0, workers=1, tags="weather=clear,traffic=none")
    policy = open_policy("imitation-small", Tools(imitation=str(tmp_path)))
    frames = np.random.default_rng(0).integers(0, 255, (3, 128, 256, 3), dtype=np.uint8)
    controls = policy.act(Observation(frames, np.array([0.0, 10.0, 30.0]), np.zeros(3), 0.1))
    assert np.isfinite([controls.accel_mps2, controls.curvature_1pm]).all()
    assert policy.name == "imitation-small"
    same = open_policy(str(folder)).act(Observation(frames, np.array([0.0, 10.0, 30.0]), np.zeros(3), 0.1))
    np.testing.assert_array_equal(same.accel_mps2, controls.accel_mps2)
