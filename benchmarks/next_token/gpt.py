"""A decoder in GPT-2's manner (Radford et al. 2019) over the flattened tokens of frames.

Pre-norm blocks with biases, GELU, output tables tied to input tables, GPT-2's initial weights and dropout. Three things
are not GPT-2's, and all three help it: positions are rotary (a window that slides needs relative ones) beside a learned
one for the place in the frame; a token sees the last W frames only, so that long clips teach what a sliding cache is;
and a code of several parts is said part by part, each by a layer that has seen the parts before it.

A frame is [motion that led to it, its tags, N codes]; the token before a code predicts it. Motion and tags are never
predicted. They are embedded as the compared network's are.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.dynamics.conditioning import MotionEmbedding, TagEmbedding
from worldmodel.nn.rotary import rotary_angles, rotate
from worldmodel.nn.shapes import Float, Int
from worldmodel.nn.transformer import TransformerConfig

#: Tokens at the beginning of a frame that say what it is told.
TOLD = 2


@dataclasses.dataclass(frozen=True)
class GptConfig:
    """Size of the network.

    Attributes:
        width, depth, heads, feed_forward: D, blocks, H, hidden width of the GELU layer.
        window: W, the frames a frame sees, itself included.
        tokens: N, codes of a frame.
        vocabulary: values of each part of a code.
        dropout: of embeddings and residual branches, while training.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    feed_forward: int = 1024
    window: int = 16
    tokens: int = 32
    vocabulary: tuple[int, ...] = (512, 125)
    dropout: float = 0.1

    @property
    def frame_tokens(self) -> int:
        """M, tokens of a frame."""
        return TOLD + self.tokens


