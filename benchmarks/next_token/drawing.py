"""Drawing drives from the network: code by code, through a cache that slides by whole frames.

Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.next_token.gpt import Cache, Gpt
from worldmodel.nn.shapes import Float, Int


@dataclasses.dataclass(frozen=True)
class DrawConfig:
    """How codes are drawn.

    Attributes:
        temperature: logits are divided by it.
        top_p: of each part of a code, only the likeliest values that have this share of the probability together are
            drawn (Holtzman et al., arXiv 1904.09751); 1 for all.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def validate(self) -> DrawConfig:
        """Raise ``ValueError`` unless the temperature is positive and ``top_p`` in (0, 1]."""
        if not self.temperature > 0:
            raise ValueError(f"temperature: expected a positive number, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: expected a number in (0, 1], got {self.top_p}")
        return self


def draw(logits_BV: Float[Tensor, "b v"], config: DrawConfig, generator: torch.Generator) -> Int[Tensor, " b"]:
    """One value a row."""
    share_BV = (logits_BV.float() / config.temperature).softmax(dim=-1)
    if config.top_p < 1:
        sorted_BV, order_BV = share_BV.sort(dim=-1, descending=True)
        # The first that passes the share still belongs to it, so that there is always one.
        beyond_BV = sorted_BV.cumsum(dim=-1) - sorted_BV >= config.top_p
        share_BV = share_BV.scatter(-1, order_BV, sorted_BV.masked_fill(beyond_BV, 0))
    return torch.multinomial(share_BV, 1, generator=generator)[:, 0]


@torch.no_grad()
def continue_drives(
    network: Gpt,
    codes_BTNP: Int[Tensor, "b t n p"],
    motion_BTF: Float[Tensor, "b u f"],
    tags_BTK: Int[Tensor, "b u k"],
    config: DrawConfig,
    *,
    seed: int = 0,
    progress: bool = False,
) -> Int[Tensor, "b u n p"]:
    """The codes given and those drawn after them, as many frames as there is motion for.

    Args:
        network: in evaluation mode.
        codes_BTNP: of the frames that are known.
        motion_BTF: incoming motion of all frames, known and drawn.
        tags_BTK: tag codes of all frames.
        config: how codes are drawn.
        seed: of the draw.
        progress: show a bar.
    """
    device = codes_BTNP.device
    generator = torch.Generator(device).manual_seed(seed)
    batch, known, tokens, parts = codes_BTNP.shape
    cache = Cache(network.config, batch, like=network.norm.weight)
    frames = []
    for t in tqdm(range(motion_BTF.shape[1]), desc="drawing", disable=not progress):
        cache.begin_frame()
        told = network.embed_told(motion_BTF[:, t : t + 1], tags_BTK[:, t : t + 1])[:, 0]
        if t < known:
            frame = codes_BTNP[:, t]
            network.step(torch.cat([told, network.embed_codes(frame[:, None])[:, 0]], dim=1), cache)
        else:
            frame = codes_BTNP.new_zeros(batch, tokens, parts)
            after = network.step(told, cache)
            for n in range(tokens):
                for part in range(parts):
                    frame[:, n, part] = draw(network.logits(after, frame[:, n], part), config, generator)
                after = network.step(network.embed_codes(frame[:, None, n : n + 1], first=n)[:, 0], cache)
        frames.append(frame)
    return torch.stack(frames, dim=1)
