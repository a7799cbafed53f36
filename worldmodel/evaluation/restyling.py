"""How well is a drive drawn anew? Against what only the reference world has: the same drive, truly in the other look.

Five ways to get there are read and compared by the same instruments: ``restyled`` by the world, ``untouched`` (the
given drive as it is), ``recoloured`` (each frame given the colours of some other true drive of the wanted look),
``kept`` (the true re-render as the world's tokenizer keeps it, which is all that a world can reach), and ``true``, the
true re-render, which is the floor. Knows frames and readings, nothing of how anything is drawn anew.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.control import paired_drives
from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.perception_check import NEAR_M
from worldmodel.geometry.camera import canonical_camera
from worldmodel.metrics.image import psnr_db, ssim
from worldmodel.metrics.recolour import flicker, lab_statistics, recoloured
from worldmodel.perception.reader import Reader, Readings
from worldmodel.simulation.footage import resized
from worldmodel.types import VOCABULARY, Camera, Clip, Drive, EgoMotion, FloatArray, FrameArray, Tags

WAYS = ("restyled", "untouched", "recoloured", "kept", "true")
#: From one look to another: weather and time of day, and the prompt that asks for it.
CHANGES: tuple[tuple[Mapping[str, str], Mapping[str, str], str], ...] = (
    ({"weather": "clear", "time_of_day": "day"}, {"weather": "snow", "time_of_day": "day"}, "in winter, it is snowing"),
    ({"weather": "clear", "time_of_day": "day"}, {"weather": "clear", "time_of_day": "night"}, "at night, dry"),
    ({"weather": "clear", "time_of_day": "day"}, {"weather": "rain", "time_of_day": "day"}, "in heavy rain by day"),
    ({"weather": "clear", "time_of_day": "day"}, {"weather": "fog", "time_of_day": "day"}, "thick fog, daytime"),
    ({"weather": "rain", "time_of_day": "day"}, {"weather": "clear", "time_of_day": "dusk"}, "a clear sky at dusk"),
    (
        {"weather": "snow", "time_of_day": "day"},
        {"weather": "clear", "time_of_day": "day"},
        "a dry road on a clear day",
    ),
    ({"weather": "clear", "time_of_day": "dusk"}, {"weather": "rain", "time_of_day": "night"}, "rain at night"),
    ({"weather": "clear", "time_of_day": "night"}, {"weather": "clear", "time_of_day": "day"}, "clear weather by day"),
)
#: Colours are taken from a drive so many numbers away.
_OTHER = 500
#: Frames that colours are taken from.
_PALETTE_FRAMES = 10
#: Gaps count up to here, as in ``perception_check``; errors are relative to no less than this.
_LEAST_GAP_M = 2.0


@dataclasses.dataclass(frozen=True)
class Change:
    """A true drive in two looks.

    Attributes:
        given: the drive that is drawn anew.
        wanted: the same in the look that is asked for.
        prompt: that asks for it.
        flow_px: ``(T, H, W, 2)`` true flow of both.
        palette: ``(2, 3)`` colour statistics of another drive of the wanted look.
    """

    given: Drive
    wanted: Drive
    prompt: str
    flow_px: FloatArray
    palette: FloatArray

    def moments(self, tags: Tags) -> Iterator[tuple[FrameArray, EgoMotion, Tags]]:
        """Frames, the motion that led to each, and the tags ``(T,)`` wanted: what ``restyling.restyled`` takes."""
        for t, frame in enumerate(self.given.frames):
            yield np.asarray(frame), self.given.motion[t - 1] if t else EgoMotion.unknown(), tags[t]


def change_of(number: int, camera: Camera, n_frames: int) -> Change:
    """The number-th held-out drive and the change that is asked of it; roads and traffic are of every kind.

    Small pictures are averaged down from large ones, as those a model of that size is trained on.
    """
    look, other, prompt = CHANGES[number % len(CHANGES)]
    scale = max(1, 128 // camera.height_px)
    large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=camera.height_m)
    (given, wanted), flow = paired_drives(large, n_frames, number=number, looks=(look, other))
    (colours,), _ = paired_drives(large, _PALETTE_FRAMES, number=number + _OTHER, looks=(other,))
    small = flow[:, ::scale, ::scale] / scale
    return Change(_at(given, camera), _at(wanted, camera), prompt, small, lab_statistics(_frames(_at(colours, camera))))


def read_change(change: Change, restyled: FrameArray, kept: FrameArray, reader: Reader) -> dict[str, dict[str, float]]:
    """Way to name to score of one drive that was drawn anew as ``restyled``; ``kept``, too, is ``(T, H, W, 3)``."""
    true = _frames(change.wanted)
    given = _frames(change.given)
    frames = {
        "restyled": restyled,
        "untouched": given,
        "recoloured": np.stack([recoloured(frame, change.palette) for frame in given]),
        "kept": kept,
        "true": true,
    }
    wanted = change.wanted
    readings = {way: reader.read(frames[way], wanted.t_s, wanted.camera) for way in WAYS}
    return {way: _scores(frames[way], readings[way], true, readings["true"], change) for way in WAYS}


def scores_of(drives: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, Any]:
    """Scores of all drives by name, each with its floor (``true``), the two baselines, and what a tokenizer keeps."""
    scores = {}
    for name in drives[0]["true"]:
        columns = {way: np.array([drive[way][name] for drive in drives], dtype=np.float64) for way in WAYS}
        baselines = {way: columns[way] for way in WAYS[1:-1]}
        scores[name] = score_of(columns["restyled"], columns["true"], baselines)
    return scores


def table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores as text, a row each."""
    lines = [f"{'':24}" + "".join(f"{way:>12}" for way in WAYS) + f"{'x floor':>9}"]
    for name, score in scores.items():
        cells = [score["value"], *(score[way] for way in WAYS[1:-1]), score["floor"]]
        shown = "".join(f"{'-' if cell is None else format(cell, '.3f'):>12}" for cell in cells)
        both = score["value"] is not None and bool(score["floor"]) and np.isfinite(score["floor"])
        lines.append(f"{name:24}{shown}{format(score['value'] / score['floor'], '.2f') if both else '-':>9}")
    return "\n".join(lines)


