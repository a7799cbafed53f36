"""The project's tokenizer with a finite scalar quantisation bottleneck (FSQ, Mentzer et al., arXiv 2309.15505).

Every channel of a latent is rounded to one of a few levels, the gradient passing straight through; no codebook is
learned and none can collapse. The bins are of equal width on tanh's range, so that odd and even numbers of levels need
no formulas of their own. Encoder, decoder and losses are those of the continuous tokenizer.

A token's channels are grouped into *parts*, each a whole number below the product of its levels: ``8,8,8/5,5,5`` is a
code of 64,000 values said as one of 512 and one of 125, because a table of 64,000 rows would be larger than the whole
network that is compared. One group is a plain vocabulary.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from worldmodel.nn.shapes import Float, Int
from worldmodel.tokenizer.tokenizer import Tokenizer, TokenizerConfig

#: Levels of the channels of each part.
Levels = tuple[tuple[int, ...], ...]


def parse_levels(words: str) -> Levels:
    """``8,8,8/5,5,5`` as numbers.

    Raises:
        ValueError: no whole number, or fewer than two levels.
    """
    try:
        levels = tuple(tuple(int(word) for word in part.split(",")) for part in words.split("/"))
    except ValueError as error:
        raise ValueError(f"levels: expected whole numbers parted by commas and slashes, got {words!r}") from error
    if min(level for part in levels for level in part) < 2:
        raise ValueError(f"levels: expected at least 2 in every channel, got {words!r}")
    return levels


def discrete_config(continuous: TokenizerConfig, levels: Levels) -> TokenizerConfig:
    """The shape of a continuous tokenizer with a channel per level; without noise, for codes carry none."""
    channels = sum(len(part) for part in levels)
    return dataclasses.replace(continuous, channels=channels, latent_noise=0.0, depth_widths=())


class FsqTokenizer(Tokenizer):
    """Frames in [-1, 1] to latents of which each channel is at the middle of a bin, and back."""

    levels: Tensor

    def __init__(self, config: TokenizerConfig, levels: Levels) -> None:
        super().__init__(config)
        self.groups = levels
        flat = [level for part in levels for level in part]
        assert len(flat) == config.channels
        self.register_buffer("levels", torch.tensor(flat), persistent=False)

    def encode(
        self, frames_BCHW: Float[Tensor, "b c h w"], *, visible_BN: Tensor | None = None
    ) -> Float[Tensor, "b n d"]:
        """Quantised latents, the gradient of which is that of the latents before."""
        smooth = super().encode(frames_BCHW, visible_BN=visible_BN).float()
        return smooth + (self.quantise(smooth) - smooth).detach()

    def digits(self, latents: Float[Tensor, "*p c"]) -> Int[Tensor, "*p c"]:
        """The bin each channel falls in."""
        bins = torch.floor((latents.float() + 1) / 2 * self.levels).long()
        return torch.minimum(bins.clamp(min=0), self.levels - 1)

    def quantise(self, latents: Float[Tensor, "*p c"]) -> Float[Tensor, "*p c"]:
        """Every channel moved to the middle of its bin."""
        return (2 * self.digits(latents) + 1) / self.levels - 1

    def codes(self, latents: Float[Tensor, "*p c"]) -> Int[Tensor, "*p q"]:
        """One whole number per part; the last channel of a part counts ones."""
        said, first = [], 0
        digits = self.digits(latents)
        for part in self.groups:
            said.append((digits[..., first : first + len(part)] * _weights(part, digits)).sum(dim=-1))
            first += len(part)
        return torch.stack(said, dim=-1)

    def latents(self, codes: Int[Tensor, "*p q"]) -> Float[Tensor, "*p c"]:
        """The quantised latents of codes."""
        digits = [
            torch.div(codes[..., i, None], _weights(part, codes), rounding_mode="floor")
            % torch.tensor(part, device=codes.device)
            for i, part in enumerate(self.groups)
        ]
        return (2 * torch.cat(digits, dim=-1) + 1) / self.levels - 1


def _weights(part: Sequence[int], like: Tensor) -> Tensor:
    """What one step of each channel of a part counts."""
    return torch.tensor([math.prod(part[i + 1 :]) for i in range(len(part))], device=like.device)


def vocabulary(levels: Levels) -> tuple[int, ...]:
    """How many values each part can take."""
    return tuple(math.prod(part) for part in levels)


def code_bits(tokens: int, levels: Levels) -> float:
    """Bits of a frame of codes."""
    return tokens * sum(math.log2(size) for size in vocabulary(levels))


def latent_bits(tokens: int, std_C: Sequence[float], noise: float) -> float:
    """Bits of a frame of continuous latents that survive noise of this deviation, were they Gaussian.

    The capacity of a Gaussian channel (Shannon 1948); stored as fp16 they take 16 a number.
    """
    return tokens * sum(0.5 * math.log2(1 + (std / noise) ** 2) for std in std_C)
