"""Do other road users come, stay and go as they do in true video? Tracks of the boxes that the judge finds.

The score: comings and goings that nothing explains, in a minute that a user is in sight. Beside it: how long users
last, how many there are, who is passed and who passes, and the gap to who is ahead, second by second. True video of
the same drives, read by the same judge, is the floor. Its first frame held still is a control that scores well where
nothing happens and is told by the other numbers; its frames in another order are one that scores badly. Pure functions
of pairs.

Shapes: T frames of a drive; K boxes of a frame at most; D drives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import SIDES, Pair
from worldmodel.metrics.intervals import known_mean
from worldmodel.metrics.tracks import EventConfig, Events, LinkConfig, Track, at_border, events_of, link
from worldmodel.types import FloatArray

#: What is shown beside the score, by its name in the report.
PARTS = (
    "pop_ins", "vanishings", "flicker", "track_s", "users", "passed", "passing", "ahead_share", "gap_m",
    "gap_change_mps",
)  # fmt: skip
_LINK, _EVENTS = LinkConfig(), EventConfig()
Measures = dict[str, float]


def objects_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The score and its parts, each with its floor and controls; without boxes no value, and why.

    Rates ``pop_ins``, ``vanishings`` (in a minute of a user in sight), ``passed``, ``passing`` (in a minute of the
    drive); ``flicker`` the share of sure boxes that belong to no track, where nobody comes and goes; ``track_s`` the
    mean length of a track; ``users`` in sight at a time; ``ahead_share`` of the frames with somebody ahead; ``gap_m``
    to him, and by how much it changes in a second (the median, as it jumps where another comes to be ahead).
    """
    if not pairs or any(not pair.boxes for pair in pairs):
        return score_of(np.array([]), np.array([]), {}) | {"why": "the judge that read these drives finds no boxes"}
    measured: dict[str, list[Measures]] = {name: [] for name in (*SIDES, "frozen", "shuffled")}
    for number, pair in enumerate(pairs):
        for side in SIDES:
            measured[side].append(measures(pair, pair.boxes[side], pair.columns[side]["gap_m"]))
        for name, order in _controls(len(pair.t_s), number).items():
            measured[name].append(measures(pair, pair.boxes["true"][order], pair.columns["true"]["gap_m"][order]))

    def score(name: str) -> dict[str, Any]:
        column = {who: np.array([m[name] for m in drives]) for who, drives in measured.items()}
        controls = {who: column[who] for who in ("frozen", "shuffled", "reconstructed")}
        return score_of(column["generated"], column["true"], controls)

    return score("unexplained") | {
        "unit": "in a minute in sight",
        "parts": {name: score(name) for name in PARTS},
        "by_second": _by_second(pairs),
    }


def _controls(count: int, number: int) -> dict[str, NDArray[np.int64]]:
    """Frames of true video that are shown instead: the first for ever, and all in another order."""
    return {
        "frozen": np.zeros(count, dtype=np.int64),
        "shuffled": np.random.default_rng(number).permutation(count),
    }


def measures(pair: Pair, boxes: FloatArray, gap_m: FloatArray) -> Measures:
    """What the boxes ``(T, K, 6)`` and gaps ``(T,)`` of one side of a drive tell; NaN where they tell nothing."""
    edges, score, distance_m = boxes[..., :4], boxes[..., 4], boxes[..., 5]
    tracks = link(edges, score, distance_m, pair.t_s, pair.size_px[0], _LINK)
    events = events_of(tracks, pair.t_s, pair.size_px, _EVENTS)
    sure = np.nan_to_num(score) >= _LINK.begin_score
    loose = sure & ~_in_tracks(tracks, edges) & ~at_border(edges, pair.size_px) & (distance_m < _EVENTS.far_m)
    return _rates(events, int(sure.sum()), int(loose.sum()), pair.t_s) | _gaps(gap_m, pair.t_s)


def _in_tracks(tracks: Sequence[Track], edges: FloatArray) -> NDArray[np.bool_]:
    """``(T, K)`` which boxes belong to a track."""
    held = np.zeros(edges.shape[:2], dtype=bool)
    for track in tracks:
        held[track.frames] |= (edges[track.frames] == track.boxes[:, None]).all(axis=-1)
    return held


def _rates(events: Events, sure: int, loose: int, t_s: FloatArray) -> Measures:
    step_s = events.seconds / max(1, len(t_s) - 1)
    sight_min, minutes = sure * step_s / 60, events.seconds / 60

    def in_sight(count: float) -> float:
        return count / sight_min if sight_min else np.nan

    return {
        "unexplained": in_sight(events.pop_ins + events.vanishings + loose),
        "pop_ins": in_sight(events.pop_ins),
        "vanishings": in_sight(events.vanishings),
        "flicker": loose / sure if sure else np.nan,
        "track_s": float(np.mean(events.lengths_s)) if events.lengths_s else np.nan,
        "users": sure / len(t_s),
        "passed": events.passed / minutes,
        "passing": events.passing / minutes,
    }


def _gaps(gap_m: FloatArray, t_s: FloatArray) -> Measures:
    with np.errstate(invalid="ignore"):
        change = np.abs(np.diff(gap_m)) / np.diff(t_s)
    known = change[np.isfinite(change)]
    return {
        "ahead_share": float(np.isfinite(gap_m).mean()),
        "gap_m": _mean(gap_m),
        "gap_change_mps": float(np.median(known)) if len(known) else np.nan,
    }


def _mean(values: FloatArray) -> float:
    found = known_mean(values)
    return np.nan if found is None else found


def _by_second(pairs: Sequence[Pair]) -> Mapping[str, Mapping[str, list[float | None]]]:
    """By side, over all drives: the mean gap of each second, the share of frames with one, and users in sight."""
    second = np.concatenate([np.floor(pair.t_s + 1e-6).astype(int) for pair in pairs])
    curves = {}
    for side in SIDES:
        gap = np.concatenate([pair.columns[side]["gap_m"] for pair in pairs])
        sure = [(np.nan_to_num(pair.boxes[side][..., 4]) >= _LINK.begin_score).sum(axis=1) for pair in pairs]
        users = np.concatenate(sure).astype(np.float64)
        seconds = [second == s for s in range(int(second.max()) + 1)]
        curves[side] = {
            "gap_m": [known_mean(gap[rows]) for rows in seconds],
            "ahead_share": [known_mean(np.isfinite(gap[rows])) for rows in seconds],
            "users": [known_mean(users[rows]) for rows in seconds],
        }
    return curves
