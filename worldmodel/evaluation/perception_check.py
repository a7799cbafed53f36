"""How well perception reads true drives: errors beside a trivial reader's, calibration, and steadiness in other light.

Truth is the reference world's. Every score is a mean over drives with a bootstrap interval; the trivial reader says
the median (or the commonest tag) of the truth itself, which is as much as one can know without looking; of boxes it
says those of another drive. Knows perception and drives, nothing of the world model.

Shapes: T frames of one drive; K boxes of a frame at most.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.boxes import Detections, average_precision, detections, joined, match
from worldmodel.metrics.calibration import area_under_roc, expected_calibration_error
from worldmodel.metrics.intervals import bootstrap_interval
from worldmodel.perception.gaps import BoxReadings
from worldmodel.perception.network import TAGS
from worldmodel.perception.reader import Reader, Readings
from worldmodel.simulation.keeping import plain
from worldmodel.types import Drive, FloatArray, FrameArray

#: Gaps are asked for up to here.
NEAR_M = 40.0
#: A gap's error is relative to it, but to no less than this: bumpers that touch have a gap of nothing.
_LEAST_GAP_M = 2.0
_GAP = f"gap inside {NEAR_M:.0f} m"
_BOX_GAP = f"{_GAP}, boxes alone"
_CLOSING = f"closing speed inside {NEAR_M:.0f} m"
_DISTANCE = "distance of found boxes"
#: Errors of these are shares of the truth.
_RELATIVE = (_GAP, _BOX_GAP, _DISTANCE)
#: What is read, its unit, and by how much an error is multiplied to be shown in it.
_NUMBERS = {
    "speed": ("m/s", 1.0),
    "yaw rate": ("rad/s", 1.0),
    "lane offset": ("m", 1.0),
    "heading": ("degrees", 180 / np.pi),
    "curvature": ("1/km", 1000.0),
    _GAP: ("% of it", 100.0),
    _BOX_GAP: ("% of it", 100.0),
    _DISTANCE: ("% of it", 100.0),
    _CLOSING: ("m/s", 1.0),
}
_FLAGS = ("off_road", "collision")
#: Boxes are asked for by their distance, and by their height in a picture of 128 rows.
_DISTANCES_M = {"nearer than 20 m": (0.0, 20.0), "20 to 45 m": (20.0, 45.0), "beyond 45 m": (45.0, np.inf)}
_HEIGHTS_PX = {"lower than 6 px": (0.0, 6.0), "6 to 16 px": (6.0, 16.0), "16 px and more": (16.0, np.inf)}
#: Tags are asked for by frame, and by the frames of so long.
_STEADY_S = 5.0
#: Overlap from which a found box is a true one.
_OVERLAP = 0.5


@dataclasses.dataclass(frozen=True)
class Sample:
    """One drive as it was read: truth, reading and claimed scale of each number; flags; tags, by frame and over time.

    Attributes:
        true_boxes: ``(T, K, 5)`` left, top, right, bottom in pixels and distance in metres, NaN after the last.
        boxes: ``(T, K, 6)`` those that were found, with their score before the distance; ``None`` without.
        height_px: of the frames.
    """

    numbers: dict[str, tuple[FloatArray, FloatArray, FloatArray]]
    flags: dict[str, tuple[FloatArray, FloatArray]]
    tags: dict[str, tuple[FloatArray, FloatArray, FloatArray]]
    true_boxes: FloatArray
    boxes: FloatArray | None
    height_px: int


def sample(reader: Reader, drive: Drive, *, change: Callable[[FrameArray], FrameArray] | None = None) -> Sample:
    """Read one true drive, its frames changed by ``change`` where that is given."""
    frames = np.stack([np.asarray(frame) for frame in drive.frames])
    readings = reader.read(frames if change is None else change(frames), drive.t_s, drive.camera)
    found, boxes = readings.boxes, None
    true = np.asarray(drive.info["boxes"], dtype=np.float64)[..., :5]
    numbers, flags, tags = _numbers(drive, readings), _flags(drive, readings), _tags(drive, readings)
    numbers[_DISTANCE] = np.zeros(0), np.zeros(0), np.zeros(0)
    if found is not None:
        boxes = np.concatenate([found.edges_px, found.score[..., None], found.distance_m[..., None]], axis=-1)
        numbers[_DISTANCE] = _distances(true, found)
    return Sample(numbers, flags, tags, true, boxes, drive.camera.height_px)


def _distances(true: FloatArray, found: BoxReadings) -> tuple[FloatArray, FloatArray, FloatArray]:
    """True and read distance, and its claimed scale, of every found box that is a true one."""
    rows: list[tuple[float, float, float]] = []
    for t, edges in enumerate(found.edges_px):
        for k, whose in enumerate(match(edges, true[t, :, :4], least=_OVERLAP)):
            if whose >= 0:
                rows.append((true[t, whose, 4], found.distance_m[t, k], found.distance_scale[t, k]))
    truth, read, scale = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return truth, read, scale


def _numbers(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    truth = {name: np.asarray(column, dtype=np.float64) for name, column in drive.info.items()}
    gap = np.where(truth["gap_m"] < NEAR_M, truth["gap_m"], np.nan)
    # Where somebody is near and nobody was read, all of the gap is the error.
    read_gap = np.nan_to_num(readings.numbers["gap_m"], nan=0.0)
    closing = np.where(np.isfinite(gap), truth["closing_speed_mps"], np.nan)
    motion, scale = drive.motion, readings.motion_scale
    boxes = readings.boxes
    box_gap = box_scale = np.full(len(gap), np.nan)
    if boxes is not None:
        box_gap, box_scale = np.nan_to_num(boxes.gap_m, nan=0.0), boxes.gap_scale
    return {
        "speed": (motion.speed_mps, readings.motion.speed_mps, scale.speed_mps),
        "yaw rate": (motion.yaw_rate_radps, readings.motion.yaw_rate_radps, scale.yaw_rate_radps),
        "lane offset": _of(truth, readings, "lane_offset_m"),
        "heading": _of(truth, readings, "heading_error_rad"),
        "curvature": _of(truth, readings, "curvature_ahead_1pm"),
        _GAP: (gap, read_gap, readings.scales["gap_m"]),
        _BOX_GAP: (gap, box_gap, box_scale),
        _CLOSING: (closing, readings.numbers["closing_speed_mps"], readings.scales["closing_speed_mps"]),
    }


def _of(truth: dict[str, FloatArray], readings: Readings, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    return truth[name], readings.numbers[name], readings.scales[name]


def _flags(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray]]:
    return {name: (np.asarray(drive.info[name], dtype=np.float64), readings.flags[name]) for name in _FLAGS}


def _tags(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    frames = max(1, round(_STEADY_S / float(np.median(np.diff(drive.t_s)))))
    columns = {
        name: (drive.tags.channel(name), readings.tag_codes(name), readings.tag_codes(name, frames=frames))
        for name in TAGS
    }
    return {
        name: (t.astype(np.float64), r.astype(np.float64), s.astype(np.float64)) for name, (t, r, s) in columns.items()
    }


def scores_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Scores of drives that were read, as plain values.

    Returns:
        ``numbers`` (by name: ``unit``, ``error`` with its interval over drives, ``trivial``, ``calibration``),
        ``flags`` (``auroc``, ``share`` of yes), ``tags`` (``accuracy`` with its interval, the same ``steady`` over the
        last 5 s, ``trivial``) and ``boxes``
        (by which are asked for: ``precision`` (average, at an overlap of half) with its interval, ``trivial`` and
        ``count``).
    """
    scores: dict[str, Any] = {"drives": len(samples), "numbers": {}, "flags": {}, "tags": {}}
    for name, (unit, factor) in _NUMBERS.items():
        columns = [s.numbers[name] for s in samples]
        truth, read, scale = (np.concatenate([c[i] for c in columns]) for i in range(3))
        error = _errors(name, read, truth)
        every = [_mean(np.abs(_errors(name, r, t))) * factor for t, r, _ in columns]
        median = float(np.nanmedian(truth)) if np.isfinite(truth).any() else np.nan
        scores["numbers"][name] = {
            "unit": unit,
            "error": dataclasses.asdict(bootstrap_interval(np.array(every))),
            "trivial": _mean(np.abs(_errors(name, np.full_like(truth, median), truth))) * factor,
            "calibration": expected_calibration_error(error, scale),
        }
    for name in _FLAGS:
        truth, read = (np.concatenate([s.flags[name][i] for s in samples]) for i in range(2))
        scores["flags"][name] = {"auroc": area_under_roc(read, truth), "share": float(truth.mean())}
    for name in TAGS:
        pairs = [s.tags[name] for s in samples]
        truth = np.concatenate([t for t, *_ in pairs])
        right, steady = (np.array([(p[0] == p[i]).mean() for p in pairs]) for i in (1, 2))
        commonest = max(np.mean(truth == code) for code in np.unique(truth))
        scores["tags"][name] = {
            "accuracy": dataclasses.asdict(bootstrap_interval(right)),
            "steady": dataclasses.asdict(bootstrap_interval(steady)),
            "trivial": float(commonest),
        }
    scores["boxes"] = _box_scores(samples)
    return plain(scores)


