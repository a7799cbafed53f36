"""A true drive and what a world makes of its beginning and its motion, both read: the raw material of every score.

The world is given the first seconds of a held-out drive as its context and then the motion of the rest, and nothing
else. The same instruments read the true frames (the floor), the tokenizer's reconstructions of them, and the world's
own. What they say is kept as columns, so that scores can be made again without driving. Knows perception and pictures,
nothing of worlds or of what makes a drive good.

Shapes: T frames from the newest of the context on; F features; K times that likeness is asked at; P steps of a probe;
N samples of one drive.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.image import (
    colour_statistics,
    contrast,
    masked_error,
    moving_mask,
    psnr_db,
    sharpness,
    ssim,
)
from worldmodel.perception.lanes import fit_lanes
from worldmodel.perception.reader import Reader
from worldmodel.types import Camera, EgoMotion, FloatArray, FrameArray

#: Who is read.
SIDES = ("generated", "true", "reconstructed")
#: Statistics of a frame's looks.
LOOKS = ("sharpness", "contrast", "red", "green", "blue")
#: Likeness to the true continuation is asked at these times.
AT_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
#: How alike two frames are.
MEASURES = ("psnr_db", "ssim", "moving_error")


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair as it was read.

    Attributes:
        t_s: ``(T,)`` from 0.
        told: ``(T,)`` motion from each frame to the next; the last row is unknown.
        read: by side, ``(T,)`` motion as the judge reads it.
        columns: by side, named ``(T,)`` columns: ``LOOKS``, ``lanes`` (1 where markings were fitted) and ``gap_m``.
        features: by side, ``(T, F)`` of the judge.
        alike: by measure of ``MEASURES`` and by who, ``(K,)`` to the true frame at ``AT_S``, NaN beyond the end of the
            drive: of the sides that are not it, of ``held`` (the newest of the context), and of the generated one half
            a drive away (``shuffled``). ``moving_error`` is in grey levels, where the true frame changes.
        surprise: by what was done to the beginning, ``(S,)`` the model's denoising error frame by frame; empty where no
            model was asked.
        probes: by name, motion ``(P,)``: ``told``, and as the judge reads it what was ``made`` and the ``true`` world.
        samples: by measure ``(N, K)`` as ``alike`` for each sample of one seed, and ``features (N, K, F)``.
        boxes: by side, ``(T, K, 6)`` other road users as the judge finds them: left, top, right, bottom in pixels,
            score and distance in metres; NaN after the last. Empty where the judge finds none.
        size_px: height and width of the frames.
        kept: named arrays of other instruments.
    """

    t_s: FloatArray
    told: EgoMotion
    read: Mapping[str, EgoMotion]
    columns: Mapping[str, Mapping[str, FloatArray]]
    features: Mapping[str, FloatArray]
    alike: Mapping[str, Mapping[str, FloatArray]]
    surprise: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)
    probes: Mapping[str, Mapping[str, EgoMotion]] = dataclasses.field(default_factory=dict)
    samples: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)
    boxes: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)
    size_px: tuple[int, int] = (0, 0)
    kept: Mapping[str, NDArray[Any]] = dataclasses.field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write under a temporary name first."""
        arrays: dict[str, NDArray] = {}
        for field in dataclasses.fields(self):
            arrays |= _flat(field.name, getattr(self, field.name))
        arrays |= {
            name: a.astype(np.float32) for name, a in arrays.items() if {"features", "boxes"} & set(name.split("/"))
        }
        temporary = path.with_name(f".{path.name}.partial")
        with open(temporary, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Pair:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}

        def under(prefix: str) -> dict[str, NDArray]:
            prefix += "/"
            return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}

        def nested(prefix: str) -> dict[str, dict[str, NDArray]]:
            groups: dict[str, dict[str, NDArray]] = {}
            for name, array in under(prefix).items():
                group, own = name.split("/", 1)
                groups.setdefault(group, {})[own] = array
            return groups

        probes = nested("probes").items()
        return cls(
            t_s=arrays["t_s"],
            told=EgoMotion(*arrays["told"]),
            read={side: EgoMotion(*motion) for side, motion in under("read").items()},
            columns=nested("columns"),
            features=under("features"),
            alike=nested("alike"),
            surprise=under("surprise"),
            probes={name: {who: EgoMotion(*m) for who, m in probe.items()} for name, probe in probes},
            samples=under("samples"),
            boxes={side: boxes.astype(np.float64) for side, boxes in under("boxes").items()},
            size_px=(int(arrays["size_px"][0]), int(arrays["size_px"][1])),
            kept=under("kept"),
        )


@dataclasses.dataclass(frozen=True)
class Side:
    """Frames ``(T, H, W, 3)`` and what was read of them: motion ``(T,)``, columns ``(T,)``, features ``(T, F)``, and
    boxes ``(T, K, 6)`` as in ``Pair``, or ``None``.
    """

    frames: FrameArray
    motion: EgoMotion
    columns: Mapping[str, FloatArray]
    features: FloatArray
    boxes: FloatArray | None = None


def read_side(frames: FrameArray, t_s: FloatArray, camera: Camera, reader: Reader) -> Side:
    """Read frames by the judge and by what statistics say."""
    readings = reader.read(frames, t_s, camera)
    columns = _looks(frames, camera) | {"gap_m": readings.numbers["gap_m"]}
    found, boxes = readings.boxes, None
    if found is not None:
        boxes = np.concatenate([found.edges_px, found.score[..., None], found.distance_m[..., None]], axis=-1)
    return Side(frames, readings.motion, columns, readings.features, boxes)


def paired(t_s: FloatArray, told: EgoMotion, generated: Side, true: Side, reconstructed: Side) -> Pair:
    """Sides of one drive as a ``Pair``; ``t_s`` and ``told`` ``(T,)`` as there."""
    sides = dict(zip(SIDES, (generated, true, reconstructed)))
    at = frames_at(t_s)
    half = len(t_s) // 2
    others = {
        "generated": [generated.frames[i] for i in at],
        "reconstructed": [reconstructed.frames[i] for i in at],
        "held": [true.frames[0] for _ in at],
        "shuffled": [generated.frames[i - half] for i in at],
    }
    likenesses = {who: alike_at(t_s, frames, true.frames) for who, frames in others.items()}
    return Pair(
        t_s=t_s,
        told=told,
        read={name: side.motion for name, side in sides.items()},
        columns={name: side.columns for name, side in sides.items()},
        features={name: side.features for name, side in sides.items()},
        alike={measure: {who: found[measure] for who, found in likenesses.items()} for measure in MEASURES},
        boxes={name: side.boxes for name, side in sides.items() if side.boxes is not None},
        size_px=(true.frames.shape[1], true.frames.shape[2]),
    )


def frames_at(t_s: FloatArray) -> list[int]:
    """Index of the frame at each of ``AT_S`` that a drive ``(T,)`` reaches; never that of the first frame."""
    half_step = float(np.median(np.diff(t_s))) / 2
    return [max(1, int(np.abs(t_s - t_s[0] - at).argmin())) for at in AT_S if t_s[-1] - t_s[0] > at - half_step]


def alike_at(t_s: FloatArray, frames: list[FrameArray], true: FrameArray) -> dict[str, FloatArray]:
    """By measure, ``(K,)`` how alike some frames are to true ones ``(T, H, W, 3)``; one at each of ``frames_at``."""
    found = {measure: np.full(len(AT_S), np.nan) for measure in MEASURES}
    for k, (i, frame) in enumerate(zip(frames_at(t_s), frames)):
        found["psnr_db"][k] = psnr_db(frame, true[i])
        found["ssim"][k] = ssim(frame, true[i])
        found["moving_error"][k] = masked_error(frame, true[i], moving_mask(true[i], true[i - 1]))
    return found


def _looks(frames: FrameArray, camera: Camera) -> dict[str, FloatArray]:
    mean = colour_statistics(frames).mean
    looks = (sharpness(frames), contrast(frames), mean[:, 0], mean[:, 1], mean[:, 2])
    return dict(zip(LOOKS, looks)) | {"lanes": fit_lanes(frames, camera).fitted.astype(np.float64)}


def _flat(name: str, value: Any) -> dict[str, NDArray]:
    """Arrays and motions of nested mappings under one name each, ``outer/inner``."""
    if isinstance(value, Mapping):
        return {key: a for part, inner in value.items() for key, a in _flat(f"{name}/{part}", inner).items()}
    if isinstance(value, EgoMotion):
        return {name: np.stack([value.speed_mps, value.yaw_rate_radps])}
    return {name: np.asarray(value)}
