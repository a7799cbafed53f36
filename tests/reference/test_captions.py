"""Captions: what they say, what is never trained on, and that a reader could know their words."""

import numpy as np
import pytest

from worldmodel.reference.captions import GLUE, HELD_OUT_TAGS, KINDS, caption, meanings
from worldmodel.reference.held_out import HELD_OUT, HELD_OUT_ASIDES
from worldmodel.reference.phrases import ASIDES, TRAINED
from worldmodel.types import VOCABULARY

SEEDS = range(1500)


def certain(each):
    """Tags a caption asks for and leaves no doubt about."""
    return {VOCABULARY[c][int(np.argmax(s))] for c, s in each.said.items() if max(s) == 1 and s[0] == 0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_is_a_function_of_its_seed_and_says_shares_of_every_channel(kind):
    for seed in SEEDS[:300]:
        each = caption(seed, kind)
        assert each == caption(seed, kind)
        assert each.text.strip()
        assert list(each.said) == list(VOCABULARY)
        for channel, shares in each.said.items():
            assert len(shares) == len(VOCABULARY[channel])
            assert sum(shares) == pytest.approx(1)
            assert min(shares) >= 0
            assert shares[0] in (0, 1)  # silent or not
    assert caption(0, kind) != caption(1, kind)


def test_some_tags_are_never_trained_together_and_compositions_are_of_them():
    together = [certain(caption(seed)) for seed in SEEDS]
    assert not any(tags <= said for said in together for tags in HELD_OUT_TAGS)
    assert all(any(tags <= certain(caption(s, "compositions")) for tags in HELD_OUT_TAGS) for s in SEEDS[:300])
    assert any({"snow", "night"} <= said for said in together)


def test_every_tag_is_said_and_every_channel_left_out():
    said = [caption(seed).said for seed in SEEDS]
    for channel, values in VOCABULARY.items():
        mean = np.mean([s[channel] for s in said], axis=0)
        can_be_said = [v for v in values if v not in ("off_road", "collision")]
        assert all(mean[values.index(v)] > 0.004 for v in can_be_said), channel
    assert any(all(shares[0] == 1 for shares in s.values()) for s in said)


def test_held_out_wordings_and_asides_are_not_trained_ones():
    for channel, tags in HELD_OUT.items():
        for tag, wording in tags.items():
            trained = {text for other in TRAINED[channel].values() for text in other.all()}
            assert not trained & set(wording.all()), (channel, tag)
    assert not set(ASIDES) & set(HELD_OUT_ASIDES)
    trained_texts = " ".join(caption(seed).text.lower() for seed in SEEDS)
    assert not [aside for aside in HELD_OUT_ASIDES if len(aside) > 6 and aside in trained_texts]


def test_a_negation_excludes_what_it_names():
    found = 0
    for seed in range(6000):
        each = caption(seed)
        for channel in ("weather", "time_of_day"):
            shares = each.said[channel]
            if 0 < max(shares) < 1:
                found += 1
                assert shares.count(0.0) >= 2  # unknown, and what is not to be
    assert found > 100


def test_words_have_meanings_and_glue_has_none():
    words = meanings()
    assert not words.keys() & GLUE
    assert words["snow"] == {"weather"}
    assert "traffic" in words["traffic"]
    assert {"weather", "traffic"} <= words["heavy"]