def _box_scores(samples: Sequence[Sample]) -> dict[str, Any]:
    """Average precision of boxes, all and by distance and height, beside that of another drive's true boxes."""
    if any(s.boxes is None for s in samples):
        return {}
    asked = {"all": (None, (0.0, np.inf))}
    asked |= {name: ("distance", limits) for name, limits in _DISTANCES_M.items()}
    asked |= {name: ("height", limits) for name, limits in _HEIGHTS_PX.items()}
    scores = {}
    for name, (kind, limits) in asked.items():
        ours = [_judged(s, s.boxes, kind, limits) for s in samples if s.boxes is not None]
        others = [
            _judged(s, _of_another(samples[i - 1], len(s.true_boxes)), kind, limits) for i, s in enumerate(samples)
        ]
        every = np.array([average_precision(found) for found in ours])
        scores[name] = {
            "precision": dataclasses.asdict(bootstrap_interval(every)) | {"value": average_precision(joined(ours))},
            "trivial": average_precision(joined(others)),
            "count": joined(ours).true,
        }
    return scores


def _judged(sample: Sample, found: FloatArray, kind: str | None, limits: tuple[float, float]) -> Detections:
    def within(edges: FloatArray, distance_m: FloatArray) -> NDArray[np.bool_]:
        height = (edges[..., 3] - edges[..., 1]) * 128 / sample.height_px
        value = distance_m if kind == "distance" else height
        return (value >= limits[0]) & (value < limits[1])

    true = sample.true_boxes
    is_asked = None if kind is None else within(true[..., :4], true[..., 4])
    counts = None if kind is None else within(found[..., :4], found[..., 5])
    return detections(found[..., :4], found[..., 4], true[..., :4], least=_OVERLAP, asked=is_asked, counted=counts)


