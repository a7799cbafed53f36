"""A perfect drive scores perfectly, each fault shows in the score it is for, the order of drives does not matter."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.evaluation.drift import drift_score, feasible_share
from worldmodel.evaluation.faults import FAULTS
from worldmodel.evaluation.likeness import copy_score, psnr_score, surprise_score
from worldmodel.evaluation.obedience import motion_score, path_score, response_lag
from worldmodel.evaluation.pairs import LOOKS, SIDES, Pair
from worldmodel.types import EgoMotion

FRAMES = 121


def pair(seed, *, noise=0.0, late=0, gain=1.0, looks=0.0):
    """A pair whose judge reads truth to ``noise``, and whose world obeys ``late`` frames late and by ``gain``."""
    rng = np.random.default_rng(seed)
    t_s = np.arange(FRAMES) * 0.1
    phase, pace = rng.uniform(0, 6), rng.uniform(0.6, 1.4)
    speed = 12 + 4 * np.sin(pace * t_s + phase)
    yaw = 0.2 * np.sin(1.3 * pace * t_s + 2 * phase)
    told = EgoMotion(np.append(speed[:-1], np.nan), np.append(yaw[:-1], np.nan))

    def read(values, amount):
        delayed = np.concatenate([np.repeat(values[:1], late), values[: FRAMES - late]]) if amount else values
        out = delayed * (gain if amount else 1.0) + noise * rng.normal(size=FRAMES)
        return np.append(out[:-1], np.nan)

    motion = {side: EgoMotion(read(speed, side == "generated"), read(yaw, side == "generated")) for side in SIDES}
    usual = {name: 50 + rng.normal(size=FRAMES) for name in LOOKS} | {"lanes": np.ones(FRAMES)}
    columns = {
        side: usual | ({"sharpness": usual["sharpness"] - looks} if side == "generated" else {}) for side in SIDES
    }
    features = rng.normal(size=(FRAMES, 8))
    return Pair(
        t_s, told, motion, columns, dict.fromkeys(SIDES, features),
        {"generated": np.full(FRAMES, 30.0), "reconstructed": np.full(FRAMES, 33.0), "held": np.full(FRAMES, 15.0),
         "shuffled": np.full(FRAMES, 14.0)},
        {"true": 0.03, "generated": 0.031, "shuffled": 0.06, "reversed": 0.05, "cut": 0.04},
    )  # fmt: skip


PERFECT = [pair(seed) for seed in range(6)]


def test_a_perfect_drive_scores_perfectly():
    for name in ("speed", "yaw"):
        score = motion_score(PERFECT, name)
        assert score["value"] == score["floor"] == 0
        assert score["gain"] == pytest.approx(1)
        assert score["lag_frames"] == pytest.approx(0, abs=0.05)
        assert score["shuffled"] > 0.1
        assert all(error == 0 for error in score["by_second"]["generated"])
        assert len(score["by_second"]["generated"]) == 12
    path = path_score(PERFECT)
    assert path["value"] == pytest.approx(0, abs=1e-9)
    assert path["horizon_s"] == 10
    assert path["shuffled"] > 5
    assert list(path["at"]) == ["1", "5", "10"]
    assert drift_score(PERFECT)["seconds_inside"] > 8


@pytest.mark.parametrize(("late", "gain"), [(1, 1.0), (3, 1.0), (0, 0.5), (0, 1.5)])
def test_lag_and_gain_are_measured(late, gain):
    pairs = [pair(seed, late=late, gain=gain) for seed in range(6)]
    score = motion_score(pairs, "yaw")
    assert score["lag_frames"] == pytest.approx(late, abs=0.3)
    assert score["gain"] == pytest.approx(gain, abs=0.12)
    assert score["value"] > score["floor"]
    assert score["lag_floor"] == pytest.approx(0, abs=0.05)


def test_a_lag_cannot_be_told_of_constant_motion():
    assert response_lag([np.ones(50)], [np.ones(50)]) is None


def test_the_judges_own_error_is_the_floor():
    score = motion_score([pair(seed, noise=0.1) for seed in range(6)], "speed")
    assert score["floor"] == pytest.approx(0.08, abs=0.02)
    low, high = score["above_floor"]
    assert low < 0 < high


def test_what_looks_otherwise_leaves_the_band():
    pairs = [pair(seed, looks=25.0) for seed in range(6)]
    score = drift_score(pairs)
    assert score["value"] == 0
    assert score["floor"] > 0.6
    assert {departure["statistic"] for departure in score["departures"]} == {"sharpness"}
    assert drift_score(PERFECT)["value"] == drift_score(PERFECT)["floor"]
    assert drift_score(PERFECT)["shuffled"] == 0


@given(st.integers(3, 200))
def test_a_band_is_never_asked_for_more_than_it_can(drives):
    share = feasible_share(drives)
    assert np.ceil((drives // 2 + 1) * share) <= drives // 2


def test_few_drives_have_no_band():
    score = drift_score(PERFECT[:2])
    assert np.isnan(score["value"])
    assert score["band_share"] is None


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(6)))
def test_scores_do_not_depend_on_the_order_of_drives(order):
    noisy = [pair(seed, noise=0.05) for seed in range(6)]
    for score in (lambda p: motion_score(p, "speed"), path_score, psnr_score, surprise_score):
        one, other = score(noisy), score([noisy[i] for i in order])
        for key in ("value", "floor", "n"):
            assert one[key] == pytest.approx(other[key])


def test_a_planted_copy_is_found():
    rng = np.random.default_rng(0)
    library = rng.normal(size=(2000, 8))
    fresh = [dataclasses.replace(p, features=dict.fromkeys(SIDES, rng.normal(size=(FRAMES, 8)))) for p in PERFECT]
    clean = copy_score(fresh, library)
    assert clean["value"] < 0.06
    assert clean["planted"] > 0.9
    copied = [dataclasses.replace(p, features=p.features | {"generated": library[:FRAMES]}) for p in fresh]
    assert copy_score(copied, library)["value"] > 0.9


def test_surprise_and_likeness_stand_beside_their_controls():
    surprise, likeness = surprise_score(PERFECT), psnr_score(PERFECT)
    assert (surprise["value"], surprise["floor"], surprise["shuffled"]) == pytest.approx((0.031, 0.03, 0.06))
    assert (likeness["value"], likeness["floor"], likeness["held"]) == pytest.approx((30, 33, 15))
    assert list(likeness["at"]) == ["0.1", "0.5", "1", "2", "5", "10"]


def test_a_pair_is_what_was_saved(tmp_path):
    PERFECT[0].save(tmp_path / "pair.npz")
    found = Pair.load(tmp_path / "pair.npz")
    assert motion_score([found] * 3, "yaw")["value"] == 0
    assert found.surprise == pytest.approx(PERFECT[0].surprise)
    assert set(found.columns["true"]) == {*LOOKS, "lanes"}
    np.testing.assert_array_equal(found.told.speed_mps, PERFECT[0].told.speed_mps)


@pytest.mark.parametrize("name", FAULTS)
def test_faults_keep_the_shape_of_the_video(name):
    rng = np.random.default_rng(0)
    true, other, trained = (rng.integers(0, 256, (9, 32, 64, 3), dtype=np.uint8) for _ in range(3))
    kept = true.copy()
    faulty = FAULTS[name](true, other, trained)
    assert faulty.shape == true.shape
    assert faulty.dtype == np.uint8
    assert not np.array_equal(faulty, true)
    np.testing.assert_array_equal(true, kept)
