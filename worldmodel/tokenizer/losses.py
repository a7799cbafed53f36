"""What the tokenizer is trained on: squared and absolute error, and the error of image gradients, of what is valid.

The gradient term keeps edges (lane markings, tail lights) that squared error alone would trade for flat areas. What
needs more than the pictures to be told is in ``training.keeping``.
Legend: B frames, C colours, H W pixels.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from worldmodel.nn.shapes import Float


@dataclasses.dataclass(frozen=True)
class ReconstructionLossConfig:
    """Weights of the terms.

    Attributes:
        squared, absolute, gradient: of the error of a pixel.
        users: how much more than another a pixel counts that shows a road user, where boxes of them are known.
        seen: of the difference in what the driver's perception sees in the picture; 0 where none is looked through.
        kept: of the squared distance to the latents that the tokenizer of ``init`` gives, so that dynamics that were
            trained on those need not begin anew.
    """

    squared: float = 1.0
    absolute: float = 0.3
    gradient: float = 0.3
    users: float = 0.0
    seen: float = 0.0
    kept: float = 0.0


def reconstruction_loss(
    output_BCHW: Float[Tensor, "b c h w"],
    target_BCHW: Float[Tensor, "b c h w"],
    valid_B1HW: Float[Tensor, "#b 1 h w"],
    config: ReconstructionLossConfig,
    *,
    weight_B1HW: Float[Tensor, "#b 1 h w"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over valid pixels of the weighted terms; pixels the source camera never saw do not count.

    Args:
        output_BCHW, target_BCHW: in [-1, 1].
        valid_B1HW: 1 or 0.
        config: weights of the terms.
        weight_B1HW: how much each pixel counts, from 0; 1 where not given.
    """
    weight = valid_B1HW if weight_B1HW is None else valid_B1HW * weight_B1HW
    error = (output_BCHW - target_BCHW) * valid_B1HW
    count = valid_B1HW.expand_as(error).sum().clamp(min=1)
    down = torch.minimum(weight[..., 1:, :], weight[..., :-1, :])
    across = torch.minimum(weight[..., :, 1:], weight[..., :, :-1])
    gradient = ((error[..., 1:, :] - error[..., :-1, :]) * down).abs().sum()
    gradient = gradient + ((error[..., :, 1:] - error[..., :, :-1]) * across).abs().sum()
    squared, absolute = (error.square() * weight).sum(), (error.abs() * weight).sum()
    return (config.squared * squared + config.absolute * absolute + config.gradient * gradient) / count


def psnr_db(
    output_BCHW: Float[Tensor, "b c h w"], target_BCHW: Float[Tensor, "b c h w"], valid_B1HW: Float[Tensor, "#b 1 h w"]
) -> Float[Tensor, " b"]:
    """Peak signal to noise of each frame over valid pixels, for values in [-1, 1]."""
    error = ((output_BCHW.clamp(-1, 1) - target_BCHW) * valid_B1HW).square().sum(dim=(1, 2, 3))
    count = valid_B1HW.expand_as(output_BCHW).sum(dim=(1, 2, 3)).clamp(min=1)
    return 10 * torch.log10(4 / (error / count).clamp(min=1e-10))
