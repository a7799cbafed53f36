"""Fréchet distance, drift band and copy audit: what is alike is found alike, what is not is caught."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.metrics.band import Band
from worldmodel.metrics.frechet import frechet_distance, whitening
from worldmodel.metrics.neighbours import aligned_distance, nearest, several_nearest, thumbnails

SEEDS = st.integers(0, 2**32 - 1)
QUICK = settings(max_examples=20, deadline=None)


@QUICK
@given(SEEDS)
def test_frechet_is_zero_to_itself_symmetric_and_blind_to_order(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(40, 5)), rng.normal(1, 2, size=(50, 5))
    assert frechet_distance(a, rng.permutation(a)) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    assert frechet_distance(a, a + 3.0) == pytest.approx(5 * 9.0)


def test_frechet_of_known_gaussians():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200_000, 2)), rng.normal(size=(200_000, 2)) * [3.0, 1.0] + [2.0, 0.0]
    # |m|^2 + (s1 - s2)^2 for each of two independent axes.
    assert frechet_distance(a, b) == pytest.approx(4 + 4, rel=0.02)


def true_drives(rng, count, windows=20, statistics=3):
    """Drives whose statistics wander a little along the drive and differ between drives."""
    own = rng.normal(0, 1, (count, 1, statistics))
    return own + rng.normal(0, 0.5, (count, windows, statistics)).cumsum(axis=1) * 0.3 + np.arange(statistics)


def test_a_band_keeps_its_share_of_further_true_drives():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(30):
        band = Band.of(true_drives(rng, 80), share=0.95)
        inside.append(np.mean([band.departure(d).window is None for d in true_drives(rng, 200)]))
    assert 0.95 <= np.mean(inside) <= 0.985


@QUICK
@given(SEEDS, st.integers(0, 19), st.integers(0, 2))
def test_a_drive_that_breaks_is_caught_when_and_where_it_breaks(seed, window, statistic):
    rng = np.random.default_rng(seed)
    band = Band.of(true_drives(rng, 100))
    drive = band.centre.copy()
    assert band.departure(drive).window is None
    drive[window:, statistic] += 2 * band.half_width[window:, statistic]
    departure = band.departure(drive)
    assert (departure.window, departure.statistic) == (window, statistic)
    assert departure.worst == pytest.approx(2)
    drive[window, statistic] = np.nan
    assert band.departure(drive[: window + 1]).window == window
    assert band.departure(drive[:window]).window is None


def test_a_band_from_too_few_drives_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 38 drives"):
        Band.of(true_drives(rng, 37))
    Band.of(true_drives(rng, 38))


@QUICK
@given(SEEDS)
def test_the_nearest_is_what_looking_at_all_would_find(seed):
    rng = np.random.default_rng(seed)
    queries, library = rng.normal(100, 1, (30, 6)), rng.normal(100, 1, (500, 6))
    distance, index = nearest(queries, library)
    every = np.linalg.norm(queries[:, None] - library[None], axis=2)
    np.testing.assert_allclose(distance, every.min(axis=1), rtol=1e-4)
    np.testing.assert_allclose(every[np.arange(30), index], every.min(axis=1), rtol=1e-4)


def test_in_large_libraries_an_index_finds_what_looking_at_all_does(monkeypatch):
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    places = rng.normal(size=(400, 8))
    library = np.repeat(places, 50, axis=0) + 0.2 * rng.normal(size=(20_000, 8))
    queries = places + 0.2 * rng.normal(size=places.shape)
    exact, index = several_nearest(queries, library, 4)
    monkeypatch.setattr("worldmodel.metrics.neighbours._INDEXED_FROM", 1000)
    monkeypatch.setattr("worldmodel.metrics.neighbours._LISTS", 64)
    monkeypatch.setattr("worldmodel.metrics.neighbours._LOOKED_AT", 16)
    found, places_found = several_nearest(queries, library, 4)
    assert (places_found[:, 0] == index[:, 0]).mean() > 0.99
    assert np.mean(np.isclose(found, exact, atol=1e-3)) > 0.99


@QUICK
@given(SEEDS, st.integers(1, 9))
def test_the_nearest_few_are_those_that_looking_at_all_would_find(seed, count):
    rng = np.random.default_rng(seed)
    queries, library = rng.normal(100, 1, (10, 6)), rng.normal(100, 1, (7, 6))
    distance, index = several_nearest(queries, library, count)
    every = np.sort(np.linalg.norm(queries[:, None] - library[None], axis=2), axis=1)
    assert distance.shape == index.shape == (10, min(count, 7))
    np.testing.assert_allclose(distance, every[:, :count], rtol=1e-4)


def test_pixels_fit_where_they_are_moved_and_brightened_and_only_then():
    rng = np.random.default_rng(0)
    one = np.stack([cv2.resize(rng.uniform(0, 255, (4, 8)).astype("f4"), (64, 32)) for _ in range(6)]).astype("u1")
    other = np.roll(one, (1, -3), axis=(1, 2)).astype(float)
    assert (aligned_distance(one, one) == 0).all()
    assert (aligned_distance(one, (0.7 * other + 20).astype("u1")) < 0.15).all()
    assert (aligned_distance(one, one[::-1]) > 0.6).all()
    assert thumbnails(rng.integers(0, 256, (2, 64, 128, 3), dtype=np.uint8)).shape == (2, 32, 64)


def test_whitened_features_vary_by_one_in_every_direction():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 6)) * [9, 5, 3, 1, 0.5, 0] + 4
    middle, directions = whitening(features, 4)
    assert directions.shape == (6, 4)
    np.testing.assert_allclose(np.cov(((features - middle) @ directions).T, bias=True), np.eye(4), atol=1e-9)
    assert whitening(features, 99)[1].shape == (6, 5)  # one direction does not vary at all
