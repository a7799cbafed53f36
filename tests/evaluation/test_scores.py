"""A perfect drive scores perfectly, each fault shows in the score it is for, the order of drives does not matter."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.evaluation.drift import drift_score, feasible_share, tag_score
from worldmodel.evaluation.faults import FAULTS
from worldmodel.evaluation.likeness import diversity_score, psnr_score
from worldmodel.evaluation.obedience import motion_score, path_score, response_lag
from worldmodel.evaluation.pairs import AT_S, LOOKS, SIDES, Pair, alike_at, frames_at
from worldmodel.evaluation.surprise import surprise_score
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.simulation.watch import STATISTICS, moments_of
from worldmodel.types import EgoMotion, Tags

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
    alike = {"generated": 30.0, "reconstructed": 33.0, "held": 15.0, "shuffled": 14.0}
    measures = {
        measure: {who: np.full(len(AT_S), factor * value) for who, value in alike.items()}
        for measure, factor in (("psnr_db", 1.0), ("ssim", 0.03), ("moving_error", 0.5))
    }
    asked = {"true": 0.03, "generated": 0.031, "shuffled": 0.06, "reversed": 0.05, "cut": 0.04}
    surprise = {name: np.full(16, value) for name, value in asked.items()}
    return Pair(t_s, told, motion, columns, dict.fromkeys(SIDES, features), measures, surprise)


PERFECT = [pair(seed) for seed in range(6)]


def test_a_perfect_drive_scores_perfectly():
    for name in ("speed", "yaw"):
        score = motion_score(PERFECT, name)
        assert score["value"] == score["floor"] == 0
        assert score["gain"] == pytest.approx(1)
        assert score["lag_frames"] == pytest.approx(0, abs=0.05)
        assert score["shuffled"] > 0.1
        # A speed is half right by being a speed; a turn is not.
        assert abs(score["gain_controls"]["shuffled"]) < (0.99 if name == "speed" else 0.6)
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
    assert score["inside_by_second"] == [0.0] * 12
    assert (
        drift_score(PERFECT)["value"] == drift_score(PERFECT)["floor"] == drift_score(PERFECT)["inside_by_second"][-1]
    )
    assert drift_score(PERFECT)["shuffled"] == 0


def test_a_band_made_beforehand_clears_true_drives_and_names_what_leaves_it():
    seconds = 12
    words = ("weather=rain", "weather=fog")
    tags = {name: Tags.named(weather=name).codes for name in ("rain", "fog")}
    readings = np.tile([10.0, 40, 90, 90, 90, 1, 0, 0], (seconds, 1))
    pairs = []
    for i, pair in enumerate(PERFECT):
        true = readings.copy()
        at = moments_of(FRAMES, 0.1)
        true[:, 6], true[:, 7] = pair.told.speed_mps[at], pair.told.yaw_rate_radps[at]
        made = true.copy()
        if i == 1:
            made[5:, 0] = 2.0  # a blur
        if i == 2:
            made[:, 6] *= 0.5  # half as fast as it is told
        kept = {"moments/true": true, "moments/generated": made, "tags": tags["fog" if i < 3 else "rain"]}
        pairs.append(dataclasses.replace(pair, kept=kept))
    middle = np.array([10.0, 40, 90, 90, 90, 0, 0, 0, 0, 0, 1, 0, 0])
    stray = np.log([1.0] * 11 + [1.0, 0.03])
    band = TaggedBand(
        STATISTICS, words, np.stack([middle, 0 * middle, 0 * middle]), np.stack([stray, 0 * stray, 0 * stray]),
        np.full((3, 60), 2.0), 0.95,
    )  # fmt: skip
    score = tag_score(pairs, band)
    assert (score["floor"], score["band_share"], score["n"]) == (1, 0.95, 6)
    assert score["value"] == pytest.approx(4 / 6)
    assert score["shuffled"] < 0.2
    assert score["by_tag"]["weather=rain"] == {"value": 1, "floor": 1, "n": 3}
    assert score["by_tag"]["weather=fog"]["value"] == pytest.approx(1 / 3)
    assert (score["departures"][1]["second"], score["departures"][1]["statistic"]) == (5, "sharpness")
    assert score["departures"][2]["statistic"] == "speed error"
    assert score["departures"][0]["second"] is None
    assert score["inside_by_second"][4] > score["inside_by_second"][5]
    assert score["inside_by_second"][-1] == score["value"]


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


def test_surprise_and_likeness_stand_beside_their_controls():
    surprise, likeness = surprise_score(PERFECT), psnr_score(PERFECT)
    assert (surprise["value"], surprise["floor"], surprise["shuffled"]) == pytest.approx((0.031, 0.03, 0.06))
    assert (likeness["value"], likeness["floor"], likeness["held"]) == pytest.approx((30, 33, 15))
    assert list(likeness["at"]) == ["0.1", "0.5", "1", "2", "5", "10"]
    assert (likeness["ssim"]["value"], likeness["moving_error"]["value"]) == pytest.approx((0.9, 15))
    assert "best_of_n" not in likeness
    assert len(surprise["by_frame"]["cut"]) == 16


def test_a_pair_is_what_was_saved(tmp_path):
    PERFECT[0].save(tmp_path / "pair.npz")
    found = Pair.load(tmp_path / "pair.npz")
    assert motion_score([found] * 3, "yaw")["value"] == 0
    assert found.surprise.keys() == PERFECT[0].surprise.keys()
    np.testing.assert_array_equal(found.surprise["cut"], PERFECT[0].surprise["cut"])
    np.testing.assert_array_equal(found.alike["ssim"]["held"], PERFECT[0].alike["ssim"]["held"])
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


def test_likeness_is_of_the_frame_at_each_time_and_of_what_moves_there():
    rng = np.random.default_rng(0)
    true = np.repeat(rng.integers(0, 256, (1, 16, 32, 3), dtype=np.uint8), 22, axis=0)
    true[:, 4:8, 4:8] = np.arange(22, dtype=np.uint8)[:, None, None, None] * 11  # a patch that flickers
    t_s = np.arange(22) * 0.1
    at = frames_at(t_s)
    assert at == [1, 5, 10, 20]
    same = alike_at(t_s, [true[i] for i in at], true)
    assert np.isinf(same["psnr_db"][:4]).all()
    assert same["ssim"][:4] == pytest.approx(1)
    assert np.isnan(same["ssim"][4:]).all()
    still = true.copy()
    still[:, 12:] = 255 - still[:, 12:]  # wrong only where nothing moves
    elsewhere = alike_at(t_s, [still[i] for i in at], true)
    assert (elsewhere["moving_error"][:4] == 0).all()
    assert (elsewhere["psnr_db"][:4] < 20).all()
    frozen = alike_at(t_s, [true[0] for _ in at], true)
    assert (np.diff(frozen["moving_error"][:4]) > 0).all()


def test_the_best_of_several_is_no_worse_than_their_mean_and_sameness_is_told():
    rng = np.random.default_rng(0)
    same, other = [], []
    for p in PERFECT:
        measures = {name: rng.normal(20, 2, (4, len(AT_S))) for name in ("psnr_db", "ssim", "moving_error")}
        features = rng.normal(size=(FRAMES, 8))
        sides = dict.fromkeys(SIDES, features)
        own = np.repeat(features[None, frames_at(p.t_s)], 4, axis=0)
        apart = rng.normal(size=own.shape)
        same.append(dataclasses.replace(p, features=sides, samples=measures | {"features": own}))
        other.append(dataclasses.replace(p, features=sides, samples=measures | {"features": apart}))
    likeness = psnr_score(same)
    assert likeness["best_of_n"] > likeness["mean_of_n"]
    assert likeness["moving_error"]["best_of_n"] < likeness["moving_error"]["mean_of_n"]
    assert likeness["samples"] == 4
    assert diversity_score(same)["value"] == 0
    assert diversity_score(other)["value"] == pytest.approx(1, abs=0.25)
    assert diversity_score(same)["shuffled"] == pytest.approx(1, abs=0.25)
    assert diversity_score(PERFECT)["why"]
