"""Overlap, precision and tracks: what is there is found once, in any order, and each event is told by its place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.metrics.boxes import average_precision, detections, joined, match, overlaps
from worldmodel.metrics.tracks import Track, events_of, link

SIZE = (128, 256)


@st.composite
def some_boxes(draw, most=6):
    edges = [draw(st.tuples(st.floats(0, 200), st.floats(0, 100), st.floats(1, 60), st.floats(1, 40))) for _ in
             range(draw(st.integers(1, most)))]  # fmt: skip
    return np.array([(x, y, x + w, y + h) for x, y, w, h in edges])


@given(some_boxes(), some_boxes())
def test_overlap_is_symmetric_a_share_and_whole_for_the_same_box(a, b):
    shares = overlaps(a, b)
    np.testing.assert_allclose(shares, overlaps(b, a).T)
    assert ((shares >= 0) & (shares <= 1 + 1e-12)).all()
    np.testing.assert_allclose(np.diag(overlaps(a, a)), 1)
    np.testing.assert_allclose(overlaps(a + 7, b + 7), shares, atol=1e-9)


def test_overlap_of_halves_and_strangers():
    box = np.array([[0.0, 0, 10, 10]])
    assert overlaps(box, np.array([[5.0, 0, 15, 10]]))[0, 0] == pytest.approx(1 / 3)
    assert overlaps(box, np.array([[20.0, 0, 30, 10], [np.nan] * 4])).tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="expected shapes"):
        overlaps(box[0], box)


@given(some_boxes())
def test_everybody_is_matched_with_himself_once(boxes):
    assert sorted(match(boxes, boxes)) == list(range(len(boxes)))
    twice = match(np.concatenate([boxes, boxes]), boxes)
    assert (twice[len(boxes) :] == -1).all()


@given(st.lists(some_boxes(), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_finding_all_and_nothing_else_is_perfect_and_order_does_not_matter(frames, random):
    true = np.full((len(frames), 8, 4), np.nan)
    for t, boxes in enumerate(frames):
        true[t, : len(boxes)] = boxes
    score = np.array([[random.uniform(0.1, 1) for _ in range(8)] for _ in frames])
    score[np.isnan(true[..., 0])] = np.nan
    assert average_precision(detections(true, score, true)) == pytest.approx(1)
    order = random.sample(range(8), 8)
    shuffled = detections(true[:, order], score[:, order], true)
    assert average_precision(shuffled) == pytest.approx(1)
    # Wrong boxes that are less sure than all true ones cost nothing, surer ones do.
    wrong = np.concatenate([true, np.tile([300.0, 300, 310, 310], (len(frames), 1, 1))], axis=1)
    for sure, perfect in ((0.05, True), (2.0, False)):
        with_wrong = np.concatenate([score, np.full((len(frames), 1), sure)], axis=1)
        assert (average_precision(detections(wrong, with_wrong, true)) > 1 - 1e-9) == perfect
    assert average_precision(detections(np.full_like(true, np.nan), np.full_like(score, np.nan), true)) == 0


def test_precision_of_half_and_of_a_part_that_is_asked_for():
    true = np.array([[[0.0, 0, 10, 10], [50, 50, 60, 60]]])
    found = np.array([[[0.0, 0, 10, 10], [100, 0, 110, 10]]])
    score = np.array([[0.5, 0.9]])
    assert average_precision(detections(found, score, true)) == pytest.approx(0.25)  # half of them, half right
    first, second = np.array([[True, False]]), np.array([[False, True]])
    assert average_precision(detections(found, score, true, asked=second)) == 0
    alone = detections(found, score, true, asked=first, counted=np.array([[True, False]]))
    assert average_precision(alone) == 1
    assert joined([alone, alone]).true == 2
    assert np.isnan(average_precision(joined([])))


@st.composite
def traffic(draw):
    """Users apart from each other that drift and grow, in each frame in any order: boxes, and how many there are."""
    users, frames = draw(st.integers(0, 4)), draw(st.integers(4, 25))
    boxes = np.full((frames, 6, 4), np.nan)
    for user in range(users):
        x, y = 20 + 55 * user, 40.0
        vx, vy, grow = draw(st.floats(-0.4, 0.4)), draw(st.floats(-1, 1)), draw(st.floats(-0.1, 0.2))
        wide, high = draw(st.floats(6, 20)), draw(st.floats(4, 20))
        for t in range(frames):
            half = np.array([wide, high]) / 2 * (1 + grow * t / frames)
            middle = np.array([x + vx * t, y + vy * t])
            boxes[t, user] = [*(middle - half), *(middle + half)]
    for t in range(frames):
        boxes[t] = boxes[t][draw(st.permutations(range(6)))]
    return boxes, users


def linked(boxes):
    known = np.isfinite(boxes[..., 0])
    score, metres = np.where(known, 0.9, np.nan), np.where(known, 20.0, np.nan)
    return link(boxes, score, metres, 0.1 * np.arange(len(boxes)), 128)


@given(traffic())
def test_every_user_is_one_track_whatever_the_order(given_traffic):
    boxes, users = given_traffic
    tracks = linked(boxes)
    assert len(tracks) == users
    for track in tracks:
        assert track.frames.tolist() == list(range(len(boxes)))
        assert (np.diff(track.boxes, axis=0) ** 2).sum(axis=1).max() < 20
    events = events_of(tracks, 0.1 * np.arange(len(boxes)), SIZE)
    assert (events.pop_ins, events.vanishings, events.passed, events.passing) == (0, 0, 0, 0)
    assert events.sight_s == pytest.approx(users * 0.1 * (len(boxes) - 1))


@given(traffic(), st.integers(1, 4))
def test_a_short_absence_parts_nobody_and_a_long_one_does(given_traffic, absent):
    boxes, users = given_traffic
    boxes = np.concatenate([boxes, np.repeat(boxes[-1:], 12, axis=0)])
    gap = boxes.copy()
    gap[5 : 5 + absent] = np.nan
    assert len(linked(gap)) == users
    long = np.concatenate([boxes[:4], np.full_like(boxes[:8], np.nan), boxes[4:]])
    assert len(linked(long)) == 2 * users


def test_unsure_boxes_go_on_with_tracks_but_begin_none():
    boxes = np.tile([50.0, 50, 70, 70], (8, 1, 1))
    score = np.full((8, 1), 0.3)
    metres, t_s = np.full((8, 1), 20.0), 0.1 * np.arange(8)
    assert link(boxes, score, metres, t_s, 128) == []
    score[0] = 0.9
    (track,) = link(boxes, score, metres, t_s, 128)
    assert track.last == 7
    with pytest.raises(ValueError, match="expected shapes"):
        link(boxes, score, metres, t_s[:4], 128)


def track(frames, box, metres):
    count = len(frames)
    return Track(np.array(frames), np.tile(np.asarray(box, float), (count, 1)), np.full(count, float(metres)))


MIDDLE, LEFT, LOW = (100, 60, 120, 75), (0, 60, 20, 90), (100, 60, 160, 128)


@pytest.mark.parametrize(
    ("frames", "box", "metres", "name"),
    [
        (range(10, 40), MIDDLE, 20, "pop_ins"),
        (range(20), MIDDLE, 20, "vanishings"),
        (range(20), LEFT, 5, "passed"),
        (range(20), LOW, 3, "passed"),
        (range(10, 40), LEFT, 5, "passing"),
        (range(10, 40), MIDDLE, 70, None),
        (range(20), MIDDLE, 70, None),
        (range(20), LEFT, 30, None),
        (range(40), MIDDLE, 20, None),
    ],
)
def test_where_one_comes_and_goes_tells_what_it_was(frames, box, metres, name):
    events = events_of([track(list(frames), box, metres)], 0.1 * np.arange(40), SIZE)
    told = {key: getattr(events, key) for key in ("pop_ins", "vanishings", "passed", "passing")}
    assert told == {key: int(key == name) for key in told}


def test_who_comes_from_behind_somebody_nearer_does_not_pop_in():
    behind, before = track(range(10, 40), MIDDLE, 30), track(range(40), (118, 55, 150, 90), 12)
    assert events_of([behind, before], 0.1 * np.arange(40), SIZE).pop_ins == 0
    farther = track(range(40), (118, 55, 150, 90), 45)
    assert events_of([behind, farther], 0.1 * np.arange(40), SIZE).pop_ins == 1
    aside = track(range(40), (180, 55, 210, 90), 12)
    assert events_of([behind, aside], 0.1 * np.arange(40), SIZE).pop_ins == 1
