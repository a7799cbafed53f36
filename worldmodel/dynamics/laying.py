"""What the ground in a frame lacks to show the road where its map says that it lies.

A learned world draws each frame from the last, and a road that it has let slip goes on from there: it bends to whoever
drives, and the network hardly hears the map that says otherwise (docs/road.md). Beside it a small one sees the latents
of a frame, and where the road is to lie in it (``dynamics.road``), and says by how much the latents of the ground would
be others if it lay there; of that a share is added to every frame that is drawn (``SamplerConfig.relaid``). It learns
from the reference world, which can be looked at from where the ego might have been: from a mixture of two such views,
back to the one whose map is told. So what it says is a mean over what a road might look like, and leaves the rest to
dynamics. What reaches up to the horizon, or lies beyond the map, stays as it is: by that it is seen how the ego turns.
Legend: F numbers that tell of the road; else as of the package.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from worldmodel.dynamics.look import wrongly_said
from worldmodel.dynamics.road import FEATURES, NUMBERS, ROWS
from worldmodel.nn.shapes import Float

#: Layers, each across tokens and then within them.
_LAYERS = 4
#: Of what a frame lacks, so much at most has been added at once before it is seen in training.
_MOST = 1.2


class LayingNetwork(nn.Module):
    """From a frame's latents, and where the road is to lie, to what is to be added to the ground.

    Args:
        width: of its layers.
        tokens, channels: of a view's latents.
    """

    def __init__(self, width: int, *, tokens: int, channels: int) -> None:
        super().__init__()
        self.seen, self.told = nn.Linear(channels, width), nn.Linear(FEATURES, width)
        self.position = nn.Parameter(torch.randn(tokens, width) * 0.02)
        self.across = nn.ParameterList([torch.randn(tokens, tokens) * 0.05 for _ in range(_LAYERS)])
        self.within = nn.ModuleList([nn.Linear(width, width) for _ in range(_LAYERS)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * _LAYERS)])
        self.lacks = nn.Linear(width, channels)
        nn.init.zeros_(self.lacks.weight)
        nn.init.zeros_(self.lacks.bias)

    def forward(self, z_BVNC: Float[Tensor, "b v n c"], road_BNF: Float[Tensor, "b n f"]) -> Float[Tensor, "b v n c"]:
        """What normalised latents lack; nothing of tokens that are not on the map."""
        road_B1NF = road_BNF[:, None].to(z_BVNC.dtype)
        x = self.seen(z_BVNC) + self.told(road_B1NF) + self.position
        for k, (across, within) in enumerate(zip(self.across, self.within)):
            x = x + torch.matmul(across, silu(self.norms[2 * k](x)))
            x = x + silu(within(self.norms[2 * k + 1](x)))
        return self.lacks(x) * on_the_map(road_B1NF)


def on_the_map(road_BNF: Float[Tensor, "*b n f"]) -> Tensor:
    """``(..., N, 1)`` whether a token shows nothing but ground, and it is known where the road lies on it."""
    return road_BNF.unflatten(-1, (ROWS, NUMBERS))[..., -1].all(dim=-1, keepdim=True)


def laying_loss(
    network: LayingNetwork,
    own_BVNC: Float[Tensor, "b v n c"],
    other_BVNC: Float[Tensor, "b v n c"],
    share_B: Float[Tensor, " b"],
    road_BNF: Float[Tensor, "b n f"],
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of what the ground of frames is said to lack, some of which have a share of another view.

    Args:
        network: to be taught.
        own_BVNC, other_BVNC: normalised latents of the same moments, from where the map is told and from elsewhere.
        share_B: of the other.
        road_BNF: where the road lies in the own.
        generator: of the noise.
    """

    def says(z_BVNC: Tensor) -> Tensor:
        return network(z_BVNC, road_BNF[: len(z_BVNC)])

    wrong_BVNC = wrongly_said(says, own_BVNC, other_BVNC, share_B, generator, most=_MOST)
    counts_B1N1 = on_the_map(road_BNF)[:, None].float()
    return (wrong_BVNC.square() * counts_B1N1).mean() / counts_B1N1.mean().clamp(min=1e-6)
