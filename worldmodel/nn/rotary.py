"""Rotary positions (Su et al., arXiv 2104.09864), by position given rather than by index, so that a ring can age keys.

Legend: P positions (any leading shape), K head width, F = K / 2 frequencies.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.nn.shapes import Float


def rotary_angles(
    position: Float[Tensor, "*p"], head_width: int, *, base: float = 100.0
) -> tuple[Float[Tensor, "*p f"], Float[Tensor, "*p f"]]:
    """Cosine and sine of the rotation at each position. The base is small because windows are tens of frames."""
    frequency_F = base ** (-torch.arange(0, head_width, 2, device=position.device, dtype=torch.float32) / head_width)
    angle_PF = position.to(torch.float32)[..., None] * frequency_F
    return angle_PF.cos(), angle_PF.sin()


def rotate(
    x_PK: Float[Tensor, "*p k"], cos_PF: Float[Tensor, "*#p f"], sin_PF: Float[Tensor, "*#p f"]
) -> Float[Tensor, "*p k"]:
    """Rotate the pairs (first half, second half) of the last axis."""
    a, b = x_PK.chunk(2, dim=-1)
    return torch.cat([a * cos_PF - b * sin_PF, a * sin_PF + b * cos_PF], dim=-1)
