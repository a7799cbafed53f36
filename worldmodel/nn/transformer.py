"""The stack: pre-norm blocks of space attention, every fourth of time attention, each with a SwiGLU feed-forward.

The shape is that of Dreamer 4 (arXiv 2509.24527): RMSNorm, SwiGLU (arXiv 2002.05202), QK-norm, grouped-query
attention, temporal attention in a fraction of the layers. With ``time_every = 0`` it is a plain image transformer.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.nn.attention import SpaceAttention, TimeAttention
from worldmodel.nn.norm import RMSNorm
from worldmodel.nn.ring import Ring
from worldmodel.nn.shapes import Float


@dataclasses.dataclass(frozen=True)
class TransformerConfig:
    """Size of a stack.

    Attributes:
        width: D.
        depth: number of blocks.
        heads, kv_heads: query heads and the key-value heads they share.
        feed_forward: hidden width of the SwiGLU.
        time_every: one block in so many attends over time, the second of each group; 0 for none.
        window: W, the frames a frame sees, itself included.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 704
    time_every: int = 4
    window: int = 16


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "*p d"]) -> Float[Tensor, "*p d"]:
        """Token by token."""
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    """Attention in one direction, then feed-forward, both residual."""

    def __init__(self, config: TransformerConfig, *, over_time: bool) -> None:
        super().__init__()
        self.over_time = over_time
        self.attention_norm = RMSNorm(config.width)
        if over_time:
            self.attention = TimeAttention(
                config.width, heads=config.heads, kv_heads=config.kv_heads, window=config.window
            )
        else:
            self.attention = SpaceAttention(config.width, heads=config.heads, kv_heads=config.kv_heads)
        self.feed_forward_norm = RMSNorm(config.width)
        self.feed_forward = FeedForward(config.width, config.feed_forward)

    def within(self, x_PND: Float[Tensor, "p n d"]) -> Float[Tensor, "p n d"]:
        """All that happens within frames, whatever their order in time: the part worth compiling."""
        if not self.over_time:
            x_PND = x_PND + self.attention(self.attention_norm(x_PND))
        return x_PND + self.feed_forward(self.feed_forward_norm(x_PND))

    def forward(self, x_BTND: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d"]:
        """A whole clip."""
        if self.over_time:
            x_BTND = x_BTND + self.attention(self.attention_norm(x_BTND))
        return self.within(x_BTND.flatten(0, 1)).view_as(x_BTND)

    def step(self, x_BND: Float[Tensor, "b n d"], ring: Ring, layer: int) -> Float[Tensor, "b n d"]:
        """One frame through the ring's temporal layer ``layer``; space blocks do not touch the ring."""
        if isinstance(self.attention, TimeAttention):
            x_BND = x_BND + self.attention.step(self.attention_norm(x_BND), ring, layer)
        return self.within(x_BND)


class Transformer(nn.Module):
    """A stack of blocks with a final norm, over whole clips or frame by frame."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        # The second of each group: what time brings in is then mixed over space by the blocks that follow.
        self.blocks = nn.ModuleList(
            Block(config, over_time=config.time_every > 0 and i % config.time_every == min(1, config.time_every - 1))
            for i in range(config.depth)
        )
        self.norm = RMSNorm(config.width)
        self._initialise()

    def _initialise(self) -> None:
        """Outputs of residual branches start small (GPT-2's rule), everything else at 1 / sqrt(fan in)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim != 2:
                continue
            std = parameter.shape[1] ** -0.5
            if name.endswith(("out.weight", "down.weight")):
                std /= (2 * self.config.depth) ** 0.5
            nn.init.trunc_normal_(parameter, std=std, a=-3 * std, b=3 * std)

    @property
    def temporal_layers(self) -> int:
        """How many blocks attend over time."""
        return sum(bool(block.over_time) for block in self.blocks)

    def new_ring(self, batch: int, tokens: int, *, like: Tensor) -> Ring:
        """An empty ring for ``batch`` rows of frames of ``tokens`` tokens."""
        c = self.config
        return Ring.empty(self.temporal_layers, batch, tokens, c.kv_heads, c.window, c.width // c.heads, like=like)

    def forward(self, x_BTND: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d"]:
        """A whole clip: frame t sees the last W frames."""
        for block in self.blocks:
            x_BTND = block(x_BTND)
        return self.norm(x_BTND)

    def step(self, x_BND: Float[Tensor, "b n d"], ring: Ring) -> Float[Tensor, "b n d"]:
        """The current frame of every row. Call as often as wanted, then ``ring.advance()``."""
        layer = 0
        for block in self.blocks:
            assert isinstance(block, Block)
            x_BND = block.step(x_BND, ring, layer)
            layer += block.over_time
        return self.norm(x_BND)


def compile_blocks(module: nn.Module) -> None:
    """Compile what happens within frames, in every block of a network, for each shape it meets.

    Blocks share their compiled code, so this takes seconds where compiling the whole network takes minutes. What cannot
    be compiled runs as it is.
    """
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.suppress_errors = True
    for block in module.modules():
        if isinstance(block, Block):
            block.within = torch.compile(block.within, dynamic=False)


def matmul_flops_per_token(module: nn.Module) -> int:
    """Forward floating-point operations a token costs in matrix products: 2 × the weights of the linear layers."""
    return 2 * sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Linear))
