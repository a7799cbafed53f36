"""Latents moved by ego motion: decoded, reprojected as the pictures are read to move (``depth``), encoded again.

This is how dynamics is told what a motion does to the last picture, rather than having to learn perspective.
Legend: see the package docstring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.nn.shapes import Float
from worldmodel.tokenizer.drift import Earlier, look_ahead
from worldmodel.tokenizer.tokenizer import Tokenizer


@torch.no_grad()
def move_latents(
    tokenizer: Tokenizer,
    latents_BND: Float[Tensor, "b n d"],
    displacement_m_B: Float[Tensor, " b"],
    turn_rad_B: Float[Tensor, " b"],
    height_m_B: Float[Tensor, " b"],
    *,
    frames_BCHW: Tensor | None = None,
    earlier: Earlier | None = None,
) -> Float[Tensor, "b n d"]:
    """Latents of the reprojected pictures; NaN for rows whose motion is not known.

    Args:
        tokenizer: in evaluation mode.
        latents_BND: of the earlier pictures.
        displacement_m_B, turn_rad_B: from the earlier picture to the later; NaN is unknown.
        height_m_B: of the camera; NaN is taken as ``NOMINAL_HEIGHT_M``.
        frames_BCHW: the latents decoded, where somebody has them already.
        earlier: pictures from some time before them; without, nothing is taken to move by itself.
    """
    known_B = torch.isfinite(displacement_m_B) & torch.isfinite(turn_rad_B)
    if latents_BND.device.type == "cpu" and not known_B.any():  # an accelerator does it before it could answer
        return torch.full_like(latents_BND, torch.nan)
    if frames_BCHW is None:
        frames_BCHW = tokenizer.decode(latents_BND.clamp(-1, 1))
    camera = canonical_camera(tokenizer.config.height_px, tokenizer.config.width_px)
    displacement_m_B, turn_rad_B = (torch.where(known_B, x, 0) for x in (displacement_m_B, turn_rad_B))
    height_m_B = torch.nan_to_num(height_m_B, nan=NOMINAL_HEIGHT_M)
    if earlier is not None:
        earlier = earlier._replace(frames_BCHW=earlier.frames_BCHW.clamp(-1, 1))
    moved_BCHW = look_ahead(
        tokenizer.depth,
        tokenizer.drift,
        frames_BCHW.clamp(-1, 1),
        displacement_m_B,
        turn_rad_B,
        height_m_B,
        camera,
        earlier=earlier,
    )
    moved_BND = tokenizer.encode(moved_BCHW.clamp(-1, 1)).to(latents_BND.dtype)
    return torch.where(known_B[:, None, None], moved_BND, torch.nan)
