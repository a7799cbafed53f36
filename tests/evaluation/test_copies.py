"""A planted copy is found, in features, over a second and in pixels; what is new is cleared."""

import dataclasses

import cv2
import numpy as np
import pytest

from tests.evaluation.test_scores import FRAMES, PERFECT
from worldmodel.evaluation.copies import copy_score
from worldmodel.evaluation.library import STRETCH, Library
from worldmodel.evaluation.pairs import SIDES

KINDS = ("clips", "pixels")


def pictures(rng, count):
    """Thumbnails that change slowly along a stretch, as video does."""
    coarse = rng.uniform(0, 255, (count, 4, 8)).astype(np.float32)
    return np.stack([cv2.resize(c, (64, 32), interpolation=cv2.INTER_CUBIC) for c in coarse]).clip(0, 255).astype("u1")


@pytest.fixture(scope="module")
def library():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(STRETCH, 24)) for _ in range(100)]
    return Library.of(parts, [pictures(rng, STRETCH) for _ in parts])


@pytest.fixture(scope="module")
def fresh():
    rng = np.random.default_rng(1)
    pairs = []
    for pair in PERFECT:
        features = {side: rng.normal(size=(FRAMES, 24)) for side in SIDES}
        kept = {f"thumbs/{side}": pictures(rng, FRAMES) for side in ("generated", "true")}
        pairs.append(dataclasses.replace(pair, features=features, kept=kept))
    return pairs


@pytest.fixture(scope="module")
def clear(library, fresh):
    return copy_score(fresh, library)


def test_new_frames_are_cleared_and_planted_ones_are_caught(library, clear):
    for part in (clear, *(clear[kind] for kind in KINDS)):
        assert part["value"] < 0.06
        assert part["floor"] < 0.06
        assert part["planted"] > 0.95
        assert part["ratio"] == pytest.approx(1, abs=0.1)
    assert clear["library_frames"] == len(library)


def test_a_replayed_second_is_found_and_named(library, fresh, clear):
    at, taken = 37, 4 * STRETCH + 2
    rows, copied = slice(at, at + 12), slice(taken, taken + 12)
    features = fresh[2].features["generated"].copy()
    features[rows] = library.features[copied] + 0.02
    thumbs = fresh[2].kept["thumbs/generated"].copy()
    # Darker, and three pixels aside.
    thumbs[rows] = np.roll(0.8 * library.thumbs[copied].astype(float), -3, axis=2).astype("u1")
    pairs = list(fresh)
    pairs[2] = dataclasses.replace(
        fresh[2],
        features=fresh[2].features | {"generated": features},
        kept=fresh[2].kept | {"thumbs/generated": thumbs},
    )
    score = copy_score(pairs, library)
    for part in (score, *(score[kind] for kind in KINDS)):
        worst = part["worst"][0]
        assert worst["drive"] == 2
        assert worst["frame"] - at == worst["library_frame"] - taken
    assert score["clips"]["value"] > clear["clips"]["value"]


def test_a_copy_in_pixels_alone_needs_no_likeness_in_features(library, fresh):
    thumbs = np.tile(library.thumbs[:STRETCH], (7, 1, 1))[:FRAMES]
    copied = [dataclasses.replace(p, kept=p.kept | {"thumbs/generated": thumbs}) for p in fresh]
    score = copy_score(copied, library)
    assert score["pixels"]["value"] == 1
    assert score["value"] < 0.06


def test_pairs_without_thumbnails_are_not_compared_in_pixels(library, fresh):
    score = copy_score([dataclasses.replace(p, kept={}) for p in fresh], library)
    assert "pixels" not in score
    assert "clips" in score
