"""Randomness that a CPU generator decides, wherever the numbers are wanted.

On an accelerator numbers come from a stream of its own, seeded by the generator, and small tensors are handed over
without waiting for what the accelerator is doing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def noise_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal noise of the shape, dtype and device of ``x``."""
    if x.device.type == "cpu" or generator is None:
        return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.randn(x.shape, generator=torch.Generator(x.device).manual_seed(seed), device=x.device, dtype=x.dtype)


def hand_over(x: Tensor, device: torch.device | str) -> Tensor:
    """A small CPU tensor on ``device``, without waiting for the device's queue to empty."""
    if torch.device(device).type == "cpu":
        return x
    return x.pin_memory().to(device, non_blocking=True)
