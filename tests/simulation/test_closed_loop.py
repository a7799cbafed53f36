"""Many drives of one policy: each driven once, rows apart, and a policy that breaks down costs its own drive alone."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import VehicleState
from worldmodel.perception.streaming import COLUMNS, Glance
from worldmodel.simulation.closed_loop import AFTERMATH_S, DONE, drive_trials
from worldmodel.simulation.policies.simple import Constant, Random, RecordedOfTrial
from worldmodel.simulation.session import Session
from worldmodel.simulation.trials import LearnedArena, Trial
from worldmodel.types import Clip, Controls, EgoMotion, Tags

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import tiny_model

STEPS = 30


class BlindJudge:
    """Reads as a flag what a frame's red says; everything else is zero."""

    def __init__(self):
        self.forgotten = []

    def forget(self, row):
        self.forgotten.append(row)

    def read(self, frames, camera, *, dt_s, rows):
        columns = {name: np.zeros(len(frames)) for name in COLUMNS}
        columns["off_road"] = (frames[:, 0, 0, 0] > 200).astype(float)
        return Glance(columns, {}, np.zeros((len(frames), 4)), np.zeros((len(frames), 3)))


class Road:
    """An arena whose rows are distances along a road that ends at ``ends_m``; frames show them."""

    kind, dt_s = "true", 0.1

    def __init__(self, *, ends_m=1e9, tells=True):
        self.camera, self.ends_m, self.tells = canonical_camera(32, 64, height_m=1.4), ends_m, tells

    def begin(self, trials):
        self.x, self.seeds = np.zeros(len(trials)), [trial.seed for trial in trials]
        return self._frames()

    def renew(self, row, trial):
        self.x[row], self.seeds[row] = 0.0, trial.seed
        return self._frames()[row]

    def step(self, motion, tags, is_driven):
        assert tags.shape == self.x.shape
        self.x = self.x + np.where(is_driven, motion.speed_mps * self.dt_s, 0.0)
        return self._frames()

    def truth(self):
        if not self.tells:
            return {}
        return {"collision": self.x < -1, "off_road": self.x > self.ends_m, "distance_m": self.x.copy()}

    def _frames(self):
        frames = np.zeros((len(self.x), 32, 64, 3), dtype=np.uint8)
        frames[..., 0] = np.where(self.x > self.ends_m, 255, 0)[:, None, None]
        frames[..., 1] = np.array(self.seeds)[:, None, None]
        return frames


def trials(count, steps=STEPS):
    vehicle = VehicleState(np.array(10.0), np.array(0.0))
    codes = Tags(np.zeros((steps + 1, len(Tags.unknown().codes)), dtype=np.int64))
    recorded = EgoMotion(np.full(steps, 7.0), np.zeros(steps))
    return [Trial(f"t{i}", None, Tags.unknown(), vehicle, codes, steps, i, recorded) for i in range(count)]


class Touchy:
    """Does something bad in the drive of one seed (which frames show as green), from its fifth step on."""

    name, needs_truth = "touchy", False

    def __init__(self, bad_seed, what):
        self.bad_seed, self.what, self.age = bad_seed, what, {}

    def reset(self, row, *, seed):
        self.age[row] = 0

    def act(self, observation):
        accel = np.zeros(len(observation.speed_mps))
        for row in range(len(accel)):
            self.age[row] += 1
            if observation.frames[row, 0, 0, 1] == self.bad_seed and self.age[row] > 4:
                if self.what == "raise":
                    raise RuntimeError("no idea")
                if self.what == "hang":
                    threading.Event().wait(30)
                accel[row] = np.nan
        return Controls(accel, np.zeros(len(accel)))


def drive(arena, make, count=5, **more):
    told = []
    more = {"batch": 3} | more
    found = {
        d.trial.name: d for d in drive_trials(arena, make, trials(count), BlindJudge(), progress=told.append, **more)
    }
    return found, sum(told)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_every_trial_is_driven_once_to_its_end(batch):
    found, told = drive(Road(), Constant, batch=batch)
    assert sorted(found) == ["t0", "t1", "t2", "t3", "t4"]
    assert told == 5 * STEPS
    for driven in found.values():
        assert driven.status == DONE
        assert len(driven.columns["t_s"]) == STEPS + 1
        assert driven.features.shape == (STEPS + 1, 3)
        np.testing.assert_allclose(driven.columns["truth.distance_m"], np.arange(STEPS + 1.0))
        assert np.isnan(driven.columns["speed_mps"][-1])
        assert driven.columns["speed_mps"][0] == 10.0


