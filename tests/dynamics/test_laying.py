"""What the ground lacks to show the road of its map is learned from two views of a moment, and added to frames."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.dynamics.test_objective import Oracle, told
from worldmodel.dynamics.laying import LayingNetwork, laying_loss, on_the_map
from worldmodel.dynamics.road import FEATURES
from worldmodel.dynamics.sampler import SamplerConfig, draw_frame
from worldmodel.nn.ring import Ring


def moments(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents of four tokens, the last two of them ground; where the road lies in them, and the latents it asks for.

    The ground's first channel is where the road lies, but for texture in the others.
    """
    generator = torch.Generator().manual_seed(seed)
    road = torch.zeros(count, 4, FEATURES)
    road[:, 2:] = torch.rand(count, 1, 1, generator=generator) + 0.1
    z = torch.randn(count, 1, 4, 5, generator=generator)
    z[:, 0, 2:, 0] = 3 * road[:, 2:, 0]
    other = z.clone()
    other[:, 0, 2:, 0] = 3 * torch.rand(count, 1, generator=generator)
    return z, other, road


def test_what_is_lacking_is_learned_and_only_of_ground_that_is_on_the_map() -> None:
    torch.manual_seed(0)
    network, generator = LayingNetwork(16, tokens=4, channels=5), torch.Generator().manual_seed(1)
    own, other, road = moments(500, 0)
    assert not network(own, road).any(), "at birth nothing is lacking"
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(300):
        share = torch.rand(500, generator=generator)
        loss = laying_loss(network, own, other, share, road, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    own, other, road = moments(200, 2)
    with torch.no_grad():
        left = own - other - network(other, road)
        assert left.square().mean() < 0.3 * (own - other).square().mean()
        assert network(own, road).square().mean() < 0.15 * (own - other).square().mean()
        assert not network(other, road)[:, :, :2].any(), "what lies above the horizon stays"
        assert not network(other, torch.zeros_like(road)).any()
        assert on_the_map(road).sum() == 2 * len(road)


class Knows:
    """Draws what it holds, and holds that a frame lacks what is told of its road."""

    look = None

    def __init__(self, clean: Tensor) -> None:
        self.clean = clean

    def step(self, x: Tensor, *_: object) -> Tensor:
        return self.clean.repeat(len(x) // len(self.clean), 1, 1, 1)

    def laying(self, z: Tensor, road: Tensor) -> Tensor:
        assert len(z) == len(road)
        return torch.ones_like(z) * road[:, None, :, :1]


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_share_of_it_is_added_to_every_frame_that_is_drawn(guidance: float) -> None:
    clean, says = torch.randn(2, 1, 4, 5), told(2, 1)
    road = torch.zeros(2, 1, 4, FEATURES)
    road[0] = 3.0
    says = dataclasses.replace(says, road=road)
    ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
    for share in (0.0, 0.5):
        sampler = SamplerConfig(4, guidance=guidance, relaid=share)
        drawn = draw_frame(Knows(clean), torch.randn(2, 1, 4, 5), says, ring, sampler)  # type: ignore[arg-type]
        torch.testing.assert_close(drawn[0], clean[0] + share * 3)
        torch.testing.assert_close(drawn[1], clean[1])
    with pytest.raises(ValueError, match="relaid: expected a share"):
        SamplerConfig(relaid=1.5).validate()


def test_who_has_not_learned_it_or_has_no_map_adds_nothing() -> None:
    class Deaf(Oracle):
        laying = None

    clean, says = torch.randn(2, 1, 4, 5), told(2, 1)
    ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
    for network, road in ((Deaf(clean), torch.ones(2, 1, 4, FEATURES)), (Knows(clean), None)):
        asked = dataclasses.replace(says, road=road)
        drawn = draw_frame(network, torch.randn(2, 1, 4, 5), asked, ring, SamplerConfig(4, relaid=0.5))  # type: ignore[arg-type]
        torch.testing.assert_close(drawn, clean)
