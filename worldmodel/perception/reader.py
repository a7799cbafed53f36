"""Trained perception at work: frames in, what they show out, each number with its uncertainty.

Two sets of weights come with the package, from other seeds, widths and drives: ``driver``, by which policies see, and
``judge``, which scores. Knows nothing of worlds; of a drive it is given the pixels, their times and the camera alone.

Shapes: T frames of one stretch; K choices of a tag; F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.nn.component import BUNDLED_DIR, config_from, load_component, save_component
from worldmodel.perception.boxes import Found, find_boxes
from worldmodel.perception.gaps import BoxReadings, Way, best_gap, read_boxes
from worldmodel.perception.network import (
    CALIBRATED,
    FLAGS,
    MOTION,
    NUMBERS,
    TAGS,
    Look,
    Perceiver,
    Percept,
    PerceptionConfig,
)
from worldmodel.types import Camera, EgoMotion, FloatArray, FrameArray

FILE = "perception.safetensors"
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Readings:
    """What T frames show; ``(T,)`` each, NaN where it cannot be told.

    Attributes:
        motion: from frame t to t + 1; the last row is NaN. motion_scale: of its error.
        numbers: by name of ``network.NUMBERS``, but ``gap_m`` for the logarithm: bumper to bumper to whoever is
            ahead, NaN where nobody is. What needs a frame before (``closing_speed_mps``) is NaN in the first row.
        scales: of their errors (Laplace: half of all errors are below 0.69 of it); that of ``gap_m`` is relative.
        flags: probability of ``off_road``, ``collision`` and ``has_gap``.
        tags: ``(T, K)`` probability of each word of ``types.VOCABULARY``; "unknown" has none.
        features: ``(T, F)`` for comparing frames.
        boxes: of other road users, or ``None`` where the weights find none.

    Where there are boxes, ``gap_m`` is the best of two: what the network says of the gap, and that to the nearest box
    in the ego's way (``gaps.best_gap``).
    """

    motion: EgoMotion
    motion_scale: EgoMotion
    numbers: Mapping[str, FloatArray]
    scales: Mapping[str, FloatArray]
    flags: Mapping[str, FloatArray]
    tags: Mapping[str, FloatArray]
    features: FloatArray
    boxes: BoxReadings | None = None

    def tag_codes(self, name: str, *, frames: int = 1) -> NDArray[np.int64]:
        """The likeliest code ``(T,)`` of a tag channel, by the mean log-probability of the last ``frames`` frames.

        One picture says little of how dense traffic is; a few seconds say more.
        """
        log_p = np.log(np.maximum(self.tags[name], 1e-9))
        total = np.concatenate([np.zeros((1, log_p.shape[1])), np.cumsum(log_p, axis=0)])
        now = np.arange(1, len(log_p) + 1)
        return (total[now] - total[np.maximum(now - frames, 0)]).argmax(axis=1)


def save_perceiver(network: Perceiver, directory: str | Path, training: Mapping[str, Any]) -> Path:
    """Write ``perception.safetensors``; ``training`` says where it comes from."""
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    save_component(network, path, {"config": dataclasses.asdict(network.config), "training": dict(training)})
    return path


def load_perceiver(name_or_path: str | Path) -> Perceiver:
    """The perception of a directory or of a bundled name (``driver``, ``judge``).

    Raises:
        ValueError: nothing of that name, or a damaged file.
    """
    directory = Path(name_or_path)
    if not (directory / FILE).is_file():
        directory = BUNDLED_DIR / str(name_or_path)
    if not (directory / FILE).is_file():
        names = sorted(path.parent.name for path in BUNDLED_DIR.glob(f"*/{FILE}"))
        raise ValueError(
            f"perception {str(name_or_path)!r}: no directory with {FILE} and no bundled one of that name "
            f"(bundled: {', '.join(names) or 'none'})"
        )
    tensors, about = load_component(directory / FILE)
    network = Perceiver(config_from(PerceptionConfig, about["config"]))
    # Weights from before boxes calibrate fewer numbers.
    missing = len(CALIBRATED) - len(tensors["calibration"])
    tensors["calibration"] = torch.cat([tensors["calibration"], torch.ones(missing)])
    network.load_state_dict(tensors)
    # Channels last: the convolutions take a third less time on a CPU.
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network.eval().requires_grad_(False)


class Reader:
    """Reads stretches of frames with a trained perceiver."""

    def __init__(self, network: Perceiver) -> None:
        self.network = network.eval()

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path) -> Reader:
        """As ``load_perceiver``."""
        return cls(load_perceiver(name_or_path))

    @torch.no_grad()
    def read(self, frames: FrameArray | Sequence[FrameArray], t_s: FloatArray, camera: Camera) -> Readings:
        """Read frames ``(T, H, W, 3)`` uint8 of one uninterrupted stretch, a batch at a time.

        Args:
            frames: an array or a sequence that reads lazily.
            t_s: ``(T,)`` seconds.
            camera: canonical; where its height is unknown, so is speed.

        Raises:
            ValueError: no frame, frames that are not of the camera's size, or times that do not increase.
        """
        count, size = len(frames), (camera.height_px, camera.width_px, 3)
        if count == 0 or np.shape(t_s) != (count,):
            raise ValueError(f"t_s: expected the times of {count} frames, at least one, got shape {np.shape(t_s)}")
        if count > 1 and not (np.diff(t_s) > 0).all():
            raise ValueError(f"t_s: expected increasing times, got a step of {float(np.diff(t_s).min())}")
        percepts, found, last, past = [], [], None, torch.zeros(0)
        for start in range(0, count, _BATCH):
            stack = np.stack([np.asarray(frames[i]) for i in range(start, min(start + _BATCH, count))])
            if stack.shape[1:] != size or stack.dtype != np.uint8:
                raise ValueError(f"frames: expected uint8 of shape {size}, got {stack.dtype} {stack.shape[1:]}")
            x = torch.from_numpy(stack).to(self.network.calibration.device).movedim(-1, 1).float() / 127.5 - 1
            x = self.network.sized(x).contiguous(memory_format=torch.channels_last)
            look = self.network.look(x)
            # Each frame beside those before it; the first of all beside itself, which tells of no motion.
            before = Look(*(torch.cat([now[:1] if last is None else last[i], now[:-1]]) for i, now in enumerate(look)))
            past = look.features if last is None else torch.cat([past, look.features])
            rows = torch.arange(start, start + len(stack))
            back = [past[(rows - n).clamp(min=0)] for n in range(2, self.network.config.context)]
            earlier = torch.stack(back, dim=1) if back else None
            percept = self.network(before, look, earlier)
            if self.network.config.boxes:
                found.append(find_boxes(percept.boxes))
            # The maps of a long drive are not to be kept.
            percepts.append(dataclasses.replace(percept, boxes=percept.boxes[:, :0]))
            last = [part[-1:] for part in look]
        readings = _readings(percepts, t_s, camera)
        return self._with_boxes(readings, found, camera) if found else readings

    def _with_boxes(self, readings: Readings, found: list[Found], camera: Camera) -> Readings:
        config, factor = self.network.config, float(self.network.calibration[CALIBRATED.index("distance")])
        edges, score, distance_m, scale = (_column(list(parts)) for parts in zip(*found))
        larger = np.tile([camera.width_px / config.width_px, camera.height_px / config.height_px], 2)
        numbers, scales = readings.numbers, readings.scales
        names = ("heading_error_rad", "curvature_ahead_1pm")
        way = Way(*(numbers[name] for name in names), *(scales[name] for name in names))
        boxes = read_boxes(edges * larger, score, distance_m, scale * factor, way, camera)
        gap_m, gap_scale = best_gap(numbers["gap_m"], scales["gap_m"], boxes)
        return dataclasses.replace(
            readings, numbers={**numbers, "gap_m": gap_m}, scales={**scales, "gap_m": gap_scale}, boxes=boxes
        )


def _readings(percepts: list[Percept], t_s: FloatArray, camera: Camera) -> Readings:
    mean = {name: _column([p.mean[name] for p in percepts]) for name in (*NUMBERS, *MOTION)}
    scale = {name: _column([p.scale[name] for p in percepts]) for name in (*NUMBERS, *MOTION)}
    logits = {name: _column([p.logits[name] for p in percepts]) for name in (*FLAGS, *TAGS)}
    dt_s = np.diff(t_s)

    def step(column: FloatArray, factor: float = 1.0) -> FloatArray:
        # Read at the frame a step leads to; told at the one it leads from.
        return np.append(column[1:] * factor / dt_s, np.nan)

    flags = {name: 1 / (1 + np.exp(-logits[name])) for name in FLAGS}
    numbers = {name: mean[name] for name in NUMBERS if name != "log_gap"}
    numbers["gap_m"] = np.where(flags["has_gap"] > 0.5, np.exp(mean["log_gap"]), np.nan)
    numbers["closing_speed_mps"] = np.where(np.isfinite(numbers["gap_m"]), mean["closing_speed_mps"], np.nan)
    numbers["closing_speed_mps"][0] = np.nan
    scales = {name: scale[name] for name in NUMBERS if name != "log_gap"} | {"gap_m": scale["log_gap"]}
    tags = {}
    for name in TAGS:
        likely = np.exp(logits[name] - logits[name].max(axis=1, keepdims=True))
        likely[:, 0] = 0  # "unknown" is no sight
        tags[name] = likely / likely.sum(axis=1, keepdims=True)
    return Readings(
        EgoMotion(step(mean["chord_heights"], camera.height_m), step(mean["turn_rad"])),
        EgoMotion(step(scale["chord_heights"], camera.height_m), step(scale["turn_rad"])),
        numbers,
        scales,
        flags,
        tags,
        _column([p.features for p in percepts]),
    )


def _column(parts: list[torch.Tensor]) -> FloatArray:
    return torch.cat(parts).double().cpu().numpy()
