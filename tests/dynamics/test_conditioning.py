"""What a frame is told."""

import torch

from worldmodel.dynamics.conditioning import TagEmbedding
from worldmodel.types import Tags


def told(embedding: TagEmbedding, event: str, weather: str = "rain") -> torch.Tensor:
    return embedding(torch.from_numpy(Tags.named(weather=weather, event=event).codes))


def test_what_comes_of_driving_is_not_told_and_what_is_asked_for_is() -> None:
    embedding = TagEmbedding(8)
    nothing = told(embedding, "none")
    for outcome in ("off_road", "collision"):
        assert torch.equal(told(embedding, outcome), nothing)
    for wish in ("unknown", "hard_brake", "cut_in", "stopped_vehicle", "slow_truck", "pedestrian"):
        assert not torch.equal(told(embedding, wish), nothing)
    assert not torch.equal(told(embedding, "none", "snow"), nothing), "other channels are told as they were"


def test_weights_of_before_are_those_of_now() -> None:
    assert set(TagEmbedding(4).state_dict()) == {
        f"tables.{name}.weight" for name in ("weather", "time_of_day", "road_kind", "traffic", "event")
    }


def test_tags_are_read_from_weights_of_another_vocabulary() -> None:
    """Longer tables are cut, shorter ones keep what was never learned as it was born."""
    mine = TagEmbedding(8)
    state = {name: torch.randn_like(x) for name, x in mine.state_dict().items()}
    longer = {name: torch.cat([x, torch.ones(5, 8)]) for name, x in state.items()}
    mine.load_state_dict(longer)
    assert all(torch.equal(x, state[name]) for name, x in mine.state_dict().items())
    other = TagEmbedding(8)
    born = {name: x.clone() for name, x in other.state_dict().items()}
    other.load_state_dict({name: x[:2] for name, x in state.items()})
    for name, x in other.state_dict().items():
        assert torch.equal(x[:2], state[name][:2])
        assert torch.equal(x[2:], born[name][2:])
