"""Scenario files: what they mean, and the errors people get."""

from pathlib import Path

import pytest

from worldmodel.simulation.documents import CONF_DIR
from worldmodel.simulation.scenario import (
    EVENT_TAG_S,
    LIBRARY,
    FootageContext,
    ReferenceContext,
    ScenarioFile,
    find_scenarios,
)
from worldmodel.types import VOCABULARY, Tags

GOOD = """\
name: test
context:
  reference: {seed: 3, road_kind: town, traffic: light}
  length_s: 1.5
length_s: 6
tags: {weather: rain}
events:
  - {kind: pedestrian, t_s: 4}
  - {kind: cut_in, t_s: 1.25}
seed: 5
"""


def load(folder, text):
    path = folder / "scenario.yaml"
    path.write_text(text)
    return ScenarioFile.load(path)


def test_a_file_means_what_it_says(tmp_path):
    scenario = load(tmp_path, GOOD)
    assert isinstance(scenario.context, ReferenceContext)
    assert (scenario.context.options.seed, scenario.context.options.road_kind) == (3, "town")
    assert (scenario.context_s, scenario.length_s, scenario.seed) == (1.5, 6.0, 5)
    assert [event.kind for event in scenario.events] == ["cut_in", "pedestrian"], "events are in order"
    assert scenario.tags.names()["weather"] == "rain"


def test_the_same_text_has_the_same_hash_and_another_another(tmp_path):
    first, again, other = (load(tmp_path, text).content_hash for text in (GOOD, GOOD, GOOD + "# a word\n"))
    assert first == again != other


def test_contexts_of_footage_and_tags(tmp_path):
    (tmp_path / "mine.mp4").touch()
    recording = load(tmp_path, "context: {recording: mine.mp4, t_s: 2}\nlength_s: 3\n").context
    assert recording == FootageContext(str(tmp_path / "mine.mp4"), None, 2.0)
    episode = load(tmp_path, f"context: {{data: {tmp_path}, episode: alpha}}\nlength_s: 3\n").context
    assert episode == FootageContext(str(tmp_path), "alpha", None)
    tags = load(tmp_path, "context: {tags: {weather: snow}}\nlength_s: 3\n")
    assert isinstance(tags.context, Tags)
    assert tags.name == "scenario", "without a name it has that of its file"


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("seed: 5", "sead: 5", 10, "sead: no such field; did you mean 'seed'?"),
        ("seed: 5", "seed: -5", 10, "seed: expected a whole number from 0, got -5"),
        ("length_s: 6", "length_s: -6", 5, "length_s: expected a number above 0, got -6"),
        ("length_s: 6", "length_s: soon", 5, "length_s: expected a number, got 'soon'"),
        ("  length_s: 1.5", "  length_s: 0", 4, r"context\.length_s: expected a number from 0\.1, got 0"),
        ("t_s: 1.25", "t_s: -1", 9, r"events\[1\]\.t_s: expected a number from 0, got -1"),
        ("t_s: 4", "t_s: 7", 8, r"events\[0\]\.t_s: 7 s is after the end of the drive, which has 6 s"),
        ("kind: cut_in", "kind: cutin", 9, r"events\[1\]\.kind: expected one of hard_brake, .* got 'cutin'"),
        ("weather: rain", "weather: hail", 6, r"tags\.weather: expected one of .* got 'hail'"),
        ("weather: rain", "event: off_road", 6, r"tags\.event: 'off_road' comes of how the ego drives"),
        ("weather: rain", "wether: rain", 6, r"tags\.wether: no such field; did you mean 'weather'"),
        ("weather: rain", "road_kind: country", 6, r"tags\.road_kind: the context's road is 'town', got 'country'"),
        ("seed: 3, ", "", 3, r"context\.reference: seed is missing"),
        (
            "road_kind: town",
            "road_kind: lane",
            3,
            r"context\.reference\.road_kind: expected one of motorway, .* 'lane'",
        ),
        ("road_kind: town", "lanes: 7", 3, r"context\.reference\.lanes: expected 0 \(drawn\) to 3, got 7"),
        ("  reference:", "  data: no/such\n  reference:", 2, "context: give one of .*, got reference and data"),
        ("{seed: 3, road_kind: town, traffic: light}", "town", 3, r"context\.reference: expected fields such as seed"),
        ("name: test", "name: test\nname: again", 2, "name: given twice"),
        ("name: test", "name: [", 3, "not YAML"),
    ],
)
def test_a_mistake_names_file_line_and_field(tmp_path, old, new, line, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=rf"scenario\.yaml:{line}: {message}") as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("length_s: 5\n", r"scenario\.yaml:1: context is missing"),
        ("context: {data: no/such, t_s: 1}\nlength_s: 5\n", r":1: context\.data: no/such: no such file or folder"),
        ("context: {recording: none.mp4}\nlength_s: 5\n", r":1: context\.recording: none\.mp4: no such file"),
        ("context: {data: ., t_s: -3}\nlength_s: 5\n", r":1: context\.t_s: expected a number from 0, got -3"),
        ("context: {tags: {}, t_s: 3}\nlength_s: 5\n", r":1: context\.t_s: no such field; there are tags"),
        ("[1, 2]\n", r":1: expected fields and values"),
    ],
)
def test_contexts_that_are_not_there(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, text)


