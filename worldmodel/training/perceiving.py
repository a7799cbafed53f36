"""Training of the network that reads drives back from their pixels: what it is shown, its loss, its calibration.

It learns from true frames alone. What a stretch does not know (a real recording knows no lane offset) teaches nothing.
Legend: B clips, T frames of a clip, H W pixels, K candidates or boxes.
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
from worldmodel.geometry.road import POINTS
from worldmodel.perception.boxes import LOG_DISTANCE, LOG_SCALE, STRIDE
from worldmodel.perception.matching import two_hot
from worldmodel.perception.network import (
    CALIBRATED,
    FLAGS,
    GAP_LIMIT_M,
    MOTION,
    NUMBERS,
    TAGS,
    Look,
    Perceiver,
    Percept,
    PerceptionConfig,
)
from worldmodel.reference.boxes import COLUMNS as BOX_COLUMNS
from worldmodel.reference.boxes import MOST
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.boxes import BoxTarget, box_losses, box_target
from worldmodel.training.config import TrainConfig
from worldmodel.training.resident import ResidentWindows
from worldmodel.training.stages import Stage, as_tensors
from worldmodel.types import VOCABULARY

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
        boxes: ``(B, T, K, F)`` of road users, as ``reference.boxes.COLUMNS``, in pixels of the frames; else NaN.
        has_boxes: ``(B,)`` whether boxes are known at all: then a NaN box is none.
    """

    frames: NDArray[np.uint8]
    motion: NDArray[np.float32]
    truth: NDArray[np.float32]
    has_truth: NDArray[np.bool_]
    tags: NDArray[np.int64]
    boxes: NDArray[np.float32]
    has_boxes: NDArray[np.bool_]


def clip_length(config: PerceptionConfig) -> int:
    """Frames of a clip: two are read, so that each look at a frame serves more than once."""
    return config.context + 1


