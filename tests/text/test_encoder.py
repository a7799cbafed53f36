"""The network that reads sentences, untrained and as it comes along."""

import numpy as np
import pytest
import torch

from worldmodel.evaluation.prompted import encoder_codes, keyword_codes, reading_scores, reported_captions, sureness
from worldmodel.nn.component import BUNDLED_DIR
from worldmodel.nn.transformer import TransformerConfig
from worldmodel.reference.captions import GLUE, meanings, others
from worldmodel.text.encoder import TextConfig, TextEncoder, load_encoder, save_encoder
from worldmodel.text.reading import understand
from worldmodel.text.words import Lexicon
from worldmodel.types import VOCABULARY

SMALL = TextConfig(
    64, 20, TransformerConfig(16, 2, heads=2, kv_heads=1, feed_forward=24, time_every=1, window=len(VOCABULARY) + 20)
)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return TextEncoder(SMALL, Lexicon(meanings(), GLUE, others())).eval()


@pytest.fixture(scope="module")
def bundled():
    return load_encoder()


def test_a_sentence_is_read_alike_beside_longer_ones(small):
    short, long = "rain at night", "a wet motorway at night with heavy traffic and a pedestrian"
    alone, together = small.shares([short]), small.shares([long, short])
    np.testing.assert_allclose(together[1], alone[0], atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=-1), 1, atol=1e-6)
    for c, values in enumerate(VOCABULARY.values()):
        assert (together[:, c, len(values) :] == 0).all()


def test_order_matters_and_strangers_do_not(small):
    def logits(text):
        with torch.no_grad():
            return small(*small.codes([text]))[torch.isfinite(small(*small.codes([text])))]

    assert not torch.allclose(logits("no rain but snow"), logits("no snow but rain"))
    assert torch.equal(logits("rain zebra"), logits("rain giraffe"))


def test_what_no_word_speaks_of_is_unknown_for_certain(small):
    shares = small.shares(["rain", "zebra"])
    assert shares[0, 1:, 0].tolist() == [1.0] * (len(VOCABULARY) - 1)
    assert shares[0, 0, 0] < 1
    assert (shares[1, :, 0] == 1).all()


def test_saved_and_loaded_it_reads_the_same(small, tmp_path):
    save_encoder(small, tmp_path, {"steps": 0})
    again = load_encoder(tmp_path)
    assert again.lexicon.meanings == small.lexicon.meanings
    assert (again.lexicon.glue, again.lexicon.others) == (small.lexicon.glue, small.lexicon.others)
    texts = ["snow on a country road", "drizzling, not at night"]
    np.testing.assert_allclose(again.shares(texts), small.shares(texts), atol=2e-3)
    with pytest.raises(ValueError, match="no folder with"):
        load_encoder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="at most 20 are read"):
        small.shares(["rain " * 21])


def test_the_bundled_one_is_small():
    assert (BUNDLED_DIR / "text/text.safetensors").stat().st_size <= 350_000


@pytest.mark.parametrize("kind", ["wordings", "sentences", "compositions"])
def test_the_bundled_one_reads_phrasings_it_was_never_shown(bundled, kind):
    captions = reported_captions(kind, 150)
    scores = reading_scores(encoder_codes(bundled, captions), captions)
    keywords = reading_scores([keyword_codes(c.text) for c in captions], captions)
    assert all(scores[channel] >= 0.9 for channel in VOCABULARY), scores
    assert scores["all"] > keywords["all"] + 0.1
    sure = sureness(bundled, captions)
    assert sure["error"] < 0.05
    assert sure["silence_auroc"] > 0.95


@pytest.mark.parametrize(
    ("text", "tags", "unheard"),
    [
        (
            "a wet motorway at night, heavy traffic, trucks ahead",
            {"weather": "rain", "time_of_day": "night", "road_kind": "motorway", "traffic": "dense"},
            ("trucks",),
        ),
        ("no rain", {"weather": "clear"}, ()),
        ("not at night", {"time_of_day": "day"}, ()),
        ("without traffic", {"traffic": "none"}, ()),
        ("SNOWING on a country rode", {"weather": "snow", "road_kind": "country"}, ("rode",)),
        ("it starts to snow", {"weather": "snow"}, ()),
        ("a zebra on a sofa", {}, ("zebra", "sofa")),
        ("a pedestrian steps out", {"event": "pedestrian"}, ()),
    ],
)
def test_sentences_of_the_documentation(bundled, text, tags, unheard):
    read = understand(text, bundled)
    assert {name: tag for name, tag in read.tags.names().items() if tag != "unknown"} == tags
    assert read.unheard == unheard


def test_slips_are_mended_and_told(bundled):
    read = understand("thick fgo on the motorwya", bundled)
    assert read.taken_for == {"motorwya": "motorway"}
    assert read.tags.names()["road_kind"] == "motorway"
    assert "fgo" in " ".join(read.unheard)
