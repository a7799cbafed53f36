"""Training of the reader of prompts: batches by number, a loss that falls, a file that reads."""

import numpy as np
import pytest
import torch

from worldmodel.nn.transformer import TransformerConfig
from worldmodel.text.encoder import FILE, TextConfig, load_encoder
from worldmodel.text.words import UNKNOWN
from worldmodel.training.config import StageConfig, TrainConfig
from worldmodel.training.run import run
from worldmodel.training.wording import SentenceBatches, calibrate, new_encoder, sentence_loss, thinned

SMALL = TextConfig(128, 64, TransformerConfig(16, 1, heads=2, kv_heads=1, feed_forward=16, time_every=1, window=80))


def test_a_batch_is_a_function_of_its_number():
    network = new_encoder(SMALL, 0)
    batches = SentenceBatches(network, 8, 1)
    first, again, other = batches(3), SentenceBatches(network, 8, 1)(3), batches(4)
    assert torch.equal(first.codes, again.codes)
    assert torch.equal(first.said, again.said)
    assert first.codes.shape != other.codes.shape or not torch.equal(first.codes, other.codes)
    assert torch.allclose(first.said.sum(dim=-1), torch.ones(8, 5))


def test_thinning_leaves_words_and_padding_where_they_are():
    codes = SentenceBatches(new_encoder(SMALL, 0), 32, 1)(0).codes
    thin = thinned(codes, torch.Generator().manual_seed(0))
    assert ((thin == codes) | (thin == 0) | (thin == UNKNOWN)).all()
    assert (thin[codes.amax(dim=-1) == 0] == 0).all()
    assert 0.02 < (thin != codes).float().sum() / (codes > 0).sum() < 0.2


def test_the_loss_falls_and_is_least_for_what_is_said():
    network = new_encoder(SMALL, 0)
    batch = SentenceBatches(network, 32, 1)(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(15):
        loss = sentence_loss(network(batch.codes, batch.lengths), batch.said)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    perfect = sentence_loss(batch.said.clamp(min=1e-6).log(), batch.said)
    assert perfect < losses[-1]


def test_temperatures_make_an_overconfident_network_modest():
    network = new_encoder(SMALL, 0).eval()
    with torch.no_grad():
        for answer in network.answers:
            answer.weight.mul_(30)
    calibrate(network, kinds=("trained",), count=60)
    assert (network.temperature_C > 1.5).all()


@pytest.mark.slow
def test_a_run_leaves_a_file_that_reads(tmp_path):
    config = TrainConfig(
        trains="text", out=str(tmp_path), text=SMALL, text_stage=StageConfig(4, batch=4), progress=False, device="cpu"
    )
    run(config)
    network = load_encoder(tmp_path)
    assert network.config == SMALL
    np.testing.assert_allclose(network.shares(["rain at night"]).sum(axis=-1), 1)
    assert (tmp_path / FILE).is_file()
