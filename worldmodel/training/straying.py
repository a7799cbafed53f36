"""True drives whose road has been led astray from its map: they lie beside it, as roads do in own drives.

The road of true frames is moved beside its map as it goes astray in own drives (``tokenizer.astray.lead_astray``), by
as much for some seconds and then otherwise. ``questions`` asks what comes next in them.
Legend: T frames of a stretch.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.geometry.camera import canonical_camera
from worldmodel.nn.shapes import Float
from worldmodel.tokenizer.astray import lead_astray
from worldmodel.tokenizer.depth import inverse_depth
from worldmodel.tokenizer.tokenizer import Tokenizer, to_frames, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.latents import device_of, with_latents
from worldmodel.types import FrameArray

#: Standard deviations of how far roads are led astray, of the coefficients of ``tokenizer.astray``, and the spread of
#: how many times that.
_OFF_M, _SPREAD = (0.6, 1.4, 0.5), 0.5


def strayed_latents(
    config: TrainConfig, tokenizer: Tokenizer, stretches: Sequence[MemoryEpisode]
) -> list[MemoryEpisode]:
    """The stretches led astray, otherwise in each ``questions.frames``, with latents for frames (``with_latents``)."""
    some = []
    for stretch in tqdm(stretches, desc="astray", disable=not config.progress):
        astray = dataclasses.replace(stretch, episode_id=f"{stretch.episode_id}_beside_{config.questions.frames}")
        some.append(with_latents(config, tokenizer, astray, frames=partial(_frames, config, tokenizer, astray)))
    return some


def off_map(stretch: MemoryEpisode, every: int) -> Float[torch.Tensor, "t 3"]:
    """Coefficients by which each frame is astray, drawn by the stretch's name, otherwise in each ``every`` frames."""
    rng = np.random.default_rng(zlib.crc32(stretch.episode_id.encode()))
    count = -(-stretch.length // every)
    times = np.exp(_SPREAD * rng.normal(size=(count, 1)).clip(-2, 2))
    off_P3 = times * rng.normal(size=(count, 3)).clip(-2, 2) * np.array(_OFF_M)
    return torch.from_numpy(off_P3.repeat(every, axis=0)[: stretch.length]).float()


@torch.no_grad()
def _frames(config: TrainConfig, tokenizer: Tokenizer, stretch: MemoryEpisode) -> FrameArray:
    """The frames of a stretch, led astray."""
    device, camera = device_of(config), canonical_camera(*stretch.info.valid_mask.shape)
    made, off_T3 = [], off_map(stretch, config.questions.frames)
    for rows in torch.arange(stretch.length).split(32):
        frames_TCHW = to_network(torch.from_numpy(np.array(stretch.read(int(rows[0]), len(rows)))).to(device)).float()
        still = torch.zeros(len(rows), device=device)
        args = (frames_TCHW, still, still, torch.full_like(still, stretch.info.camera.height_m), camera)
        inverse_THW = inverse_depth(tokenizer.depth, *args)
        road_TEK2 = torch.from_numpy(stretch.truth["road"][rows.numpy()]).float().to(device)
        made.append(to_frames(lead_astray(frames_TCHW, off_T3[rows].to(device), road_TEK2, inverse_THW, camera)).cpu())
    return torch.cat(made).numpy()
