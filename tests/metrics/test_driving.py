"""Scores of a drive: what is better scores better, what comes after a failure does not count."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.metrics.driving import (
    SCORES,
    Account,
    derivatives,
    failure_of,
    gave_up,
    score_drive,
    sustained,
    time_to_collision,
)
from worldmodel.metrics.intervals import ratio_interval


def account(count=201, speed=12.0, **columns):
    t_s = 0.1 * np.arange(count)
    zeros, no = np.zeros(count), np.zeros(count, dtype=bool)
    whole = {
        "t_s": t_s,
        "speed_mps": np.append(np.full(count - 1, speed), np.nan),
        "yaw_rate_radps": np.append(zeros[:-1], np.nan),
        "heading_error_rad": zeros,
        "lane_offset_m": zeros,
        "gap_m": np.full(count, np.nan),
        "closing_speed_mps": np.full(count, np.nan),
        "collision": no,
        "off_road": no,
    }
    return Account(**(whole | columns))


def score(given_account, length_s=20.0):
    return score_drive(given_account, start_speed_mps=12.0, length_s=length_s)


def test_a_steady_drive_along_the_middle_is_worth_everything():
    scores = score(account())
    assert scores["composite"] == pytest.approx(1.0)
    assert scores["progress_m"] == pytest.approx(240)
    assert scores["driven_km"] == pytest.approx(0.24)
    assert np.isnan(scores["failed_s"])
    assert set(SCORES) <= set(scores)


@given(st.integers(2, 199), st.sampled_from(["collision", "off_road"]))
def test_what_follows_a_failure_does_not_count(at, kind):
    flags = np.arange(201) >= at
    wild = np.where(np.arange(201) > at, 300.0, 12.0)
    scores = score(account(**{kind: flags, "speed_mps": wild, "lane_offset_m": (wild - 12) / 10}))
    assert scores[kind] == 1
    assert scores["failed_s"] == pytest.approx(at / 10)
    assert scores["progress_m"] == pytest.approx(1.2 * at)
    assert scores["lane_deviation_m"] == 0
    assert scores["comfort"] == 1
    assert scores["composite"] == pytest.approx(at / 200, rel=1e-6)


@given(st.floats(0.0, 1.7), st.floats(0.0, 1.7))
def test_nearer_to_the_middle_is_never_worse(one, other):
    near, far = sorted((one, other))
    scores = [score(account(lane_offset_m=np.full(201, -aside)))["composite"] for aside in (near, far)]
    assert scores[0] >= scores[1] - 1e-12


def test_a_drive_that_fails_at_once_or_knows_nothing_has_scores_all_the_same():
    at_once = score(account(collision=np.ones(201, dtype=bool)))
    assert at_once["composite"] == 0
    assert at_once["progress_m"] == 0
    nothing = np.full(201, np.nan)
    unread = score(account(speed_mps=nothing, lane_offset_m=nothing))
    assert unread["progress_m"] == 0
    assert np.isnan(unread["lane_deviation_m"])
    assert np.isfinite(unread["composite"])
    assert gave_up(score(account()))["composite"] == 0


def test_comfort_falls_with_jerks_and_bends_too_fast():
    t_s = 0.1 * np.arange(201)
    jerky = 12 + 3 * np.sin(2 * np.pi * t_s / 2.5)
    assert score(account(speed_mps=jerky))["comfort"] < 0.8
    assert score(account(yaw_rate_radps=np.full(201, 0.6)))["comfort"] == 0
    assert score(account(yaw_rate_radps=np.full(201, 0.6)))["lateral_mps2"] == pytest.approx(7.2)


def test_closing_in_costs_and_somebody_far_or_faster_does_not():
    gap = np.full(201, 20.0)
    assert score(account(gap_m=gap, closing_speed_mps=np.full(201, 15.0)))["time_to_collision"] == 0
    assert score(account(gap_m=gap, closing_speed_mps=np.full(201, -15.0)))["time_to_collision"] == 1
    np.testing.assert_array_equal(
        time_to_collision(np.array([10.0, np.nan, 10.0]), np.array([5.0, 5.0, 0.0])), [2.0, np.inf, np.inf]
    )


def test_derivatives_of_a_parabola_are_exact_to_the_ends():
    t_s = 0.1 * np.arange(60)
    smooth, first, second = derivatives(3 + 2 * t_s - 0.5 * t_s**2, 0.1)
    np.testing.assert_allclose(smooth, 3 + 2 * t_s - 0.5 * t_s**2, atol=1e-9)
    np.testing.assert_allclose(first, 2 - t_s, atol=1e-8)
    np.testing.assert_allclose(second, -1, atol=1e-7)


def test_a_flag_holds_before_it_counts():
    flicker = np.zeros(50)
    flicker[[5, 20, 35]] = 1
    assert not sustained(flicker, 0.1, hold_s=0.5).any()
    holds = np.arange(50) >= 10
    assert np.flatnonzero(sustained(holds.astype(float), 0.1, hold_s=0.5))[0] in (12, 13)
    assert not sustained(np.full(20, np.nan), 0.1, hold_s=0.3).any()


def test_failure_is_the_first_of_either():
    late, early = np.arange(201) > 50, np.arange(201) > 20
    assert failure_of(account(collision=late, off_road=early)) == 21
    assert failure_of(account()) is None


def test_impossible_accounts_are_named():
    with pytest.raises(ValueError, match="at least two"):
        account(count=2).validate() and account(count=1).validate()
    with pytest.raises(ValueError, match="gap_m"):
        dataclasses.replace(account(), gap_m=np.zeros(3)).validate()


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0.1, 2.0)), min_size=2, max_size=20))
def test_a_rate_is_a_sum_over_a_sum_and_lies_in_its_interval(drives):
    counts, km = np.array(drives, dtype=float).T
    rate = ratio_interval(counts, km)
    assert rate.value == pytest.approx(counts.sum() / km.sum())
    assert rate.low <= rate.high
    assert ratio_interval(counts[::-1], km[::-1]) == rate
    assert np.isnan(ratio_interval(counts[:1], km[:1] * 0).value)
