"""Drives the network makes on its own while it is trained, and is trained on: a rollout is then nothing new to it.

A few rows follow true drives. Each begins with true frames, then every frame is drawn by the network from its own past,
exactly as a rollout draws it, while the motion it is told is the recorded one; so the true frames of the same moments
are what it should have made. After L frames a row follows another drive. The rows go on from one training step
to the next, a few frames each time, which makes long chains cheap (compare Self Forcing, arXiv 2506.08009, and the
replay buffer of DAgger, arXiv 1011.0686).

Two things are learned from them. While a row is young, the truth it follows is still what it should have made, and its
clips are trained on as they are (``clips``). Later it shows another place than the truth does, and would teach the mean
of all places; but how it differs from the truth is what long drives go wrong by, and laid on other true clips
(``errors``, ``lay_on``) it teaches the way back: the error recycling of Stable Video Infinity, arXiv 2510.09212.
Legend: R rows, L frames of a life, T frames of a clip, E clips of errors, V views, N tokens, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worldmodel.dynamics.dynamics import Dynamics, Told, join
from worldmodel.dynamics.objective import ObjectiveConfig, noise_like
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, shown
from worldmodel.model import move_ahead
from worldmodel.tokenizer.tokenizer import Tokenizer

#: Errors are laid on with a root mean square between 0 and this, in normalised latents, enlarged so many times at most.
_ERROR_RMS, _ERROR_GAIN = 1.0, 3.0

#: The k-th life: what its frames are told ``(1, L)`` and their true normalised latents ``(1, L, V, N, C)``.
Life = Callable[[int], tuple[Told, Tensor]]


class OwnDrives:
    """Rows that drive on, and the clips they leave.

    Args:
        life: the k-th drive to follow.
        rows: R.
        true_frames: a row begins with.
    """

    def __init__(self, life: Life, rows: int, *, true_frames: int) -> None:
        self.life, self.rows, self.true_frames = life, rows, true_frames
        self._born, self._numbers = 0, [-1] * rows
        self._ages: list[int] = []
        self._lives: list[tuple[Told, Tensor]] = []

    @torch.no_grad()
    def advance(
        self,
        network: Dynamics,
        tokenizer: Tokenizer,
        config: ObjectiveConfig,
        generator: torch.Generator,
        *,
        frames: int,
        sampler: SamplerConfig,
    ) -> None:
        """Let every row go on for so many frames, drawn as ``sampler`` has it but for the levels of noise."""
        if not self._lives:
            self._begin(network)
        for _ in range(frames):
            for row in range(self.rows):
                if self._ages[row] == self._own.shape[1]:
                    self._follow_another(row)
            told, before = self._now()
            if network.config.moved:
                moved = move_ahead(tokenizer, network, before, told.motion[:, 0])
                young = torch.tensor(self._ages, device=moved.device) == 0
                moved = torch.where(young[:, None, None, None], torch.nan, moved)
                tau = _between(config.moved_tau_min, generator)
                told = shown(told, moved, noise_like(moved, generator), tau)
                for row, t in enumerate(self._ages):
                    self._moved[row, t] = moved[row]
            noise = [noise_like(before, generator) for _ in range(2)]
            drawn = draw_frame(network, noise[0], told, self._ring, sampler).float()
            for row, t in enumerate(self._ages):
                self._own[row, t] = self._lives[row][1][0, t] if t < self.true_frames else drawn[row]
            newest = torch.stack([self._own[row, t] for row, t in enumerate(self._ages)])
            commit_frame(network, newest, noise[1], told, self._ring, _between(config.past_tau_min, generator))
            self._ages = [t + 1 for t in self._ages]

    def clips(self, length: int, *, oldest: int) -> tuple[Tensor, Told, Tensor] | None:
        """The last ``length`` frames of rows no older than ``oldest``: own latents, what was told, the truth."""
        parts = []
        for row, age in enumerate(self._ages):
            if length <= age <= oldest:
                at = slice(age - length, age)
                told, clean = self._lives[row]
                moved = None if told.moved is None else self._moved[row : row + 1, at]
                tags = None if told.tags is None else told.tags[:, at]
                parts.append((self._own[row : row + 1, at], Told(told.motion[:, at], tags, moved), clean[:, at]))
        if not parts:
            return None
        own, told, clean = zip(*parts)
        return torch.cat(own), join(list(told)), torch.cat(clean)

    def errors(self, length: int) -> tuple[Tensor, Tensor] | None:
        """How the last ``length`` frames of the rows that have as many of their own differ from the truth.

        Returns:
            ``(E, T, V, N, C)`` latents less the true ones, and the same of the moved frames before; zero where either
            is unknown.
        """
        parts = []
        for row, age in enumerate(self._ages):
            if age >= self.true_frames + length:
                at = slice(age - length, age)
                told, clean = self._lives[row]
                moved = (
                    torch.zeros_like(clean[0, at]) if told.moved is None else self._moved[row, at] - told.moved[0, at]
                )
                parts.append((self._own[row, at] - clean[0, at], torch.nan_to_num(moved)))
        if not parts:
            return None
        error, moved = zip(*parts)
        return torch.stack(error), torch.stack(moved)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and numbers."""
        if not self._lives:
            return {}
        ring = (self._ring.keys, self._ring.values, self._ring.slot, self._ring.count_B)
        own = (self._own, self._moved)
        return {"ring": ring, "own": own, "ages": self._ages, "numbers": self._numbers, "born": self._born}

    def restore(self, state: dict[str, Any], network: Dynamics) -> None:
        """Go on from ``state``."""
        if not state:
            return
        self._begin(network)
        self._numbers, self._ages, self._born = list(state["numbers"]), list(state["ages"]), state["born"]
        self._lives = [self.life(k) for k in self._numbers]
        for mine, its in zip((self._own, self._moved), state["own"]):
            mine.copy_(its)
        keys, values, self._ring.slot, count = state["ring"]
        for mine, its in zip(self._ring.keys + self._ring.values, [*keys, *values]):
            mine.copy_(its)
        self._ring.count_B = count.to(self._ring.count_B.device)

    def _begin(self, network: Dynamics) -> None:
        """Rows at different ages, so that they do not all end together."""
        first = self.life(0)[1]
        self._own = first.new_zeros(self.rows, *first.shape[1:])
        self._moved = torch.full_like(self._own, torch.nan)
        self._ring = network.transformer.new_ring(self.rows, network.frame_tokens(), like=self._own)
        self._ages, self._lives = [0] * self.rows, [self.life(0)] * self.rows
        for row in range(self.rows):
            self._follow_another(row)

    def _follow_another(self, row: int) -> None:
        self._lives[row], self._numbers[row] = self.life(self._born), self._born
        self._born += 1
        self._ages[row] = 0
        self._ring.forget(row)

    def _now(self) -> tuple[Told, Tensor]:
        """What each row's current frame is told, and the frame before it (any, for a row without one)."""
        told = [Told(life.motion, life.tags).frame(t) for (life, _), t in zip(self._lives, self._ages)]
        before = torch.stack([self._own[row, max(0, t - 1)] for row, t in enumerate(self._ages)])
        return join(told), before


