"""How far away things are, learned from motion alone: a depth is right when it foretells the next picture.

The network sees a picture that has been moved as if the world were a plain street, and says how much nearer or farther
than that street each pixel is. It is trained by moving the earlier picture by the known ego motion and that depth and
comparing with the later picture, so any drive with known motion teaches it and no depth is ever labelled (Zhou et al.,
"Unsupervised learning of depth and ego-motion from video", arXiv 1704.07813, with the motion given; the smoothness term
is that of Godard et al., arXiv 1609.03677).
Legend: see the package docstring.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.geometry.reprojection import reproject, street_inverse_depth
from worldmodel.nn.unet import UNet
from worldmodel.types import Camera

#: Nothing is taken to be farther than this, nor the street's depth corrected by more than e to the power below.
FAR_M = 200.0
_MOST_LOG = 3.0
_EDGE_SHARPNESS, _SMOOTHNESS = 5.0, 0.01


class DepthNetwork(UNet):
    """From a picture and the street's inverse depth to its own inverse depth; at birth, every place is the street."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(4, widths, 1)

    def forward(self, frames_BCHW: Tensor, street_BHW: Tensor) -> Tensor:
        """Inverse depth ``(B, H, W)`` in 1/m of frames in [-1, 1]."""
        street_B1HW = street_BHW[:, None].clamp(min=1 / FAR_M)
        x = super().forward(torch.cat([frames_BCHW, torch.log(street_B1HW) / _MOST_LOG], dim=1))
        return (street_B1HW * torch.exp(_MOST_LOG * torch.tanh(x / _MOST_LOG)))[:, 0]


def inverse_depth(
    network: DepthNetwork | None,
    frames_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
) -> Tensor:
    """``(B, H, W)`` 1/m of what will be seen after a motion.

    Args:
        network: says how far things are; ``None`` for a plain street.
        frames_BCHW: in [-1, 1].
        displacement_m_B, turn_rad_B, height_m_B: of the motion and of the camera; all finite.
        camera: of the frames.
    """
    street_BHW = street_inverse_depth(height_m_B, camera)
    if network is None:
        return street_BHW
    on_street_BHW = displacement_m_B[:, None, None] * street_BHW
    return network(reproject(frames_BCHW, on_street_BHW, turn_rad_B, camera, sampling="bilinear"), street_BHW)


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
    depth_BHW = inverse_depth(network, before_BCHW, d_B, turn_B, height_m_B, camera)
    moved = reproject(before_BCHW, d_B[:, None, None] * depth_BHW, turn_B, camera, sampling="bilinear")
    error_BHW = F.smooth_l1_loss(moved, after_BCHW, beta=0.1, reduction="none").mean(dim=1)
    steps_BHW = (
        torch.exp(-_EDGE_SHARPNESS * before_BCHW.diff(dim=3).abs().mean(dim=1)) * depth_BHW.log().diff(dim=2).abs()
    )
    weight_BHW = known_B[:, None, None] * valid_BHW
    total = (error_BHW * weight_BHW).sum() + _SMOOTHNESS * (steps_BHW * weight_BHW[:, :, 1:]).sum()
    return total / weight_BHW.sum().clamp(min=1)