def test_events_become_tags_for_a_while_and_the_rest_of_the_context_stays(tmp_path):
    scenario = load(tmp_path, GOOD)
    first = Tags.named(weather="clear", time_of_day="night", event="hard_brake")
    tags = scenario.tags_along(first, 60, 0.1)
    kinds = VOCABULARY["event"]
    said = [kinds[code] for code in tags.channel("event")]
    assert tags.shape == (61,)
    assert said[:13] == ["none"] * 13, "what was going on before does not go on"
    assert said[13] == "cut_in"
    assert said.count("pedestrian") == 61 - 40
    assert said.count("cut_in") == min(40 - 13, round(EVENT_TAG_S / 0.1)), "the next event ends it"
    assert tags[60].names()["time_of_day"] == "night"
    assert set(tags.channel("weather")) == {VOCABULARY["weather"].index("rain")}


def test_nothing_is_said_of_events_where_nobody_knows_of_any(tmp_path):
    scenario = load(tmp_path, "context: {tags: {weather: snow}}\nlength_s: 3\n")
    tags = scenario.tags_along(scenario.context, 30, 0.1)
    assert not tags.channel("event").any()


def test_scenarios_are_found_by_name_by_file_and_by_folder(tmp_path):
    (tmp_path / "b.yaml").write_text(GOOD)
    (tmp_path / "a.yaml").write_text(GOOD)
    assert [path.name for path in find_scenarios(str(tmp_path))] == ["a.yaml", "b.yaml"]
    assert find_scenarios(str(tmp_path / "a.yaml")) == [tmp_path / "a.yaml"]
    assert find_scenarios("hard_brake") == [CONF_DIR / "scenarios/hard_brake.yaml"]
    with pytest.raises(ValueError, match="'hard_brak' is not in conf/scenarios; did you mean 'hard_brake'"):
        find_scenarios("hard_brak")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no \.yaml file is in that folder"):
        find_scenarios(str(tmp_path / "empty"))
    with pytest.raises(ValueError, match="scenario: name one of"):
        find_scenarios("")


SHIPPED = find_scenarios(LIBRARY)


def test_the_library_is_large_and_no_two_are_the_same():
    scenarios = [ScenarioFile.load(path) for path in SHIPPED]
    assert len(scenarios) >= 20
    assert len({scenario.name for scenario in scenarios}) == len(scenarios)
    drives = {(s.context.options, s.context.settle_s, s.events, s.tags.codes.tobytes()) for s in scenarios}
    assert len(drives) == len(scenarios)
    kinds = {event.kind for scenario in scenarios for event in scenario.events}
    assert kinds == {"hard_brake", "cut_in", "stopped_vehicle", "slow_truck", "pedestrian"}
    for field in ("weather", "time_of_day", "road_kind", "traffic"):
        assert {getattr(s.context.options, field) for s in scenarios} == set(VOCABULARY[field][1:]), field


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_load(path: Path):
    scenario = ScenarioFile.load(path)
    assert isinstance(scenario.context, ReferenceContext)
    assert scenario.notes or scenario.events, "says what it is about"
    assert all(event.t_s <= scenario.length_s - 3 for event in scenario.events), "there is time to see it"
