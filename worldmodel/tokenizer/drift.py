"""What moves by itself: other road users, seen in two pictures of a drive.

Moved by the ego's motion as if all of it stood (``depth``), a picture and one from before differ where somebody drives.
The network says where road users are, and there a *drift*: a parallax (``geometry.reprojection``) that adds to that of
what stands and does not depend on what the ego does. A car that is followed keeps its place, and gets away from an ego
that brakes. Where nobody is, nothing drifts, however the pictures differ: what a rollout has drawn amiss must not go on
as if it had moved by itself. It is taught where boxes of road users are known: by them, and by how well those are
foretold.
Legend: see the package docstring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.geometry.reprojection import reproject
from worldmodel.nn.unet import UNet
from worldmodel.tokenizer.depth import DepthNetwork, inverse_depth
from worldmodel.types import Camera

#: How many steps ago the earlier of two pictures was: of one step, little would be seen of what moves by itself.
STEPS_AGO = 3
#: Drifts over that time are of this order.
_DRIFT = 0.2
#: How much more a pixel counts that shows somebody, in saying where somebody is; how sharply that parts, in moving.
_SHOWN, _SHARPNESS = 4.0, 4.0


class Earlier(NamedTuple):
    """Pictures from before those that are moved.

    Attributes:
        frames_BCHW: in [-1, 1].
        displacement_m_B, turn_rad_B: of the motion from them to those; NaN where it, or the picture, is not known.
        steps_B: how many times as long ago they are as the moment that is wanted is ahead.
    """

    frames_BCHW: Tensor
    displacement_m_B: Tensor
    turn_rad_B: Tensor
    steps_B: Tensor


class DriftNetwork(UNet):
    """From two pictures, moved as if all stood, to where somebody is and how that drifts; at birth, nothing does."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__(7, widths, 2)

    def forward(self, moved_BCHW: Tensor, changes_BCHW: Tensor, depth_BHW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of whether somebody is there, and drift over the time between the pictures, ``(B, H, W)`` both.

        Args:
            moved_BCHW: the newest pictures, in [-1, 1].
            changes_BCHW: by which those before differ.
            depth_BHW: inverse, in 1/m.
        """
        far_B1HW = torch.log(depth_BHW[:, None].clamp(min=1e-3)) / 3
        somebody_BHW, drift_BHW = super().forward(torch.cat([moved_BCHW, changes_BCHW, far_B1HW], dim=1)).unbind(1)
        return somebody_BHW, _DRIFT * drift_BHW


def as_standing(
    frames_BCHW: Tensor, depth_BHW: Tensor, displacement_m_B: Tensor, turn_rad_B: Tensor, camera: Camera
) -> Tensor:
    """Pictures moved as if all of what they show stood.

    Args:
        frames_BCHW: of any range.
        depth_BHW: inverse, in 1/m, of what will be seen.
        displacement_m_B, turn_rad_B: of the motion; finite.
        camera: of the frames.
    """
    parallax_BHW = displacement_m_B[:, None, None] * depth_BHW
    return reproject(frames_BCHW, parallax_BHW, turn_rad_B, camera, sampling="bilinear")


def drifting(
    network: DriftNetwork,
    frames_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    depth_BHW: Tensor,
    camera: Camera,
    earlier: Earlier,
) -> tuple[Tensor, Tensor]:
    """Logits of whether somebody is there, and their drift until the moment that is wanted, ``(B, H, W)`` both; the
    drift is 0 where nothing earlier is known.

    Args:
        network: says so.
        frames_BCHW, displacement_m_B, turn_rad_B, camera, earlier: as of ``look_ahead``.
        depth_BHW: inverse, in 1/m, of what will be seen.
    """
    known_B = torch.isfinite(earlier.displacement_m_B) & torch.isfinite(earlier.turn_rad_B)
    since_m_B, since_rad_B = (torch.where(known_B, x, 0) for x in earlier[1:3])
    moved = as_standing(frames_BCHW, depth_BHW, displacement_m_B, turn_rad_B, camera)
    before = as_standing(earlier.frames_BCHW, depth_BHW, since_m_B, since_rad_B, camera)
    before = as_standing(before, depth_BHW, displacement_m_B, turn_rad_B, camera)
    changes = torch.where(known_B[:, None, None, None], before - moved, 0)
    somebody_BHW, drift_BHW = network(moved, changes, depth_BHW)
    share_B = known_B / earlier.steps_B
    return somebody_BHW, drift_BHW * share_B[:, None, None]


def presence(somebody_BHW: Tensor) -> Tensor:
    """From logits to 0 or 1, nearly: who is likelier there than not drifts, and what may be somebody does not drift a
    little, which over many steps would slow a whole street down."""
    return torch.sigmoid(_SHARPNESS * (somebody_BHW - math.log(_SHOWN)))


def shown_users(
    depth: DepthNetwork | None, drift: DriftNetwork, frames_BCHW: Tensor, height_m_B: Tensor, camera: Camera
) -> Tensor:
    """How surely each pixel ``(B, H, W)`` of single pictures shows somebody, from 0 to 1, whether they move or stand.

    Args:
        depth, drift: say how far things are, and where somebody is.
        frames_BCHW: in [-1, 1].
        height_m_B: of the camera; finite.
        camera: of the frames.
    """
    still_B = torch.zeros_like(height_m_B)
    depth_BHW = inverse_depth(depth, frames_BCHW, still_B, still_B, height_m_B, camera)
    somebody_BHW, _ = drift(frames_BCHW, torch.zeros_like(frames_BCHW), depth_BHW)
    return presence(somebody_BHW)


def look_ahead(
    depth: DepthNetwork | None,
    drift: DriftNetwork | None,
    frames_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    earlier: Earlier | None = None,
    sampling: str = "bicubic",
) -> Tensor:
    """Frames moved by the motion, and who drives on by their drift.

    Args:
        depth: says how far things are; ``None`` for a plain street.
        drift: says how they move by themselves; without it, or ``earlier``, all of it stands.
        frames_BCHW: in [-1, 1].
        displacement_m_B, turn_rad_B, height_m_B: of the motion and of the camera; all finite.
        camera: of the frames.
        earlier: from some time before them.
        sampling: see ``reproject``.
    """
    args = (frames_BCHW, displacement_m_B, turn_rad_B, height_m_B, camera)
    parallax_BHW, _ = parallax_ahead(depth, drift, *args, earlier=earlier)
    return reproject(frames_BCHW, parallax_BHW, turn_rad_B, camera, sampling=sampling)


def parallax_ahead(
    depth: DepthNetwork | None,
    drift: DriftNetwork | None,
    frames_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    earlier: Earlier | None = None,
) -> tuple[Tensor, Tensor]:
    """Parallax and inverse depth ``(B, H, W)`` of what will be seen after the motion, see ``look_ahead``."""
    depth_BHW = inverse_depth(depth, frames_BCHW, displacement_m_B, turn_rad_B, height_m_B, camera)
    parallax_BHW = displacement_m_B[:, None, None] * depth_BHW
    if drift is None or earlier is None:
        return parallax_BHW, depth_BHW
    args = (frames_BCHW, displacement_m_B, turn_rad_B, depth_BHW, camera, earlier)
    somebody_BHW, drift_BHW = drifting(drift, *args)
    return parallax_BHW + presence(somebody_BHW) * drift_BHW, depth_BHW


def drift_loss(
    depth: DepthNetwork | None,
    drift: DriftNetwork,
    earlier: Earlier,
    before_BCHW: Tensor,
    after_BCHW: Tensor,
    displacement_m_B: Tensor,
    turn_rad_B: Tensor,
    height_m_B: Tensor,
    camera: Camera,
    *,
    users_BHW: Tensor,
    seen_BCHW: Tensor,
) -> tuple[Tensor, Tensor]:
    """How badly pictures of road users are foretold, and how badly it is said where they are.

    Args:
        depth: not taught here.
        drift: to be taught.
        earlier: as the network sees it.
        before_BCHW, after_BCHW: two pictures of a drive, in [-1, 1].
        displacement_m_B, turn_rad_B: of the motion in between; rows of NaN do not count.
        height_m_B: of the camera, finite.
        camera: of the pictures.
        users_BHW: 1 where something may drift in the later picture, else 0.
        seen_BCHW: what the networks see in place of ``before_BCHW``, such as its reconstruction.
    """
    known_B = torch.isfinite(displacement_m_B) & torch.isfinite(turn_rad_B)
    d_B, turn_B = (torch.where(known_B, x, 0) for x in (displacement_m_B, turn_rad_B))
    with torch.no_grad():
        depth_BHW = inverse_depth(depth, seen_BCHW, d_B, turn_B, height_m_B, camera)
    somebody_BHW, drift_BHW = drifting(drift, seen_BCHW, d_B, turn_B, depth_BHW, camera, earlier)
    parallax_BHW = d_B[:, None, None] * depth_BHW + drift_BHW
    moved = reproject(before_BCHW, parallax_BHW, turn_B, camera, sampling="bilinear")
    error_BHW = F.smooth_l1_loss(moved, after_BCHW, beta=0.1, reduction="none").mean(dim=1)
    users_BHW = users_BHW * known_B[:, None, None]
    foretold = (error_BHW * users_BHW).sum() / users_BHW.sum().clamp(min=1)
    weight_BHW = known_B[:, None, None] * (1 + (_SHOWN - 1) * users_BHW)
    said = F.binary_cross_entropy_with_logits(somebody_BHW, users_BHW, weight_BHW)
    return foretold, said
