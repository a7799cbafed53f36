"""Where the road lies, as a token of the picture is told it: how far its pixels are from the road's edges.

A map (``geometry.road``) is told where it is to be drawn: for every second row of pixels of a latent token, how far the
ground in its middle column lies to the left of the left and of the right edge of the ego's lanes, in pixels, drawn
together by tanh at two scales. So the network need not learn perspective, nor can a map disagree with the motion: it is
moved by the same. What is above the horizon, or beyond the map, is all zeros, as is everything where no map is known.
Legend: E edges, K points, G places on the ground, N tokens, R rows of a token, F features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.nn.shapes import Float
from worldmodel.types import Camera

#: Rows of a token's pixels that are told, and the numbers of each: two edges at two scales, and whether it is known.
ROWS, NUMBERS = 8, 5
FEATURES = ROWS * NUMBERS
#: Pixels that tanh draws together to one.
_SCALES_PX = (8.0, 32.0)


def road_features(
    road_EK2: Float[Tensor, "*p e k 2"], height_m: Float[Tensor, "*p"], camera: Camera, grid: tuple[int, int]
) -> Float[Tensor, "*p n f"]:
    """What the tokens of frames are told of the road.

    Args:
        road_EK2: windows of maps, in the axes of each frame; NaN where not known.
        height_m: of the camera above the road; NaN for the usual one.
        camera: level.
        grid: rows and columns of tokens.
    """
    shape, (rows, columns) = road_EK2.shape[:-3], grid
    road_PEK2 = road_EK2.reshape(-1, *road_EK2.shape[-3:]).float()
    height_P11 = torch.nan_to_num(height_m.reshape(-1).float(), nan=NOMINAL_HEIGHT_M)[:, None, None]
    step_px = camera.height_px / (rows * ROWS)
    down = (torch.arange(rows * ROWS, device=road_PEK2.device) + 0.5) * step_px - 0.5 - camera.cy_px
    left = camera.cx_px - (torch.arange(columns, device=road_PEK2.device) + 0.5) * camera.width_px / columns + 0.5
    below = down > 0.5  # of the horizon
    x_PGC = (height_P11 * camera.fy_px / down[below][:, None]).expand(-1, -1, columns)
    ground_PG2 = torch.stack([x_PGC, x_PGC * left / camera.fx_px], dim=-1).flatten(1, 2)
    offset_PEG, known_PEG = _left_of(road_PEK2, ground_PG2)
    offset_px = offset_PEG * camera.fx_px / x_PGC.flatten(1)[:, None]
    known_PG = known_PEG.all(dim=1)
    drawn = [torch.tanh(offset_px / scale) for scale in _SCALES_PX]
    told_PFG = torch.where(known_PG[:, None], torch.cat([*drawn, torch.ones_like(offset_px[:, :1])], dim=1), 0.0)
    every = told_PFG.new_zeros(len(told_PFG), NUMBERS, rows * ROWS, columns)
    every[:, :, below] = told_PFG.unflatten(2, (-1, columns))
    every = every.unflatten(2, (rows, ROWS)).permute(0, 2, 4, 3, 1)  # P, rows, columns, R, numbers
    return every.reshape(*shape, rows * columns, FEATURES)


def _left_of(road_PEK2: Tensor, ground_PG2: Tensor) -> tuple[Tensor, Tensor]:
    """Metres ``(P, E, G)`` that places lie to the left of each edge, and whether the edge passes by them at all."""
    first, along = road_PEK2[:, :, None, :-1], (road_PEK2[:, :, 1:] - road_PEK2[:, :, :-1])[:, :, None]
    to = ground_PG2[:, None, :, None] - first
    share = (to * along).sum(-1) / along.square().sum(-1)
    apart = to - share.clamp(0, 1)[..., None] * along
    squared = torch.nan_to_num(apart.square().sum(-1), nan=torch.inf)
    nearest, at = squared.min(dim=-1)
    side = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
    of_nearest = [x.expand_as(squared).gather(-1, at[..., None])[..., 0] for x in (side, share)]
    last = torch.isfinite(road_PEK2).all(-1).sum(-1)[:, :, None] - 2  # a window is NaN at its ends alone
    begins = torch.isfinite(road_PEK2).all(-1).int().argmax(-1)[:, :, None]
    beyond = ((at == begins) & (of_nearest[1] < 0)) | ((at == begins + last) & (of_nearest[1] > 1))
    known = torch.isfinite(nearest) & ~beyond
    return torch.where(known, nearest.sqrt() * torch.sign(of_nearest[0]), 0.0), known
