"""What the tokenizer is trained on: squared and absolute error, and the error of image gradients, inside a valid mask.

The gradient term keeps edges (lane markings, tail lights) that squared error alone would trade for flat areas.
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
        squared, absolute, gradient: weights.
    """

    squared: float = 1.0
    absolute: float = 0.3
    gradient: float = 0.3


def reconstruction_loss(
    output_BCHW: Float[Tensor, "b c h w"],
    target_BCHW: Float[Tensor, "b c h w"],
    valid_B1HW: Float[Tensor, "#b 1 h w"],
    config: ReconstructionLossConfig,
) -> Float[Tensor, ""]:
    """Mean over valid pixels of the weighted terms; pixels the source camera never saw do not count."""
    error = (output_BCHW - target_BCHW) * valid_B1HW
    count = valid_B1HW.expand_as(error).sum().clamp(min=1)
    down = valid_B1HW[..., 1:, :] * valid_B1HW[..., :-1, :]
    across = valid_B1HW[..., :, 1:] * valid_B1HW[..., :, :-1]
    gradient = ((error[..., 1:, :] - error[..., :-1, :]) * down).abs().sum()
    gradient = gradient + ((error[..., :, 1:] - error[..., :, :-1]) * across).abs().sum()
    total = config.squared * error.square().sum() + config.absolute * error.abs().sum() + config.gradient * gradient
    return total / count


def psnr_db(
    output_BCHW: Float[Tensor, "b c h w"], target_BCHW: Float[Tensor, "b c h w"], valid_B1HW: Float[Tensor, "#b 1 h w"]
) -> Float[Tensor, " b"]:
    """Peak signal to noise of each frame over valid pixels, for values in [-1, 1]."""
    error = ((output_BCHW.clamp(-1, 1) - target_BCHW) * valid_B1HW).square().sum(dim=(1, 2, 3))
    count = valid_B1HW.expand_as(output_BCHW).sum(dim=(1, 2, 3)).clamp(min=1)
    return 10 * torch.log10(4 / (error / count).clamp(min=1e-10))
