"""A small U-Net: maps as large as the picture they are read from. Legend: see the package docstring."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """Halves the picture once per width, and comes back up to half of it; zero everywhere at birth.

    Args:
        channels: of what it reads.
        widths: channels within, the finest first.
        maps: to be read.
    """

    def __init__(self, channels: int, widths: Sequence[int], maps: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, widths[0], 5, stride=2, padding=2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
        self.middle = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        back = list(widths)[::-1]
        self.up = nn.ModuleList(nn.Conv2d(a + b, b, 3, padding=1) for a, b in itertools.pairwise(back))
        self.last = nn.Conv2d(widths[0], maps, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """``(B, maps, H, W)`` float32."""
        size = x_BCHW.shape[2:]
        x = F.silu(self.first(x_BCHW))
        skips = [x]
        for conv in self.down:
            x = F.silu(conv(x))
            skips.append(x)
        x = x + F.silu(self.middle(x))
        for conv, skip in zip(self.up, skips[-2::-1]):
            x = F.silu(conv(torch.cat([F.interpolate(x, size=skip.shape[2:]), skip], dim=1)))
        return F.interpolate(self.last(x).float(), size=size, mode="bilinear")
