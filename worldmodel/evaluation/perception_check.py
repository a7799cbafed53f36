"""How well perception reads true drives: errors beside a trivial reader's, calibration, and steadiness in other light.

Truth is the reference world's. Every score is a mean over drives with a bootstrap interval; the trivial reader says
the median (or the commonest tag) of the truth itself, which is as much as one can know without looking. Knows
perception and drives, nothing of the world model.

Shapes: T frames of one drive.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from worldmodel.metrics.calibration import area_under_roc, expected_calibration_error
from worldmodel.metrics.intervals import bootstrap_interval
from worldmodel.perception.network import TAGS
from worldmodel.perception.reader import Reader, Readings
from worldmodel.simulation.keeping import plain
from worldmodel.types import Drive, FloatArray, FrameArray

#: Gaps are asked for up to here.
NEAR_M = 40.0
#: A gap's error is relative to it, but to no less than this: bumpers that touch have a gap of nothing.
_LEAST_GAP_M = 2.0
_GAP = f"gap inside {NEAR_M:.0f} m"
_CLOSING = f"closing speed inside {NEAR_M:.0f} m"
#: What is read, its unit, and by how much an error is multiplied to be shown in it.
_NUMBERS = {
    "speed": ("m/s", 1.0),
    "yaw rate": ("rad/s", 1.0),
    "lane offset": ("m", 1.0),
    "heading": ("degrees", 180 / np.pi),
    "curvature": ("1/km", 1000.0),
    _GAP: ("% of it", 100.0),
    _CLOSING: ("m/s", 1.0),
}
_FLAGS = ("off_road", "collision")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One drive as it was read: truth, reading and claimed scale of each number; flags and tags."""

    numbers: dict[str, tuple[FloatArray, FloatArray, FloatArray]]
    flags: dict[str, tuple[FloatArray, FloatArray]]
    tags: dict[str, tuple[FloatArray, FloatArray]]


def sample(reader: Reader, drive: Drive, *, change: Callable[[FrameArray], FrameArray] | None = None) -> Sample:
    """Read one true drive, its frames changed by ``change`` where that is given."""
    frames = np.stack([np.asarray(frame) for frame in drive.frames])
    readings = reader.read(frames if change is None else change(frames), drive.t_s, drive.camera)
    return Sample(_numbers(drive, readings), _flags(drive, readings), _tags(drive, readings))


def _numbers(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray, FloatArray]]:
    truth = {name: np.asarray(column, dtype=np.float64) for name, column in drive.info.items()}
    gap = np.where(truth["gap_m"] < NEAR_M, truth["gap_m"], np.nan)
    # Where somebody is near and nobody was read, all of the gap is the error.
    read_gap = np.nan_to_num(readings.numbers["gap_m"], nan=0.0)
    closing = np.where(np.isfinite(gap), truth["closing_speed_mps"], np.nan)
    motion, scale = drive.motion, readings.motion_scale
    return {
        "speed": (motion.speed_mps, readings.motion.speed_mps, scale.speed_mps),
        "yaw rate": (motion.yaw_rate_radps, readings.motion.yaw_rate_radps, scale.yaw_rate_radps),
        "lane offset": _of(truth, readings, "lane_offset_m"),
        "heading": _of(truth, readings, "heading_error_rad"),
        "curvature": _of(truth, readings, "curvature_ahead_1pm"),
        _GAP: (gap, read_gap, readings.scales["gap_m"]),
        _CLOSING: (closing, readings.numbers["closing_speed_mps"], readings.scales["closing_speed_mps"]),
    }


def _of(truth: dict[str, FloatArray], readings: Readings, name: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    return truth[name], readings.numbers[name], readings.scales[name]


def _flags(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray]]:
    return {name: (np.asarray(drive.info[name], dtype=np.float64), readings.flags[name]) for name in _FLAGS}


def _tags(drive: Drive, readings: Readings) -> dict[str, tuple[FloatArray, FloatArray]]:
    return {
        name: (drive.tags.channel(name).astype(np.float64), readings.tag_codes(name).astype(np.float64))
        for name in TAGS
    }


def scores_of(samples: Sequence[Sample]) -> dict[str, Any]:
    """Scores of drives that were read, as plain values.

    Returns:
        ``numbers`` (by name: ``unit``, ``error`` with its interval over drives, ``trivial``, ``calibration``),
        ``flags`` (``auroc``, ``share`` of yes) and ``tags`` (``accuracy`` with its interval, ``trivial``).
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
        truth = np.concatenate([t for t, _ in pairs])
        right = np.array([(t == r).mean() for t, r in pairs])
        commonest = max(np.mean(truth == code) for code in np.unique(truth))
        accuracy = dataclasses.asdict(bootstrap_interval(right))
        scores["tags"][name] = {"accuracy": accuracy, "trivial": float(commonest)}
    return plain(scores)


def _errors(name: str, read: FloatArray, truth: FloatArray) -> FloatArray:
    return (read - truth) / np.maximum(truth, _LEAST_GAP_M) if name == _GAP else read - truth


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
    for name, score in first["tags"].items():
        cells = [_interval(c["tags"][name]["accuracy"], ".1%") for c in columns.values()]
        row(f"{name.replace('_', ' ')}, right", cells, _number(score["trivial"], ".1%"))
    return "\n".join(lines)


def _interval(score: dict[str, Any], style: str) -> str:
    value, low, high = (_number(score[key], style) for key in ("value", "low", "high"))
    return f"{value} ({low}-{high})"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)
