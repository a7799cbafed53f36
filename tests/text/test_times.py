"""Prompts along a drive: times as people say them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.text.times import parse_times


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a wet motorway at night, heavy traffic", [(0, "a wet motorway at night, heavy traffic", None)]),
        (
            "a motorway by day, at 20 s it starts to snow",
            [(0, "a motorway by day", None), (20, "it starts to snow", None)],
        ),
        ("from 10 s on rain, at 40 s the sun comes out", [(10, "rain", None), (40, "the sun comes out", None)]),
        ("it snows at 20 s", [(20, "it snows", None)]),
        ("rain from 10 s to 20 s", [(10, "rain", 20)]),
        ("between 1:00 and 1:30 fog", [(60, "fog", 90)]),
        ("it rains at 10 s and it snows at 40 s", [(10, "it rains", None), (40, "it snows", None)]),
        ("at 10 s rain and at 20 s snow, 10 s later fog", [(10, "rain", None), (20, "snow", None), (30, "fog", None)]),
        ("after 1 min 30 s it gets dark", [(90, "it gets dark", None)]),
        ("a town, at 0.5 s it rains for 10 s", [(0, "a town", None), (0.5, "it rains", 10.5)]),
        ("until 30 s fog, then clear weather", [(0, "fog", 30), (30, "clear weather", None)]),
        ("20 seconds in, night falls", [(20, "night falls", None)]),
        ("At 40 s snow. At 20 s rain!", [(20, "rain", None), (40, "snow", None)]),
        ("at 100 km/h on a motorway", [(0, "at 100 km/h on a motorway", None)]),
    ],
)
def test_times_are_taken_from_what_is_said(prompt, parts):
    assert [(p.t_s, p.text, p.until_s) for p in parse_times(prompt)] == parts


@settings(deadline=None)
@given(st.integers(0, 600), st.sampled_from(["s", "sec", "seconds"]), st.sampled_from(["at", "from", "after"]))
def test_any_time_leads_or_follows(seconds, unit, word):
    for prompt in (f"{word} {seconds} {unit} it snows", f"it snows {word} {seconds} {unit}"):
        (part,) = parse_times(prompt)
        assert (part.t_s, part.text) == (seconds, "it snows")


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("rain at 20", "say the unit"),
        ("at 20 m it rains", "say the unit"),
        ("at 5 s", "nothing is said"),
        ("rain, at 5 s", "nothing is said of 5 s"),
        ("", "nothing is said"),
        ("fog from 20 s to 10 s", "ends at 10 s"),
        ("a motorway, then a town", "say when"),
    ],
)
def test_times_that_make_no_sense_are_refused(prompt, message):
    with pytest.raises(ValueError, match=f"^prompt: .*{message}"):
        parse_times(prompt)
