"""The stage that teaches what the ground lacks to show the road where its map has it: drives seen from beside them.

Legend: S moments of all drives; P poses of each, the ego's own first; B rows of a batch; V N C of latents and F of what
is told of the road as of ``dynamics``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.dynamics.laying import LayingNetwork, laying_loss
from worldmodel.dynamics.road import road_features
from worldmodel.geometry.camera import canonical_camera
from worldmodel.nn.noise import hand_over
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.fitting import fit
from worldmodel.training.latents import device_of
from worldmodel.training.relighting import with_part
from worldmodel.training.sources import BESIDE, from_beside
from worldmodel.training.stages import Stage

#: Rows that are seen from where their map is told.
_TRUE_SHARE = 0.25


class Views(NamedTuple):
    """Moments that are there from several poses.

    Attributes:
        z: ``(S, P, V, N, C)`` normalised latents, float16.
        road: ``(S, P, N, F)`` where the road lies in each, float16.
    """

    z: NDArray[np.float16]
    road: NDArray[np.float16]


class LayingBatch(NamedTuple):
    """Normalised latents ``(B, V, N, C)`` of moments from where the map is told and from elsewhere; ``(B, N, F)``."""

    own: Any
    other: Any
    road: Any


class LayingStage(Stage):
    """Frames in a mixture of two views → how well it is said what their ground lacks of the one they are told.

    Args:
        config: of the run.
        network: to be trained.
    """

    name = "laying"
    network: LayingNetwork

    def __init__(self, config: TrainConfig, network: LayingNetwork) -> None:
        super().__init__(config, config.laying_stage)
        self.network = network

    def training_step(self, batch: LayingBatch, _: int) -> Tensor:
        """One ``LayingBatch``."""
        generator, rows = self.generator(), len(batch.own)
        share_B, true_B = (torch.rand(rows, generator=generator) for _ in range(2))
        share_B = hand_over(torch.where(true_B < _TRUE_SHARE, 0, share_B), batch.own.device)
        parts = (batch.own.float(), batch.other.float(), share_B, batch.road.float())
        loss = laying_loss(self.network, *parts, generator)
        self.log("loss", loss, prog_bar=True)
        self.log_speed(rows, 0.0)
        return loss


class LayingBatches:
    """Batch k of moments from two of their poses, as a pure function of (seed, k)."""

    def __init__(self, views: Views, batch: int, seed: int) -> None:
        self._views, self._batch, self._seed = views, batch, seed

    def __call__(self, k: int) -> LayingBatch:
        """Batch k."""
        random, (z, road) = np.random.default_rng((self._seed, k)), self._views
        rows = random.integers(len(z), size=self._batch)
        own = random.integers(z.shape[1], size=self._batch)
        other = (own + random.integers(1, z.shape[1], size=self._batch)) % z.shape[1]
        return LayingBatch(z[rows, own], z[rows, other], road[rows, own])


def teach_laying(
    config: TrainConfig, tokenizer: Tokenizer, network: Dynamics, drives: Mapping[str, Sequence[MemoryEpisode]]
) -> Dynamics:
    """The network with what says what the ground lacks to show the road of its map, taught by a run's drives."""
    taught = with_part(network, "laying", config.dynamics.laying_width)
    assert taught.laying is not None
    make = LayingBatches(several_views(config, tokenizer, taught, drives), config.laying_stage.batch, config.seed)
    fit(config, LayingStage(config, taught.laying), make, config.laying_stage, [])
    taught.laying.requires_grad_(False).cpu()
    return taught


def several_views(
    config: TrainConfig, tokenizer: Tokenizer, dynamics: Dynamics, drives: Mapping[str, Sequence[MemoryEpisode]]
) -> Views:
    """Frames of reference drives, and the same moments from beside their way.

    Raises:
        ValueError: a cached drive that does not carry its road.
    """
    own = [stretch for some in drives.values() for stretch in some]
    beside = from_beside(config, [stretch.info.drive_id for stretch in own])
    bar = tqdm(list(zip(own, beside, strict=True)), desc="latents from beside", disable=not config.progress)
    parts = [[_seen(config, tokenizer, dynamics, stretch) for stretch in pair] for pair in bar]
    z, road = (
        np.concatenate([np.concatenate([one[i][:, None], _by_moment(other[i])], axis=1) for one, other in parts])
        for i in (0, 1)
    )
    return Views(z, road)


def _by_moment(x: NDArray[np.float16]) -> NDArray[np.float16]:
    return x.reshape(-1, BESIDE, *x.shape[1:])


@torch.no_grad()
def _seen(
    config: TrainConfig, tokenizer: Tokenizer, dynamics: Dynamics, stretch: MemoryEpisode
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Normalised latents ``(T, V, N, C)`` of a stretch, and where its road lies ``(T, N, F)``."""
    if "road" not in stretch.truth:
        raise ValueError(f"{config.data.cache}: {stretch.episode_id} does not carry its road; delete its folder there")
    shape, device = config.tokenizer, device_of(config)
    parts = torch.from_numpy(np.ascontiguousarray(stretch.frames)).split(32)
    z_TVNC = torch.cat([dynamics.normalise(tokenizer.encode(to_network(x.to(device))).cpu())[:, None] for x in parts])
    camera = canonical_camera(shape.height_px, shape.width_px)
    height_T = torch.full((len(z_TVNC),), stretch.info.camera.height_m)
    road_TNF = road_features(torch.from_numpy(stretch.truth["road"]), height_T, camera, shape.latent_grid)
    return z_TVNC.half().numpy(), road_TNF.half().numpy()
