"""Does a world find a video likely? Its own denoising error on it, frame by frame, which grows on what cannot be.

The frames of a given clip are noised to one level, a few at a time, beside a past as clean as it is in a drive; the
error of what the network makes of a frame is its surprise at it. Knows models and clips, nothing of drives.

Shapes: S frames of the clip; R rows, in each of which other frames are asked; V views, N tokens, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worldmodel.dynamics.conditioning import incoming, led_to, motion_channels
from worldmodel.dynamics.dynamics import Told, join
from worldmodel.dynamics.sampler import FINEST
from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import Pair
from worldmodel.model import Past, WorldModel, decoded, move_ahead, no_memory
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.types import Clip, FloatArray, FrameArray

#: Frames of a clip whose surprise is asked; one in so many is asked at once.
SURPRISE_FRAMES, _EVERY = 16, 4
#: Signal level of the frames that are asked, where the past decides much, and of those that are not.
_ASKED_TAU, _PAST_TAU = 0.3, 0.9


@torch.no_grad()
def surprise_of(model: WorldModel, clip: Clip, *, seed: int = 0) -> FloatArray:
    """``(S,)`` the model's squared denoising error of each frame, in normalised latents; larger is stranger.

    The noise depends on ``seed`` alone, so that two clips are asked alike. A first frame has no past to be judged by.
    """
    dynamics, tokenizer = model.dynamics, model.tokenizer
    device = next(dynamics.parameters()).device
    frames = to_network(torch.from_numpy(np.ascontiguousarray(clip.frames)).to(device))
    z_TVNC = dynamics.normalise(tokenizer.encode(frames)[:, None])
    generator = torch.Generator().manual_seed(seed)
    noise, other = (torch.randn(z_TVNC.shape, generator=generator).to(z_TVNC) for _ in range(2))
    told = _told(model, clip, z_TVNC, other)
    count = len(clip)
    frame = torch.arange(count)
    asked_RT = frame[None] % _EVERY == torch.arange(_EVERY)[:, None]
    tau_RT = torch.where(asked_RT, _ASKED_TAU, _PAST_TAU).to(z_TVNC)
    tau = tau_RT[:, :, None, None, None]
    x = (1 - tau) * noise + tau * z_TVNC
    made = dynamics(x, tau_RT, torch.full_like(tau_RT, 1 / FINEST), join([told] * _EVERY)).float()
    error_RT = (made - z_TVNC).square().mean(dim=(2, 3, 4)).cpu()
    return error_RT[frame % _EVERY, frame].double().numpy()


def surprises(
    model: WorldModel, true: Clip, generated: Clip, later: FrameArray, *, seed: int = 0
) -> dict[str, FloatArray]:
    """Surprise ``(S,)`` at a true clip, a generated one, and at the true one shuffled, reversed, and cut to ``later``.

    The cut is at frame S / 2: from there on the frames are of ``later (S, H, W, 3)``.
    """
    count = len(true)
    orders = {"shuffled": np.random.default_rng(seed).permutation(count), "reversed": np.arange(count)[::-1]}
    frames = {name: true.frames[order] for name, order in orders.items()}
    frames["cut"] = np.concatenate([true.frames[: count // 2], later[count // 2 :]])
    clips = {"true": true, "generated": generated}
    clips |= {name: dataclasses.replace(true, frames=broken) for name, broken in frames.items()}
    return {name: surprise_of(model, clip, seed=seed) for name, clip in clips.items()}


def surprise_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Surprise at generated clips beside true ones, and at true video in an order that cannot be.

    ``by_frame`` holds the curves; ``at_cut`` is the surprise at the frame of the cut alone.
    """
    asked = [pair.surprise for pair in pairs if pair.surprise]
    if not asked:
        return score_of(np.array([]), np.array([]), {}) | {"why": "no model was asked, or the drives are too short"}
    # A first frame has no past, whatever comes after it.
    columns = {name: np.array([found[name][1:].mean() for found in asked]) for name in asked[0]}
    by_frame = {name: np.mean([found[name] for found in asked], axis=0).tolist() for name in asked[0]}
    made, true = columns.pop("generated"), columns.pop("true")
    at_cut = {name: by_frame[name][len(by_frame[name]) // 2] for name in ("cut", "true")}
    return score_of(made, true, columns) | {"unit": "denoising error", "by_frame": by_frame, "at_cut": at_cut}


def _told(model: WorldModel, clip: Clip, z_TVNC: torch.Tensor, noise_TVNC: torch.Tensor) -> Told:
    dynamics, device = model.dynamics, z_TVNC.device
    dt_s = np.append(np.diff(clip.t_s), np.nan)
    values = (clip.motion.speed_mps, clip.motion.yaw_rate_radps, dt_s, np.full(len(dt_s), clip.camera.height_m))
    outgoing = motion_channels(*(torch.tensor(v, dtype=torch.float32, device=device) for v in values))
    tags = torch.from_numpy(clip.tags.codes).to(device)[None]
    told = Told(incoming(outgoing[None]), tags)
    if not dynamics.config.moved:
        return told
    pictures = decoded(model.tokenizer, dynamics, z_TVNC)
    earlier = torch.cat([pictures[:1].expand(STEPS_AGO, -1, -1, -1, -1), pictures])[: len(pictures)]
    past = Past(earlier, led_to(outgoing, STEPS_AGO))
    memory = no_memory(dynamics, model.tokenizer, 1, like=pictures)
    args = (model.tokenizer, dynamics, z_TVNC, outgoing, past, memory)
    after = move_ahead(*args, frames_BVCHW=pictures, in_turn=True).z_BVNC
    moved = torch.cat([torch.full_like(after[:1], torch.nan), after[:-1]])
    moved = _PAST_TAU * moved + (1 - _PAST_TAU) * noise_TVNC
    level = torch.full(moved.shape[:1], _PAST_TAU, device=device)
    return dataclasses.replace(told, moved=moved[None], moved_tau=level[None])
