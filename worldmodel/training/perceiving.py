"""Training of the network that reads drives back from their pixels: what it is shown, its loss, its calibration.

It learns from true frames alone. What a stretch does not know (a real recording knows no lane offset) teaches nothing.
Legend: B clips, T frames of a clip, H W pixels, K candidates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.dynamics.conditioning import motion_channels
from worldmodel.perception.matching import two_hot
from worldmodel.perception.network import FLAGS, GAP_LIMIT_M, MOTION, NUMBERS, TAGS, Perceiver, Percept
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.resident import ResidentWindows
from worldmodel.training.stages import Stage, as_tensors
from worldmodel.types import VOCABULARY

#: Frames of a clip: two steps, so that each look at a frame serves twice.
LENGTH = 3
#: Columns of truth that a stretch may have.
_COLUMNS = (
    "lane_offset_m", "heading_error_rad", "curvature_ahead_1pm", "gap_m", "closing_speed_mps", "off_road", "collision",
)  # fmt: skip
#: A gap is taught below the limit, its absence above this: in between it is a matter of a few pixels.
_SURELY_FAR_M = 1.5 * GAP_LIMIT_M


class Clips(NamedTuple):
    """A batch of short clips and what is true of them.

    Attributes:
        frames: ``(B, T, H, W, 3)`` uint8.
        motion: ``(B, T, 4)`` motion channels of the step *from* each frame.
        truth: ``(B, T, 7)`` the columns, NaN where not known.
        has_truth: ``(B,)`` whether there are columns at all: then a NaN gap means that nobody is ahead.
        tags: ``(B, T, K)`` codes.
    """

    frames: NDArray[np.uint8]
    motion: NDArray[np.float32]
    truth: NDArray[np.float32]
    has_truth: NDArray[np.bool_]
    tags: NDArray[np.int64]


class ClipsWithTruth:
    """Batch k of clips as a pure function of (seed, k)."""

    def __init__(self, windows: ClipWindows | ResidentWindows) -> None:
        self._windows = windows
        self._tables: dict[int, NDArray[np.float32]] = {}

    def __call__(self, k: int) -> Clips:
        """Batch k."""
        return self.gather(self._windows.draw(k))

    def gather(self, places: Sequence[tuple[int, int]]) -> Clips:
        """The windows at the given (stretch, first frame)."""
        batch = self._windows.gather(places)
        speed, yaw_rate = (torch.from_numpy(batch.motion[..., i]) for i in range(2))
        height = torch.from_numpy(batch.camera_height_m)[:, None]
        motion = motion_channels(speed, yaw_rate, torch.from_numpy(batch.dt_s), height).numpy()
        truth = np.stack([self._table(stretch)[first : first + self._windows.length] for stretch, first in places])
        has = np.array([bool(_truth_of(self._windows.stretches[stretch])) for stretch, _ in places])
        return Clips(batch.frames, motion, truth, has, batch.tags)

    def _table(self, index: int) -> NDArray[np.float32]:
        if index not in self._tables:
            stretch = self._windows.stretches[index]
            known, nothing = _truth_of(stretch), np.full(stretch.length, np.nan)
            self._tables[index] = np.stack([known.get(name, nothing) for name in _COLUMNS], axis=1).astype(np.float32)
        return self._tables[index]


def _truth_of(stretch: Any) -> dict[str, NDArray]:
    return dict(stretch.truth) if isinstance(stretch, MemoryEpisode) else {}


@dataclasses.dataclass(frozen=True)
class Target:
    """What is true of B pairs, NaN where not known: by name of ``MOTION``, ``NUMBERS`` and ``FLAGS``; codes of tags."""

    motion: dict[str, Tensor]
    numbers: dict[str, Tensor]
    flags: dict[str, Tensor]
    tags: dict[str, Tensor]


def target_of(clips: Any, row: int) -> Target:
    """The truth of frame ``row`` of each clip and of the step that led to it; ``clips`` as tensors."""
    displacement, turn, _, height = clips.motion[:, row - 1].unbind(-1)
    column = dict(zip(_COLUMNS, clips.truth[:, row].unbind(-1)))
    gap, closing = column.pop("gap_m"), column.pop("closing_speed_mps")
    near = gap < GAP_LIMIT_M
    nobody = clips.has_truth & ~(gap <= _SURELY_FAR_M)
    unknown = torch.full_like(gap, torch.nan)
    has_gap = torch.where(near, 1.0, torch.where(nobody, 0.0, unknown))
    numbers = {name: column[name] for name in NUMBERS if name in column}
    numbers["log_gap"] = torch.where(near, torch.log(gap.clamp(min=0.5)), unknown)
    numbers["closing_speed_mps"] = torch.where(near, closing, unknown)
    flags = {"off_road": column["off_road"], "collision": column["collision"], "has_gap": has_gap}
    channels = list(VOCABULARY)
    tags = {name: clips.tags[:, row, channels.index(name)] for name in TAGS}
    return Target({"chord_heights": displacement / height, "turn_rad": turn}, numbers, flags, tags)


def changed(x_BTCHW: Tensor, generator: torch.Generator, *, half_share: float = 0.35) -> Tensor:
    """The same clips in another light, with noise, and some seen at half the size: what a reader must see through."""
    batch, frames = x_BTCHW.shape[:2]

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator).to(x_BTCHW.device) * 2 - 1

    gain = 1 + 0.2 * draw(batch, 1, 1, 1, 1) + 0.06 * draw(batch, 1, 3, 1, 1)
    x = x_BTCHW * gain + 0.2 * draw(batch, 1, 1, 1, 1)
    small = torch.rand(batch, generator=generator).to(x.device) < half_share
    if small.any():
        flat = x[small].flatten(0, 1)
        half = F.interpolate(flat, scale_factor=0.5, mode="area")
        x[small] = F.interpolate(half, flat.shape[-2:], mode="bilinear").unflatten(0, (-1, frames))
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return (x + 0.05 * (0.5 + 0.5 * draw(batch, 1, 1, 1, 1)) * noise).clamp(-1, 1)


def perception_loss(network: Perceiver, percept: Percept, target: Target) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss of what is known, and its parts.

    Motion: cross-entropy with the two candidates around the truth (two-hot; Imani and White, arXiv 1806.04613).
    Numbers: Laplace likelihood, weighted by the square root of its scale, so that what is hard is learned too
    (Seitzer et al., arXiv 2203.09168). Flags and tags: cross-entropy.
    """
    parts: dict[str, Tensor] = {}
    candidates = {"chord_heights": network.matching.chords_K, "turn_rad": network.matching.turns_K}
    for name in MOTION:
        known = torch.isfinite(target.motion[name])
        weights = two_hot(torch.nan_to_num(target.motion[name]), candidates[name])
        parts[name] = _mean(-(weights * percept.logits[name].log_softmax(dim=1)).sum(dim=1), known)
    for name, unit in NUMBERS.items():
        known = torch.isfinite(target.numbers[name])
        error = (torch.nan_to_num(target.numbers[name]) - percept.mean[name]).abs() / unit
        scale = percept.scale[name] / unit
        parts[name] = _mean((error / scale + scale.log()) * scale.detach().sqrt(), known)
    for name in FLAGS:
        known = torch.isfinite(target.flags[name])
        wanted = torch.nan_to_num(target.flags[name])
        parts[name] = _mean(F.binary_cross_entropy_with_logits(percept.logits[name], wanted, reduction="none"), known)
    for name in TAGS:
        parts[name] = _mean(
            F.cross_entropy(percept.logits[name], target.tags[name], reduction="none"), target.tags[name] > 0
        )
    return torch.stack(list(parts.values())).sum(), parts


