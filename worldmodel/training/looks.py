"""True drives that are shown in another weather or light than is told, and asked for as they are told.

In true drives it has always been as the tags say, so a network that sees its past, or a clip whose frames are all of
one level, learns little from tags; in its own drives light and weather go astray, and then they go on as they were.
Here the latents of a true drive are mixed with those of the same drive in another look (same road, traffic and ego
path; the reference world has such pairs). What is shown stands still: where it is seen to turn to what is told, whoever
goes on as it does is right without having heard anything.
Legend: see the package docstring of ``dynamics``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from worldmodel.datasets.windows import MemoryEpisode, unit_hash
from worldmodel.nn.noise import hand_over
from worldmodel.nn.shapes import Bool, Float
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training.config import LooksConfig, TrainConfig
from worldmodel.training.latents import cached_latents
from worldmodel.training.sources import in_another_look

#: The least share of the other look that a clip is shown in.
_LEAST = 0.1


def in_two_looks(
    config: TrainConfig, tokenizer: Tokenizer, latents: Mapping[str, Sequence[MemoryEpisode]]
) -> list[MemoryEpisode]:
    """Some of the stretches ``latents.with_latents``, with the latents of another look as ``truth["other"]``.

    Raises:
        ValueError: there is none.
    """
    stretches = [s for some in latents.values() for s in some]
    chosen = [s for s in stretches if unit_hash(f"looks_{s.episode_id}") < config.looks.share]
    if not chosen:
        raise ValueError(
            f"looks.share: {config.looks.share:g} of {len(stretches)} drives is none; raise it, or have more drives"
        )
    others = in_another_look(config, [s.info.drive_id for s in chosen])
    others = cached_latents(config, tokenizer, {"another look": others})["another look"]
    return [
        dataclasses.replace(own, episode_id=f"{own.episode_id}_looks", truth={**own.truth, "other": other.frames})
        for own, other in zip(chosen, others, strict=True)
    ]


def shown_otherwise(
    batch: Any, config: LooksConfig, generator: torch.Generator
) -> tuple[Any, Bool[Tensor, "b t"], Bool[Tensor, "b 1"]]:
    """A ``BoxedBatch`` as it is shown, the frames that are asked for, and the clips that are shown wholly otherwise.

    Clips of which no other look is known stay as they are, and every frame of them is asked for.
    """
    size, device = batch.frames.shape[:2], batch.frames.device

    def uniform(*shape: int) -> Tensor:
        return hand_over(torch.rand(*shape, generator=generator), device)

    known_B1 = batch.has_other[:, None]
    share_B1 = _LEAST + (1 - _LEAST) * uniform(size[0], 1)
    whole_B1 = known_B1 & (uniform(size[0], 1) < config.whole)
    asked_BT = whole_B1 | ~known_B1 | (uniform(*size) < config.asked)
    frames = mixed(batch.frames, batch.other, share_B1 * (whole_B1 | ~asked_BT))
    return batch._replace(frames=frames), asked_BT, whole_B1


def mixed(
    own: Float[Tensor, "b t w n c"], other: Float[Tensor, "b t w n c"], share_BT: Float[Tensor, "b t"]
) -> Float[Tensor, "b t w n c"]:
    """Latents of frames, and of the frames before them as ``latents.with_latents`` has both, in part of another look.

    Args:
        own, other: the same drive in two looks, V of the frame and as many of the frame before it.
        share_BT: how much of the other is in each frame.
    """
    views = own.shape[2] // 2
    before_BT = torch.cat([share_BT[:, :1], share_BT[:, :-1]], dim=1)
    share = torch.stack([share_BT, before_BT], dim=2).repeat_interleave(views, dim=2)[..., None, None]
    return torch.lerp(own.float(), other.float(), share.float()).to(own.dtype)
