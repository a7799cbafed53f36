"""How far away things are, learned from motion alone: a depth is right when it foretells the next picture.

The network sees a picture that has been moved as if the world were a plain street, and says how much nearer or farther
than that street each pixel is. It is trained by moving the earlier picture by the known ego motion and that depth and
comparing with the later picture, so any drive with known motion teaches it and no depth is ever labelled (Zhou et al.,
"Unsupervised learning of depth and ego-motion from video", arXiv 1704.07813, with the motion given; the smoothness term
is that of Godard et al., arXiv 1609.03677).
Legend: see the package docstring.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.geometry.reprojection import reproject, street_inverse_depth
from worldmodel.types import Camera

#: Nothing is taken to be farther than this, nor the street's depth corrected by more than e to the power below.
FAR_M = 200.0
_MOST_LOG = 3.0
_EDGE_SHARPNESS, _SMOOTHNESS = 5.0, 0.01


class DepthNetwork(nn.Module):
    """A small U-Net from a picture and the street's inverse depth to its own inverse depth."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, widths[0], 5, stride=2, padding=2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths))
        self.middle = nn.Conv2d(widths[-1], widths[-1], 3, padding=1)
        back = list(widths)[::-1]
        self.up = nn.ModuleList(nn.Conv2d(a + b, b, 3, padding=1) for a, b in itertools.pairwise(back))
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)  # at birth, every place is the street
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, frames_BCHW: Tensor, street_BHW: Tensor) -> Tensor:
        """Inverse depth ``(B, H, W)`` in 1/m of frames in [-1, 1]."""
        street_B1HW = street_BHW[:, None].clamp(min=1 / FAR_M)
        x = F.silu(self.first(torch.cat([frames_BCHW, torch.log(street_B1HW) / _MOST_LOG], dim=1)))
        skips = [x]
        for conv in self.down:
            x = F.silu(conv(x))
            skips.append(x)
        x = x + F.silu(self.middle(x))
        for conv, skip in zip(self.up, skips[-2::-1]):
            x = F.silu(conv(torch.cat([F.interpolate(x, size=skip.shape[2:]), skip], dim=1)))
        x = F.interpolate(self.last(x).float(), size=frames_BCHW.shape[2:], mode="bilinear")
        return (street_B1HW * torch.exp(_MOST_LOG * torch.tanh(x / _MOST_LOG)))[:, 0]


def look_ahead(
    network: DepthNetwork | None,
    frames_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    sampling: str = "bicubic",
) -> tuple[Tensor, Tensor]:
    """Frames moved by the motion, and the inverse depth ``(B, H, W)`` they were moved with.

    Args:
        network: says how far things are; ``None`` for a plain street.
        frames_BCHW: in [-1, 1].
        displacement_m_B, turn_rad_B, height_m_B: of the motion and of the camera; all finite.
        camera: of the frames.
        sampling: see ``reproject``.
    """
    depth_BHW = street_inverse_depth(height_m_B, camera)
    if network is not None:
        roughly = reproject(frames_BCHW, displacement_m_B, turn_rad_B, depth_BHW, camera, sampling="bilinear")
        depth_BHW = network(roughly, depth_BHW)
    return reproject(frames_BCHW, displacement_m_B, turn_rad_B, depth_BHW, camera, sampling=sampling), depth_BHW


def parallax_loss(
    network: DepthNetwork,
    before_BCHW: Tensor,
    after_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    valid_BHW: Tensor,
) -> Tensor:
    """How far the moved picture is from the later one, and how much the depth changes from column to column where the
    picture does not (from row to row the ground's must); rows of unknown motion do not count.

    Args:
        before_BCHW, after_BCHW: two pictures of a drive, in [-1, 1].
        displacement_m_B, turn_rad_B: of the motion in between; NaN is unknown.
        height_m_B: of the camera, finite.
        valid_BHW: false where the source camera saw nothing.
    """
    known_B = torch.isfinite(displacement_m_B) & torch.isfinite(turn_rad_B)
    d_B, turn_B = (torch.where(known_B, x, 0) for x in (displacement_m_B, turn_rad_B))
    moved, depth_BHW = look_ahead(network, before_BCHW, d_B, turn_B, height_m_B, camera, sampling="bilinear")
    error_BHW = F.smooth_l1_loss(moved, after_BCHW, beta=0.1, reduction="none").mean(dim=1)
    steps_BHW = (
        torch.exp(-_EDGE_SHARPNESS * before_BCHW.diff(dim=3).abs().mean(dim=1)) * depth_BHW.log().diff(dim=2).abs()
    )
    weight_BHW = known_B[:, None, None] * valid_BHW
    total = (error_BHW * weight_BHW).sum() + _SMOOTHNESS * (steps_BHW * weight_BHW[:, :, 1:]).sum()
    return total / weight_BHW.sum().clamp(min=1)
