"""Which drives of the reference world a run is trained on."""

import pytest

from worldmodel.reference.options import draw_options
from worldmodel.training.config import DataConfig, TrainConfig
from worldmodel.training.sources import options_of

OTHER = {"lanes": 1, "road_kind": ["town", "country"], "events": [[["slow_truck", 1]], [["hard_brake", 5]]]}


def test_a_share_of_the_drives_has_other_options_and_the_rest_those_it_had() -> None:
    plain = DataConfig(options={"weather": "fog"})
    mixed = DataConfig(options={"weather": "fog"}, other_share=0.3, other_options=OTHER)
    drawn = [options_of(seed, mixed) for seed in range(200)]
    assert drawn == [options_of(seed, mixed) for seed in range(200)]
    other = [o for o in drawn if o.lanes == 1]
    assert 40 <= len(other) <= 80
    assert {o.road_kind for o in other} == {"town", "country"}
    assert {o.events for o in other} == {(("slow_truck", 1.0),), (("hard_brake", 5.0),)}
    assert len({o.weather for o in other}) > 1, "those fixed for the others are not fixed for them"
    for seed, options in enumerate(drawn):
        if options.lanes != 1:
            assert options == options_of(seed, plain) == draw_options(seed, weather="fog")


def test_several_groups_of_other_options_part_the_share() -> None:
    leaving = {"ego": ["absent", "erratic"], "traffic": "none"}
    drawn = [options_of(seed, DataConfig(other_share=0.6, other_options=(OTHER, leaving))) for seed in range(300)]
    alone = [o for o in drawn if o.traffic == "none" and o.ego in ("absent", "erratic")]
    followers = [o for o in drawn if o.events in ((("slow_truck", 1.0),), (("hard_brake", 5.0),)) and o.lanes == 1]
    assert 60 <= len(alone) <= 120
    assert 60 <= len(followers) <= 120
    assert {o.ego for o in alone} == {"absent", "erratic"}
    assert all(o.ego != "absent" for o in drawn if o.lanes == 1 or o.traffic != "none"), "no drive is of two groups"


def test_a_share_is_from_0_to_1() -> None:
    with pytest.raises(ValueError, match=r"data.other_share: expected a share, got 1.5"):
        TrainConfig(data=DataConfig(other_share=1.5, other_options=OTHER)).validate()


def test_options_without_a_share_are_told() -> None:
    with pytest.raises(ValueError, match=r"data.other_share and data.other_options: one without the other"):
        TrainConfig(data=DataConfig(other_options=OTHER)).validate()