def lay_on(
    clean_BTVNC: Tensor, told: Told, errors: tuple[Tensor, Tensor], share: float, generator: torch.Generator
) -> tuple[Tensor, Told]:
    """True clips as they would look with the errors of an own drive: the past ``(B, T, V, N, C)`` and what is told.

    Args:
        clean_BTVNC: true latents.
        told: with them; the moved frames get their share of the errors.
        errors: of ``OwnDrives.errors``; each clip takes one of them at random, at a strength of its own.
        share: of the clips; the others stay as they are.
        generator: a CPU generator.
    """
    batch, device = len(clean_BTVNC), clean_BTVNC.device
    choice = torch.randint(len(errors[0]), (batch,), generator=generator).to(device)
    strength = _ERROR_RMS * torch.rand(batch, generator=generator).to(device)
    strength = strength * (torch.rand(batch, generator=generator) < share).to(device)
    error, moved_error = (x[choice].to(clean_BTVNC.dtype) for x in errors)
    rms = error.square().flatten(1).mean(dim=1).sqrt().clamp(min=1e-6)
    gain = (strength / rms).clamp(max=_ERROR_GAIN)[:, None, None, None, None]
    moved = None if told.moved is None else told.moved + gain * moved_error
    return clean_BTVNC + gain * error, dataclasses.replace(told, moved=moved)


def _between(low: float, generator: torch.Generator) -> float:
    return low + (1 - low) * float(torch.rand((), generator=generator))
