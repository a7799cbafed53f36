"""A true drive and what a world makes of its beginning and its motion, both read: the raw material of every score.

The world is given the first seconds of a held-out drive as its context and then the motion of the rest, and nothing
else. The same instruments read the true frames (the floor), the tokenizer's reconstructions of them, and the world's
own. What they say is kept as columns, so that scores can be made again without driving. Knows worlds and perception,
nothing of what makes a drive good.

Shapes: T frames from the newest of the context on; F features.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.metrics.image import colour_statistics, contrast, psnr_db, sharpness
from worldmodel.perception.lanes import fit_lanes
from worldmodel.perception.reader import Reader
from worldmodel.types import Camera, Clip, Drive, EgoMotion, FloatArray, FrameArray, World

#: Who is read.
SIDES = ("generated", "true", "reconstructed")
#: Statistics of a frame's looks.
LOOKS = ("sharpness", "contrast", "red", "green", "blue")
_STRETCH = 64


@dataclasses.dataclass(frozen=True)
class Pair:
    """One pair as it was read.

    Attributes:
        t_s: ``(T,)`` from 0.
        told: ``(T,)`` motion from each frame to the next; the last row is unknown.
        read: by side, ``(T,)`` motion as the judge reads it.
        columns: by side, named ``(T,)`` columns: ``LOOKS``, ``lanes`` (1 where markings were fitted) and ``gap_m``.
        features: by side, ``(T, F)`` of the judge.
        psnr_db: ``(T,)`` to the true frame, of the sides that are not it, of ``held`` (the newest of the context), and
            of the generated one half a drive away (``shuffled``).
        surprise: the model's denoising error on the beginning, by what was done to it; empty where no model was asked.
        boxes: by side, ``(T, K, 6)`` other road users as the judge finds them: left, top, right, bottom in pixels,
            score and distance in metres; NaN after the last. Empty where the judge finds none.
        size_px: height and width of the frames.
    """

    t_s: FloatArray
    told: EgoMotion
    read: Mapping[str, EgoMotion]
    columns: Mapping[str, Mapping[str, FloatArray]]
    features: Mapping[str, FloatArray]
    psnr_db: Mapping[str, FloatArray]
    surprise: Mapping[str, float] = dataclasses.field(default_factory=dict)
    boxes: Mapping[str, FloatArray] = dataclasses.field(default_factory=dict)
    size_px: tuple[int, int] = (0, 0)

    def save(self, path: Path) -> None:
        """Write under a temporary name first."""
        arrays: dict[str, NDArray] = {"t_s": self.t_s, "told": _stacked(self.told), "size_px": np.array(self.size_px)}
        for side in SIDES:
            arrays[f"read/{side}"] = _stacked(self.read[side])
            arrays[f"features/{side}"] = self.features[side].astype(np.float32)
            arrays |= {f"columns/{side}/{name}": column for name, column in self.columns[side].items()}
        arrays |= {f"psnr_db/{name}": column for name, column in self.psnr_db.items()}
        arrays |= {f"surprise/{name}": np.array(value) for name, value in self.surprise.items()}
        arrays |= {f"boxes/{side}": boxes.astype(np.float32) for side, boxes in self.boxes.items()}
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
            return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}

        return cls(
            arrays["t_s"],
            EgoMotion(*arrays["told"]),
            {side: EgoMotion(*motion) for side, motion in under("read/").items()},
            {side: under(f"columns/{side}/") for side in SIDES},
            under("features/"),
            under("psnr_db/"),
            {name: float(value) for name, value in under("surprise/").items()},
            {side: boxes.astype(np.float64) for side, boxes in under("boxes/").items()},
            (int(arrays["size_px"][0]), int(arrays["size_px"][1])),
        )


def go_on(
    world: World, true: Drive, context: int, *, seed: int, progress: Callable[[], object] = lambda: None
) -> FrameArray:
    """Frames ``(T, H, W, 3)`` a world makes of a true drive from the newest of ``context`` frames on, told its motion.

    Raises:
        ValueError: unknown motion after the context.
    """
    count = len(true)
    after = true.motion[context - 1 : count - 1]
    if not after.is_known.all():
        raise ValueError("the motion of a drive to be continued is unknown after its context")
    frames = np.stack([np.asarray(true.frames[t]) for t in range(context)])
    height, width = frames.shape[1:3]
    clip = Clip(
        frames, true.t_s[:context], true.motion[: context - 1].of_frames(), true.tags[:context], true.camera,
        np.ones((height, width), bool),
    )  # fmt: skip
    made = [world.start(clip, seed=seed)[0]]
    for t in range(len(after.speed_mps)):
        drawn = world.step(EgoMotion(after.speed_mps[t : t + 1], after.yaw_rate_radps[t : t + 1]))
        assert drawn is not None
        made.append(drawn[0])
        progress()
    return np.stack(made)


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
    held = np.repeat(true.frames[:1], len(t_s), axis=0)
    away = np.roll(generated.frames, len(t_s) // 2, axis=0)
    others = {
        "generated": generated.frames, "reconstructed": reconstructed.frames, "held": held, "shuffled": away,
    }  # fmt: skip
    return Pair(
        t_s=t_s,
        told=told,
        read={name: side.motion for name, side in sides.items()},
        columns={name: side.columns for name, side in sides.items()},
        features={name: side.features for name, side in sides.items()},
        psnr_db={name: psnr_db(frames, true.frames) for name, frames in others.items()},
        boxes={name: side.boxes for name, side in sides.items() if side.boxes is not None},
        size_px=(true.frames.shape[1], true.frames.shape[2]),
    )


def read_pair(
    generated: FrameArray, true: Drive, context: int, reconstruct: Callable[[FrameArray], FrameArray], reader: Reader
) -> Pair:
    """Read all sides of frames ``(T, H, W, 3)`` that ``go_on`` made of a true drive."""
    rows = slice(context - 1, len(true))
    real = np.stack([np.asarray(true.frames[t]) for t in range(context - 1, len(true))])
    rebuilt = np.concatenate([reconstruct(real[i : i + _STRETCH]) for i in range(0, len(real), _STRETCH)])
    t_s = true.t_s[rows] - true.t_s[context - 1]
    sides = (read_side(frames, t_s, true.camera, reader) for frames in (generated, real, rebuilt))
    return paired(t_s, true.motion[rows], *sides)


def _looks(frames: FrameArray, camera: Camera) -> dict[str, FloatArray]:
    mean = colour_statistics(frames).mean
    looks = (sharpness(frames), contrast(frames), mean[:, 0], mean[:, 1], mean[:, 2])
    return dict(zip(LOOKS, looks)) | {"lanes": fit_lanes(frames, camera).fitted.astype(np.float64)}


def _stacked(motion: EgoMotion) -> FloatArray:
    return np.stack([motion.speed_mps, motion.yaw_rate_radps])
