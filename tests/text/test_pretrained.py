"""A user's T5 or CLIP checkpoint as the reader of prompts, on tiny ones of random weights."""

import pytest
import torch

from worldmodel.evaluation.prompted import encoder_codes, reading_scores
from worldmodel.reference.captions import caption
from worldmodel.text import pretrained
from worldmodel.text.encoder import said_of
from worldmodel.text.reading import understand

transformers = pytest.importorskip("transformers")


def tokenizer_of(texts):
    tokenizers = pytest.importorskip("tokenizers")
    words = sorted({word for text in texts for word in text.lower().split()})
    vocabulary = {"<pad>": 0, "<unk>": 1} | {word: 2 + i for i, word in enumerate(words)}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", unk_token="<unk>")


@pytest.fixture(params=["t5", "clip"])
def checkpoint(request, tmp_path):
    torch.manual_seed(0)
    tokenizer = tokenizer_of([caption(seed).text for seed in range(200)])
    size = len(tokenizer)
    if request.param == "t5":
        config = transformers.T5Config(
            vocab_size=size, d_model=64, d_kv=16, d_ff=64, num_layers=1, num_heads=2, decoder_start_token_id=0
        )
        model = transformers.T5EncoderModel(config)
    else:
        config = transformers.CLIPTextConfig(
            vocab_size=size, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
            pad_token_id=0, bos_token_id=0, eos_token_id=1,
        )  # fmt: skip
        model = transformers.CLIPTextModel(config)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_head_is_fitted_once_and_reads_better_than_silence(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "CACHE_DIR", tmp_path / "heads")
    monkeypatch.setattr(pretrained, "_FIT_CAPTIONS", 400)
    reader = pretrained.open_pretrained(checkpoint)
    captions = [caption(10**6 + row) for row in range(80)]
    read = reading_scores(encoder_codes(reader, captions), captions)
    silence = reading_scores([dict.fromkeys(c.said, 0) for c in captions], captions)
    assert read["weather"] > silence["weather"] + 0.03
    assert len(list((tmp_path / "heads").glob("*.safetensors"))) == 1
    monkeypatch.setattr(pretrained.PretrainedReader, "fit", lambda self: pytest.fail("fitted again"))
    again = pretrained.open_pretrained(checkpoint)
    assert abs(again.shares(["rain at night"]) - reader.shares(["rain at night"])).max() < 0.02
    # So small a network may miss known words too, but a word that nobody knows is never made something of.
    unheard = " ".join(understand("rain at night zebra", again).unheard)
    assert "zebra" in unheard or not unheard


def test_features_do_not_depend_on_the_company(checkpoint):
    reader = pretrained.PretrainedReader(*pretrained._load(checkpoint))
    alone = reader.features(["rain at night"])
    together = reader.features(["rain at night", "a wet motorway at night with heavy traffic and so on"])
    assert torch.allclose(alone[0], together[0], atol=1e-4)


def test_a_head_learns_what_can_be_learnt():
    captions = [caption(seed) for seed in range(300)]
    said = said_of(captions)
    head = pretrained.fit_head(said.flatten(1) + 0.01 * torch.randn(300, said[0].numel()), said)
    logits = head(said.flatten(1)).unflatten(-1, said.shape[1:])
    certain = said.max(dim=-1).values == 1
    assert (logits.argmax(-1) == said.argmax(-1))[certain].float().mean() > 0.97


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config\.json is missing"):
        pretrained.open_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="expected a T5 or CLIP checkpoint"):
        pretrained.open_pretrained(tmp_path)