def _of_another(sample: Sample, count: int) -> FloatArray:
    """Another drive's true boxes as if they had been found, the nearer the surer; its last frame again and again."""
    true = sample.true_boxes[np.minimum(np.arange(count), len(sample.true_boxes) - 1)]
    distance_m = true[..., 4:]
    return np.concatenate([true[..., :4], 1 / (1 + distance_m), distance_m], axis=-1)


def _errors(name: str, read: FloatArray, truth: FloatArray) -> FloatArray:
    return (read - truth) / np.maximum(truth, _LEAST_GAP_M) if name in _RELATIVE else read - truth


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def moderate_changes(seed: int = 0) -> dict[str, Callable[[FrameArray], FrameArray]]:
    """Changes a good reader sees through: brighter, darker, another colour, noise."""
    rng = np.random.default_rng(seed)

    def scaled(*gain: float) -> Callable[[FrameArray], FrameArray]:
        return lambda frames: np.clip(frames * np.array(gain), 0, 255).round().astype(np.uint8)

    def noisy(frames: FrameArray) -> FrameArray:
        return np.clip(frames + rng.normal(0, 4.0, frames.shape), 0, 255).round().astype(np.uint8)

    return {
        "15 % brighter": scaled(1.15, 1.15, 1.15),
        "15 % darker": scaled(0.85, 0.85, 0.85),
        "warmer": scaled(1.06, 1.0, 0.94),
        "noise of 4 grey levels": noisy,
    }


def table(columns: dict[str, dict[str, Any]]) -> str:
    """Scores side by side, one column each, with the trivial reader's beside them."""
    first = next(iter(columns.values()))
    width = max(24, *(len(name) + 2 for name in columns))
    lines = [f"{'':34}" + "".join(f"{name:>{width}}" for name in columns) + f"{'trivial':>12}"]

    def row(label: str, cells: Iterable[str], trivial: str) -> None:
        lines.append(f"{label:34}" + "".join(f"{cell:>{width}}" for cell in cells) + f"{trivial:>12}")

    for name, score in first["numbers"].items():
        cells = [_interval(c["numbers"][name]["error"], ".3f") for c in columns.values()]
        row(f"{name}, {score['unit']}", cells, _number(score["trivial"], ".3f"))
        row("  calibration error", [_number(c["numbers"][name]["calibration"], ".3f") for c in columns.values()], "")
    for name, score in first["flags"].items():
        cells = [_number(c["flags"][name]["auroc"], ".3f") for c in columns.values()]
        row(f"{name.replace('_', ' ')}, AUROC ({score['share']:.1%} yes)", cells, "0.500")
    for name, score in first["boxes"].items():
        cells = [_interval(c["boxes"][name]["precision"], ".3f") if c["boxes"] else "-" for c in columns.values()]
        row(f"boxes, {name} ({score['count']}), AP", cells, _number(score["trivial"], ".3f"))
    for name, score in first["tags"].items():
        cells = [_interval(c["tags"][name]["accuracy"], ".1%") for c in columns.values()]
        row(f"{name.replace('_', ' ')}, right", cells, _number(score["trivial"], ".1%"))
        cells = [_interval(c["tags"][name]["steady"], ".1%") for c in columns.values()]
        row(f"  by the last {_STEADY_S:.0f} s", cells, "")
    return "\n".join(lines)


def _interval(score: dict[str, Any], style: str) -> str:
    value, low, high = (_number(score[key], style) for key in ("value", "low", "high"))
    return f"{value} ({low}-{high})"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