def _scores(
    frames: FrameArray, readings: Readings, true: FrameArray, true_readings: Readings, change: Change
) -> dict[str, float]:
    wanted = change.wanted
    with np.errstate(divide="ignore"):
        alike = np.minimum(psnr_db(frames, true), 60.0)  # equal frames are infinitely alike
    gap = np.asarray(wanted.info["gap_m"], dtype=np.float64)
    near = np.where(gap < NEAR_M, gap, np.nan)
    read_gap = np.nan_to_num(readings.numbers["gap_m"], nan=0.0)
    lane = readings.numbers["lane_offset_m"] - np.asarray(wanted.info["lane_offset_m"], dtype=np.float64)
    apart = np.linalg.norm(readings.features - true_readings.features, axis=1)
    right = {name: readings.tag_codes(name) == wanted.tags.channel(name) for name in ("weather", "time_of_day")}
    return {
        "psnr_db": _mean(alike),
        "ssim": _mean(ssim(frames, true)),
        "features_apart": _mean(apart),
        "weather_right": _mean(right["weather"]),
        "time_of_day_right": _mean(right["time_of_day"]),
        "look_right": _mean(right["weather"] & right["time_of_day"]),
        "speed_error_mps": _mean(np.abs(readings.motion.speed_mps - wanted.motion.speed_mps)),
        "yaw_error_radps": _mean(np.abs(readings.motion.yaw_rate_radps - wanted.motion.yaw_rate_radps)),
        "lane_error_m": _mean(np.abs(lane)),
        "gap_error": _mean(np.abs(read_gap - near) / np.maximum(near, _LEAST_GAP_M)),
        "flicker": _mean(flicker(frames, change.flow_px)),
    }


def wanted_tags(change: Change, said: Tags) -> Tags:
    """Tags ``(T,)`` a world is told: what a prompt says ``()``, else what holds in the given drive."""
    return Tags(np.where(said.codes > 0, said.codes, change.given.tags.codes), said.caption)


def said_right(change: Change, said: Tags) -> bool:
    """Whether a prompt's tags ``()``, and what stays where it says nothing, are the weather and time of day wanted."""
    channels = [list(VOCABULARY).index(name) for name in ("weather", "time_of_day")]
    return bool((wanted_tags(change, said).codes[0, channels] == change.wanted.tags.codes[0, channels]).all())


def _at(drive: Drive, camera: Camera) -> Drive:
    frames = _frames(drive)
    clip = Clip(frames, drive.t_s, drive.motion, drive.tags, drive.camera, np.ones(frames.shape[1:3], bool))
    small = resized(clip, camera)
    return dataclasses.replace(drive, frames=list(small.frames), camera=small.camera)


def _frames(drive: Drive) -> FrameArray:
    return np.stack([np.asarray(frame) for frame in drive.frames])


def _mean(values: Any) -> float:
    values = np.asarray(values, dtype=np.float64)
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
