"""How far one frame moved to the next: learned features of both, compared at every turn and every step forward.

The geometry is that of ``plane``: a turn moves what is near the horizon sideways, a step moves the ground, all of it as
a level camera of known height sees it. What is compared, and what to make of how well it agrees, is learned; so noise,
rain and a pitching body are the network's to see through. Distances are in heights of the camera, because a camera
twice as high that goes twice as far sees the same. Knows nothing of roads or of what else a frame shows.

Shapes: B pairs; C features; H, W pixels; R rows and U columns that are compared; K candidates; G groups of places.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldmodel.types import Camera

#: Candidates: turn of a step in rad, and chord of a step in heights of the camera (45 m/s at 1.4 m and 10 Hz).
TURNS_RAD = np.linspace(-0.08, 0.08, 65)
CHORDS = np.linspace(-0.15, 3.3, 70)
#: Rows below the horizon that show the ground, and around it that show what is far, in pixels of a 128-row picture.
_GROUND_ROWS, _FAR_ROWS = (9.0, 70.0), (-34.0, 8.0)
_RU_GROUND, _RU_FAR = (28, 32), (14, 64)
_GROUPS = (4, 4)
#: What changes over more than this is not compared.
_SLOW_PX = 8


class Matching(nn.Module):
    """Two frames → how likely each turn and each chord is.

    Args:
        camera: level; of the pictures that will be given, its height is taken as 1.
        features: C, compared at every place.
        width: of the networks that judge the agreement.
    """

    ground_ahead_RU: Tensor
    ground_left_RU: Tensor
    far_down_RU: Tensor
    far_right_RU: Tensor
    turns_K: Tensor
    chords_K: Tensor
    far_RU2: Tensor
    turned_KRU2: Tensor

    def __init__(self, camera: Camera, features: int = 8, width: int = 32) -> None:
        super().__init__()
        self._camera = camera
        self.look = nn.Sequential(
            nn.Conv2d(3, features, 3, padding=1), nn.SiLU(), nn.Conv2d(features, features, 3, padding=1)
        )
        groups = math.prod(_GROUPS)
        self.judge_turn, self.judge_chord = _judge(groups, width), _judge(2 * groups, width)
        scale = camera.height_px / 128
        rows = np.linspace(*_GROUND_ROWS, _RU_GROUND[0]) * scale
        columns = np.linspace(12, camera.width_px - 13, _RU_GROUND[1])
        ahead = camera.fy_px / rows[:, None]
        left = -(columns[None] - camera.cx_px) / camera.fx_px * ahead
        far_rows = np.linspace(*_FAR_ROWS, _RU_FAR[0]) * scale
        aside = (np.linspace(8, camera.width_px - 9, _RU_FAR[1]) - camera.cx_px) / camera.fx_px
        self._keep("ground_ahead_RU", np.broadcast_to(ahead, left.shape))
        self._keep("ground_left_RU", left)
        self._keep("far_down_RU", np.broadcast_to(far_rows[:, None] / camera.fy_px, _RU_FAR))
        self._keep("far_right_RU", np.broadcast_to(aside[None], _RU_FAR))
        self._keep("turns_K", TURNS_RAD)
        self._keep("chords_K", CHORDS)
        far, turned = self._turned()  # the same for all frames
        self.register_buffer("far_RU2", far, persistent=False)
        self.register_buffer("turned_KRU2", turned, persistent=False)

    def _keep(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.tensor(np.array(values), dtype=torch.float32), persistent=False)

    def features(self, x_BCHW: Tensor) -> Tensor:
        """What is compared of frames: features without their slow parts, of unit length at every pixel."""
        seen = self.look(x_BCHW).float()
        # Pooled and spread again: as good as a running mean here, and twenty times faster.
        slow = F.interpolate(F.avg_pool2d(seen, _SLOW_PX), scale_factor=float(_SLOW_PX), mode="bilinear")
        fine = seen - slow
        # In plain order, which is what places are sampled from fastest.
        return (fine * ((fine * fine).sum(dim=1, keepdim=True) + 1e-6).rsqrt()).contiguous()

    def forward(self, before_BCHW: Tensor, after_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the turn ``(B, 65)`` and of the chord ``(B, 70)`` between ``features`` of two frames."""
        turn_BGK, _ = self._agreement(before_BCHW, after_BCHW, self.far_RU2, self.turned_KRU2)
        turn_BK = self.judge_turn(turn_BGK)[:, 0]
        turn_B = (turn_BK.softmax(dim=1) * self.turns_K).sum(dim=1).detach()
        chord_BGK, seen_BGK = self._agreement(before_BCHW, after_BCHW, *self._moved(turn_B))
        return turn_BK, self.judge_chord(torch.cat([chord_BGK, seen_BGK], dim=1))[:, 0]

    def _turned(self) -> tuple[Tensor, Tensor]:
        """Where far places are, ``(R, U, 2)``, and where a turn leaves them, ``(K, R, U, 2)``, as ``_pixels`` has it."""
        angle = torch.atan(self.far_right_RU) + self.turns_K[:, None, None]  # a turn left moves all to the right
        grow = torch.cos(torch.atan(self.far_right_RU)) / torch.cos(angle)
        return self._pixels(self.far_right_RU, self.far_down_RU), self._pixels(angle.tan(), self.far_down_RU * grow)

    def _moved(self, turn_B: Tensor) -> tuple[Tensor, Tensor]:
        """The same of the ground, turned by ``turn_B`` and moved by every chord: ``(R, U, 2)``, ``(B, K, R, U, 2)``."""
        half = (turn_B / 2)[:, None, None, None]
        chord = self.chords_K[:, None, None]
        ahead = self.ground_ahead_RU - chord * torch.cos(half)
        left = self.ground_left_RU - chord * torch.sin(half)
        cos, sin = torch.cos(2 * half), torch.sin(2 * half)
        near = 1 / (cos * ahead + sin * left).clamp(min=0.3)
        here = self._pixels(-self.ground_left_RU / self.ground_ahead_RU, 1 / self.ground_ahead_RU)
        return here, self._pixels((sin * ahead - cos * left) * near, near)

    def _agreement(
        self, before_BCHW: Tensor, after_BCHW: Tensor, here_RU2: Tensor, there_BKRU2: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean agreement of each group of places at each candidate, and the share that is still in the picture."""
        batch, channels = before_BCHW.shape[:2]
        shape_KRU = there_BKRU2.shape[-4:-1]
        there = there_BKRU2.expand(batch, *shape_KRU, 2)
        right, down = there_BKRU2.unbind(-1)
        inside = ((right.abs() <= 1) & (down.abs() <= 1)).to(before_BCHW.dtype)
        first = F.grid_sample(before_BCHW, here_RU2.expand(batch, *here_RU2.shape), align_corners=False)
        flat = there.reshape(batch, shape_KRU[0] * shape_KRU[1], shape_KRU[2], 2)
        second = F.grid_sample(after_BCHW, flat, align_corners=False)
        second = second.reshape(batch, channels, *shape_KRU)
        # Not an einsum: as products of tiny matrices this takes forty times as long on a CPU.
        alike = (first[:, :, None] * second).sum(dim=1) * inside
        shares = inside.expand(batch, *shape_KRU)
        groups = [F.adaptive_avg_pool2d(x, _GROUPS).flatten(2).transpose(1, 2) for x in (alike, shares)]
        return groups[0] / groups[1].clamp(min=0.05), groups[1]

    def _pixels(self, right: Tensor, down: Tensor) -> Tensor:
        """Tangents right and down as ``grid_sample`` wants places: -1 to 1 over the picture's edges, ``(..., 2)``."""
        c = self._camera
        x = right * (2 * c.fx_px / c.width_px) + ((2 * c.cx_px + 1) / c.width_px - 1)
        y = down * (2 * c.fy_px / c.height_px) + ((2 * c.cy_px + 1) / c.height_px - 1)
        return torch.stack([x, y], dim=-1)


def _judge(groups: int, width: int) -> nn.Sequential:
    """Agreement of groups over candidates → one logit per candidate."""
    return nn.Sequential(
        nn.Conv1d(groups, width, 5, padding=2), nn.SiLU(),
        nn.Conv1d(width, width, 5, padding=2), nn.SiLU(),
        nn.Conv1d(width, 1, 5, padding=2),
    )  # fmt: skip


def expected(logits_BK: Tensor, candidates_K: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B,)`` of the candidates under their logits."""
    p_BK = logits_BK.softmax(dim=-1)
    mean = (p_BK * candidates_K).sum(dim=-1)
    variance = (p_BK * (candidates_K - mean[..., None]) ** 2).sum(dim=-1)
    return mean, variance.clamp(min=1e-12).sqrt()


def two_hot(values_B: Tensor, candidates_K: Tensor) -> Tensor:
    """``(B, K)`` weights of the two candidates around each value, whose mean it is; clipped to their range."""
    step = candidates_K[1] - candidates_K[0]
    place = ((values_B - candidates_K[0]) / step).clamp(0, len(candidates_K) - 1 - 1e-4)
    low = place.floor().long()
    weights = torch.zeros(len(values_B), len(candidates_K), device=values_B.device)
    weights.scatter_(1, low[:, None], (1 - (place - low))[:, None])
    return weights.scatter_add_(1, low[:, None] + 1, (place - low)[:, None])
