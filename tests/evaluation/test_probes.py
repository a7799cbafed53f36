"""Worlds that obey, obey in part, late or not at all are told apart by what they answer to probes."""

import dataclasses

import numpy as np
import pytest

from tests.evaluation.test_scores import PERFECT
from worldmodel.evaluation.probes import FACTORS, STEP_AT, STEPS, gain_slope, lag_of, probe_score, probes_of
from worldmodel.types import EgoMotion


def late(values, frames):
    return np.concatenate([np.repeat(values[:1], frames), values[: len(values) - frames]])


def probed(pair, *, slope=1.0, frames=0, true_slope=1.0):
    """A pair whose world goes with a share of every change it is told, some frames late."""
    own = pair.told[:STEPS]

    def answer(told, share):
        speed = own.speed_mps + share * (told.speed_mps - own.speed_mps)
        yaw = own.yaw_rate_radps + share * (told.yaw_rate_radps - own.yaw_rate_radps)
        return EgoMotion(late(speed, frames), late(yaw, frames))

    probes = {
        name: {"told": told, "made": answer(told, slope), "true": answer(told, true_slope)}
        for name, told in probes_of(own).items()
    }
    for name in ("speed step", "yaw step"):  # steps are answered beside a still beginning
        told = probes[name]["told"]
        still = EgoMotion(np.full(STEPS, told.speed_mps[0]), np.full(STEPS, told.yaw_rate_radps[0]))
        made = EgoMotion(
            late(still.speed_mps + slope * (told.speed_mps - still.speed_mps), frames),
            late(still.yaw_rate_radps + slope * (told.yaw_rate_radps - still.yaw_rate_radps), frames),
        )
        probes[name] = {"told": told, "made": made, "true": told}
    return dataclasses.replace(pair, probes=probes)


@pytest.mark.parametrize("slope", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("name", ["speed", "yaw"])
def test_the_slope_is_how_far_a_world_goes_with_what_it_is_told(slope, name):
    pairs = [probed(pair, slope=slope) for pair in PERFECT]
    for factor in FACTORS:
        found = gain_slope(pairs, name, factor)
        assert found["value"] == pytest.approx(slope, abs=1e-6)
        assert found["true"] == found["n"] / len(pairs) == pytest.approx(1)
        assert found["ratio"] == pytest.approx(slope, abs=1e-6)
        assert found["interval"] == pytest.approx([slope, slope], abs=1e-6)


def test_a_slope_is_divided_by_that_of_true_video():
    pairs = [probed(pair, slope=0.4, true_slope=0.8) for pair in PERFECT]
    assert gain_slope(pairs, "speed", 1.5)["ratio"] == pytest.approx(0.5)


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_the_lag_behind_a_step_is_counted_whatever_the_gain(frames):
    for slope in (0.5, 1.0):
        pairs = [probed(pair, slope=slope, frames=frames) for pair in PERFECT]
        for name in ("speed", "yaw"):
            response = probe_score(pairs, name)["response"]
            assert response["lag_frames"] == pytest.approx(frames, abs=1e-6)
            assert response["level"] == pytest.approx(slope)
            assert response["floor"]["lag_frames"] == pytest.approx(0, abs=1e-6)


def test_a_world_that_does_not_answer_has_no_lag():
    assert probe_score([probed(PERFECT[0], slope=0.0)], "yaw")["response"]["lag_frames"] is None
    assert lag_of(np.full(33, np.nan)) is None
    assert probe_score(PERFECT, "yaw") == {}


def test_probes_tell_what_they_say_and_short_drives_are_not_probed():
    own = PERFECT[0].told
    told = probes_of(own)
    np.testing.assert_allclose(told["speed x0.5"].speed_mps, own.speed_mps[:STEPS] / 2)
    np.testing.assert_array_equal(told["speed x0.5"].yaw_rate_radps, own.yaw_rate_radps[:STEPS])
    np.testing.assert_allclose(told["yaw x1.5"].yaw_rate_radps, own.yaw_rate_radps[:STEPS] * 1.5)
    step = told["yaw step"].yaw_rate_radps
    assert np.flatnonzero(np.diff(step)).tolist() == [STEP_AT - 1]
    assert abs(step[-1] - step[0]) == pytest.approx(0.15)
    assert probes_of(own[: STEPS - 1]) == {}
