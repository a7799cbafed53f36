"""What a frame's latents lack to look as it is told: its weather, and its light.

A learned world draws each frame from the last, and what a large dark tree or a bright wall has taken away of the day is
gone: the network goes on as the past was, and hardly hears what it is told (docs/distilling.md). Beside it a small one
sees the latents of a frame, and its tags, and says by how much they would be others if the same place looked as is
told; of that a share is put right in every frame that is drawn (``SamplerConfig.relit``). It learns from the reference
world, which has one drive in several looks: from a mixture of two, back to the one that is told. So what it says is a
mean over what a frame might be, and little where it may well look so, as within trees. A world adds it to what it has
added to before, so it is learned from such frames too; else a mean is taken of a mean, until nothing is left.
Legend: K tags; else as of the package.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.shapes import Float, Int
from worldmodel.types import VOCABULARY

#: The tags that a look is made of; others are what is there.
LOOKS = ("weather", "time_of_day")
#: Where they are among all.
CHANNELS = [list(VOCABULARY).index(name) for name in LOOKS]
#: Latents are seen with up to so much noise in training: what a world has drawn is not quite what true frames are. To
#: so many of the frames what they lack has been added before, at most so often and so much of it at once.
_NOISE, _ADDED_SHARE, _TIMES, _MOST = 0.1, 0.5, 3, 1.5


class LookNetwork(nn.Module):
    """From a frame's latents, each token and their mean, and tags, to what is to be added to them.

    The mean of all decides how much of it, so that a frame that looks as it is told stays as it is.

    Args:
        width: of its layers.
        tokens, channels: of a view's latents.
    """

    def __init__(self, width: int, *, tokens: int, channels: int) -> None:
        super().__init__()
        self.told = nn.ModuleList([nn.Embedding(len(VOCABULARY[name]), width) for name in LOOKS])
        self.seen = nn.Linear(channels, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.together = nn.Linear(width, width, bias=False)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.gate = nn.Linear(2 * width, width)
        self.lacks = nn.Linear(width, channels)
        nn.init.zeros_(self.lacks.weight)
        nn.init.zeros_(self.lacks.bias)

    def forward(self, z_BVNC: Float[Tensor, "b v n c"], tags_BK: Int[Tensor, "b k"]) -> Float[Tensor, "b v n c"]:
        """What normalised latents lack; nothing where no look is told. A look that is not told is to stay."""
        codes = look_codes(tags_BK)
        told_BW = torch.stack([table(codes[:, i]) for i, table in enumerate(self.told)]).sum(dim=0)
        x = silu(self.seen(z_BVNC) + self.position + told_BW[:, None, None])
        x = x + silu(self.layers[0](x) + self.together(x.mean(dim=2, keepdim=True)))
        mean_BV1W = x.mean(dim=2, keepdim=True)
        much_BV1W = torch.sigmoid(self.gate(torch.cat([mean_BV1W, silu(mean_BV1W)], dim=-1)))
        x = x + silu(self.layers[1](x + mean_BV1W))
        return self.lacks(x * much_BV1W) * (codes > 0).any(dim=1)[:, None, None, None]


def look_codes(tags_BK: Int[Tensor, "b k"]) -> Int[Tensor, "b l"]:
    """Of all tags, those of a look; 0 is unknown."""
    return tags_BK[:, CHANNELS]


def look_loss(
    network: LookNetwork,
    own_BVNC: Float[Tensor, "b v n c"],
    other_BVNC: Float[Tensor, "b v n c"],
    share_B: Float[Tensor, " b"],
    tags_BK: Int[Tensor, "b k"],
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of what frames are said to lack, some of which have a share of another look.

    Args:
        network: to be taught.
        own_BVNC, other_BVNC: normalised latents of the same places, as they are told and in another look.
        share_B: of the other.
        tags_BK: that are told.
        generator: of the noise.
    """

    def says(z_BVNC: Tensor) -> Tensor:
        return network(z_BVNC, tags_BK[: len(z_BVNC)])

    return wrongly_said(says, own_BVNC, other_BVNC, share_B, generator, most=_MOST).square().mean()


def wrongly_said(
    says: Callable[[Tensor], Tensor],
    own_BVNC: Float[Tensor, "b v n c"],
    other_BVNC: Float[Tensor, "b v n c"],
    share_B: Float[Tensor, " b"],
    generator: torch.Generator,
    *,
    most: float,
) -> Float[Tensor, "b v n c"]:
    """What is said to be lacking, less what is, of frames in part as others, which noise and earlier additions alter.

    Args:
        says: what the first rows' latents, as many as are given, lack.
        own_BVNC, other_BVNC: normalised latents as they should be, and of what they are mixed with.
        share_B: of the other.
        generator: of noise, and of what has been added before.
        most: that is added at once, as a share of what is said.
    """

    def uniform(rows: int) -> Tensor:
        return hand_over(torch.rand(rows, 1, 1, 1, generator=generator), own_BVNC.device)

    seen_BVNC = torch.lerp(own_BVNC, other_BVNC, share_B[:, None, None, None])
    added = round(_ADDED_SHARE * len(own_BVNC))
    with torch.no_grad():
        for _ in range(int(torch.randint(1, _TIMES + 1, (), generator=generator))):
            seen_BVNC[:added] += most * uniform(added) * says(seen_BVNC[:added])
    noise_BVNC = _NOISE * uniform(len(own_BVNC)) * noise_like(own_BVNC, generator)
    return says(seen_BVNC + noise_BVNC) - (own_BVNC - seen_BVNC)