class ClipsWithTruth:
    """Batch k of clips as a pure function of (seed, k)."""

    def __init__(self, windows: ClipWindows | ResidentWindows) -> None:
        self._windows = windows
        self._tables: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def __call__(self, k: int) -> Clips:
        """Batch k."""
        return self.gather(self._windows.draw(k))

    def gather(self, places: Sequence[tuple[int, int]]) -> Clips:
        """The windows at the given (stretch, first frame)."""
        batch = self._windows.gather(places)
        speed, yaw_rate = (torch.from_numpy(batch.motion[..., i]) for i in range(2))
        height = torch.from_numpy(batch.camera_height_m)[:, None]
        motion = motion_channels(speed, yaw_rate, torch.from_numpy(batch.dt_s), height).numpy()
        cuts = [(self._table(stretch), slice(first, first + self._windows.length)) for stretch, first in places]
        truth, boxes = (np.stack([tables[i][cut] for tables, cut in cuts]) for i in (0, 1))
        known = [_truth_of(self._windows.stretches[stretch]) for stretch, _ in places]
        has_truth, has_boxes = np.array([bool(k) for k in known]), np.array(["boxes" in k for k in known])
        return Clips(batch.frames, motion, truth, has_truth, batch.tags, boxes, has_boxes)

    def boxes_at(self, places: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Boxes ``(B, T, K, F)`` of the windows at the given (stretch, first frame), NaN where none is known."""
        length = self._windows.length
        return np.stack([self._table(stretch)[1][first : first + length] for stretch, first in places])

    def road_at(self, places: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """Windows of the map ``(B, T, E, P, 2)`` at the same places, NaN where no map is known."""
        length, nowhere = self._windows.length, np.full((2, POINTS, 2), np.nan, np.float32)
        roads = [_truth_of(self._windows.stretches[stretch]).get("road") for stretch, _ in places]
        return np.stack(
            [
                np.broadcast_to(nowhere, (length, *nowhere.shape)) if road is None else road[first : first + length]
                for road, (_, first) in zip(roads, places)
            ]
        )

    def other_at(self, places: Sequence[tuple[int, int]], frames: Any) -> tuple[Any, NDArray[np.bool_]]:
        """The frames at the same places in another look, themselves where none is known, and ``(B,)`` where one is."""
        others = [_truth_of(self._windows.stretches[stretch]).get("other") for stretch, _ in places]
        has_other = np.array([other is not None for other in others])
        if not has_other.any():
            return frames, has_other
        cuts = [slice(first, first + self._windows.length) for _, first in places]
        return np.stack([own if o is None else o[cut] for own, o, cut in zip(frames, others, cuts)]), has_other

    def _table(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if index not in self._tables:
            stretch = self._windows.stretches[index]
            known, nothing = _truth_of(stretch), np.full(stretch.length, np.nan)
            columns = np.stack([known.get(name, nothing) for name in _COLUMNS], axis=1).astype(np.float32)
            nobody = np.full((stretch.length, MOST, len(BOX_COLUMNS)), np.nan, np.float32)
            self._tables[index] = columns, known.get("boxes", nobody)
        return self._tables[index]


def _truth_of(stretch: Any) -> dict[str, NDArray]:
    return dict(stretch.truth) if isinstance(stretch, MemoryEpisode) else {}


@dataclasses.dataclass(frozen=True)
class Target:
    """What is true of B frames, NaN where not known: by name of ``MOTION``, ``NUMBERS`` and ``FLAGS``; codes of tags.

    Attributes:
        boxes: ``(B, K, F)`` as in ``Clips``. has_boxes: ``(B,)``. size_px: height and width of the frames they are in.
    """

    motion: dict[str, Tensor]
    numbers: dict[str, Tensor]
    flags: dict[str, Tensor]
    tags: dict[str, Tensor]
    boxes: Tensor
    has_boxes: Tensor
    size_px: tuple[int, int]


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
    motion = {"chord_heights": displacement / height, "turn_rad": turn}
    height_px, width_px = clips.frames.shape[2:4]
    return Target(motion, numbers, flags, tags, clips.boxes[:, row], clips.has_boxes, (height_px, width_px))


def changed(x_BTCHW: Tensor, generator: torch.Generator) -> Tensor:
    """The same clips as other cameras, other light and a video model would show them: what a reader must see through.

    Half of the clips lose detail: they are seen at a share of their size from 1 to 0.35, and of those some flicker from
    frame to frame and some lose what faint texture they have, as frames out of a tokenizer do. All of them change in
    brightness, contrast and colour, and get noise, fine or coarse. Everything is drawn on the clips' own device.
    """
    batch, frames, _, height, width = x_BTCHW.shape
    device = x_BTCHW.device
    # Seeded from the stream of the step, which lives on the CPU: nothing waits for the device.
    seed = int(torch.randint(2**31, (1,), generator=generator))
    on_device = torch.Generator(device).manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=on_device, device=device) * 2 - 1

    def chosen(share: float) -> Tensor:
        return torch.rand((batch, 1, 1, 1, 1), generator=on_device, device=device) < share

    x = x_BTCHW
    share = float(torch.empty(1).uniform_(0.35, 0.8, generator=generator))
    small = (max(8, round(height * share)), max(8, round(width * share)))
    coarse = F.interpolate(x.flatten(0, 1), small, mode="bilinear", align_corners=False, antialias=True)
    blurred = F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False).unflatten(0, (-1, frames))
    # All of a clip's detail is lost, or a part of it, differently in every frame where it flickers.
    lost = (0.75 + 0.25 * draw(batch, 1, 1, 1, 1) + 0.25 * chosen(0.3) * draw(batch, frames, 1, 1, 1)).clamp(0, 1)
    detail = x - blurred
    faint = detail * detail / (detail * detail + 0.04**2)  # keeps edges, loses what is faint
    detail = torch.where(chosen(0.3), detail * faint, detail * (1 - lost))
    x = torch.where(chosen(0.5), blurred + detail, x)
    middle = x.mean(dim=(1, 3, 4), keepdim=True)
    contrast, brightness = 1 + 0.2 * draw(batch, 1, 1, 1, 1), 0.15 * draw(batch, 1, 1, 1, 1)
    grey = x.mean(dim=2, keepdim=True)
    x = grey + (x - grey) * (1 + 0.3 * draw(batch, 1, 1, 1, 1))
    x = middle + (x - middle) * contrast * (1 + 0.06 * draw(batch, 1, 3, 1, 1)) + brightness
    noise = torch.randn(x.shape, generator=on_device, device=device)
    lumps = torch.randn((batch * frames, 3, height // 8, width // 8), generator=on_device, device=device)
    lumps = F.interpolate(lumps, (height, width), mode="bilinear", align_corners=False).unflatten(0, (-1, frames))
    strength = 0.5 + 0.5 * draw(2, batch, 1, 1, 1, 1)
    return (x + 0.05 * strength[0] * noise + 0.04 * chosen(0.3) * strength[1] * lumps).clamp(-1, 1)


def perception_loss(network: Perceiver, percept: Percept, target: Target) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss of what is known, and its parts.

    Motion: cross-entropy with the two candidates around the truth (two-hot; Imani and White, arXiv 1806.04613).
    Numbers: Laplace likelihood, weighted by the square root of its scale, so that what is hard is learned too
    (Seitzer et al., arXiv 2203.09168). Flags and tags: cross-entropy. Boxes: ``boxes.box_losses``.
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
    if network.config.boxes:
        parts |= box_losses(percept.boxes, _box_target(network, target))
    return torch.stack(list(parts.values())).sum(), parts


def _box_target(network: Perceiver, target: Target) -> BoxTarget:
    size = network.config.height_px, network.config.width_px
    down, right = (seen / made for seen, made in zip(size, target.size_px))
    boxes = target.boxes
    if (down, right) != (1, 1):
        boxes = boxes * boxes.new_tensor([right, down, right, down, *[1.0] * (boxes.shape[-1] - 4)])
    return box_target(boxes, target.has_boxes, (size[0] // STRIDE, size[1] // STRIDE))


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
        looks = Look(*(part.unflatten(0, x_BTCHW.shape[:2]) for part in self.network.look(frames)))
        losses, parts = [], {}
        for row in range(self.network.config.context - 1, x_BTCHW.shape[1]):
            loss, parts = perception_loss(self.network, read_row(self.network, looks, row), target_of(batch, row))
            losses.append(loss)
        for name, part in parts.items():  # of the last frame
            self.log(name, part)
        loss = torch.stack(losses).mean()
        self.log("loss", loss, prog_bar=True)
        self.log_speed(batch.frames.shape[0] * batch.frames.shape[1], 0.0)
        return loss


def read_row(network: Perceiver, looks_BT: Look, row: int) -> Percept:
    """What frame ``row`` of clips shows that were looked at: parts ``(B, T, ...)``."""
    before, after = (Look(*(part[:, at] for part in looks_BT)) for at in (row - 1, row))
    back = [looks_BT.features[:, max(row - n, 0)] for n in range(2, network.config.context)]
    return network(before, after, torch.stack(back, dim=1) if back else None)


@torch.no_grad()
def calibrate(network: Perceiver, clips: ClipsWithTruth, *, batches: int = 40) -> None:
    """Set what the network multiplies its scales by, on drives it never saw: the likeliest factor of a Laplace."""
    network.eval().calibration.fill_(1.0)
    ratios: dict[str, list[Tensor]] = {name: [] for name in CALIBRATED}
    for k in range(batches):
        batch: Any = as_tensors(clips(k))
        batch = type(batch)(*(x.to(network.calibration.device) for x in batch))
        row = network.config.context - 1
        x_BTCHW = to_network(batch.frames[:, : row + 1])
        looks = Look(*(part.unflatten(0, x_BTCHW.shape[:2]) for part in network.look(x_BTCHW.flatten(0, 1))))
        percept, target = read_row(network, looks, row), target_of(batch, row)
        for name, truth in (target.numbers | target.motion).items():
            ratio = (truth - percept.mean[name]).abs() / percept.scale[name]
            ratios[name].append(ratio[torch.isfinite(ratio)].cpu())
        if network.config.boxes:
            boxes = _box_target(network, target)
            ratio = (percept.boxes[:, LOG_DISTANCE] - boxes.boxes[:, 4]).abs() / percept.boxes[:, LOG_SCALE].exp()
            ratios["distance"].append(ratio[boxes.centre > 1 - 1e-6].cpu())
    for i, found in enumerate(ratios.values()):
        everything = torch.cat([torch.zeros(0), *found])
        if len(everything):
            network.calibration[i] = everything.mean()


def new_perceiver(config: TrainConfig) -> Perceiver:
    """An untrained network of the configured shape."""
    torch.manual_seed(config.seed)
    return Perceiver(config.perception)
