"""The learned reader of frames: what a short stack of pictures says of the ego's motion, its lane and who is ahead.

``Perceiver`` reads the last frame of a few neighbours. Motion comes from comparing the last two (``matching``);
everything else from a small convolutional network that looks at each frame, from where its maps of attention point, and
from the boxes of other road users (``boxes``). Every number comes with a scale of its error. Knows nothing of the world
model, of files, or of how it is trained.

Shapes: B frames that are read; C colours or channels; H, W pixels; F features; P places; N frames further back.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.geometry.camera import HORIZON, canonical_camera
from worldmodel.perception.boxes import STRIDE, SUMMARY, SUMMARY_LOG_GAP, BoxHead, summary
from worldmodel.perception.matching import Matching, expected
from worldmodel.types import VOCABULARY

#: Numbers read of a frame, and the unit of each in which the network thinks (about their spread in the data).
NUMBERS: dict[str, float] = {
    "lane_offset_m": 1.0,
    "heading_error_rad": 0.08,
    "curvature_ahead_1pm": 0.01,
    "log_gap": 1.0,
    "closing_speed_mps": 5.0,
}
#: Motion of the step that ends at the frame.
MOTION = ("chord_heights", "turn_rad")
#: Numbers whose scales are calibrated: those, and the distance of a box.
CALIBRATED = (*NUMBERS, *MOTION, "distance")
#: Yes or no.
FLAGS = ("off_road", "collision", "has_gap")
#: Tags that a frame shows; an event is something that happens and takes longer than a look.
TAGS = ("weather", "time_of_day", "road_kind", "traffic")
#: A gap above this is as good as none: the vehicle is a few pixels wide.
GAP_LIMIT_M = 80.0
#: Bands of rows that statistics are kept of.
_BANDS = 4


@dataclasses.dataclass(frozen=True)
class PerceptionConfig:
    """Shape of a perceiver.

    Attributes:
        height_px, width_px: of the pictures it looks at; others are resized to them.
        widths: channels after each halving of the picture, from the second on.
        matched: features compared between frames.
        maps: of attention.
        hidden: features of a frame, and of what is read.
        context: frames that are compared: the one that is read and those before it; motion needs two.
        row_maps: of attention within each row of the picture below the horizon, where lines on the road are.
        near: channels kept of every place of the road just ahead.
        statistics: whether to keep means and spreads of the whole picture, by which weather and light are told.
        boxes: width of the head that finds other road users; 0 for none.
    """

    height_px: int = 128
    width_px: int = 256
    widths: tuple[int, ...] = (24, 48, 80)
    matched: int = 8
    maps: int = 6
    hidden: int = 160
    context: int = 2
    row_maps: int = 0
    near: int = 0
    statistics: bool = False
    boxes: int = 0

    def validate(self) -> PerceptionConfig:
        """Raise ``ValueError`` on a shape that cannot be."""
        if self.height_px % 16 or self.width_px % 16 or min(self.height_px, self.width_px) < 64:
            raise ValueError(
                f"PerceptionConfig: expected multiples of 16 from 64, got {self.height_px}x{self.width_px}"
            )
        if len(self.widths) != 3:
            raise ValueError(f"PerceptionConfig.widths: expected three, got {self.widths}")
        if self.context < 2:
            raise ValueError(f"PerceptionConfig.context: expected at least 2 frames, got {self.context}")
        return self


class Look(NamedTuple):
    """What is kept of B frames that were looked at.

    Attributes:
        matched: ``(B, C, H, W)`` what is compared with the next frame.
        features: ``(B, F)``.
        boxes: ``(B, L, H / 4, W / 4)`` maps of ``boxes.MAPS``; L is 0 without that head.
    """

    matched: Tensor
    features: Tensor
    boxes: Tensor


@dataclasses.dataclass(frozen=True)
class Percept:
    """What was read of B frames.

    Attributes:
        mean, scale: by name of ``NUMBERS`` and ``MOTION``, ``(B,)``; the scale is that of a Laplace distribution.
        logits: ``(B,)`` by name of ``FLAGS``, ``(B, choices)`` by name of ``TAGS`` (the first choice is never taught),
            ``(B, K)`` candidates by name of ``MOTION``.
        features: ``(B, F)``.
        boxes: ``(B, L, H / 4, W / 4)`` maps of ``boxes.MAPS``; L is 0 without that head.
    """

    mean: dict[str, Tensor]
    scale: dict[str, Tensor]
    logits: dict[str, Tensor]
    features: Tensor
    boxes: Tensor


class _Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Perceiver(nn.Module):
    """Pairs of neighbouring frames → ``Percept``."""

    calibration: Tensor
    places: Tensor
    change: Tensor

    def __init__(self, config: PerceptionConfig) -> None:
        super().__init__()
        self.config = config.validate()
        a, b, c = config.widths
        self.matching = Matching(canonical_camera(config.height_px, config.width_px), config.matched)
        self.stem = nn.Sequential(nn.Conv2d(3, 12, 3, stride=2, padding=1), nn.SiLU(), nn.Conv2d(12, a, 3, 2, 1))
        self.fine = _Block(a)
        self.to_middle = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.middle = _Block(b)
        self.to_coarse = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.coarse = nn.Sequential(_Block(c), _Block(c))
        self.up = nn.ModuleList([nn.Conv2d(c, a, 1), nn.Conv2d(b, a, 1)])
        self.pointing = nn.Sequential(nn.SiLU(), nn.Conv2d(a, a, 3, padding=1), nn.SiLU())
        self.maps, self.pointed = nn.Conv2d(a, config.maps, 1), nn.Conv2d(a, 16, 1)
        rows, columns = config.height_px // 16, config.width_px // 16
        self.squeeze = nn.Conv2d(c, 8, 1)
        kept = 8 * rows * columns + config.maps * 18
        self._road = int(HORIZON * config.height_px) // STRIDE
        if config.row_maps:
            self.row_maps = nn.Conv2d(a, config.row_maps, 1)
            kept += 2 * config.row_maps * (config.height_px // STRIDE - self._road)
        self._near = 3 * (config.height_px // 8) // 8
        if config.near:
            self.near = nn.Conv2d(b, config.near, 1)
            kept += config.near * self._near * columns
        if config.statistics:
            kept += 2 * (_BANDS * (12 + a) + c)
        if config.boxes:
            self.boxes = BoxHead(a, config.boxes)
            kept += SUMMARY
        self.frame = nn.Sequential(nn.Linear(kept, config.hidden), nn.SiLU(), nn.LayerNorm(config.hidden))
        found = SUMMARY if config.boxes else 0
        compared = config.context * (config.hidden + found) + 4 + (config.context - 1 if config.boxes else 0)
        self.pair = nn.Sequential(nn.Linear(compared, config.hidden), nn.SiLU())
        # What is found of boxes changes by a few hundredths from frame to frame.
        self.register_buffer("change", torch.tensor([1.0] * config.hidden + [10.0] * found), persistent=False)
        self.numbers = nn.Linear(config.hidden, 2 * len(NUMBERS))
        self.flags = nn.Linear(config.hidden, len(FLAGS))
        self.tags = nn.ModuleDict({name: nn.Linear(config.hidden, len(VOCABULARY[name])) for name in TAGS})
        #: What the scales are to be multiplied by, so that they are as large as errors on drives never seen.
        self.register_buffer("calibration", torch.ones(len(CALIBRATED)))
        y, x = torch.meshgrid(torch.linspace(-1, 1, 4 * rows), torch.linspace(-1, 1, 4 * columns), indexing="ij")
        self.register_buffer("places", torch.stack([x, y]).flatten(1), persistent=False)

    def sized(self, x_BCHW: Tensor) -> Tensor:
        """Frames at the size this network looks at."""
        size = (self.config.height_px, self.config.width_px)
        if x_BCHW.shape[-2:] == size:
            return x_BCHW
        return F.interpolate(x_BCHW, size, mode="bilinear", align_corners=False, antialias=True)

    def feature_maps(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Maps ``(B, C, h, w)`` of frames in [-1, 1] of the network's size, finest first; the last is the fourth's and
        the finer ones' together, in which things are found."""
        first = self.stem[:2](x_BCHW)
        fine = self.fine(self.stem[2](first))
        middle = self.middle(self.to_middle(fine))
        coarse = self.coarse(self.to_coarse(middle))
        lifted = F.interpolate(self.up[0](coarse), scale_factor=2.0) + self.up[1](middle)
        return first, fine, middle, coarse, self.pointing(F.interpolate(lifted, scale_factor=2.0) + fine)

    def look(self, x_BCHW: Tensor) -> Look:
        """Frames in [-1, 1] of the network's size → what ``forward`` compares and reads."""
        config = self.config
        first, fine, middle, coarse, detail = self.feature_maps(x_BCHW)
        matched = self.matching.features(x_BCHW)
        # What is a place, a distance or a number is too fine for bf16.
        with torch.autocast(x_BCHW.device.type, enabled=False):
            first, fine, middle, coarse, detail = (x.float() for x in (first, fine, middle, coarse, detail))
            # Where each map points, and what is there.
            weight_BMP = self.maps(detail).flatten(2).softmax(dim=-1)
            there_BFP = torch.cat([self.pointed(detail).flatten(2), self.places.expand(len(detail), -1, -1)], 1)
            kept = [self.squeeze(coarse).flatten(1), torch.einsum("bmp,bfp->bmf", weight_BMP, there_BFP).flatten(1)]
            if config.row_maps:
                kept.append(_along_rows(self.row_maps(detail[:, :, self._road :])))
            if config.near:
                kept.append(F.avg_pool2d(self.near(middle[:, :, -self._near :]), (1, 2)).flatten(1))
            if config.statistics:
                kept += [_statistics(first, _BANDS), _statistics(fine, _BANDS), _statistics(coarse, 1)]
            boxes, found = detail[:, :0], []
            if config.boxes:
                boxes = self.boxes(detail, self.places)
                found = [summary(boxes, self.places)]
            features = self.frame(torch.cat([*kept, *found], dim=1))
            return Look(matched, torch.cat([features, *found], dim=1), boxes)

    def forward(self, before: Look, after: Look, earlier_BNF: Tensor | None = None) -> Percept:
        """What the later of two frames that were ``look``-ed at shows, and the motion in between.

        Args:
            before, after: two neighbours.
            earlier_BNF: features of the ``context - 2`` frames before those, the latest first; without them nothing is
                taken to have changed.
        """
        with torch.autocast(after.features.device.type, enabled=False):
            return self._read(before, after, earlier_BNF)

    def _read(self, before: Look, after: Look, earlier_BNF: Tensor | None) -> Percept:
        turn_BK, chord_BK = self.matching(before.matched, after.matched)
        logits = {"chord_heights": chord_BK, "turn_rad": turn_BK}
        candidates = {"chord_heights": self.matching.chords_K, "turn_rad": self.matching.turns_K}
        mean, scale = {}, {}
        for name in MOTION:
            mean[name], spread = expected(logits[name], candidates[name])
            scale[name] = spread / 2**0.5
        moved = torch.stack(
            [mean["chord_heights"], scale["chord_heights"], 20 * mean["turn_rad"], 20 * scale["turn_rad"]], 1
        )
        if earlier_BNF is None:
            earlier_BNF = before.features[:, None].expand(-1, self.config.context - 2, -1)
        change_BNF = after.features[:, None] - torch.cat([before.features[:, None], earlier_BNF], dim=1)
        compared = [after.features, (change_BNF * self.change).flatten(1), moved.detach()]
        if self.config.boxes:
            at = self.config.hidden + SUMMARY_LOG_GAP
            # By how many metres the gap has shrunk.
            compared.append((-after.features[:, at, None].exp() * change_BNF[..., at]).clamp(-20, 20))
        features = self.pair(torch.cat(compared, dim=1))
        middle, log_scale = self.numbers(features).chunk(2, dim=1)
        for i, (name, unit) in enumerate(NUMBERS.items()):
            mean[name], scale[name] = middle[:, i] * unit, log_scale[:, i].clamp(-6, 4).exp() * unit
        if self.config.boxes:
            mean["log_gap"] = mean["log_gap"] + after.features[:, self.config.hidden + SUMMARY_LOG_GAP]
        factors = dict(zip(CALIBRATED, self.calibration))
        scale = {name: value * factors[name] for name, value in scale.items()}
        logits |= dict(zip(FLAGS, self.flags(features).unbind(1)))
        logits |= {name: head(features) for name, head in self.tags.items()}
        return Percept(mean, scale, logits, features, after.boxes)


def _along_rows(logits_BMRU: Tensor) -> Tensor:
    """Where along each row each map points, from -1 to 1, and how much it finds there: ``(B, 2 M R)``.

    As lanes are found by Qin et al. (arXiv 2004.11757).
    """
    logits_BMRU = logits_BMRU.contiguous()
    across = torch.linspace(-1, 1, logits_BMRU.shape[-1], device=logits_BMRU.device)
    place = (logits_BMRU.softmax(dim=-1) * across).sum(dim=-1)
    return torch.cat([place, logits_BMRU.logsumexp(dim=-1) - math.log(len(across))], dim=1).flatten(1)


def _statistics(x_BCHW: Tensor, bands: int) -> Tensor:
    """Mean and standard deviation of each channel in bands of rows, ``(B, 2 C bands)``."""
    x = x_BCHW.unflatten(2, (bands, -1))
    # Not torch.var_mean, which takes several times as long on a CPU.
    mean, square = x.mean(dim=(3, 4)), (x * x).mean(dim=(3, 4))
    return torch.cat([mean, ((square - mean * mean).clamp(min=0) + 1e-6).sqrt()], dim=1).flatten(1)
