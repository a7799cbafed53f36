"""Attention over the tokens of a frame, or over the past of a token: QK-norm, grouped-query keys and values.

Grouped-query attention as in Ainslie et al. (arXiv 2305.13245), QK-norm as in Dehghani et al. (arXiv 2302.05442).
Legend: see the package docstring.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.nn.norm import RMSNorm
from worldmodel.nn.ring import Ring
from worldmodel.nn.rotary import rotary_angles, rotate
from worldmodel.nn.shapes import Bool, Float


class Attention(nn.Module):
    """Projections shared by both directions of attention; ``forward`` attends within frames."""

    def __init__(self, width: int, *, heads: int, kv_heads: int) -> None:
        super().__init__()
        assert width % heads == 0
        assert heads % kv_heads == 0
        self.heads, self.kv_heads, self.head_width = heads, kv_heads, width // heads
        self.qkv = nn.Linear(width, (heads + 2 * kv_heads) * self.head_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.q_norm = RMSNorm(self.head_width)
        self.k_norm = RMSNorm(self.head_width)

    def project(self, x: Float[Tensor, "*p d"]) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised queries ``(..., H, K)``, normalised keys and values ``(..., G, K)``."""
        q, k, v = self.qkv(x).split(
            [self.heads * self.head_width, self.kv_heads * self.head_width, self.kv_heads * self.head_width], dim=-1
        )
        q = self.q_norm(q.unflatten(-1, (self.heads, self.head_width)))
        k = self.k_norm(k.unflatten(-1, (self.kv_heads, self.head_width)))
        return q, k, v.unflatten(-1, (self.kv_heads, self.head_width))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        """Queries ``(P, H, L, K)`` over keys and values ``(P, G, S, K)`` → ``(P, H, L, K)``."""
        if self.kv_heads != self.heads:
            k = k.repeat_interleave(self.heads // self.kv_heads, dim=1)
            v = v.repeat_interleave(self.heads // self.kv_heads, dim=1)
        if q.is_cuda:
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        # On a CPU, the fused kernel's backward takes three times as long as this at the few dozen tokens of a frame.
        scores = (q * self.head_width**-0.5) @ k.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(dim=-1).to(v.dtype) @ v


class SpaceAttention(Attention):
    """Full attention among the tokens of each frame."""

    def forward(self, x_PND: Float[Tensor, "p n d"]) -> Float[Tensor, "p n d"]:
        """Every token sees every token of its own frame."""
        q, k, v = (y.transpose(1, 2) for y in self.project(x_PND))
        return self.out(self.attend(q, k, v).transpose(1, 2).flatten(-2))


class TimeAttention(Attention):
    """Banded causal attention of each token over its own past, in a whole clip or through a ring."""

    def __init__(self, width: int, *, heads: int, kv_heads: int, window: int) -> None:
        super().__init__(width, heads=heads, kv_heads=kv_heads)
        self.window = window

    def forward(self, x_BTND: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d"]:
        """A whole clip: frame t sees frames t - W + 1 … t."""
        batch, length, tokens, _ = x_BTND.shape
        time_T = torch.arange(length, device=x_BTND.device)
        cos, sin = rotary_angles(time_T.float(), self.head_width)
        # (B, T, N, H, K) -> (B N, H, T, K)
        q, k, v = (y.permute(0, 2, 3, 1, 4).flatten(0, 1) for y in self.project(x_BTND))
        q, k = rotate(q, cos.to(q.dtype), sin.to(q.dtype)), rotate(k, cos.to(k.dtype), sin.to(k.dtype))
        y_PHTK = self.attend(q, k, v, band_mask(length, self.window, x_BTND.device))
        y = y_PHTK.unflatten(0, (batch, tokens)).permute(0, 3, 1, 2, 4)
        return self.out(y.flatten(-2))

    def step(self, x_BND: Float[Tensor, "b n d"], ring: Ring, layer: int) -> Float[Tensor, "b n d"]:
        """One frame: writes its keys and values to the ring's current slot and looks at what each row may see."""
        batch, tokens, _ = x_BND.shape
        q_BNHK, k_BNGK, v_BNGK = self.project(x_BND)
        ring.write(layer, k_BNGK, v_BNGK)
        # Only relative positions count: the query stays at 0, and a key of age a stands at -a.
        cos, sin = rotary_angles(-ring.age_W().float(), self.head_width)
        k = rotate(ring.keys[layer], cos.to(x_BND.dtype), sin.to(x_BND.dtype)).flatten(0, 1)
        v = ring.values[layer].flatten(0, 1)
        mask_PW = ring.visible_BW().repeat_interleave(tokens, dim=0)
        y = self.attend(q_BNHK.flatten(0, 1)[:, :, None], k, v, mask_PW[:, None, None])
        return self.out(y.flatten(1).view(batch, tokens, -1))


def band_mask(length: int, window: int, device: torch.device) -> Bool[Tensor, "t t"]:
    """True where a frame (row) may look: at itself and the ``window - 1`` frames before it."""
    time_T = torch.arange(length, device=device)
    age_TT = time_T[:, None] - time_T[None]
    return (age_TT >= 0) & (age_TT < window)
