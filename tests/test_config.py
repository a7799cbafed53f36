"""The strict builder of dataclasses from configuration."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from omegaconf import OmegaConf

from worldmodel.config import build, nearest


@dataclasses.dataclass(frozen=True)
class Inner:
    width: int
    rate: float = 0.1

    def __post_init__(self):
        if self.width < 0:
            raise ValueError(f"width: expected a number from 0, got {self.width}")


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str = "x"
    flag: bool = False
    mode: Literal["fast", "slow"] = "fast"
    levels: Literal[1, 2] = 1
    size: tuple[int, int] = (1, 2)
    many: tuple[str, ...] = ()
    maybe: float | None = None
    nested: Inner | None = None
    either: float | tuple[float, float] = 1.0
    options: dict[str, str | list[str]] = dataclasses.field(default_factory=dict)
    inners: Mapping[str, Inner] = dataclasses.field(default_factory=dict)
    free: Any = None
    computed: int = dataclasses.field(default=0, init=False)


def test_everything_a_config_may_hold():
    node = {
        "inner": {"width": 3, "rate": 1},
        "flag": True,
        "mode": "slow",
        "levels": 2,
        "size": [3, 4],
        "many": ["a", "b"],
        "maybe": 2,
        "nested": {"width": 1},
        "either": [1, 2.5],
        "options": {"weather": ["rain", "fog"], "road": "town"},
        "inners": {"a": {"width": 7}},
        "free": [1, "x"],
    }
    for source in (node, OmegaConf.create(node)):
        built = build(Outer, source)
        assert built == Outer(
            Inner(3, 1.0),
            flag=True,
            mode="slow",
            levels=2,
            size=(3, 4),
            many=("a", "b"),
            maybe=2.0,
            nested=Inner(1),
            either=(1.0, 2.5),
            options={"weather": ["rain", "fog"], "road": "town"},
            inners={"a": Inner(7)},
            free=[1, "x"],
        )
        assert isinstance(built.inner.rate, float)
        assert isinstance(built.maybe, float)


def test_absent_fields_keep_their_defaults_and_null_is_a_value():
    assert build(Outer, {"inner": {"width": 1}, "maybe": None}) == Outer(Inner(1))


def test_interpolations_are_resolved():
    node = OmegaConf.create({"inner": {"width": 2}, "maybe": "${inner.width}"})
    assert build(Outer, node).maybe == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "y"}, "nam: no such key; did you mean 'name'?"),
        ({"inner": {"widht": 1}}, r"inner\.widht: no such key; did you mean 'width'\?"),
        ({"inner": {}}, r"inner\.width: missing; a whole number is required"),
        ({"inner": {"width": 1.5}}, r"inner\.width: expected a whole number, got 1\.5"),
        ({"inner": {"width": True}}, r"inner\.width: expected a whole number, got True"),
        ({"inner": {"width": -1}}, "inner: width: expected a number from 0, got -1"),
        ({"inner": {"width": 1, "rate": "1e-3x"}}, r"inner\.rate: expected a number, got '1e-3x'"),
        ({"inner": {"width": 1, "rate": False}}, r"inner\.rate: expected a number, got False"),
        ({"inner": 3}, "inner: expected keys of Inner, got 3"),
        ({"name": 2024}, "name: expected text, got 2024"),
        ({"flag": 1}, "flag: expected true or false, got 1"),
        ({"mode": "fsat"}, "mode: 'fsat' is not one of fast, slow; did you mean 'fast'?"),
        ({"mode": 3}, "mode: expected one of fast, slow, got 3"),
        ({"levels": 3}, "levels: expected one of 1, 2, got 3"),
        ({"size": [1]}, r"size: expected a list \[a whole number, a whole number\], got \[1\]"),
        ({"size": [1, "b"]}, r"size\[1\]: expected a whole number, got 'b'"),
        ({"many": "ab"}, r"many: expected a list \[text, \.\.\.\], got 'ab'"),
        ({"maybe": "soon"}, "maybe: expected a number, got 'soon'"),
        ({"either": "x"}, r"either: expected a number or a list"),
        ({"options": {"a": 1}}, r"options\.a: expected text or a list \[text\], got 1"),
        ({"computed": 1}, "computed: no such key"),
    ],
)
def test_mistakes_name_the_key_the_value_and_the_remedy(change, message):
    with pytest.raises(ValueError, match=message) as error:
        build(Outer, {"inner": {"width": 1}} | change)
    assert "\n" not in str(error.value)


def test_a_value_that_was_to_be_given_is_asked_for():
    with pytest.raises(ValueError, match=r"inner\.width: .*issing"):
        build(Outer, OmegaConf.create({"inner": {"width": "???"}}))


def test_nearest_finds_a_leaf_and_a_full_key():
    known = ["data.source", "dynamics.transformer.window", "seed"]
    assert nearest("sed", known) == "did you mean 'seed'?"
    assert nearest("dynamics.transformer.windw", known) == "did you mean 'dynamics.transformer.window'?"
    assert nearest("window", known) == "did you mean 'dynamics.transformer.window'?"
    assert nearest("zzz", known) == "there are data.source, dynamics.transformer.window, seed"
