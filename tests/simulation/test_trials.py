"""The same start in both worlds, and a true world that is the same in one process and in several."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.policies.oracle import OracleKeeper
from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.trials import TrueArena, make_trial, name_scenarios
from worldmodel.simulation.true_processes import TrueProcesses
from worldmodel.types import EgoMotion, Tags

CAMERA = canonical_camera(32, 64, height_m=1.4)


@pytest.fixture(scope="module")
def trials():
    scenarios = name_scenarios("drawn", count=2, length_s=2.0, tags="weather=clear,time_of_day=day,traffic=light")
    return [make_trial(name, scenario, CAMERA, dt_s=0.1) for name, scenario in scenarios.items()]


def moved(arena, trials, *, steps=4):
    frames, truths = [arena.begin(trials).copy()], [arena.truth()]
    driven = np.ones(len(trials), dtype=bool)
    for _ in range(steps):
        motion = EgoMotion(np.full(len(trials), 9.0), np.full(len(trials), 0.02))
        frames.append(arena.step(motion, Tags.unknown((len(trials),)), driven).copy())
        truths.append(arena.truth())
    return np.stack(frames), truths


def test_both_worlds_start_from_the_same_frame_and_speed(trials):
    arena = TrueArena(CAMERA, dt_s=0.1)
    frames = arena.begin(trials)
    for row, trial in enumerate(trials):
        np.testing.assert_array_equal(frames[row], trial.context.frames[-1])
        assert arena.truth()["speed_mps"][row] == pytest.approx(float(trial.vehicle.speed_mps), abs=0.5)
        assert len(trial.context.frames) == 32
        assert trial.tags.shape == (trial.steps + 1,)


def test_drawn_scenarios_may_begin_anywhere() -> None:
    few, later = (name_scenarios("drawn", count=2, length_s=2.0, first=first) for first in (0, 1))
    assert list(later) == ["drawn_001", "drawn_002"]
    assert later["drawn_001"].context == few["drawn_001"].context != later["drawn_002"].context


def test_the_recording_is_what_the_scenarios_own_driver_does(trials):
    arena, trial = TrueArena(CAMERA, dt_s=0.1), trials[0]
    frames, driver = arena.begin([trial]), OracleKeeper()
    speed = np.array([float(trial.vehicle.speed_mps)])
    said = driver.act(Observation(frames, speed, np.zeros(1), 0.1, arena.truth()))
    change = (trial.recorded.speed_mps[0] - speed[0]) / 0.05
    assert change == pytest.approx(float(said.accel_mps2[0]), abs=0.2)
    for step in range(trial.steps):
        arena.step(trial.recorded[[step]], Tags.unknown((1,)), np.ones(1, dtype=bool))
    assert not arena.truth()["off_road"][0]
    assert abs(arena.truth()["lane_offset_m"][0]) < 0.6


def test_a_row_that_nobody_drives_waits_and_a_renewed_one_begins_anew(trials):
    arena = TrueArena(CAMERA, dt_s=0.1)
    first = arena.begin(trials).copy()
    motion = EgoMotion(np.full(2, 9.0), np.zeros(2))
    later = arena.step(motion, Tags.unknown((2,)), np.array([True, False]))
    np.testing.assert_array_equal(later[1], first[1])
    assert (later[0] != first[0]).any()
    np.testing.assert_array_equal(arena.renew(0, trials[0]), first[0])


@pytest.mark.slow
def test_several_processes_draw_what_one_draws(trials):
    alone, truth = moved(TrueArena(CAMERA, dt_s=0.1), trials)
    spread = TrueProcesses(CAMERA, dt_s=0.1, workers=2)
    try:
        frames, told = moved(spread, trials)
        # A level at most: workers compute with one thread, and sums depend on how they are parted.
        np.testing.assert_allclose(frames.astype(int), alone.astype(int), atol=1)
        for one, other in zip(truth, told):
            for name, column in one.items():
                np.testing.assert_allclose(column, other[name], atol=1e-9)
        np.testing.assert_allclose(spread.renew(1, trials[1]).astype(int), alone[0, 1].astype(int), atol=1)
    finally:
        spread.close()