def _mean(loss_B: Tensor, known_B: Tensor) -> Tensor:
    return (loss_B * known_B).sum() / known_B.sum().clamp(min=1)


class PerceptionStage(Stage):
    """Clips of true frames → how well they are read."""

    name = "perception"
    network: Perceiver

    def __init__(self, config: TrainConfig, network: Perceiver) -> None:
        super().__init__(config, config.perception_stage)
        # Channels last: a third faster on a CPU, most of all in bf16.
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of ``Clips``."""
        x_BTCHW = changed(to_network(batch.frames), self.generator())
        frames = x_BTCHW.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        looks = [part.unflatten(0, x_BTCHW.shape[:2]) for part in self.network.look(frames)]
        losses = []
        for row in range(1, LENGTH):
            before, after = (tuple(part[:, at] for part in looks) for at in (row - 1, row))
            loss, parts = perception_loss(self.network, self.network(before, after), target_of(batch, row))
            losses.append(loss)
        for name, part in parts.items():  # of the last frame
            self.log(name, part)
        loss = torch.stack(losses).mean()
        self.log("loss", loss, prog_bar=True)
        self.log_speed(len(batch.frames) * LENGTH, 0.0)
        return loss


@torch.no_grad()
def calibrate(network: Perceiver, clips: ClipsWithTruth, *, batches: int = 40) -> None:
    """Set what the network multiplies its scales by, on drives it never saw: the likeliest factor of a Laplace."""
    network.eval().calibration.fill_(1.0)
    ratios: dict[str, list[Tensor]] = {name: [] for name in (*NUMBERS, *MOTION)}
    for k in range(batches):
        batch: Any = as_tensors(clips(k))
        looks = [network.look(to_network(batch.frames[:, at])) for at in (0, 1)]
        percept, target = network(*looks), target_of(batch, 1)
        for name, truth in (target.numbers | target.motion).items():
            ratio = (truth - percept.mean[name]).abs() / percept.scale[name]
            ratios[name].append(ratio[torch.isfinite(ratio)])
    for i, found in enumerate(ratios.values()):
        everything = torch.cat(found)
        if len(everything):
            network.calibration[i] = everything.mean()


def new_perceiver(config: TrainConfig) -> Perceiver:
    """An untrained network of the configured shape."""
    torch.manual_seed(config.seed)
    return Perceiver(config.perception)
