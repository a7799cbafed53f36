"""What a frame is told: the motion that led to it, its tags, how noisy it is. Everything may be unknown.

A frame's motion here is the *incoming* one, from the frame before to it: ``incoming`` shifts a clip's rows, which are
the outgoing ones, by one. The network sees displacement, turn and time of the step rather than rates, because those
are what moves pixels.
Legend: B batch, T frames, F features, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from worldmodel.nn.shapes import Float, Int
from worldmodel.types import OUTCOMES, VOCABULARY

#: displacement_m, turn_rad, dt_s, camera_height_m
MOTION_CHANNELS = 4
#: What each channel is divided by, after subtracting the offset, to span about [-1, 1].
_OFFSET = (1.5, 0.0, 0.1, 1.5)
_SCALE = (1.5, 0.06, 0.03, 0.7)


def motion_channels(
    speed_mps: Tensor, yaw_rate_radps: Tensor, dt_s: Tensor, camera_height_m: Tensor
) -> Float[Tensor, "*p f"]:
    """Stack displacement, turn, time step and camera height; NaN stays NaN and means unknown."""
    speed, yaw, dt, height = torch.broadcast_tensors(speed_mps, yaw_rate_radps, dt_s, camera_height_m)
    return torch.stack([speed * dt, yaw * dt, dt, height], dim=-1).float()


def incoming(outgoing_BTF: Float[Tensor, "b t f"]) -> Float[Tensor, "b t f"]:
    """Row t of a clip leads from frame t to t + 1: give each frame the row that led to it; the first has none."""
    unknown = torch.full_like(outgoing_BTF[:, :1], math.nan)
    return torch.cat([unknown, outgoing_BTF[:, :-1]], dim=1)


def between(outgoing_BTF: Tensor, first_B: Tensor, apart_B: Tensor) -> tuple[Tensor, Tensor]:
    """Displacement and turn ``(B,)`` from frame ``first_B`` to the one ``apart_B`` later, of outgoing motion channels.

    Back is negative; NaN where not known.
    """
    at = torch.arange(outgoing_BTF.shape[1], device=outgoing_BTF.device)
    steps = (at >= first_B[:, None]) & (at < (first_B + apart_B)[:, None])
    chord, turn = (torch.where(steps, outgoing_BTF[..., i], 0) for i in (0, 1))
    whole_B = turn.sum(dim=1)
    # Along the chord of an arc, which lies at half of its turn.
    aside = turn.cumsum(dim=1) - turn / 2 - whole_B[:, None] / 2
    return (chord * torch.cos(aside)).sum(dim=1), whole_B


def led_to(outgoing_TF: Tensor, steps: int) -> Tensor:
    """The last ``steps`` motions that led to each frame of a clip, ``(T, steps, F)``; NaN before its first."""
    unknown = outgoing_TF.new_full((steps, outgoing_TF.shape[1]), math.nan)
    return torch.cat([unknown, outgoing_TF])[:-1].unfold(0, steps, 1).transpose(1, 2)


class MotionEmbedding(nn.Module):
    """Displacement, turn, time step and camera height as one vector; each channel may be NaN."""

    offset: Tensor
    scale: Tensor

    def __init__(self, width: int, *, octaves: int = 4) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(_OFFSET), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE), persistent=False)
        self.octaves = octaves
        features = MOTION_CHANNELS * (2 + 2 * octaves)
        self.mlp = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, motion_F: Float[Tensor, "*p f"]) -> Float[Tensor, "*p d"]:
        """A channel that is NaN contributes nothing but the fact that it is unknown."""
        known_F = torch.isfinite(motion_F)
        x_F = torch.where(known_F, (motion_F - self.offset) / self.scale, torch.zeros_like(motion_F))
        waves = [f(x_F * (math.pi * 2.0**k / 4)) * known_F for k in range(self.octaves) for f in (torch.sin, torch.cos)]
        dtype = next(self.mlp.parameters()).dtype
        return self.mlp(torch.cat([x_F, known_F.to(x_F.dtype), *waves], dim=-1).to(dtype))


class TagEmbedding(nn.Module):
    """The sum of one learned vector per tag channel; code 0, unknown, has a vector of its own.

    ``types.OUTCOMES`` are taken for no event: told as drives are labelled, "none" would say that the ego stays
    on its road, and a world that is told so bends the road to whoever drives.
    """

    heard_CK: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleDict({tag: nn.Embedding(len(names), width) for tag, names in VOCABULARY.items()})
        for weight in self.tables.parameters():
            nn.init.normal_(weight, std=0.02)
        heard_CK = torch.arange(max(map(len, VOCABULARY.values()))).repeat(len(VOCABULARY), 1)
        events = VOCABULARY["event"]
        heard_CK[list(VOCABULARY).index("event"), [events.index(name) for name in OUTCOMES]] = events.index("none")
        self.register_buffer("heard_CK", heard_CK, persistent=False)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Torch's hook: the vocabulary may have been extended at its end since, or the tables had room to grow."""
        for name, table in self.tables.items():
            key, known = f"{prefix}tables.{name}.weight", table.weight.detach().clone()  # pyright: ignore
            if key in state_dict:
                rows = state_dict[key][: len(known)]
                known[: len(rows)] = rows
                state_dict[key] = known
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, codes: Int[Tensor, "*p c"]) -> Float[Tensor, "*p d"]:
        """Codes in the order of ``types.VOCABULARY``."""
        heard = [self.heard_CK[i][codes[..., i]] for i in range(len(self.tables))]
        return torch.stack([table(code) for table, code in zip(self.tables.values(), heard)]).sum(0)


class SignalEmbedding(nn.Module):
    """How noisy a frame is and how large a step is to be taken, as one vector."""

    def __init__(self, width: int, *, octaves: int = 6, finest_log2: int = 6) -> None:
        super().__init__()
        self.octaves, self.finest_log2 = octaves, finest_log2
        self.step = nn.Embedding(finest_log2 + 1, width)
        nn.init.normal_(self.step.weight, std=0.02)
        self.mlp = nn.Sequential(nn.Linear(2 * octaves + 1, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tau: Float[Tensor, "*p"], d: Float[Tensor, "*p"]) -> Float[Tensor, "*p d"]:
        """``d`` is a power of one half."""
        waves = [f(tau * (math.pi * 2.0**k / 2)) for k in range(self.octaves) for f in (torch.sin, torch.cos)]
        features = torch.stack([tau, *waves], dim=-1).to(next(self.mlp.parameters()).dtype)
        halvings = (-torch.log2(d)).round().long().clamp(0, self.finest_log2)
        return self.mlp(features) + self.step(halvings)
