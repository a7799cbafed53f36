"""True drives in whose past there was another weather or time of day than is told, and which turn to what is told.

In true drives it has always been as the tags say, so a network that sees its past learns little from tags; in its own
drives light and weather go astray, and then they go on as they were. Here the latents of a true drive are mixed with
those of the same drive in another look (same road, traffic and ego path; the reference world has such pairs), at first
by a lot and then by ``LooksConfig.back`` less with every frame.
Legend: T frames of a piece; V views; N tokens; C channels.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.windows import MemoryEpisode, unit_hash
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training.config import TrainConfig
from worldmodel.training.latents import cached_latents
from worldmodel.training.sources import in_another_look


def changing_looks(
    config: TrainConfig, tokenizer: Tokenizer, latents: Mapping[str, Sequence[MemoryEpisode]]
) -> list[MemoryEpisode]:
    """Pieces of some of the stretches ``latents.with_latents``, which begin in another look.

    Raises:
        ValueError: there is none.
    """
    stretches = [s for some in latents.values() for s in some]
    chosen = [s for s in stretches if unit_hash(f"looks_{s.episode_id}") < config.looks.share]
    others = in_another_look(config, [s.info.drive_id for s in chosen])
    others = cached_latents(config, tokenizer, {"another look": others})["another look"]
    pieces = [piece for pair in zip(chosen, others, strict=True) for piece in _pieces(config, *pair)]
    if not pieces:
        raise ValueError(
            f"looks: with share={config.looks.share:g} of {len(stretches)} drives and pieces of "
            f"frames={config.looks.frames} there is none; raise the share, or have longer drives or shorter pieces"
        )
    return pieces


def mixed(own_TVNC: NDArray, other_TVNC: NDArray, share_T: NDArray) -> NDArray:
    """Latents of frames, and of the frames before them as ``latents.with_latents`` has both, in part of another look.

    Args:
        own_TVNC, other_TVNC: the same drive in two looks, V of the frame and as many of the frame before it.
        share_T: how much of the other is in each frame.
    """
    views = own_TVNC.shape[1] // 2
    share_TV = np.repeat(np.stack([share_T, np.append(share_T[:1], share_T[:-1])], axis=1), views, axis=1)
    share = share_TV[:, :, None, None].astype(np.float32)
    return ((1 - share) * own_TVNC + share * other_TVNC).astype(own_TVNC.dtype)


def _pieces(config: TrainConfig, own: MemoryEpisode, other: MemoryEpisode) -> list[MemoryEpisode]:
    """Pieces of a drive that begin in another look, each by a share of its own."""
    s, pieces = config.looks, []
    for first in range(0, own.length - s.frames + 1, s.frames):
        rows, name = slice(first, first + s.frames), f"{own.episode_id}_looks_{first:04d}"
        at_first = np.random.default_rng(zlib.crc32(name.encode())).uniform()
        share_T = (at_first * (1 - s.back) ** np.arange(s.frames)).astype(np.float32)
        piece = own.piece(rows, name)
        frames = mixed(piece.frames, other.frames[rows], share_T)
        pieces.append(dataclasses.replace(piece, frames=frames, truth={**piece.truth, "astray": share_T}))
    return pieces
