"""Does a drive do what it was told, and does it still show a road? Agreement of a reading with the told motion.

The first look at a drive, before any learned judge: plain geometry alone. A score is worth little by itself; set it
beside that of true video (``control``) and of shuffled motion, which the result carries. Knows nothing of worlds.

Shapes: T frames of one drive.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from worldmodel.evaluation.reading import DriveReading
from worldmodel.geometry.motion import dead_reckon
from worldmodel.metrics.intervals import known_mean
from worldmodel.metrics.path import displacement_at
from worldmodel.metrics.signs import second_means, turning_signs
from worldmodel.simulation.keeping import plain
from worldmodel.types import EgoMotion, FloatArray

_HORIZONS_S = (1.0, 5.0, 10.0, 30.0, 60.0)
_WINDOW_S = 10.0
_SHUFFLES = 50
#: A path is dead-reckoned over gaps in the reading only if this much of the drive was read.
_READ_SHARE = 0.9
#: Of the table: what it says, where that stands in the result, and how it is written.
_ROWS = (
    ("seconds", "seconds", "{:.1f}"),
    ("turning seconds", "turning.seconds", "{:d}"),
    ("  with the right sign", "turning.share", "{:.1%}"),
    ("  and half of the turn", "turning.half_share", "{:.1%}"),
    ("yaw error, rad/s", "yaw.error_radps", "{:.4f}"),
    ("  of 1-s means", "yaw.second_error_radps", "{:.4f}"),
    ("  gain", "yaw.gain", "{:.2f}"),
    ("  steps read", "yaw.read_share", "{:.1%}"),
    ("speed error, m/s", "speed.error_mps", "{:.2f}"),
    ("  of 1-s means", "speed.second_error_mps", "{:.2f}"),
    ("  bias", "speed.bias_mps", "{:+.2f}"),
    ("  steps read", "speed.read_share", "{:.1%}"),
    ("ground match", "ground.match", "{:.2f}"),
    ("frames with lane markings", "lanes.fitted_share", "{:.1%}"),
    ("path, FDE at 10 s, m", "path.10.fde_m", "{:.1f}"),
)


def check_drive(told: EgoMotion, reading: DriveReading, t_s: FloatArray, *, seed: int = 0) -> dict[str, Any]:
    """Scores of one drive as plain values, ready for json; NaN becomes ``None``.

    Args:
        told: ``(T,)`` motion the drive was given.
        reading: of its frames.
        t_s: ``(T,)`` seconds.
        seed: of the shuffled control.

    Returns:
        ``seconds``; ``yaw`` and ``speed`` (mean absolute error per step and per second, bias, gain, share read);
        ``turning`` (sign agreement, and with at least half of the turn);
        ``path`` (ADE and FDE by horizon); ``lanes`` and ``ground``; ``windows`` of 10 s;
        ``shuffled``: the scores of the same reading against told motion whose seconds were shuffled.

    Raises:
        ValueError: lengths that differ.
    """
    if told.shape != t_s.shape or reading.motion.shape != t_s.shape:
        raise ValueError(f"told: expected shape {t_s.shape} of t_s and the reading, got {told.shape}")
    scores = _agreement(told, reading.motion, t_s)
    scores["seconds"] = float(t_s[-1] - t_s[0])
    scores["path"] = _path(told, reading.motion, t_s)
    lanes = reading.lanes
    scores["lanes"] = {
        "fitted_share": float(lanes.fitted.mean()),
        "mean_lines": float(lanes.lines.mean()),
        "mean_span_m": float(lanes.span_m.mean()),
    }
    scores["ground"] = {"match": known_mean(reading.match)}
    scores["windows"] = _windows(told, reading, t_s)
    rng = np.random.default_rng(seed)
    shuffles = [_agreement(_shuffled(told, t_s, rng), reading.motion, t_s) for _ in range(_SHUFFLES)]
    scores["shuffled"] = {
        "turning": {name: known_mean([s["turning"][name] for s in shuffles]) for name in ("share", "half_share")},
        "yaw": {"error_radps": known_mean([s["yaw"]["error_radps"] for s in shuffles])},
        "speed": {"error_mps": known_mean([s["speed"]["error_mps"] for s in shuffles])},
    }
    return plain(scores)


def table(columns: dict[str, dict[str, Any]]) -> str:
    """Results of ``check_drive`` side by side, one column each, with the shuffled control of the first as the last."""
    first = next(iter(columns.values()))
    columns = columns | {"shuffled": first["shuffled"]}
    width = max(12, *(len(name) + 2 for name in columns))
    lines = [" " * 28 + "".join(f"{name:>{width}}" for name in columns)]
    for label, place, style in _ROWS:
        cells = [_found(result, place) for result in columns.values()]
        lines.append(f"{label:28}" + "".join(f"{'-' if c is None else style.format(c):>{width}}" for c in cells))
    lines += ["", f"{'from, s':>8}{'sharpness':>12}{'contrast':>10}{'lanes':>8}{'yaw error':>11}{'speed error':>13}"]
    for window in first["windows"]:
        start = f"{window['from_s']:8.0f}{window['sharpness']:12.2f}{window['contrast']:10.1f}"
        errors = _cell(window["yaw_error_radps"], 11, 4) + _cell(window["speed_error_mps"], 13, 2)
        lines.append(f"{start}{window['lanes_share']:8.0%}{errors}")
    return "\n".join(lines)


def _agreement(told: EgoMotion, read: EgoMotion, t_s: FloatArray) -> dict[str, Any]:
    signs = turning_signs(told.yaw_rate_radps, read.yaw_rate_radps, t_s)
    half = turning_signs(told.yaw_rate_radps, read.yaw_rate_radps, t_s, least_gain=0.5)
    turning = {"share": signs.share, "seconds": signs.turning, "right": signs.right, "unread": signs.unread}
    turning["half_share"] = half.share
    scores: dict[str, Any] = {"turning": turning}
    for name, unit, want, got in (
        ("yaw", "radps", told.yaw_rate_radps, read.yaw_rate_radps),
        ("speed", "mps", told.speed_mps, read.speed_mps),
    ):
        difference = got - want
        known = np.isfinite(difference)
        # Only steps that both know: a second half of whose steps were read is compared over that half.
        of_seconds = second_means(np.where(known, got, np.nan), t_s) - second_means(np.where(known, want, np.nan), t_s)
        power = float(np.sum(want[known] ** 2))
        scores[name] = {
            f"error_{unit}": known_mean(np.abs(difference)),
            f"second_error_{unit}": known_mean(np.abs(of_seconds)),
            f"bias_{unit}": known_mean(difference),
            "gain": float(np.sum(want[known] * got[known]) / power) if power > 1e-9 else float("nan"),
            "read_share": float(known.sum() / max(1, np.isfinite(want).sum())),
        }
    return scores


def _path(told: EgoMotion, read: EgoMotion, t_s: FloatArray) -> dict[str, Any]:
    """ADE and FDE of the dead-reckoned reading; gaps are bridged, and nothing is said where they are many."""
    steps = slice(0, len(t_s) - 1)
    filled = []
    for want, got in ((told.speed_mps, read.speed_mps), (told.yaw_rate_radps, read.yaw_rate_radps)):
        known = np.isfinite(got[steps])
        if not np.isfinite(want[steps]).all() or known.mean() < _READ_SHARE or len(t_s) < 2:
            return {}
        filled.append(np.append(np.interp(t_s[steps], t_s[steps][known], got[steps][known]), np.nan))
    errors = displacement_at(dead_reckon(EgoMotion(*filled), t_s), dead_reckon(told, t_s), t_s, _HORIZONS_S)
    return {f"{horizon:g}": {"ade_m": ade, "fde_m": fde} for horizon, (ade, fde) in errors.items()}


def _windows(told: EgoMotion, reading: DriveReading, t_s: FloatArray) -> list[dict[str, Any]]:
    number = np.floor((t_s - t_s[0]) / _WINDOW_S + 1e-6).astype(int)
    windows = []
    for index in range(number[-1] + 1):
        at = number == index
        windows.append(
            {
                "from_s": index * _WINDOW_S,
                "sharpness": known_mean(reading.sharpness[at]),
                "contrast": known_mean(reading.contrast[at]),
                "lanes_share": float(reading.lanes.fitted[at].mean()),
                "match": known_mean(reading.match[at]),
                "yaw_error_radps": known_mean(np.abs(reading.motion.yaw_rate_radps - told.yaw_rate_radps)[at]),
                "speed_error_mps": known_mean(np.abs(reading.motion.speed_mps - told.speed_mps)[at]),
            }
        )
    return windows


def _shuffled(told: EgoMotion, t_s: FloatArray, rng: np.random.Generator) -> EgoMotion:
    """The same motion with its whole seconds in another order; a rest that fills no second stays where it is."""
    steps = max(1, round(1 / float(np.median(np.diff(t_s)))))
    whole = len(t_s) // steps
    order = (rng.permutation(whole)[:, None] * steps + np.arange(steps)).ravel()
    return told[np.concatenate([order, np.arange(whole * steps, len(t_s))])]


def _found(result: Any, place: str) -> Any:
    for key in place.split("."):
        result = result.get(key) if isinstance(result, dict) else None
    return result


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'-' if value is None else format(value, f'.{digits}f'):>{width}}"
