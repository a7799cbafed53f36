"""Whether a machine has instructions for bf16: on one without them products take a hundred times as long."""

from __future__ import annotations

import torch


def has_bf16(device: str | torch.device) -> bool:
    """Whether products in bf16 are faster there than in fp32."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
