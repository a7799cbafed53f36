"""Do generated drives obey the motion they were told? Speed, turning and way, against true video and against controls.

The judge's reading of generated frames is compared with what was told. Beside it stand the same judge on true frames
(the floor: its own error), on the tokenizer's reconstructions, and the generated reading against motion that was not
told: another drive's, that of the first moment held, the drive's own mean. Pure functions of pairs.

Shapes: T frames of a drive; D drives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.judging import path_of
from worldmodel.evaluation.pairs import SIDES, Pair
from worldmodel.metrics.intervals import bootstrap_interval, known_mean, paired_interval
from worldmodel.metrics.path import displacement_at
from worldmodel.types import EgoMotion, FloatArray

#: Beyond this a step turns; yaw's gain is of these alone.
TURNING_RADPS = 0.05
HORIZONS_S = (1.0, 5.0, 10.0, 30.0, 60.0)
#: Lags that are looked for, in frames.
_LAGS = np.arange(-5, 11)
_UNITS = {"speed": "m/s", "yaw": "rad/s"}


def channel(motion: EgoMotion, name: str) -> FloatArray:
    """The channel of a motion by the name of its score."""
    return motion.speed_mps if name == "speed" else motion.yaw_rate_radps


def score_of(values: FloatArray, floor: FloatArray, controls: Mapping[str, FloatArray]) -> dict[str, Any]:
    """A score as every report has it: means over drives ``(D,)``, and the interval of the value less the floor.

    Controls stand beside the value under their own names, which ``controls`` lists.
    """
    own, beside = bootstrap_interval(values), paired_interval(values, floor)
    return {
        "value": own.value,
        "floor": known_mean(floor),
        "interval": [own.low, own.high],
        "above_floor": [beside.low, beside.high],
        "n": own.drives,
        "controls": list(controls),
        **{name: known_mean(control) for name, control in controls.items()},
    }


def motion_score(pairs: Sequence[Pair], name: str) -> dict[str, Any]:
    """Scores of ``speed`` or ``yaw``: mean absolute error, bias, gain, lag, and the error window by window."""
    told = [channel(pair.told, name) for pair in pairs]
    read = {side: [channel(pair.read[side], name) for pair in pairs] for side in SIDES}
    made = read["generated"]
    others = {
        "shuffled": [_fitted(told[i - 1], len(t)) for i, t in enumerate(told)] if len(pairs) > 1 else [],
        "held": [np.full_like(t, t[0]) for t in told],
        "mean": [np.full_like(t, np.nanmean(t)) for t in told],
    }
    controls = {who: _errors(made, other) if other else [] for who, other in others.items()}
    controls["reconstructed"] = _errors(read["reconstructed"], told)
    score = score_of(_errors(made, told), _errors(read["true"], told), {k: np.asarray(v) for k, v in controls.items()})
    score |= {"unit": _UNITS[name], "bias": known_mean(np.concatenate([m - t for m, t in zip(made, told)]))}
    gains = {side: _gain(read[side], told, turning=name == "yaw") for side in ("generated", "true")}
    score |= {"gain": gains["generated"], "gain_floor": gains["true"]}
    score["gain_controls"] = {w: _gain(made, o, turning=name == "yaw") for w, o in others.items() if o}
    score |= {"lag_frames": response_lag(made, told), "lag_floor": response_lag(read["true"], told)}
    score["by_second"] = {side: _by_second(pairs, read[side], told) for side in SIDES}
    return score


def path_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """ADE and FDE of the dead-reckoned reading; the score itself is the ADE at the longest horizon that was driven."""
    by_horizon: dict[str, dict[str, Any]] = {}
    for horizon in HORIZONS_S:
        if any(pair.t_s[-1] < horizon - 1e-6 for pair in pairs):
            continue
        errors = {side: np.array([_way_off(pair, pair.told, side, horizon) for pair in pairs]) for side in SIDES}
        others = [told_elsewhere(pairs[i - 1], len(pair.t_s)) for i, pair in enumerate(pairs)]
        shuffled = [_way_off(pair, other, "generated", horizon) for pair, other in zip(pairs, others)]
        by_horizon[f"{horizon:g}"] = {
            kind: score_of(
                errors["generated"][:, i],
                errors["true"][:, i],
                {
                    "shuffled": np.array(shuffled)[:, i] if len(pairs) > 1 else np.array([]),
                    "reconstructed": errors["reconstructed"][:, i],
                },
            )
            for i, kind in enumerate(("ade_m", "fde_m"))
        }
    longest = max(by_horizon, key=float)
    return by_horizon[longest]["ade_m"] | {"unit": "m", "horizon_s": float(longest), "at": by_horizon}


def response_lag(read: Sequence[FloatArray], told: Sequence[FloatArray]) -> float | None:
    """By how many frames readings follow what was told: the best lag of all drives together, to a part of a frame.

    The lag of least squared difference, refined by the parabola through it and its neighbours; ``None`` where that
    difference is not small beside how much what was told varies: then noise, not motion, decides.
    """
    found = [known_mean(_lagged(read, told, int(lag))) for lag in _LAGS]
    costs = np.array([np.inf if cost is None else cost for cost in found])
    varies = known_mean([float(np.nanvar(t)) for t in told]) or 0.0
    best = int(costs.argmin())
    if not costs[best] < 0.5 * varies:
        return None
    if not 0 < best < len(costs) - 1:
        return float(_LAGS[best])
    before, at, after = costs[best - 1 : best + 2]
    curve = before - 2 * at + after
    return float(_LAGS[best] + (0.5 * (before - after) / curve if curve > 0 else 0.0))


def _lagged(read: Sequence[FloatArray], told: Sequence[FloatArray], lag: int) -> FloatArray:
    inner = slice(max(_LAGS), -max(_LAGS))  # the same frames at every lag
    parts = [(r[inner] - np.roll(t, lag)[inner]) ** 2 for r, t in zip(read, told)]
    return np.concatenate(parts) if parts else np.array([])


def _errors(read: Sequence[FloatArray], told: Sequence[FloatArray]) -> FloatArray:
    """``(D,)`` mean absolute difference of each drive."""
    found = [known_mean(np.abs(r - t)) for r, t in zip(read, told)]
    return np.array([np.nan if f is None else f for f in found])


def _gain(read: Sequence[FloatArray], told: Sequence[FloatArray], *, turning: bool) -> float | None:
    """Slope through the origin of what was read over what was told, of turning steps alone where that is asked for."""
    r, t = np.concatenate(read), np.concatenate(told)
    known = np.isfinite(r) & np.isfinite(t) & (np.abs(t) > (TURNING_RADPS if turning else 0))
    power = float((t[known] ** 2).sum())
    return float((r[known] * t[known]).sum() / power) if power > 1e-9 else None


def _by_second(pairs: Sequence[Pair], read: Sequence[FloatArray], told: Sequence[FloatArray]) -> list[float | None]:
    """Mean absolute error of each second, over all drives."""
    second = np.concatenate([np.floor(pair.t_s + 1e-6).astype(int) for pair in pairs])
    error = np.concatenate([np.abs(r - t) for r, t in zip(read, told)])
    return [
        known_mean(error[second == s]) for s in range(int(second.max()) + 1) if np.isfinite(error[second == s]).any()
    ]


def _way_off(pair: Pair, told: EgoMotion, side: str, horizon_s: float) -> tuple[float, float]:
    path = path_of(pair.read[side], pair.t_s)
    if np.isnan(path).all():
        return np.nan, np.nan
    return displacement_at(path, path_of(told, pair.t_s), pair.t_s, (horizon_s,))[horizon_s]


def told_elsewhere(pair: Pair, count: int) -> EgoMotion:
    """What another drive was told, as motion of ``count`` frames: cut, or gone on with as at its end."""
    return EgoMotion(_fitted(pair.told.speed_mps, count), _fitted(pair.told.yaw_rate_radps, count))


def _fitted(values: FloatArray, count: int) -> FloatArray:
    known = values[np.isfinite(values)]
    padded = np.pad(known, (0, max(0, count - 1 - len(known))), mode="edge")[: count - 1]
    return np.append(padded, np.nan)
