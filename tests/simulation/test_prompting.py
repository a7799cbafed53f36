"""Prompts as tags along a drive, with a reader that only knows the captions' own wordings."""

import json

import numpy as np
import pytest

from worldmodel.evaluation.prompted import keyword_codes
from worldmodel.reference.captions import GLUE, meanings, others
from worldmodel.simulation import prompting
from worldmodel.simulation.documents import FieldError
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.make_drive import DriveConfig, make_drive
from worldmodel.simulation.prompting import Prompt, read_prompt
from worldmodel.simulation.scenario import Event, ScenarioFile
from worldmodel.text.encoder import ROOM
from worldmodel.text.words import Lexicon
from worldmodel.types import VOCABULARY, Tags


class Keywords:
    """Reads the captions' own wordings."""

    knows_other_words = False
    lexicon = Lexicon(meanings(), GLUE, others())

    def shares(self, texts):
        shares = np.zeros((len(texts), len(VOCABULARY), ROOM))
        for b, text in enumerate(texts):
            for c, code in enumerate(keyword_codes(text).values()):
                shares[b, c, code] = 1
        return shares


@pytest.fixture(autouse=True)
def keywords(monkeypatch):
    monkeypatch.setattr(prompting, "open_encoder", lambda name="": Keywords())


def names(tags, channel):
    return [VOCABULARY[channel][code] for code in tags.channel(channel)]


def test_what_a_prompt_does_not_say_stays_as_it_is():
    first = Tags.named(weather="fog", road_kind="town")
    along = Prompt.read("at night, at 1 s it starts to snow").along(first, 20, 0.1)
    assert along.shape == (21,)
    assert names(along, "weather") == ["fog"] * 10 + ["snow"] * 11
    assert names(along, "time_of_day") == ["night"] * 21
    assert names(along, "road_kind") == ["town"] * 21
    assert names(along, "event") == ["unknown"] * 21


def test_a_span_ends_and_what_was_before_comes_back():
    along = Prompt.read("rain, snow from 0.5 s to 1 s").along(Tags.unknown(), 15, 0.1)
    assert names(along, "weather") == ["rain"] * 5 + ["snow"] * 5 + ["rain"] * 6


def test_an_event_happens_for_a_while():
    along = Prompt.read("in town, at 1 s a pedestrian steps out").along(Tags.named(event="none"), 60, 0.1)
    assert names(along, "event") == ["none"] * 10 + ["pedestrian"] * 30 + ["none"] * 21


def test_a_start_from_a_prompt_shows_what_holds_at_once():
    start = Prompt.read("snow, at 5 s night falls").at_start().names()
    assert (start["weather"], start["time_of_day"]) == ("snow", "unknown")
    assert not Prompt.read("at 5 s night falls").at_start().codes.any()


def test_what_the_world_is_not_told_is_named():
    lines = list(Prompt.read("a wet motorwya, trucks ahead, at 3 s on a country road").warnings())
    assert "nothing was made of" in lines[0]
    assert "trucks" in lines[0]
    assert any("'motorwya' was read as 'motorway'" in line for line in lines)
    assert any("kind of road changes" in line for line in lines)
    assert not list(Prompt.read("a wet motorway at night, heavy traffic").warnings())
    tags, unheard = read_prompt("snow and zebras")
    assert tags.names()["weather"] == "snow"
    assert unheard == ("zebras",)


def test_prompts_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="says nothing the world can be told; it can be told weather"):
        Prompt.read("a zebra")
    with pytest.raises(ValueError, match="at 80 s, after the end of the drive at 60 s"):
        Prompt.read("rain, at 80 s snow").along(Tags.unknown(), 600, 0.1)


@pytest.fixture
def drive(tmp_path, make_fake_world):
    def make(**options):
        world = make_fake_world()
        folder = make_drive(DriveConfig(**({"out": str(tmp_path / "d"), "length_s": 2.0} | options)), world, {})
        return folder, world

    return make


def test_a_drive_from_a_sentence_alone(drive, capsys):
    folder, world = drive(prompt="a wet motorway at night, at 1 s it starts to snow, trucks ahead", batch=2)
    for row in ("00", "01"):
        loaded = load_drive(folder / row)
        assert names(loaded.tags, "weather") == ["rain"] * 10 + ["snow"] * 11
        assert set(names(loaded.tags, "road_kind")) == {"motorway"}
        about = json.loads((folder / row / "provenance.json").read_text())
        assert about["start"] == {"context": "prompt", "context_frames": 0}
        assert about["prompt"]["wishes"][1]["said"] == {"weather": "snow"}
    told = [tags.codes[0, 0] for tags in world.told]
    assert told == [2] * 9 + [4] * 11  # a step's tags are those of the frame it makes
    assert "nothing was made of 'trucks ahead'" in capsys.readouterr().err


def test_a_prompt_changes_a_context_on_the_way_and_tags_have_the_last_word(drive):
    folder, _ = drive(context="weather=clear,road_kind=town", prompt="at 1 s in fog at night", tags="time_of_day=dusk")
    loaded = load_drive(folder)
    assert names(loaded.tags, "weather") == ["clear"] * 10 + ["fog"] * 11
    assert set(names(loaded.tags, "time_of_day")) == {"dusk"}
    assert set(names(loaded.tags, "road_kind")) == {"town"}


SCENARIO = {
    "context": {"reference": {"seed": 3, "road_kind": "town", "traffic": "light"}, "length_s": 1.5},
    "length_s": 6,
    "prompt": "in the rain, at 2 s night falls and a pedestrian steps out",
    "tags": {"traffic": "dense"},
}


def test_a_scenario_may_be_asked_for_in_words():
    scenario = ScenarioFile.parse(SCENARIO)
    assert scenario.events == (Event("pedestrian", 2.0),)
    along = scenario.tags_along(Tags.named(weather="clear", time_of_day="day", road_kind="town"), 60, 0.1)
    assert set(names(along, "weather")) == {"rain"}
    assert names(along, "time_of_day") == ["day"] * 20 + ["night"] * 41
    assert names(along, "event") == ["none"] * 20 + ["pedestrian"] * 30 + ["none"] * 11
    look = scenario.look_along(60, 0.1)
    assert look is not None
    assert names(look, "time_of_day") == ["unknown"] * 20 + ["night"] * 41
    assert set(names(look, "traffic")) == {"dense"}
    assert set(names(look, "event")) == {"unknown"}
    assert ScenarioFile.parse({**SCENARIO, "prompt": "", "tags": {}}).look_along(60, 0.1) is None


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("at 20 s it snows", "^prompt: .*after the end of the drive"),
        ("a zebra", "^prompt: .*says nothing"),
        ("on a motorway", "^prompt: the context's road is 'town', got 'motorway'"),
        (3, "^prompt: expected a sentence"),
    ],
)
def test_a_scenarios_prompt_that_cannot_be_meant_is_located(prompt, message):
    with pytest.raises(FieldError, match=message):
        ScenarioFile.parse({**SCENARIO, "prompt": prompt})
