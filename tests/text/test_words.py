"""Words as they are typed: forms, slips and strangers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.reference.captions import GLUE, meanings, others
from worldmodel.reference.held_out import HELD_OUT
from worldmodel.text.words import Lexicon, edits, grams, stem

LEXICON = Lexicon(meanings(), GLUE, others())
LONG = sorted(word for word in LEXICON.meanings if len(word) >= 7 and word.isalpha())


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_can_be_split_and_case_does_not_matter(text):
    words = LEXICON.split(text)
    assert all(word.typed == word.typed.lower() for word in words)
    assert [w.known_as for w in LEXICON.split(text.upper())] == [
        w.known_as for w in LEXICON.split(text.upper().lower())
    ]


@pytest.mark.parametrize(
    ("typed", "like"), [("drizzles", "drizzle"), ("snows", "snow"), ("foggier", None), ("motorways", "motorway")]
)
def test_forms_of_known_words_are_known(typed, like):
    known = LEXICON.known(typed)
    assert known == (typed if like else None)
    if like:
        assert stem(typed) == stem(like)
        assert LEXICON.channels(typed) == LEXICON.channels(like)


@settings(deadline=None)
@given(st.sampled_from(LONG), st.data())
def test_a_slip_in_a_long_word_is_mended_to_something_near(word, data):
    at = data.draw(st.integers(1, len(word) - 2))
    slip = data.draw(st.sampled_from([word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]))
    known = LEXICON.known(slip)
    if slip in LEXICON.others:  # "baking" is no slip of "braking"
        assert known is None
        return
    assert known is not None
    assert known == slip or edits(known, slip) <= (2 if len(slip) >= 9 else 1)


@pytest.mark.parametrize("stranger", ["frog", "parked", "white", "desert", "tower", "things", "zebra", "xqzt", "80"])
def test_strangers_that_look_like_known_words_stay_strangers(stranger):
    assert LEXICON.known(stranger) is None


@settings(deadline=None)
@given(st.text("abcd", max_size=6), st.text("abcd", max_size=6))
def test_edits_are_symmetric_and_zero_for_equals_alone(one, other):
    assert edits(one, other) == edits(other, one)
    assert (edits(one, other) == 0) == (one == other)


def test_a_form_shares_most_of_its_grams_with_its_kin_and_few_with_others():
    def of(text):
        return set(grams(LEXICON.split(text), 2**20)[0])

    assert len(of("snowing") & of("snows")) >= 4
    assert len(of("snowing") & of("motorway")) == 0
    assert of("zebra") == of("giraffe")  # nobody knows either


def test_held_out_wordings_are_made_of_words_that_can_be_known():
    texts = [text for tags in HELD_OUT.values() for wording in tags.values() for text in wording.all()]
    unknown = {
        word.typed for text in texts for word in LEXICON.split(text) if word.known_as is None or word.is_misspelt
    }
    assert not unknown
