"""The stage that teaches what a frame lacks to look as it is told: frames of drives that are there in two looks.

Legend: S frames of all drives; B rows of a batch; V N C of latents as of ``dynamics``; K tags.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.dynamics.look import CHANNELS, LookNetwork, look_loss
from worldmodel.nn.noise import hand_over
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.fitting import fit
from worldmodel.training.latents import device_of
from worldmodel.training.sources import in_another_look
from worldmodel.training.stages import Stage

#: Frames of a drive at most, evenly: neighbours teach the same.
_FRAMES = 20
#: Rows that look as they are told; the power that makes little of another look likelier than much in the others; rows
#: of which a tag that is the same in both looks is not told: then it is to stay as it is.
_TRUE_SHARE, _RARER, _UNTOLD = 0.3, 1.5, 0.3


class TwoLooks(NamedTuple):
    """Frames that are there twice.

    Attributes:
        z: ``(S, 2, V, N, C)`` normalised latents, float16.
        tags: ``(S, 2, K)``.
    """

    z: NDArray[np.float16]
    tags: NDArray[np.int64]


class LookBatch(NamedTuple):
    """Normalised latents ``(B, V, N, C)`` of frames as they are told and in another look, and the tags ``(B, K)``."""

    own: Any
    other: Any
    tags: Any


class LookStage(Stage):
    """Frames in a mixture of two looks → how well it is said what they lack of the one they are told.

    Args:
        config: of the run.
        network: to be trained.
    """

    name = "look"
    network: LookNetwork

    def __init__(self, config: TrainConfig, network: LookNetwork) -> None:
        super().__init__(config, config.look_stage)
        self.network = network

    def training_step(self, batch: LookBatch, _: int) -> Tensor:
        """One ``LookBatch``."""
        generator, rows = self.generator(), len(batch.own)
        share_B, true_B = (torch.rand(rows, generator=generator) for _ in range(2))
        share_B = hand_over(torch.where(true_B < _TRUE_SHARE, 0, share_B**_RARER), batch.own.device)
        loss = look_loss(self.network, batch.own.float(), batch.other.float(), share_B, batch.tags, generator)
        self.log("loss", loss, prog_bar=True)
        self.log_speed(rows, 0.0)
        return loss


class LookBatches:
    """Batch k of frames in two looks, as a pure function of (seed, k)."""

    def __init__(self, looks: TwoLooks, batch: int, seed: int) -> None:
        self._looks, self._batch, self._seed = looks, batch, seed

    def __call__(self, k: int) -> LookBatch:
        """Batch k."""
        random = np.random.default_rng((self._seed, k))
        rows = random.integers(len(self._looks.tags), size=self._batch)
        told = random.integers(2, size=self._batch)
        z, (own, other) = self._looks.z, (self._looks.tags[rows, which] for which in (told, 1 - told))
        untold = np.zeros(own.shape, bool)
        untold[:, CHANNELS] = random.random((self._batch, len(CHANNELS))) < _UNTOLD
        return LookBatch(z[rows, told], z[rows, 1 - told], np.where(untold & (own == other), 0, own))


def with_part(network: Dynamics, part: str, width: int) -> Dynamics:
    """The same dynamics and a part which says what frames lack: its own, or a new one if that has another width.

    Args:
        network: dynamics.
        part: ``look`` or ``laying``, whose width its configuration names.
        width: of the part's layers.
    """
    setting = f"{part}_width"
    shape = dataclasses.replace(network.config, **{setting: width})
    taught = Dynamics(shape, tokens=network.tokens, channels=network.channels, views=network.views)
    is_new = width != getattr(network.config, setting)
    kept = {name: x for name, x in network.state_dict().items() if not (is_new and name.startswith(f"{part}."))}
    taught.load_state_dict(taught.state_dict() | kept)
    return taught


def teach_look(
    config: TrainConfig, tokenizer: Tokenizer, network: Dynamics, drives: Mapping[str, Sequence[MemoryEpisode]]
) -> Dynamics:
    """The network with what says what frames lack to look as they are told, taught by a run's drives."""
    taught = with_part(network, "look", config.dynamics.look_width)
    assert taught.look is not None
    make = LookBatches(two_looks(config, tokenizer, taught, drives), config.look_stage.batch, config.seed)
    fit(config, LookStage(config, taught.look), make, config.look_stage, [])
    taught.look.requires_grad_(False).cpu()
    return taught


def two_looks(
    config: TrainConfig, tokenizer: Tokenizer, dynamics: Dynamics, drives: Mapping[str, Sequence[MemoryEpisode]]
) -> TwoLooks:
    """Some frames of reference drives, and of the same drives rendered once more in another look."""
    own = [stretch for some in drives.values() for stretch in some]
    other = in_another_look(config, [stretch.info.drive_id for stretch in own])
    bar = tqdm(list(zip(own, other, strict=True)), desc="latents in two looks", disable=not config.progress)
    parts = [[_some_frames(config, tokenizer, dynamics, stretch) for stretch in pair] for pair in bar]
    z = [np.stack([z_TVNC for z_TVNC, _ in pair], axis=1) for pair in parts]
    tags = [np.stack([tags_TK for _, tags_TK in pair], axis=1) for pair in parts]
    return TwoLooks(np.concatenate(z), np.concatenate(tags))


@torch.no_grad()
def _some_frames(
    config: TrainConfig, tokenizer: Tokenizer, dynamics: Dynamics, stretch: MemoryEpisode
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    at = np.linspace(0, stretch.length - 1, min(_FRAMES, stretch.length)).round().astype(int)
    frames = torch.from_numpy(np.ascontiguousarray(stretch.frames[at])).to(device_of(config))
    z_TVNC = dynamics.normalise(tokenizer.encode(to_network(frames)).cpu())[:, None]
    return z_TVNC.half().numpy(), stretch.tags.codes[at]
