"""Where other road users are in a frame: a map of box centres, and what each cell says of the box it is the centre of.

As in "Objects as Points" (Zhou et al., arXiv 1904.07850), at a quarter of the picture's size. One more map says who is
in the ego's way, and from there the gap is read. Knows nothing of how the features it is given were made.

Shapes: B frames; C channels; H, W cells; P cells in a row; K boxes; L channels of ``MAPS``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

#: Pixels of a cell's side.
STRIDE = 4
#: What the head says at every cell. ``centre``: logit of being the cell of a box's centre. ``right``, ``down``: from
#: the cell's middle to the centre, in cells. ``log_width``, ``log_height``: of the box, in cells. ``log_distance``: of
#: its nearest point in metres; ``log_scale``: of the error of that. ``ahead``: logit of being the cell of who is in the
#: ego's way. ``log_gap``: to whom that is.
MAPS = ("centre", "right", "down", "log_width", "log_height", "log_distance", "log_scale", "ahead", "log_gap")
(CENTRE, RIGHT, DOWN, LOG_WIDTH, LOG_HEIGHT, LOG_DISTANCE, LOG_SCALE, AHEAD, LOG_GAP) = range(len(MAPS))
#: Numbers that ``summary`` makes of the maps: what there is where the ego's way points, and how many are how far.
_BANDS_M = (12.0, 25.0, 50.0)
SUMMARY = len(MAPS) + 2 + len(_BANDS_M) + 1
#: Where in those the logarithm of the gap is.
SUMMARY_LOG_GAP = LOG_GAP
#: Logarithms of sizes and distances stay inside these.
_LOG_SIZE, _LOG_M, _LOG_SCALE = (-2.0, 4.5), (-2.5, 5.5), (-5.0, 2.0)
#: A head that was never trained finds a centre in one cell of a hundred (the prior of Lin et al., arXiv 1708.02002).
_PRIOR = 0.01


class BoxHead(nn.Module):
    """Features at every cell, and the cell's place, → ``MAPS``.

    Args:
        channels: of the features.
        width: of the layer between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels + 2, width, 3, padding=1), nn.SiLU())
        self.out = nn.Conv2d(width, len(MAPS), 1)
        with torch.no_grad():
            self.out.weight.mul_(0.5)
            self.out.bias.zero_()  # pyright: ignore[reportOptionalMemberAccess]
            self.out.bias[CENTRE] = -math.log(1 / _PRIOR - 1)  # pyright: ignore[reportOptionalSubscript]
            self.out.bias[LOG_DISTANCE] = self.out.bias[LOG_GAP] = 3.0  # pyright: ignore[reportOptionalSubscript]

    def forward(self, x_BCHW: Tensor, places_2P: Tensor) -> Tensor:
        """Maps ``(B, L, H, W)`` of features, whose places are given from -1 to 1, right and down."""
        batch, _, rows, columns = x_BCHW.shape
        places = places_2P.unflatten(1, (rows, columns)).expand(batch, -1, -1, -1)
        maps = list(self.out(self.layers(torch.cat([x_BCHW, places], dim=1))).unbind(1))
        for limits, chosen in (
            (_LOG_SIZE, (LOG_WIDTH, LOG_HEIGHT)), (_LOG_M, (LOG_DISTANCE, LOG_GAP)), (_LOG_SCALE, (LOG_SCALE,))
        ):  # fmt: skip
            for at in chosen:
                maps[at] = _within(maps[at], *limits)
        return torch.stack(maps, dim=1)


def _within(x: Tensor, low: float, high: float) -> Tensor:
    """Held between two limits by a smooth bend beyond the middle nine tenths, so that nothing stops learning."""
    middle, half = (low + high) / 2, (high - low) / 2
    return middle + half * torch.tanh((x - middle) / half)


def summary(maps_BLHW: Tensor, places_2P: Tensor) -> Tensor:
    """``(B, SUMMARY)``: the maps and the place where the ego's way points, and how many centres are how far.

    What is counted teaches the head nothing: boxes are taught by boxes.
    """
    flat_BLP = maps_BLHW.flatten(2)
    weight_BP = flat_BLP[:, AHEAD].softmax(dim=-1)
    there = torch.cat([flat_BLP, places_2P.expand(len(flat_BLP), -1, -1)], dim=1)
    pointed = (there * weight_BP[:, None]).sum(dim=-1)
    found_BP = flat_BLP[:, CENTRE].detach().sigmoid()
    log_m = flat_BLP[:, LOG_DISTANCE].detach()
    beyond = [torch.ones_like(log_m), *(torch.sigmoid(6 * (log_m - math.log(m))) for m in _BANDS_M)]
    bands = [near - far for near, far in zip(beyond, [*beyond[1:], torch.zeros_like(log_m)])]
    counts = torch.stack([(found_BP * band).sum(dim=-1) for band in bands], dim=1)
    return torch.cat([pointed, counts / 3], dim=1)
