"""What a reconstruction is to keep beyond its pixels: other road users, what a driver sees, the latents it had.

A distant car is a few pixels in a thousand, and squared error gladly trades it for the grain of a meadow. So its pixels
count for more, and so does what the *driver's* perception sees in the picture, map by map (a perceptual loss as Johnson
et al., arXiv 1603.08155, with eyes that know roads). The judge, which scores worlds, is another network and is not
looked through.

Legend: B frames or clips; T frames of a clip; N latent tokens; C colours or channels; H, W pixels; K boxes of a frame;
F numbers of a box.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.perception.network import Perceiver
from worldmodel.tokenizer.tokenizer import TokenizerConfig

#: A box is taken to be so many pixels larger each way: a thing that is blurred has spilt.
_MARGIN_PX = 1.0
#: The spread of a channel is taken to be at least this.
_LEAST_SPREAD = 1e-3


def user_map(boxes_BKF: Tensor, size: tuple[int, int]) -> Tensor:
    """``(B, 1, H, W)``: 1 where a box of ``(B, K, F)`` lies, 0 elsewhere; rows of NaN are no box."""
    left, top, right, bottom = torch.nan_to_num(boxes_BKF[..., :4], nan=-10.0)[..., None].unbind(2)
    y, x = (torch.arange(n, device=boxes_BKF.device) + 0.5 for n in size)
    down = (y > top - _MARGIN_PX) & (y < bottom + _MARGIN_PX)
    across = (x > left - _MARGIN_PX) & (x < right + _MARGIN_PX)
    return torch.einsum("bky,bkx->byx", down.float(), across.float()).clamp(max=1)[:, None]


def tokens_with_users(boxes_BTKF: Tensor, shape: TokenizerConfig) -> Tensor:
    """``(B, T, N)``: 1 for latent tokens in whose patch a box lies, 0 for others."""
    users = user_map(boxes_BTKF.flatten(0, 1), (shape.height_px, shape.width_px))
    return F.adaptive_max_pool2d(users, shape.latent_grid).flatten(1).unflatten(0, boxes_BTKF.shape[:2])


def seen_loss(eyes: Perceiver, output_BCHW: Tensor, target_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """How far apart two pictures are in what a perceiver sees: mean difference of its maps, in their spreads, summed.

    Args:
        eyes: frozen.
        output_BCHW, target_BCHW: in [-1, 1].
        weight_B1HW: how much each pixel counts.
    """
    with torch.no_grad():
        wanted = eyes.feature_maps(eyes.sized(target_BCHW))
    total = output_BCHW.new_zeros(())
    for found, want in zip(eyes.feature_maps(eyes.sized(output_BCHW.clamp(-1, 1))), wanted):
        found, want = found.float(), want.float()
        spread = want.std(dim=(0, 2, 3), keepdim=True) + _LEAST_SPREAD
        size = found.shape[-2], found.shape[-1]
        weight = F.adaptive_avg_pool2d(weight_B1HW, size)
        total = total + (((found - want) / spread).abs() * weight).mean()
    return total
