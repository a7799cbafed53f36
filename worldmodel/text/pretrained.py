"""Prompts read through a T5 or CLIP checkpoint of the user's: its mean-pooled features, and a linear head on top.

The head is fitted on the reference world's captions, in seconds, and kept under ``outputs/``; the checkpoint itself is
left as it is. Needs the extra ``text`` (transformers). Legend: see the package docstring; F features.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldmodel.nn.component import load_component, save_component
from worldmodel.nn.shapes import Float
from worldmodel.reference.captions import GLUE, caption, meanings, others
from worldmodel.text.encoder import ROOM, channel_mask, said_of
from worldmodel.text.words import Lexicon
from worldmodel.types import VOCABULARY, FloatArray

#: Where fitted heads are kept.
CACHE_DIR = Path("outputs/text_heads")
#: Captions the head is fitted on, beginning at this seed, and the ridge that holds its weights small.
_FIT_SEEDS, _FIT_CAPTIONS, _RIDGE = 10**12, 3000, 1e-4
_BATCH = 64
#: Words of a sentence that CLIP takes, in its own pieces.
_LONGEST = 77


class PretrainedReader:
    """A text model of somebody else's with a head of ours.

    Args:
        model: gives a hidden state per piece of a word.
        tokenizer: that fits it.
        head: features → logits of every channel.
    """

    knows_other_words = True

    def __init__(self, model: Any, tokenizer: Any, head: nn.Linear | None = None) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer
        self.head = head
        self.lexicon = Lexicon(meanings(), GLUE, others())

    @torch.no_grad()
    def features(self, texts: Sequence[str]) -> Float[Tensor, "b f"]:
        """The mean of the hidden states of each sentence's pieces."""
        found = []
        for start in range(0, len(texts), _BATCH):
            part = [text.lower() for text in texts[start : start + _BATCH]]
            given = self._tokenizer(part, padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt")
            hidden_BTF = self._model(input_ids=given["input_ids"], attention_mask=given["attention_mask"])[0]
            mask_BT1 = given["attention_mask"][..., None].to(hidden_BTF.dtype)
            found.append((hidden_BTF * mask_BT1).sum(dim=1) / mask_BT1.sum(dim=1).clamp(min=1))
        return torch.cat(found).float()

    def shares(self, texts: Sequence[str]) -> FloatArray:
        """``(B, C, K)`` probability of each word of each channel."""
        assert self.head is not None
        with torch.no_grad():
            logits = self.head(self.features(texts)).unflatten(-1, (len(VOCABULARY), ROOM))
        return logits.masked_fill(~channel_mask(), float("-inf")).softmax(dim=-1).double().numpy()

    def fit(self, *, count: int = _FIT_CAPTIONS) -> None:
        """Fit the head on captions."""
        captions = [caption(_FIT_SEEDS + row) for row in range(count)]
        self.head = fit_head(self.features([c.text for c in captions]), said_of(captions))


def fit_head(features_BF: Float[Tensor, "b f"], said_BCK: Float[Tensor, "b c k"]) -> nn.Linear:
    """Multinomial logistic regression of every channel, with a small ridge, by L-BFGS."""
    mean, spread = features_BF.mean(dim=0), features_BF.std(dim=0).clamp(min=1e-6)
    x_BF = (features_BF - mean) / spread
    weight = torch.zeros(len(VOCABULARY) * ROOM, x_BF.shape[1], requires_grad=True)
    bias = torch.zeros(len(VOCABULARY) * ROOM, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")
    mask = channel_mask()

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = (x_BF @ weight.T + bias).unflatten(-1, (len(VOCABULARY), ROOM)).masked_fill(~mask, float("-inf"))
        log = logits.log_softmax(dim=-1).masked_fill(~mask, 0)
        loss = -(said_BCK * log).sum(dim=(1, 2)).mean() + _RIDGE * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # pyright: ignore[reportArgumentType]
    head = nn.Linear(x_BF.shape[1], len(bias))
    with torch.no_grad():
        head.weight.copy_(weight / spread)
        head.bias.copy_(bias - head.weight @ mean)
    return head.eval().requires_grad_(False)


def open_pretrained(folder: str | Path) -> PretrainedReader:
    """The T5 or CLIP text model in a folder, with a head that is fitted now or was before.

    Raises:
        ValueError: no such folder, another kind of model, or transformers is not installed.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"text_encoder={folder}: no folder of a T5 or CLIP checkpoint (config.json is missing)")
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(f"text_encoder={folder}: needs transformers: pip install 'worldmodel[text]'")
    reader = PretrainedReader(*_load(folder))
    width = reader.features(["a road"]).shape[1]
    path = CACHE_DIR / f"{_fingerprint(reader)}.safetensors"
    if path.is_file():
        tensors, _ = load_component(path)
        reader.head = nn.Linear(width, len(VOCABULARY) * ROOM)
        reader.head.load_state_dict(tensors)
        reader.head.requires_grad_(False)
    else:
        reader.fit()
        assert reader.head is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        save_component(reader.head, path, {"text_encoder": str(folder), "captions": _FIT_CAPTIONS})
    return reader


def _load(folder: Path) -> tuple[Any, Any]:
    import transformers  # pyright: ignore[reportMissingImports]

    kind = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    classes = {"t5": "T5EncoderModel", "clip": "CLIPTextModel", "clip_text_model": "CLIPTextModel"}
    if kind not in classes:
        raise ValueError(f"text_encoder={folder}: expected a T5 or CLIP checkpoint, got one of kind {kind!r}")
    model = getattr(transformers, classes[kind]).from_pretrained(folder, local_files_only=True)
    return model, transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _fingerprint(reader: PretrainedReader) -> str:
    """Of what the features of a sentence are, and of the captions the head is fitted on."""
    digest = hashlib.blake2b(digest_size=8)
    probes = [caption(_FIT_SEEDS + row).text for row in range(8)]
    digest.update(" | ".join(probes).encode())
    # Rounded: the same checkpoint has the same features but for the last bits.
    digest.update((reader.features(probes) * 100).round().to(torch.int64).numpy().tobytes())
    return digest.hexdigest()
