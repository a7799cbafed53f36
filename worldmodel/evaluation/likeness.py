"""Is what a world shows what was truly seen, is it a copy, and does the world itself find true video likely?

Prediction: PSNR to the true continuation by horizon, beside holding the last frame. Copies: how near generated frames
come to those the model was trained on, beside held-out true ones. Surprise: the model's own denoising error on a given
video, which grows on video that cannot be. Pure functions of pairs, features and a model.

Shapes: T frames; D drives; F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.objective import ObjectiveConfig, shortcut_forcing_loss
from worldmodel.evaluation.obedience import score_of
from worldmodel.evaluation.pairs import Pair
from worldmodel.metrics.frechet import whitening
from worldmodel.metrics.intervals import known_mean
from worldmodel.metrics.neighbours import audit_copies
from worldmodel.model import WorldModel, move_ahead
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.types import Clip, FloatArray, FrameArray

#: Prediction is scored at these times.
PSNR_AT_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
#: The score itself: far enough that holding the last frame is no prediction.
_PSNR_MAIN_S = 1.0
#: Directions of features in which copies are looked for.
_DIRECTIONS = 32
#: Frames of a clip whose surprise is asked, and how often each is asked.
SURPRISE_FRAMES, _ASKED = 16, 4


def psnr_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """PSNR to the true continuation at each horizon; the floor (here a ceiling) is the tokenizer's reconstruction."""
    by_horizon = {}
    for horizon in PSNR_AT_S:
        if any(pair.t_s[-1] < horizon - 1e-6 for pair in pairs):
            continue
        at = [int(np.abs(pair.t_s - horizon).argmin()) for pair in pairs]
        columns = {name: np.array([p.psnr_db[name][i] for p, i in zip(pairs, at)]) for name in pairs[0].psnr_db}
        controls = {name: columns[name] for name in ("shuffled", "held")}
        by_horizon[f"{horizon:g}"] = score_of(columns["generated"], columns["reconstructed"], controls)
    main = by_horizon.get(f"{_PSNR_MAIN_S:g}") or next(iter(by_horizon.values()))
    return main | {"unit": "dB", "at": by_horizon}


def copy_score(pairs: Sequence[Pair], library: FloatArray) -> dict[str, Any]:
    """Share of generated frames that are nearer to the training set's ``(L, F)`` than all but 1 % of held-out ones."""
    _, directions = whitening(library, _DIRECTIONS)
    known = library @ directions
    true = np.concatenate([pair.features["true"] for pair in pairs]) @ directions
    rates, ratios = [], []
    for pair in pairs:
        audit = audit_copies(pair.features["generated"] @ directions, true, known)
        rates.append(audit.rate)
        ratios.append(audit.ratio)
    planted = audit_copies(known[:: max(1, len(known) // 256)], true, known)
    floor = np.full(len(pairs), planted.held_out_rate)
    return score_of(np.array(rates), floor, {"planted": np.array([planted.rate])}) | {
        "unit": "share of frames",
        "ratio": known_mean(ratios),
        "library_frames": len(library),
    }


@torch.no_grad()
def surprise_of(model: WorldModel, clip: Clip, *, seed: int = 0) -> float:
    """The model's denoising error on a clip at levels and noise that depend on ``seed`` alone; larger is stranger."""
    dynamics, tokenizer = model.dynamics, model.tokenizer
    device = next(dynamics.parameters()).device
    frames = to_network(torch.from_numpy(np.ascontiguousarray(clip.frames)).to(device))
    z_TVNC = dynamics.normalise(tokenizer.encode(frames)[:, None])
    dt_s = np.append(np.diff(clip.t_s), np.nan)
    values = (clip.motion.speed_mps, clip.motion.yaw_rate_radps, dt_s, np.full(len(dt_s), clip.camera.height_m))
    outgoing = motion_channels(*(torch.tensor(v, dtype=torch.float32, device=device) for v in values))
    moved = None
    if dynamics.config.moved:
        after = move_ahead(tokenizer, dynamics, z_TVNC, outgoing)
        moved = torch.cat([torch.full_like(after[:1], torch.nan), after[:-1]])[None]
    tags = torch.from_numpy(clip.tags.codes).to(device)[None]
    told = Told(incoming(outgoing[None]), tags, moved)
    config = ObjectiveConfig(drop_motion=0.0, drop_tags=0.0, drop_moved=0.0, independent_share=0.0)
    errors = []
    for asked in range(_ASKED):
        generator = torch.Generator().manual_seed(1000 * seed + asked)
        loss, _ = shortcut_forcing_loss(dynamics, z_TVNC[None], told, config, generator, shortcut=False)
        errors.append(float(loss))
    return float(np.mean(errors))


def surprises(model: WorldModel, true: Clip, generated: Clip, later: FrameArray, *, seed: int = 0) -> dict[str, float]:
    """Surprise at a true clip, at the generated one, and at the true one shuffled, reversed, and cut to ``later``."""
    count = len(true)
    orders = {"shuffled": np.random.default_rng(seed).permutation(count), "reversed": np.arange(count)[::-1]}
    frames = {name: true.frames[order] for name, order in orders.items()}
    frames["cut"] = np.concatenate([true.frames[: count // 2], later[count // 2 :]])
    found = {"true": surprise_of(model, true, seed=seed), "generated": surprise_of(model, generated, seed=seed)}
    clips = {name: dataclasses.replace(true, frames=broken) for name, broken in frames.items()}
    return found | {name: surprise_of(model, clip, seed=seed) for name, clip in clips.items()}


def surprise_score(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Surprise at generated clips beside true ones, and at true video in an order that cannot be."""
    columns = {name: np.array([pair.surprise[name] for pair in pairs]) for name in pairs[0].surprise}
    if not columns:
        return score_of(np.array([]), np.array([]), {}) | {"why": "no model was asked"}
    made, true = columns.pop("generated"), columns.pop("true")
    return score_of(made, true, columns) | {"unit": "denoising error"}
