"""Training of the reader of sentences: captions in, what they say out; then how sure it may be.

It learns from captions alone (``reference.captions``): no picture and no world has a part in it. Sentences are made as
they are needed, batch k from its number.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from worldmodel.reference.captions import GLUE, Caption, Kind, caption, meanings, others
from worldmodel.text.encoder import TextConfig, TextEncoder, said_of
from worldmodel.text.words import UNKNOWN, Lexicon
from worldmodel.training.config import TrainConfig
from worldmodel.training.stages import Stage
from worldmodel.types import VOCABULARY

#: Share of words whose n-grams are thinned out, and of n-grams that are kept of those: forms never met look like that.
_THINNED, _KEPT = 0.3, 0.7
#: Share of words made unknown: what people say beside the matter.
_LOST = 0.03


class Sentences(NamedTuple):
    """Codes ``(B, T, G)`` of sentences, their lengths ``(B,)``, and what they say ``(B, C, K)``."""

    codes: Tensor
    lengths: Tensor
    said: Tensor


def lexicon() -> Lexicon:
    """The words of captions."""
    return Lexicon(meanings(), GLUE, others())


def new_encoder(config: TextConfig, seed: int) -> TextEncoder:
    """An untrained network that knows the words of captions."""
    torch.manual_seed(seed)
    return TextEncoder(config, lexicon())


class SentenceBatches:
    """Batch k as a pure function of (seed, k)."""

    def __init__(self, network: TextEncoder, batch: int, seed: int) -> None:
        self._network, self._batch, self._first = network, batch, seed * 10**9

    def __call__(self, k: int) -> Sentences:
        """Batch k."""
        rows = range(self._first + k * self._batch, self._first + (k + 1) * self._batch)
        captions = [caption(row) for row in rows]
        return Sentences(*self._network.codes([c.text for c in captions]), said_of(captions))


def thinned(codes_BTG: Tensor, generator: torch.Generator) -> Tensor:
    """Some words with fewer of their n-grams, and some unknown."""
    words = codes_BTG.shape[:2]
    thin = torch.rand(*words, 1, generator=generator) < _THINNED
    gone = thin & (torch.rand(codes_BTG.shape, generator=generator) > _KEPT)
    codes = codes_BTG.masked_fill(gone, 0)
    lost = (torch.rand(words, generator=generator) < _LOST) & (codes_BTG[..., 0] > 0)
    codes[lost] = 0
    codes[..., 0] = codes[..., 0].masked_fill(lost, UNKNOWN)
    return codes


class TextStage(Stage):
    """Sentences → cross-entropy of what they say."""

    name = "text"
    network: TextEncoder

    def __init__(self, config: TrainConfig, network: TextEncoder) -> None:
        super().__init__(config, config.text_stage)
        self.network = network

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of ``Sentences``."""
        codes = thinned(batch.codes.cpu(), self.generator()).to(batch.codes.device)
        loss = sentence_loss(self.network(codes, batch.lengths), batch.said)
        self.log("loss", loss, prog_bar=True)
        self.log_speed(len(codes), 0.0)
        return loss


def sentence_loss(logits_BCK: Tensor, said_BCK: Tensor) -> Tensor:
    """Cross-entropy, summed over channels."""
    log = logits_BCK.log_softmax(dim=-1).masked_fill(torch.isinf(logits_BCK), 0)
    return -(said_BCK * log).sum(dim=(1, 2)).mean()


def calibrate(network: TextEncoder, *, kinds: tuple[Kind, ...] = ("trained", "sentences"), count: int = 1500) -> None:
    """Set the temperatures (Guo et al., arXiv 1706.04599) that suit sentences of kinds it did not learn from.

    Seeds are negative, apart from those of training and of what is reported.
    """
    captions = [caption(-1 - row, kind) for kind in kinds for row in range(count)]
    with torch.no_grad():
        logits = torch.cat([network(*network.codes([c.text for c in part])) for part in _parts(captions)])
    said = said_of(captions)
    candidates = torch.exp(torch.linspace(-1.0, 1.5, 51))
    for c in range(len(VOCABULARY)):
        losses = torch.stack([sentence_loss(logits[:, c : c + 1] / t, said[:, c : c + 1]) for t in candidates])
        network.temperature_C[c] = candidates[losses.argmin()]


def _parts(captions: list[Caption], size: int = 250) -> list[list[Caption]]:
    return [captions[at : at + size] for at in range(0, len(captions), size)]
