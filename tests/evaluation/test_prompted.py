"""How prompts are scored: what counts as read right, and as shown."""

import numpy as np
import pytest

from worldmodel.evaluation.prompted import (
    Look,
    asked_of,
    asking_captions,
    keyword_codes,
    reading_scores,
    reported_captions,
    shown_scores,
    sureness,
)
from worldmodel.perception.network import TAGS
from worldmodel.reference.captions import GLUE, Caption, caption, meanings, others
from worldmodel.text.encoder import ROOM, said_of
from worldmodel.text.words import Lexicon
from worldmodel.types import VOCABULARY


class Knows:
    """Gives each caption's own shares, or always the same."""

    knows_other_words = False
    lexicon = Lexicon(meanings(), GLUE, others())

    def __init__(self, captions, *, blind=False):
        self.said = {c.text: said for c, said in zip(captions, said_of(captions).double().numpy())}
        self.blind = np.mean(list(self.said.values()), axis=0) if blind else None

    def shares(self, texts):
        return np.stack([self.said[text] if self.blind is None else self.blind for text in texts])


def test_what_a_caption_says_is_read_right_and_silence_is_not():
    captions = reported_captions("trained", 200)
    right = reading_scores([c.codes() for c in captions], captions)
    assert set(right.values()) == {1.0}
    silent = reading_scores([dict.fromkeys(VOCABULARY, 0)] * len(captions), captions)
    assert silent["all"] < silent["weather"] < 0.8


def test_a_negation_is_read_right_if_something_else_is_read():
    no_rain = Caption("no rain", {c: (0.0, 0.5, 0.0, 0.2, 0.3) if c == "weather" else (1.0,) for c in VOCABULARY})

    def right(word):
        code = {c: VOCABULARY[c].index(word) if c == "weather" else 0 for c in VOCABULARY}
        return reading_scores([code], [no_rain])["weather"]

    assert (right("clear"), right("snow"), right("rain"), right("unknown")) == (1, 1, 0, 0)


def test_keywords_find_wordings_and_trip_over_negations():
    assert keyword_codes("A wet motorway, at night!")["weather"] == VOCABULARY["weather"].index("rain")
    assert keyword_codes("no rain")["weather"] == VOCABULARY["weather"].index("rain")
    assert not any(keyword_codes("a zebra").values())


def test_sureness_knows_who_knows():
    captions = reported_captions("sentences", 120)
    knows = sureness(Knows(captions), captions)
    assert knows["error"] == pytest.approx(0)
    assert knows["silence_auroc"] == pytest.approx(1)
    assert sureness(Knows(captions, blind=True), captions)["silence_auroc"] < 0.8


def test_misspelt_captions_differ_by_a_letter_and_say_the_same():
    plain, slips = reported_captions("trained", 60), reported_captions("trained", 60, misspelt=True)
    assert sum(a.text != b.text for a, b in zip(plain, slips)) > 40
    for a, b in zip(plain, slips):
        assert a.said == b.said
        assert abs(len(a.text) - len(b.text)) <= 1


def test_captions_that_ask_can_be_seen_and_are_never_trained():
    asking = asking_captions(30)
    assert len({c.text for c in asking}) > 25
    assert all(len(asked_of(c)) >= 2 and set(asked_of(c)) <= set(TAGS) for c in asking)
    assert not {c.text for c in asking} & {caption(seed).text for seed in range(3000)}


def test_what_is_shown_is_counted_against_what_is_asked_alone():
    asking = asking_captions(8)
    right = [Look({5.0: {c: asked_of(e).get(c, 3) for c in TAGS}}, 0.1, 0.01) for e in asking]
    wrong = [Look({5.0: dict.fromkeys(TAGS, ROOM)}, 0.1, 0.01) for _ in asking]
    true = [{c: asked_of(e).get(c, 3) for c in TAGS} for e in asking]
    for looks, share in ((right, 1.0), (wrong, 0.0)):
        scores = shown_scores(asking, looks, true, (5.0,))
        assert scores["all"]["true"] == 1.0
        assert scores["all"]["at_5_s"]["value"] == share
