"""True drives whose road has been led astray from its map, and comes back to it frame by frame.

In true drives the road always lies where the map has it, so a network that sees its past learns nothing from a map;
in its own drives it does not, and then it goes on as its past does. Here the road of true frames is moved beside its
map, as it goes astray in own drives (``tokenizer.astray.lead_astray``), at first by a lot and then by less and less: by
``StrayingConfig.back`` with every frame in which ``righted`` would put it right. What the network sees of the past is
wrong, and what it is to draw is less wrong than that.
Legend: T frames of a stretch.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode, unit_hash
from worldmodel.geometry.camera import canonical_camera
from worldmodel.tokenizer.astray import lead_astray, on_road, pace
from worldmodel.tokenizer.depth import inverse_depth
from worldmodel.tokenizer.tokenizer import Tokenizer, to_frames, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.latents import device_of, with_latents
from worldmodel.types import FrameArray

#: Standard deviations of how far roads are led astray at first, of the coefficients of ``tokenizer.astray``, and the
#: spread of how many times that.
_OFF_M, _SPREAD = (0.6, 1.4, 0.5), 0.5


def strayed_latents(config: TrainConfig, tokenizer: Tokenizer, train: Sequence[MemoryEpisode]) -> list[MemoryEpisode]:
    """Pieces of some of the stretches, led astray, with latents for frames as ``latents.with_latents`` has them.

    Raises:
        ValueError: there is none.
    """
    chosen = [s for s in train if unit_hash(f"astray_{s.episode_id}") < config.straying.share]
    pieces = [piece for stretch in chosen for piece in _pieces(config, stretch)]
    if not pieces:
        raise ValueError(
            f"straying: with share={config.straying.share:g} of {len(train)} drives and pieces of "
            f"frames={config.straying.frames} there is none; raise the share, or have longer drives or shorter pieces"
        )
    some = []
    for piece, first_3 in tqdm(pieces, desc="astray", disable=not config.progress):
        some.append(with_latents(config, tokenizer, piece, frames=partial(_frames, config, tokenizer, piece, first_3)))
    return some


def coming_back(road_TEK2: torch.Tensor, came_m_T: torch.Tensor, back: float) -> torch.Tensor:
    """``(T,)`` how much of what a road was astray at first is left of it in each frame.

    Args:
        road_TEK2: windows of the map.
        came_m_T: displacement from each frame to the next.
        back: share by which it comes back with each of them.
    """
    stays_T = 1 - back * pace(torch.nan_to_num(came_m_T)) * on_road(road_TEK2)
    return torch.cat([torch.ones_like(stays_T[:1]), torch.cumprod(stays_T[:-1], dim=0)])


def _pieces(config: TrainConfig, stretch: MemoryEpisode) -> list[tuple[MemoryEpisode, NDArray[np.float32]]]:
    """Pieces of a stretch, with the coefficients by which each is astray at first."""
    s, pieces = config.straying, []
    for first in range(0, stretch.length - s.frames + 1, s.frames):
        rows, name = slice(first, first + s.frames), f"{stretch.episode_id}_astray_{s.frames}_{s.back:g}_{first:04d}"
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        off_3 = np.exp(_SPREAD * np.clip(rng.normal(), -2, 2)) * rng.normal(size=3).clip(-2, 2) * np.array(_OFF_M)
        piece = stretch.piece(rows, name)
        came_m_T = piece.motion.speed_mps * np.append(np.diff(piece.t_s), np.nan)
        left_T = coming_back(torch.from_numpy(piece.truth["road"]), torch.from_numpy(came_m_T), s.back)
        piece = dataclasses.replace(piece, truth={**piece.truth, "astray": left_T.float().numpy()})
        pieces.append((piece, off_3.astype(np.float32)))
    return pieces


@torch.no_grad()
def _frames(
    config: TrainConfig, tokenizer: Tokenizer, piece: MemoryEpisode, first_3: NDArray[np.float32]
) -> FrameArray:
    """The frames of a piece, led astray."""
    device, still = device_of(config), torch.zeros(piece.length)
    camera = canonical_camera(*piece.info.valid_mask.shape)
    road_TEK2 = torch.from_numpy(piece.truth["road"]).float()
    off_T3 = torch.from_numpy(piece.truth["astray"])[:, None] * torch.from_numpy(first_3)
    frames_TCHW = to_network(torch.from_numpy(np.array(piece.frames)).to(device)).float()
    height_m_T = torch.full_like(still, piece.info.camera.height_m).to(device)
    args = (frames_TCHW, still.to(device), still.to(device), height_m_T, camera)
    inverse_THW = inverse_depth(tokenizer.depth, *args)
    astray_TCHW = lead_astray(frames_TCHW, off_T3.to(device), road_TEK2.to(device), inverse_THW, camera)
    return to_frames(astray_TCHW).cpu().numpy()
