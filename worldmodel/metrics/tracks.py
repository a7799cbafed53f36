"""Boxes linked over time into tracks, and what tracks tell: how long users last, who appears from nothing, who passes.

A track is gone on with by the box that it overlaps most where it would be by now, the surest overlaps first; small
boxes are taken a little larger, so that a pixel of noise does not part them. A surer box is wanted to begin a track
than to go on with one (Zhang et al., "ByteTrack", arXiv 2110.06864). Pure functions of boxes; nothing of pictures.

Boxes are left, top, right, bottom in pixels. Shapes: T frames; K boxes of a frame at most; N frames of a track.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.boxes import overlaps
from worldmodel.types import FloatArray


@dataclasses.dataclass(frozen=True)
class LinkConfig:
    """How boxes are linked.

    Attributes:
        begin_score, go_on_score: least score of a box that begins a track, and of one that goes on with it.
        least_overlap: of the box with the place where its track would be.
        grown_px: by how much boxes are larger on each side when they are compared, in a picture 128 rows high.
        patience_s: a track that is not found for longer has ended.
        least_frames: in which a track is found, for it to count at all.
    """

    begin_score: float = 0.5
    go_on_score: float = 0.15
    least_overlap: float = 0.1
    grown_px: float = 3.0
    patience_s: float = 0.5
    least_frames: int = 3


@dataclasses.dataclass(frozen=True)
class Track:
    """One road user as it was found, ``(N,)`` frames: their numbers, boxes ``(N, 4)`` and distances in metres."""

    frames: NDArray[np.int64]
    boxes: FloatArray
    distance_m: FloatArray

    @property
    def first(self) -> int:
        """Frame in which it is first found."""
        return int(self.frames[0])

    @property
    def last(self) -> int:
        """Frame in which it is last found."""
        return int(self.frames[-1])


@dataclasses.dataclass
class _Open:
    frames: list[int]
    boxes: list[FloatArray]
    distance_m: list[float]

    def expected(self, frame: int) -> FloatArray:
        """Where it would be by now, going on as over its last few frames."""
        past = max(-5, -len(self.frames))
        steps = self.frames[-1] - self.frames[past]
        if not steps:
            return self.boxes[-1]
        return self.boxes[-1] + (self.boxes[-1] - self.boxes[past]) / steps * (frame - self.frames[-1])


def link(
    boxes: FloatArray, score: FloatArray, distance_m: FloatArray, t_s: FloatArray, height_px: int,
    config: LinkConfig = LinkConfig(),
) -> list[Track]:  # fmt: skip
    """Tracks of boxes ``(T, K, 4)`` with scores and distances ``(T, K)``, NaN where there is none, by their beginning.

    Args:
        boxes, score, distance_m: as found, in any order within a frame.
        t_s: ``(T,)``.
        height_px: of the pictures.
        config: of the linking.

    Raises:
        ValueError: shapes that do not belong together.
    """
    count = len(t_s)
    if boxes.shape[:1] != (count,) or boxes.shape != (*score.shape, 4) or distance_m.shape != score.shape:
        raise ValueError(
            f"boxes: expected shapes ({count}, K, 4), ({count}, K) and ({count}, K), got {boxes.shape}, {score.shape} "
            f"and {distance_m.shape}"
        )
    grown = config.grown_px * height_px / 128 * np.array([-1.0, -1.0, 1.0, 1.0])
    running: list[_Open] = []
    ended: list[_Open] = []
    for t in range(count):
        running, gone = _parted(running, t, t_s, config.patience_s)
        ended += gone
        known = np.flatnonzero(np.isfinite(boxes[t]).all(axis=-1) & (score[t] >= config.go_on_score))
        # In an order of their own, so that the one in which they were given does not matter.
        known = known[np.lexsort((boxes[t, known, 1], boxes[t, known, 0], -score[t, known]))]
        free = set(range(len(known)))
        if len(known) and running:
            shares = overlaps(np.stack([track.expected(t) for track in running]) + grown, boxes[t, known] + grown)
            waiting = set(range(len(running)))
            for flat in np.argsort(-shares, axis=None, kind="stable"):
                i, k = divmod(int(flat), len(known))
                if shares[i, k] < config.least_overlap:
                    break
                if i in waiting and k in free:
                    waiting.discard(i)
                    free.discard(k)
                    _go_on(running[i], t, boxes[t, known[k]], distance_m[t, known[k]])
        for k in sorted(free):
            if score[t, known[k]] >= config.begin_score:
                running.append(_Open([t], [boxes[t, known[k]]], [float(distance_m[t, known[k]])]))
    every = sorted([*ended, *running], key=lambda track: (track.frames[0], tuple(track.boxes[0])))
    return [
        Track(np.array(track.frames), np.stack(track.boxes), np.array(track.distance_m))
        for track in every
        if len(track.frames) >= config.least_frames
    ]


def _parted(running: list[_Open], t: int, t_s: FloatArray, patience_s: float) -> tuple[list[_Open], list[_Open]]:
    """Tracks that may still go on at frame t, and those that were not found for too long."""
    alive = [t_s[t] - t_s[track.frames[-1]] <= patience_s + 1e-6 or track.frames[-1] == t - 1 for track in running]
    return [x for x, a in zip(running, alive) if a], [x for x, a in zip(running, alive) if not a]


def _go_on(track: _Open, t: int, box: FloatArray, distance_m: float) -> None:
    track.frames.append(t)
    track.boxes.append(box)
    track.distance_m.append(float(distance_m))


@dataclasses.dataclass(frozen=True)
class EventConfig:
    """What explains that a user comes or goes.

    Attributes:
        border_px: this near to the left, right or lower edge of a picture 128 rows high, one comes and goes.
        far_m: beyond this one comes out of, and goes into, the distance.
        hidden_px: this near to the box of a nearer user one comes from, and goes, behind it; of 128 rows, too.
        passing_m: who leaves at the edge within this was passed; who comes in at the edge within this passes.
        settle_s: what begins in the first moment, or ends in the last, was there before or is there after.
    """

    border_px: float = 6.0
    far_m: float = 50.0
    hidden_px: float = 3.0
    passing_m: float = 15.0
    settle_s: float = 0.3


@dataclasses.dataclass(frozen=True)
class Events:
    """What befell the users of a stretch: counts, the seconds it took and the seconds that users were in sight in all.

    Attributes:
        pop_ins: users that appeared away from the edge, from the distance and from anybody nearer.
        vanishings: users that went likewise.
        passed: users that left at the edge, near: overtaken, or met.
        passing: users that came in at the edge, near: they overtake.
        lengths_s: of every track.
        seconds, sight_s: of the stretch, and of all tracks together.
    """

    pop_ins: int
    vanishings: int
    passed: int
    passing: int
    lengths_s: tuple[float, ...]
    seconds: float
    sight_s: float


def events_of(
    tracks: Sequence[Track], t_s: FloatArray, size_px: tuple[int, int], config: EventConfig = EventConfig()
) -> Events:
    """Count what befell the users of a stretch.

    Args:
        tracks: of the stretch.
        t_s: ``(T,)`` of its frames.
        size_px: height and width of the pictures.
        config: what explains coming and going.
    """
    counts = {"pop_ins": 0, "vanishings": 0, "passed": 0, "passing": 0}
    lengths = []
    for track in tracks:
        lengths.append(float(t_s[track.last] - t_s[track.first]))
        for at, none, near, settled in (
            (0, "pop_ins", "passing", t_s[track.first] - t_s[0] > config.settle_s),
            (-1, "vanishings", "passed", t_s[-1] - t_s[track.last] > config.settle_s),
        ):
            if not settled:
                continue
            box, distance_m = track.boxes[at], float(track.distance_m[at])
            if at_border(box, size_px, config):
                counts[near] += distance_m <= config.passing_m
            elif distance_m < config.far_m and not _is_hidden(track, at, tracks, size_px[0], config.hidden_px):
                counts[none] += 1
    return Events(
        **{name: int(count) for name, count in counts.items()},
        lengths_s=tuple(lengths),
        seconds=float(t_s[-1] - t_s[0]) if len(t_s) else 0.0,
        sight_s=float(sum(lengths)),
    )


def at_border(boxes: FloatArray, size_px: tuple[int, int], config: EventConfig = EventConfig()) -> NDArray[np.bool_]:
    """Whether boxes ``(..., 4)`` are so near to the left, right or lower edge that one comes and goes there."""
    height, width = size_px
    edge = config.border_px * height / 128
    return (boxes[..., 0] <= edge) | (boxes[..., 2] >= width - edge) | (boxes[..., 3] >= height - edge)


def _is_hidden(track: Track, at: int, tracks: Sequence[Track], height_px: int, hidden_px: float) -> bool:
    """Whether somebody nearer stands next to or before a track's box at one of its ends."""
    frame, box, distance_m = int(track.frames[at]), track.boxes[at], track.distance_m[at]
    near = hidden_px * height_px / 128
    for other in tracks:
        if other is track or not other.first - 1 <= frame <= other.last + 1:
            continue
        i = int(np.abs(other.frames - frame).argmin())
        apart = np.maximum(box[:2], other.boxes[i, :2]) - np.minimum(box[2:], other.boxes[i, 2:])
        if other.distance_m[i] < distance_m and bool((apart <= near).all()):
            return True
    return False
