"""True drives of which most frames are shown as they are not told, and the others are asked for as they are.

In true drives it has always been as tags and map say, so a network that sees its past learns little from them; in its
own drives weather, light and road go astray, and then they go on as they were. Here most frames are shown in another
look (the same road, traffic and ego path under another weather or light: the reference world has such pairs) or with
their road beside its map (``straying``), and now and then a frame is asked for. What is shown stands still: where it is
seen to turn to what is told, whoever goes on as it does is right without having heard anything.
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
from worldmodel.training.straying import strayed_latents

#: How often a piece of a drive is there, each time with other frames asked for and, of looks, another share.
_TIMES = 3
#: The least share of another look.
_LEAST = 0.1


def questions(
    config: TrainConfig,
    tokenizer: Tokenizer,
    train: Mapping[str, Sequence[MemoryEpisode]],
    latents: Mapping[str, Sequence[MemoryEpisode]],
) -> dict[str, list[MemoryEpisode]]:
    """The pieces about looks and those about roads, as ``config.questions`` wants them.

    Args:
        config: of the run.
        tokenizer: whose latents they are.
        train: true drives.
        latents: the same, of ``latents.with_latents``.

    Raises:
        ValueError: there is none of a kind that is wanted.
    """
    wanted, made = config.questions, {}
    for kind, share in (("looks", wanted.looks), ("roads", wanted.roads)):
        if not share:
            continue
        chosen = [
            pair
            for name in latents
            for pair in zip(train[name], latents[name], strict=True)
            if unit_hash(f"{kind}_{pair[0].episode_id}") < share
        ]
        if kind == "looks":
            others = in_another_look(config, [own.info.drive_id for _, own in chosen])
            others = cached_latents(config, tokenizer, {"another look": others})["another look"]
        else:
            others = strayed_latents(config, tokenizer, [true for true, _ in chosen])
        pieces = [p for (_, own), other in zip(chosen, others, strict=True) for p in _pieces(config, kind, own, other)]
        if not pieces:
            raise ValueError(
                f"questions.{kind}: with a share of {share:g} of {sum(map(len, latents.values()))} drives and pieces "
                f"of frames={wanted.frames} there is none; raise the share, or have longer drives or shorter pieces"
            )
        made[kind] = pieces
    return made


def mixed(own_TVNC: NDArray, other_TVNC: NDArray, share_T: NDArray) -> NDArray:
    """Latents of frames, and of the frames before them as ``latents.with_latents`` has both, in part of another drive.

    Args:
        own_TVNC, other_TVNC: a drive and the same otherwise, V of the frame and as many of the frame before it.
        share_T: how much of the other is in each frame.
    """
    views = own_TVNC.shape[1] // 2
    share_TV = np.repeat(np.stack([share_T, np.append(share_T[:1], share_T[:-1])], axis=1), views, axis=1)
    share = share_TV[:, :, None, None].astype(np.float32)
    return ((1 - share) * own_TVNC + share * other_TVNC).astype(own_TVNC.dtype)


def _pieces(config: TrainConfig, kind: str, own: MemoryEpisode, other: MemoryEpisode) -> list[MemoryEpisode]:
    """Pieces of a drive, each with a share of the other in all of its frames but those that are asked for."""
    length, pieces = config.questions.frames, []
    for first in range(0, own.length - length + 1, length):
        for time in range(_TIMES):
            rows, name = slice(first, first + length), f"{own.episode_id}_{kind}_{first:04d}_{time}"
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            share = rng.uniform(_LEAST, 1) if kind == "looks" else 1.0  # half of two roads is no road
            asked_T = rng.uniform(size=length) < config.questions.asked
            piece = own.piece(rows, name)
            frames = mixed(piece.frames, other.frames[rows], share * ~asked_T)
            pieces.append(dataclasses.replace(piece, frames=frames, truth={**piece.truth, "asked": asked_T}))
    return pieces