def test_a_drive_does_not_depend_on_its_batch_or_row():
    one, _ = drive(Road(), Random, batch=1)
    other, _ = drive(Road(), Random, batch=4)
    for name, driven in one.items():
        for column, values in driven.columns.items():
            np.testing.assert_array_equal(values, other[name].columns[column])


@pytest.mark.parametrize("tells", [True, False], ids=["truth", "judge"])
def test_a_failed_drive_goes_on_for_a_moment_and_ends(tells):
    found, told = drive(Road(ends_m=4.5, tells=tells), Constant)
    lengths = {len(driven.columns["t_s"]) for driven in found.values()}
    failed_at = 5 if tells else 7  # the judge must be sure for a while
    assert lengths == {failed_at + round(AFTERMATH_S / 0.1) + 1}
    assert told == 5 * STEPS


@pytest.mark.parametrize(
    ("what", "words"),
    [("raise", "raised RuntimeError: no idea"), ("hang", "did not answer within"), ("nan", "no finite number")],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_policy_that_breaks_down_costs_its_own_drive_alone(what, words, batch):
    found, told = drive(Road(), lambda: Touchy(1, what), batch=batch, timeout_s=0.2)
    assert words in found["t1"].status
    assert len(found["t1"].columns["t_s"]) == 5
    assert {name: driven.status for name, driven in found.items() if name != "t1"} == dict.fromkeys(
        ["t0", "t2", "t3", "t4"], DONE
    )
    assert all(len(found[name].columns["t_s"]) == STEPS + 1 for name in ("t0", "t2", "t3", "t4"))
    assert told == 5 * STEPS


def test_a_recording_is_played_back_and_a_missing_one_is_a_failed_drive():
    found, _ = drive(Road(), RecordedOfTrial, count=2)
    np.testing.assert_allclose(found["t1"].columns["speed_mps"][:-1], 7.0)
    assert np.isnan(found["t1"].columns["accel_mps2"]).all()
    without = [Trial(*(getattr(t, f) for f in t.__dataclass_fields__ if f != "recorded"), None) for t in trials(2)]
    statuses = [d.status for d in drive_trials(Road(), RecordedOfTrial, without, BlindJudge(), batch=2)]
    assert len(statuses) == 2
    assert all("no recording" in status for status in statuses)


def test_truth_is_for_worlds_that_have_it():
    class Oracle(Constant):
        name, needs_truth = "oracle-test", True

    with pytest.raises(ValueError, match="only the reference world"):
        drive(Road(tells=False), Oracle)


def test_a_learned_drive_is_the_same_in_any_batch():
    session = Session(tiny_model())
    camera = session.camera
    rng = np.random.default_rng(0)

    def trial(seed):
        frames = rng.integers(0, 255, (4, camera.height_px, camera.width_px, 3), dtype=np.uint8)
        motion, tags = EgoMotion(np.full(4, 9.0), np.zeros(4)), Tags.unknown((4,))
        clip = Clip(frames, 0.1 * np.arange(4), motion, tags, camera, np.ones(frames.shape[1:3], bool))
        codes = Tags(np.zeros((7, tags.codes.shape[1]), dtype=np.int64))
        return Trial(f"t{seed}", None, clip, VehicleState(np.array(9.0), np.array(0.0)), codes, 6, seed, None)

    every, films = [trial(seed) for seed in range(3)], {}

    class Film(list):
        def write(self, frame):
            self.append(frame.copy())

        def close(self):
            pass

    def made(batch):
        films.clear()
        arena = LearnedArena(session)
        list(
            drive_trials(
                arena, Constant, every, BlindJudge(), batch=batch, film=lambda t: films.setdefault(t.name, Film())
            )
        )
        return {name: np.stack(film) for name, film in films.items()}

    one, two = made(1), made(2)
    assert len(one["t0"]) == 7
    for name in one:
        assert np.abs(one[name].astype(int) - two[name]).max() <= 1, name
    assert (one["t0"] != one["t1"]).any()
