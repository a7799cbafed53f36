"""Other road users scored: true traffic scores well, users that flicker, appear and vanish score badly."""

import dataclasses

import numpy as np
import pytest

from worldmodel.evaluation.objects import PARTS, objects_score
from worldmodel.evaluation.pairs import SIDES, Pair
from worldmodel.types import EgoMotion

FRAMES, SIZE = 101, (128, 256)
T_S = 0.1 * np.arange(FRAMES)


def traffic(seed):
    """Boxes ``(T, 3, 6)``: one car ahead for all of the drive, one that is caught up with and passed, nobody else."""
    rng = np.random.default_rng(seed)
    boxes = np.full((FRAMES, 3, 6), np.nan)
    for t in range(FRAMES):
        metres = 18 + 2 * np.sin(0.5 * T_S[t] + seed)
        half = 200 / metres
        boxes[t, 0] = [128 - half, 70 - half, 128 + half, 70 + half, 0.9, metres]
        metres = 49 - 8 * T_S[t] + rng.normal(0, 0.05)
        left, half = 128 + 200 * 3.0 / max(metres, 0.1), 200 / max(metres, 0.1)
        if metres > 1 and left - half < 255:
            boxes[t, 1] = [left - half, 70 - half, min(left + half, 256), min(70 + half, 128), 0.8, metres]
    return boxes


def pair(seed, generated=None):
    true = traffic(seed)
    boxes = {"generated": true if generated is None else generated(true), "true": true, "reconstructed": true}
    motion = EgoMotion(np.full(FRAMES, 10.0), np.zeros(FRAMES))
    columns = {side: {"gap_m": boxes[side][:, 0, 5] - 1.9} for side in SIDES}
    return Pair(T_S, motion, dict.fromkeys(SIDES, motion), columns, {}, {}, boxes=boxes, size_px=SIZE)


def score_with(generated=None):
    return objects_score([pair(seed, generated) for seed in range(4)])


def test_true_traffic_is_its_own_floor_and_nothing_in_it_is_unexplained():
    score = score_with()
    assert score["value"] == score["floor"] == score["reconstructed"] == 0
    assert score["n"] == 4
    assert set(score["parts"]) == set(PARTS)
    parts = score["parts"]
    assert parts["passed"]["value"] == pytest.approx(6)  # one in ten seconds
    assert parts["passing"]["value"] == 0
    assert parts["track_s"]["value"] == pytest.approx((10 + 6) / 2, abs=0.5)
    assert parts["gap_m"]["value"] == pytest.approx(16.1, abs=1)
    assert len(score["by_second"]["true"]["users"]) == 11


def test_controls_are_told_from_true_traffic():
    score = score_with()
    assert score["frozen"] == 0
    assert score["parts"]["passed"]["frozen"] == 0
    assert score["parts"]["gap_change_mps"]["frozen"] == 0
    assert score["parts"]["gap_change_mps"]["value"] > 0.3
    assert score["shuffled"] > 10
    assert score["parts"]["track_s"]["shuffled"] < score["parts"]["track_s"]["floor"]


def vanishing(true):
    """The car ahead is gone after half of the drive."""
    boxes = true.copy()
    boxes[FRAMES // 2 :, 0] = np.nan
    return boxes


def appearing(true):
    boxes = true.copy()
    boxes[: FRAMES // 2, 0] = np.nan
    return boxes


def flickering(true):
    """A box at another place in every fourth frame."""
    boxes = true.copy()
    for t in range(0, FRAMES, 4):
        x = 20 + (67 * t) % 150
        boxes[t, 2] = [x, 10, x + 10, 20, 0.9, 20]
    return boxes


def emptied(true):
    return np.full_like(true, np.nan)


@pytest.mark.parametrize(
    ("fault", "part"), [(vanishing, "vanishings"), (appearing, "pop_ins"), (flickering, "flicker")]
)
def test_each_fault_shows_in_the_score_and_in_its_part(fault, part):
    score = score_with(fault)
    assert score["value"] > 1
    assert score["above_floor"][0] > 0
    assert score["parts"][part]["value"] > score["parts"][part]["floor"] == 0
    for other in {"vanishings", "pop_ins", "flicker"} - {part}:
        assert score["parts"][other]["value"] == 0


def test_an_empty_road_has_no_score_but_is_seen():
    score = score_with(emptied)
    assert np.isnan(score["value"])
    assert score["parts"]["users"]["value"] == 0 < score["parts"]["users"]["floor"]


def test_without_boxes_the_score_says_why(tmp_path):
    bare = [dataclasses.replace(pair(0), boxes={})]
    assert objects_score(bare)["why"]
    assert objects_score([])["why"]


def test_boxes_are_kept_with_a_pair(tmp_path):
    kept = pair(0)
    kept = dataclasses.replace(kept, features=dict.fromkeys(SIDES, np.zeros((FRAMES, 2))))
    kept.save(tmp_path / "pair.npz")
    found = Pair.load(tmp_path / "pair.npz")
    assert found.size_px == SIZE
    np.testing.assert_allclose(found.boxes["true"], kept.boxes["true"], atol=1e-4)
    assert objects_score([found])["parts"]["passed"]["value"] == pytest.approx(6)