class Cache:
    """Rotated keys and values of the frames in the window, which slides by whole frames."""

    def __init__(self, config: GptConfig, batch: int, *, like: Tensor) -> None:
        self.frame, slots = config.frame_tokens, config.window * config.frame_tokens
        shape = (batch, config.heads, slots, config.width // config.heads)
        self.keys = [like.new_zeros(shape) for _ in range(config.depth)]
        self.values = [like.new_zeros(shape) for _ in range(config.depth)]
        self.length = self.position = 0

    def begin_frame(self) -> None:
        """Make room for a frame: the oldest goes where the window is full."""
        if self.length < self.keys[0].shape[2]:
            return
        for side in (self.keys, self.values):
            for x in side:
                x[:, :, : -self.frame] = x[:, :, self.frame :].clone()
        self.length -= self.frame

    def extend(self, layer: int, k_BHSK: Tensor, v_BHSK: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones last."""
        end = self.length + k_BHSK.shape[2]
        self.keys[layer][:, :, self.length : end] = k_BHSK
        self.values[layer][:, :, self.length : end] = v_BHSK
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Block(nn.Module):
    """Attention, then a GELU layer, both pre-norm and residual."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.feed_forward = FeedForward(config.width, config.feed_forward, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x_BSD: Float[Tensor, "b s d"],
        angles: tuple[Tensor, Tensor],
        mask_SL: Tensor | None,
        cache: Cache | None = None,
        layer: int = 0,
    ) -> Float[Tensor, "b s d"]:
        """Tokens that see those the mask names (``None``: all before them), and what the cache holds."""
        qkv = self.qkv(self.attention_norm(x_BSD)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q, k = (rotate(x, *angles).to(v.dtype) for x in (q, k))  # in fp32: positions go into the thousands
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask_SL, is_causal=mask_SL is None)
        x_BSD = x_BSD + self.dropout(self.out(y.transpose(1, 2).flatten(-2)))
        return self.feed_forward(x_BSD)


class FeedForward(nn.Module):
    """A pre-norm, residual GELU layer."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "*p d"]) -> Float[Tensor, "*p d"]:
        """Token by token."""
        return x + self.dropout(self.out(F.gelu(self.up(self.norm(x)), approximate="tanh")))


class Gpt(nn.Module):
    """What the next code is, given all before it and what frames are told."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        assert config.width % config.heads == 0
        self.config, c = config, config
        self.tables = nn.ModuleList(nn.Embedding(size, c.width) for size in c.vocabulary)
        self.place = nn.Embedding(c.frame_tokens, c.width)
        self.motion, self.tags = MotionEmbedding(c.width), TagEmbedding(c.width)
        self.dropout = nn.Dropout(c.dropout)
        self.blocks = nn.ModuleList(Block(c) for _ in range(c.depth))
        self.norm = nn.LayerNorm(c.width)
        #: What a later part of a code is said by, the parts before it known.
        self.later = nn.ModuleList(FeedForward(c.width, c.feed_forward, 0.0) for _ in c.vocabulary[1:])
        self.later_norm = nn.ModuleList(nn.LayerNorm(c.width) for _ in c.vocabulary[1:])
        self._initialise()

    def _initialise(self) -> None:
        """GPT-2's: 0.02 everywhere, outputs of residual branches smaller by the root of their number."""
        for name, parameter in self.named_parameters():
            if name.startswith("motion."):
                continue  # the compared network's own
            if parameter.ndim == 2:
                residual = name.endswith("out.weight")
                nn.init.normal_(parameter, std=0.02 / ((2 * self.config.depth) ** 0.5 if residual else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def embed_told(self, motion_BTF: Float[Tensor, "b t f"], tags_BTK: Int[Tensor, "b t k"]) -> Tensor:
        """Tokens ``(B, T, 2, D)`` a frame begins with."""
        told = torch.stack([self.motion(motion_BTF), self.tags(tags_BTK)], dim=2)
        return self.dropout(told + self.place.weight[:TOLD])

    def embed_codes(self, codes_BTNP: Int[Tensor, "b t n p"], *, first: int = 0) -> Tensor:
        """Tokens ``(B, T, n, D)`` of codes ``first``, ``first + 1`` … of their frames."""
        x = torch.stack([table(codes_BTNP[..., i]) for i, table in enumerate(self.tables)]).sum(dim=0)
        start = TOLD + first
        return self.dropout(x + self.place.weight[start : start + codes_BTNP.shape[2]])

    def forward(
        self, codes_BTNP: Int[Tensor, "b t n p"], motion_BTF: Float[Tensor, "b t f"], tags_BTK: Int[Tensor, "b t k"]
    ) -> Float[Tensor, "b t n d"]:
        """For each code of a clip, what the network knows just before it.

        Args:
            codes_BTNP: the clip's codes.
            motion_BTF: incoming motion channels (``dynamics.conditioning``), NaN where unknown.
            tags_BTK: tag codes.
        """
        x_BTMD = torch.cat([self.embed_told(motion_BTF, tags_BTK), self.embed_codes(codes_BTNP)], dim=2)
        batch, length, many, _ = x_BTMD.shape
        mask = None if length <= self.config.window else band(length, many, self.config.window, x_BTMD.device)
        x = x_BTMD.flatten(1, 2)
        angles = self._angles(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            x = block(x, angles, mask)
        return self.norm(x).view(batch, length, many, -1)[:, :, TOLD - 1 : -1]

    def step(self, x_BSD: Float[Tensor, "b s d"], cache: Cache) -> Float[Tensor, "b d"]:
        """More tokens of the frame the cache has begun; what the network knows after the last of them."""
        count, device = x_BSD.shape[1], x_BSD.device
        at = torch.arange(count, device=device)
        mask = torch.arange(cache.length + count, device=device)[None] <= cache.length + at[:, None]
        angles = self._angles(cache.position + at)
        for layer, block in enumerate(self.blocks):
            x_BSD = block(x_BSD, angles, mask, cache, layer)
        cache.length += count
        cache.position += count
        return self.norm(x_BSD[:, -1])

    def _angles(self, position_S: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_angles(position_S, self.config.width // self.config.heads, base=10_000.0)

    def logits(self, known: Float[Tensor, "*p d"], codes: Int[Tensor, "*p q"], part: int) -> Float[Tensor, "*p v"]:
        """Of one part of the next code, the parts before it being those of ``codes``."""
        if part:
            for i, table in enumerate(list(self.tables)[:part]):
                known = known + table(codes[..., i])
            known = self.later_norm[part - 1](self.later[part - 1](known))
        return F.linear(known, self.tables[part].weight.to(known.dtype))  # pyright: ignore[reportArgumentType]

    def nats(
        self, codes_BTNP: Int[Tensor, "b t n p"], motion_BTF: Float[Tensor, "b t f"], tags_BTK: Int[Tensor, "b t k"]
    ) -> Float[Tensor, "b t n"]:
        """Cross-entropy of each code, all its parts together."""
        known = self(codes_BTNP, motion_BTF, tags_BTK)
        total = torch.zeros(codes_BTNP.shape[:3], device=known.device)
        for part in range(codes_BTNP.shape[-1]):
            logits, said = self.logits(known, codes_BTNP, part).float(), codes_BTNP[..., part]
            nats = F.cross_entropy(logits.flatten(0, 2), said.flatten(), reduction="none")
            total = total + nats.view(total.shape)
        return total


def band(length: int, many: int, window: int, device: torch.device) -> Tensor:
    """True where a token (row) of clips of ``length`` frames of ``many`` tokens may look."""
    at = torch.arange(length * many, device=device)
    return (at[:, None] >= at[None]) & (at[:, None] // many - at[None] // many < window)


def parameters_of(module: nn.Module) -> int:
    """How many there are."""
    return sum(p.numel() for p in module.parameters())


def matched(
    target: int, *, like: TransformerConfig, tokens: int, vocabulary: tuple[int, ...], dropout: float = 0.1
) -> GptConfig:
    """The width, heads and window of the compared network, as many blocks as fit, and the rest in the GELU layers.

    Raises:
        ValueError: no depth and no hidden width come within 5 % of ``target`` parameters.
    """

    def sized(depth: int, hidden: int) -> tuple[int, GptConfig]:
        config = GptConfig(like.width, depth, like.heads, hidden, like.window, tokens, vocabulary, dropout)
        with torch.device("meta"):
            return parameters_of(Gpt(config)), config

    usual = 4 * like.width
    one, two = sized(1, usual)[0], sized(2, usual)[0]
    depth = max(1, 1 + round((target - one) / (two - one)))
    smaller, larger = sized(depth, usual)[0], sized(depth, usual + 8)[0]
    hidden = usual + 8 * round((target - smaller) / (larger - smaller))
    count, config = sized(depth, max(8, hidden))
    if abs(count - target) > 0.05 * target:
        raise ValueError(f"parameters: the compared network has {target}, the nearest of this kind {count}")
    return config
