"""Does a world answer what it is told in kind? The same beginning, told half and half again as much, and told a step.

A drive's own motion shows whether a world can do what its beginning makes likely. These probes tell it otherwise: speed
or yaw scaled by 0.5 and 1.5, and a sudden change after a while of constant motion. The true world is driven by the very
same motion where it can be, and read by the same judge. Pure functions of motion and of readings.

Shapes: T frames of a drive; P steps of a probe; D drives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.obedience import TURNING_RADPS, channel
from worldmodel.evaluation.pairs import Pair
from worldmodel.metrics.intervals import known_mean, ratio_interval
from worldmodel.types import EgoMotion, FloatArray

FACTORS = (0.5, 1.5)
#: How many probes there are, their steps, and after how many of them what is told of a step changes.
PROBES, STEPS, STEP_AT = 2 * len(FACTORS) + 2, 40, 15
_SPEED_STEP_MPS, _YAW_STEP_RADPS = 5.0, 0.15
#: Faster than this a step in speed is one down, so that no world is told more than cars do.
_FAST_MPS = 15.0
#: Steps before and after a change that its response is looked at, and that its level is the mean of.
_BEFORE, _AFTER, _LEVEL = 8, STEPS - STEP_AT, 8
#: A response below this share of what was told has no lag.
_LEAST_LEVEL = 0.25


def probes_of(motion: EgoMotion) -> dict[str, EgoMotion]:
    """Named motions ``(P,)`` to tell instead of a drive's own ``(T,)``; none where that is shorter than a probe."""
    own = motion[:STEPS]
    if len(own.speed_mps) < STEPS or not own.is_known.all():
        return {}
    speed, yaw = own.speed_mps, own.yaw_rate_radps
    told = {_scaled("speed", factor): EgoMotion(factor * speed, yaw) for factor in FACTORS}
    told |= {_scaled("yaw", factor): EgoMotion(speed, factor * yaw) for factor in FACTORS}
    after = np.arange(STEPS) >= STEP_AT
    still_speed, still_yaw = np.repeat(speed[:1], STEPS), np.repeat(yaw[:1], STEPS)
    change = -_SPEED_STEP_MPS if speed[0] > _FAST_MPS else _SPEED_STEP_MPS
    turn = -_YAW_STEP_RADPS if yaw[0] > 0 else _YAW_STEP_RADPS
    told["speed step"] = EgoMotion(np.where(after, still_speed + change, still_speed), still_yaw)
    told["yaw step"] = EgoMotion(still_speed, np.where(after, still_yaw + turn, still_yaw))
    return told


def probe_score(pairs: Sequence[Pair], name: str) -> dict[str, Any]:
    """``gain_slope`` by factor and ``response`` to a step, of ``speed`` or ``yaw``; empty without probed drives."""
    probed = [pair for pair in pairs if pair.probes]
    if not probed:
        return {}
    slopes = {f"{factor:g}": gain_slope(probed, name, factor) for factor in FACTORS}
    return {"gain_slope": slopes, "response": step_response(probed, name)}


def gain_slope(pairs: Sequence[Pair], name: str, factor: float) -> dict[str, Any]:
    """How far readings go with what is told when it is scaled: the change read over the change told, 1 as told.

    ``true`` is the slope of the true world under the same motion (NaN where it could not be driven so), and ``ratio``
    the one over the other. Of yaw only turning steps count. Drives are summed up before they are divided, since a
    drive that hardly moves says little.
    """
    sides: dict[str, tuple[list[float], list[float]]] = {"made": ([], []), "true": ([], [])}
    for pair in pairs:
        probe, steps = pair.probes[_scaled(name, factor)], slice(0, STEPS)
        own = channel(pair.told, name)[steps]
        change = channel(probe["told"], name) - own
        counts = np.abs(own) > TURNING_RADPS if name == "yaw" else np.ones(STEPS, bool)
        for side, read_own in (("made", pair.read["generated"]), ("true", pair.read["true"])):
            if side not in probe:
                continue
            moved = channel(probe[side], name) - channel(read_own, name)[steps]
            known = counts & np.isfinite(moved)
            sides[side][0].append(float((moved[known] * change[known]).sum()))
            sides[side][1].append(float((change[known] ** 2).sum()))
    made, true = (ratio_interval(np.array(above), np.array(below)) for above, below in sides.values())
    return {
        "value": made.value,
        "interval": [made.low, made.high],
        "true": true.value,
        "ratio": made.value / true.value if true.value > 0 else float("nan"),
        "n": made.drives,
    }


def step_response(pairs: Sequence[Pair], name: str) -> dict[str, Any]:
    """When and how far readings follow a step: ``lag_frames`` to half of their own final level, and that ``level``.

    Each drive's reading less its mean before the step, in units of the step, averaged over drives (``curve``, its first
    value ``_BEFORE`` steps before the step). The lag is 0 where the reading changes in the very step that is told, and
    ``None`` where it does not change; ``floor`` is that of the true world.
    """
    found: dict[str, Any] = {}
    for side in ("made", "true"):
        curve = _response([pair.probes[f"{name} step"] for pair in pairs], side, name)
        found[side] = {"lag_frames": lag_of(curve), "level": known_mean(curve[-_LEVEL:]), "curve": curve.tolist()}
    return found["made"] | {"floor": found["true"], "n": len(pairs)}


def lag_of(curve: FloatArray) -> float | None:
    """Frames from a step to half of the final level of a response ``(_BEFORE + _AFTER,)``, to a part of a frame."""
    level = known_mean(curve[-_LEVEL:])
    if level is None or level < _LEAST_LEVEL:
        return None
    # From the last value before the step on; between two values the response is taken to be straight.
    after = np.nan_to_num(curve[_BEFORE - 1 :], nan=0.0) / level
    reached = int(np.argmax(after >= 0.5))
    if reached == 0:
        return 0.0 if after[0] >= 0.5 else None
    share = (0.5 - after[reached - 1]) / (after[reached] - after[reached - 1])
    # A response within one step passes its half between the last value before and the first after: half a frame.
    return float(reached - 1 + share - 0.5)


def _response(probes: Sequence[Mapping[str, EgoMotion]], side: str, name: str) -> FloatArray:
    rows = []
    for probe in probes:
        if side not in probe:
            continue
        told, read = channel(probe["told"], name), channel(probe[side], name)
        before = slice(STEP_AT - _BEFORE, STEP_AT)
        rows.append((read[before.start :] - np.nanmean(read[before])) / (told[-1] - told[0]))
    if not rows:
        return np.full(_BEFORE + _AFTER, np.nan)
    columns = [known_mean(column) for column in np.stack(rows).T]
    return np.array([np.nan if c is None else c for c in columns])


def _scaled(name: str, factor: float) -> str:
    return f"{name} x{factor:g}"
