"""The network that reads sentences: words as sums of n-grams, the shared transformer, a question per channel.

Words stand in time, so that each sees those before it; after the last stand the questions, one per channel of the
vocabulary, which see the whole sentence and become the answers. Their vectors (``embed``) are what a token group for
prompts can be fed with. Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from worldmodel.nn.component import BUNDLED_DIR, config_from, load_component, save_component
from worldmodel.nn.shapes import Float, Int
from worldmodel.nn.transformer import Transformer, TransformerConfig
from worldmodel.reference.captions import Caption
from worldmodel.text.words import GRAMS, Lexicon, grams
from worldmodel.types import VOCABULARY, FloatArray

FILE = "text.safetensors"
#: Words a channel has room for: the vocabulary may grow at the end without changing the weights' shapes.
ROOM = 16


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """Size of the reader of sentences.

    Attributes:
        buckets: n-grams share so many vectors.
        words: of a sentence, stops included, at most.
        transformer: the stack; every block is over time.
    """

    buckets: int = 2048
    words: int = 64
    transformer: TransformerConfig = dataclasses.field(
        default_factory=lambda: TransformerConfig(48, 3, heads=4, kv_heads=2, feed_forward=96, time_every=1, window=80)
    )


class TextEncoder(nn.Module):
    """Sentences → how likely each word of each channel is.

    Args:
        config: sizes.
        lexicon: the words it knows.
    """

    temperature_C: Tensor
    #: More than half of all weights, and each of them a summand among several: bytes do (``nn.component``).
    in_bytes = ("table.weight",)

    def __init__(self, config: TextConfig, lexicon: Lexicon) -> None:
        super().__init__()
        self.config, self.lexicon, self.knows_other_words = config, lexicon, False
        width = config.transformer.width
        assert config.transformer.window >= config.words + len(VOCABULARY)
        self.table = nn.EmbeddingBag(config.buckets + 2, width, mode="sum", padding_idx=0)
        nn.init.normal_(self.table.weight, std=0.5)
        self.questions_CD = nn.Parameter(torch.randn(len(VOCABULARY), width) * 0.5)
        self.transformer = Transformer(config.transformer)
        self.answers = nn.ModuleList(nn.Linear(width, ROOM) for _ in VOCABULARY)
        # What logits are divided by, so that they are as sure as they are right.
        self.register_buffer("temperature_C", torch.ones(len(VOCABULARY)))

    def codes(self, texts: Sequence[str]) -> tuple[Int[Tensor, "b t g"], Int[Tensor, " b"]]:
        """Codes of sentences and their lengths in words.

        Raises:
            ValueError: a sentence with more words than the network takes.
        """
        split = [self.lexicon.split(text) for text in texts]
        lengths = [len(words) for words in split]
        if max(lengths, default=0) > self.config.words:
            longest = texts[lengths.index(max(lengths))]
            raise ValueError(
                f"prompt: {max(lengths)} words in {longest[:60]!r}...; at most {self.config.words} are read"
            )
        codes = np.zeros((len(texts), max([1, *lengths]), GRAMS), dtype=np.int64)
        for b, words in enumerate(split):
            for t, parts in enumerate(grams(words, self.config.buckets)):
                codes[b, t, : len(parts)] = parts
        return torch.from_numpy(codes), torch.tensor(lengths)

    def embed(self, codes_BTG: Int[Tensor, "b t g"], lengths_B: Int[Tensor, " b"]) -> Float[Tensor, "b c d"]:
        """A vector per channel of what a sentence says of it. Padding after a sentence changes nothing."""
        grams_BT = (codes_BTG > 0).sum(dim=2).clamp(min=1)
        bags_BTD = self.table(codes_BTG.flatten(0, 1)).unflatten(0, codes_BTG.shape[:2])
        words_BTD = bags_BTD / grams_BT[..., None].sqrt()
        batch, _, width = words_BTD.shape
        count = len(VOCABULARY)
        x_BTD = torch.cat([words_BTD, words_BTD.new_zeros(batch, count, width)], dim=1)
        places_BC = lengths_B[:, None] + torch.arange(count, device=lengths_B.device)
        index_BCD = places_BC[..., None].expand(-1, -1, width)
        x_BTD = x_BTD.scatter(1, index_BCD, self.questions_CD.expand(batch, -1, -1))
        y_BTD = self.transformer(x_BTD[:, :, None])[:, :, 0]
        return y_BTD.gather(1, index_BCD)

    def forward(self, codes_BTG: Int[Tensor, "b t g"], lengths_B: Int[Tensor, " b"]) -> Float[Tensor, "b c k"]:
        """Logits, before the temperature; words a channel does not have are minus infinity."""
        vectors_BCD = self.embed(codes_BTG, lengths_B)
        logits = torch.stack([answer(vectors_BCD[:, c]) for c, answer in enumerate(self.answers)], dim=1)
        return logits.masked_fill(~channel_mask().to(logits.device), float("-inf"))

    @torch.no_grad()
    def shares(self, texts: Sequence[str]) -> FloatArray:
        """``(B, C, K)`` probability of each word of each channel; beyond a channel's words it is 0.

        A channel is "unknown" for certain where no word could be about it: there the network has nothing to go by.
        """
        logits = self(*self.codes(texts)) / self.temperature_C[:, None]
        shares_BCK = logits.softmax(dim=-1).double().numpy()
        for b, text in enumerate(texts):
            known = [word.known_as for word in self.lexicon.split(text) if word.known_as]
            about = frozenset().union(*map(self.lexicon.channels, known))
            for c, channel in enumerate(VOCABULARY):
                if channel not in about:
                    shares_BCK[b, c] = np.arange(ROOM) == 0
        return shares_BCK


def channel_mask() -> Tensor:
    """``(C, K)`` true where a channel has a word."""
    return torch.arange(ROOM) < torch.tensor([len(values) for values in VOCABULARY.values()])[:, None]


def said_of(captions: Sequence[Caption]) -> Float[Tensor, "b c k"]:
    """What captions say, padded with zeros."""
    said = torch.zeros(len(captions), len(VOCABULARY), ROOM)
    for b, each in enumerate(captions):
        for c, shares in enumerate(each.said.values()):
            said[b, c, : len(shares)] = torch.tensor(shares)
    return said


def save_encoder(network: TextEncoder, directory: str | Path, training: Mapping[str, Any]) -> Path:
    """Write ``text.safetensors`` with the words the network knows; ``training`` says where it comes from."""
    path = Path(directory) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    meanings = network.lexicon.meanings
    about = {
        "config": dataclasses.asdict(network.config),
        "meanings": {c: " ".join(w for w, found in meanings.items() if c in found) for c in VOCABULARY},
        "glue": " ".join(sorted(network.lexicon.glue)),
        "others": " ".join(sorted(network.lexicon.others)),
        "training": dict(training),
    }
    save_component(network, path, about)
    return path


def load_encoder(name_or_path: str | Path = "text") -> TextEncoder:
    """The reader of sentences of a directory or of a bundled name.

    Raises:
        ValueError: nothing of that name, or a damaged file.
    """
    folder = Path(name_or_path)
    if not (folder / FILE).is_file():
        folder = BUNDLED_DIR / str(name_or_path)
    if not (folder / FILE).is_file():
        raise ValueError(f"text encoder {str(name_or_path)!r}: no folder with {FILE} and no bundled one of that name")
    tensors, about = load_component(folder / FILE)
    words = {channel: text.split() for channel, text in about["meanings"].items()}
    meanings = {w: frozenset(c for c, some in words.items() if w in some) for each in words.values() for w in each}
    lexicon = Lexicon(dict(sorted(meanings.items())), *(frozenset(about[k].split()) for k in ("glue", "others")))
    network = TextEncoder(config_from(TextConfig, about["config"]), lexicon)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)
