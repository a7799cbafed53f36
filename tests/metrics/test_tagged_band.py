"""A band of tags holds its share of true drives of every kind and length, and what leaves it is caught."""

import json

import numpy as np
import pytest

from worldmodel.metrics.tagged_band import TaggedBand

WORDS = ("weather=clear", "weather=fog", "time_of_day=day", "time_of_day=night")
STATISTICS = ("sharpness", "brightness")


def true_drives(rng, count, windows=30):
    """Fog halves the sharpness, night takes the light, and each makes drives alike; the rest is a slow wander."""
    number = np.arange(count)
    fog, night = number // 2 % 2 == 1, number // 4 % 2 == 1
    has = np.column_stack([~fog, fog, ~night, night])
    usual = np.column_stack([np.where(fog, 5, 10), np.where(night, 30, 120)])
    spread = np.column_stack([np.where(fog, 0.5, 1), np.where(night, 4, 16)])
    own = rng.normal(0, 1, (count, 1, 2)) + 0.3 * rng.normal(0, 0.5, (count, windows, 2)).cumsum(axis=1)
    return usual[:, None] + spread[:, None] * own, has


def band_of(rng, count=160):
    drives, has = true_drives(rng, count)
    return TaggedBand.of(drives, has, statistics=STATISTICS, words=WORDS)


def test_it_holds_its_share_of_each_word_and_length():
    rng = np.random.default_rng(0)
    inside = {(word, length): [] for word in WORDS for length in (3, 30)}
    for _ in range(25):
        band = band_of(rng)
        for drive, has in zip(*true_drives(rng, 120)):
            for length in (3, 30):
                stays = band.deviation(drive[:length], has).max() <= 1
                for word in np.flatnonzero(has):
                    inside[WORDS[word], length].append(stays)
    assert all(np.mean(stays) >= 0.945 for stays in inside.values())


def test_a_band_of_a_kind_is_narrower_than_one_of_all_kinds():
    rng = np.random.default_rng(1)
    band = band_of(rng)
    drives, has = true_drives(rng, 160)
    every = TaggedBand.of(drives, np.zeros((160, 0), bool), statistics=STATISTICS, words=())
    any_kind = every.half_width(np.zeros(0, bool), 30)
    for row in np.unique(has, axis=0):
        assert (band.half_width(row, 30) < any_kind).all()
    foggy_night = np.array([False, True, False, True])
    assert (band.half_width(foggy_night, 30) < 0.6 * any_kind).all()
    assert band.half_width(has[0], 30)[0] > band.half_width(has[0], 3)[0]


def test_a_clear_drive_that_turns_to_fog_has_left_and_an_unread_statistic_has_not():
    band = band_of(np.random.default_rng(2))
    clear = band.words_of({"weather": "clear", "time_of_day": "day", "road_kind": "town"})
    drive = np.repeat(band.middle(clear)[None], 20, axis=0)
    assert band.deviation(drive, clear).max() == 0
    drive[12:, 0] = 4.0
    assert np.flatnonzero((band.deviation(drive, clear) > 1).any(axis=1)).tolist() == list(range(12, 20))
    foggy = band.words_of({"weather": "fog", "time_of_day": "day"})
    assert (band.deviation(drive[12:], foggy)[:, 0] < 1).all()
    drive[12:, 0] = np.nan
    assert band.deviation(drive, clear).max() == 0


def test_it_is_what_was_written():
    band = band_of(np.random.default_rng(3))
    found = TaggedBand.from_plain(json.loads(json.dumps(band.as_plain())))
    has = band.words_of({"weather": "fog", "time_of_day": "night"})
    np.testing.assert_allclose(found.half_width(has, 20), band.half_width(has, 20), rtol=1e-3)
    np.testing.assert_allclose(found.middle(has), band.middle(has), atol=1e-3)
    assert (found.statistics, found.words) == (STATISTICS, WORDS)


def test_longer_drives_than_it_was_made_of_have_a_wider_band():
    band = band_of(np.random.default_rng(4))
    has = band.words_of({"weather": "clear"})
    assert (band.half_width(has, 120) > band.half_width(has, 60)).all()
    assert (band.half_width(has, 60) >= band.half_width(has, 30)).all()


def test_too_few_drives_are_refused():
    drives, has = true_drives(np.random.default_rng(0), 37)
    with pytest.raises(ValueError, match="at least 38"):
        TaggedBand.of(drives, has, statistics=STATISTICS, words=WORDS)
    with pytest.raises(ValueError, match="drives: expected"):
        TaggedBand.of(drives, has[:, :2], statistics=STATISTICS, words=WORDS)
