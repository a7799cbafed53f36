"""What frames lack to look as they are told is learned from two looks of a place, and added to what is drawn."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tests.dynamics.test_objective import Oracle, told
from worldmodel.dynamics.look import LOOKS, LookNetwork, look_codes, look_loss
from worldmodel.dynamics.sampler import SamplerConfig, draw_frame
from worldmodel.nn.ring import Ring
from worldmodel.types import VOCABULARY, Tags

RAIN, SNOW = (torch.from_numpy(Tags.named(weather=weather).codes)[None] for weather in ("rain", "snow"))
UNKNOWN = torch.zeros_like(RAIN)


class Knows:
    """Draws what it holds, and holds that a frame lacks as much as its weather's code."""

    def __init__(self, clean: Tensor) -> None:
        self.clean = clean

    def step(self, x: Tensor, *_: object) -> Tensor:
        return self.clean.repeat(len(x) // len(self.clean), 1, 1, 1)

    def look(self, z: Tensor, tags: Tensor) -> Tensor:
        assert len(z) == len(tags)
        return torch.ones_like(z) * look_codes(tags)[:, :1, None, None]


def places(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Normalised latents of places in rain and, one channel brighter and one darker, in snow."""
    rain = torch.randn(count, 1, 4, 5, generator=torch.Generator().manual_seed(seed))
    return rain, rain + torch.tensor([3.0, -3.0, 0, 0, 0])


def test_what_is_lacking_is_learned_and_nothing_is_where_nothing_is_told() -> None:
    torch.manual_seed(0)
    network, generator = LookNetwork(16, tokens=4, channels=5), torch.Generator().manual_seed(1)
    rain, snow = places(500, 0)
    assert not network(rain, RAIN.expand(500, -1)).any(), "at birth nothing is lacking"
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    tags = torch.cat([RAIN.expand(500, -1), SNOW.expand(500, -1)])
    for _ in range(300):
        share = torch.rand(1000, generator=generator)
        loss = look_loss(network, torch.cat([rain, snow]), torch.cat([snow, rain]), share, tags, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rain, snow = places(200, 2)
    with torch.no_grad():
        for own, other, says in ((rain, snow, RAIN), (snow, rain, SNOW)):
            half = (own + other) / 2
            left, lacked = own - half - network(half, says.expand(200, -1)), own - half
            assert left.square().mean() < 0.3 * lacked.square().mean()
            assert network(own, says.expand(200, -1)).square().mean() < 0.15 * lacked.square().mean()
        assert not network(rain, UNKNOWN.expand(200, -1)).any()


def test_tags_that_are_no_look_say_nothing() -> None:
    torch.manual_seed(0)
    network = LookNetwork(8, tokens=4, channels=5)
    torch.nn.init.normal_(network.lacks.weight)
    z, others = torch.randn(1, 1, 4, 5), RAIN.clone()
    for name in VOCABULARY:
        if name not in LOOKS:
            others[0, list(VOCABULARY).index(name)] = 2
    assert torch.equal(network(z, RAIN), network(z, others))
    assert not torch.equal(network(z, RAIN), network(z, SNOW))
    assert not network(z, others * (RAIN == 0)).any()


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_share_of_it_is_added_to_every_frame_that_is_drawn(guidance: float) -> None:
    clean, says = torch.randn(2, 1, 4, 5), told(2, 1)
    says = dataclasses.replace(says, tags=torch.stack([RAIN, UNKNOWN]))
    ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
    rain = VOCABULARY["weather"].index("rain")
    for share in (0.0, 0.5):
        sampler = SamplerConfig(4, guidance=guidance, relit=share)
        drawn = draw_frame(Knows(clean), torch.randn(2, 1, 4, 5), says, ring, sampler)  # type: ignore[arg-type]
        torch.testing.assert_close(drawn[0], clean[0] + share * rain)
        torch.testing.assert_close(drawn[1], clean[1])
    with pytest.raises(ValueError, match="relit: expected a share"):
        SamplerConfig(relit=1.5).validate()


def test_who_has_not_learned_it_adds_nothing() -> None:
    class Deaf(Oracle):
        look = None

    clean, says = torch.randn(2, 1, 4, 5), told(2, 1)
    ring = Ring.empty(0, 2, 4, 1, 3, 2, like=torch.zeros(1))
    for network, tags in ((Deaf(clean), says.tags), (Knows(clean), None)):
        asked = dataclasses.replace(says, tags=tags)
        drawn = draw_frame(network, torch.randn(2, 1, 4, 5), asked, ring, SamplerConfig(4, relit=0.5))  # type: ignore[arg-type]
        torch.testing.assert_close(drawn, clean)
