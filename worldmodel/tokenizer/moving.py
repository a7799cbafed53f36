"""Latents moved by ego motion: decoded, reprojected as the pictures are read to move (``depth``), encoded again.

This is how dynamics is told what a motion does to the last picture, rather than having to learn perspective. Where
``newest`` is less than 1 it is not the last picture alone: what a drive has shown is remembered, moved along, and each
new picture takes the place of a *share* of it only, as a renderer accumulates its frames over time (Karis, High-quality
temporal supersampling, SIGGRAPH 2014). Else what lies far ahead, which is a few pixels large, is decoded and encoded
anew in every frame, and little of it is left by the time it is reached. The nearer something comes the finer it is
seen, and the more of it is taken anew.
Legend: see the package docstring.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.geometry.reprojection import reproject
from worldmodel.nn.shapes import Float
from worldmodel.tokenizer.astray import astray, put_right
from worldmodel.tokenizer.drift import Earlier, parallax_ahead
from worldmodel.tokenizer.tokenizer import Tokenizer

#: By how much more than the least share a new picture counts, for each unit of parallax that led to it.
_FINER = 4.0


class Moved(NamedTuple):
    """Pictures as a motion leaves them; NaN in rows whose motion is not known.

    Attributes:
        latents_BND: of them.
        memory_B4HW: their colours in [-1, 1], and the share of each pixel that the next picture is to replace.
    """

    latents_BND: Float[Tensor, "b n d"]
    memory_B4HW: Float[Tensor, "b four h w"]


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
    memory_B4HW: Tensor | None = None,
    newest: float = 1.0,
    in_turn: bool = False,
    road_BEK2: Tensor | None = None,
    righted: float = 0.0,
) -> Moved:
    """What has been seen, reprojected.

    Args:
        tokenizer: in evaluation mode.
        latents_BND: of the earlier pictures.
        displacement_m_B, turn_rad_B: from the earlier picture to the later; NaN is unknown.
        height_m_B: of the camera; NaN is taken as ``NOMINAL_HEIGHT_M``.
        frames_BCHW: the latents decoded, where somebody has them already.
        earlier: pictures from some time before them; without, nothing is taken to move by itself.
        memory_B4HW: what this returned when the earlier pictures were still to come; rows of NaN, or ``None``, where
            there was nothing.
        newest: the least share of what is remembered that a new picture replaces; 1 remembers nothing.
        in_turn: whether each row is the picture after that of the row before, whose memory it then goes on from; the
            memory that is given is that of the first row.
        road_BEK2: windows of maps about the earlier pictures, by which their road is put right (``astray``), where the
            tokenizer has learned to; NaN where not known, ``None`` for nowhere.
        righted: share of it that is put right.
    """
    known_B = torch.isfinite(displacement_m_B) & torch.isfinite(turn_rad_B)
    shape = (tokenizer.config.height_px, tokenizer.config.width_px)
    if latents_BND.device.type == "cpu" and not known_B.any():  # an accelerator does it before it could answer
        nothing = torch.full((len(latents_BND), 4, *shape), torch.nan)
        return Moved(torch.full_like(latents_BND, torch.nan), nothing)
    if frames_BCHW is None:
        frames_BCHW = tokenizer.decode(latents_BND.clamp(-1, 1))
    frames_BCHW = frames_BCHW.clamp(-1, 1)
    camera = canonical_camera(*shape)
    displacement_m_B, turn_rad_B = (torch.where(known_B, x, 0) for x in (displacement_m_B, turn_rad_B))
    height_m_B = torch.nan_to_num(height_m_B, nan=NOMINAL_HEIGHT_M)
    if earlier is not None:
        earlier = earlier._replace(frames_BCHW=earlier.frames_BCHW.clamp(-1, 1))
    about = (displacement_m_B, turn_rad_B, height_m_B, camera)
    parallax_BHW, depth_BHW = parallax_ahead(tokenizer.depth, tokenizer.drift, frames_BCHW, *about, earlier=earlier)
    aside_BHW = torch.zeros_like(depth_BHW)
    if tokenizer.astray is not None and road_BEK2 is not None and righted:
        found = astray(tokenizer.astray, frames_BCHW, road_BEK2, height_m_B, camera)
        aside_BHW = put_right(found, depth_BHW, displacement_m_B, camera, share=righted)
    share_B1HW = (newest + _FINER * parallax_BHW.abs()).clamp(max=1)[:, None].float()
    known_B111 = known_B[:, None, None, None]
    share_B1HW = torch.where(known_B111, share_B1HW, torch.nan)
    parts, memories, before = [slice(None)], [], memory_B4HW
    if newest == 1:
        before = None
    elif in_turn:
        parts = [slice(i, i + 1) for i in range(len(known_B))]
    for rows in parts:
        seen_BCHW = refreshed(frames_BCHW[rows], memories[-1] if memories else before)
        how = (parallax_BHW[rows], turn_rad_B[rows], camera)
        moved_BCHW = reproject(seen_BCHW, *how, aside_BHW=aside_BHW[rows]).clamp(-1, 1).float()
        memories.append(torch.cat([moved_BCHW, share_B1HW[rows]], dim=1))
    memory_B4HW = torch.cat(memories)
    moved_BND = tokenizer.encode(memory_B4HW[:, :3]).to(latents_BND.dtype)
    return Moved(torch.where(known_B111[..., 0], moved_BND, torch.nan), torch.where(known_B111, memory_B4HW, torch.nan))


def refreshed(frames_BCHW: Tensor, memory_B4HW: Tensor | None) -> Tensor:
    """What is remembered, with its share of the newest pictures; those alone where nothing is."""
    if memory_B4HW is None:
        return frames_BCHW
    remembered_BCHW, share_B1HW = memory_B4HW[:, :3], memory_B4HW[:, 3:]
    mixed_BCHW = remembered_BCHW + share_B1HW * (frames_BCHW.float() - remembered_BCHW)
    return torch.where(share_B1HW.isfinite(), mixed_BCHW, frames_BCHW.float())
