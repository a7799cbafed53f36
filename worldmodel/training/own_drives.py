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

from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.objective import ObjectiveConfig
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, shown
from worldmodel.model import move_ahead
from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.ring import Ring
from worldmodel.tokenizer.tokenizer import Tokenizer

#: Errors are enlarged so many times at most when they are laid on.
_ERROR_GAIN = 3.0

#: The k-th life: what its frames are told ``(1, L)`` and their true normalised latents ``(1, L, V, N, C)``.
Life = Callable[[int], tuple[Told, Tensor]]
#: Draws a frame as ``draw_frame`` does.
Draw = Callable[[Dynamics, Tensor, Told, Ring, SamplerConfig], Tensor]


class OwnDrives:
    """Rows that drive on, and the clips they leave.

    Args:
        life: the k-th drive to follow.
        rows: R.
        true_frames: a row begins with.
        staggered: whether the rows' first lives end one after the other, so that there are rows of every age.
    """

    def __init__(self, life: Life, rows: int, *, true_frames: int, staggered: bool = False) -> None:
        self.life, self.rows, self.true_frames, self.staggered = life, rows, true_frames, staggered
        self._born = 0
        self._ages: list[int] = []
        self._ends: list[int] = []

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
        draw: Draw = draw_frame,
    ) -> None:
        """Let every row go on for so many frames, drawn as ``sampler`` has it but for the levels of noise."""
        if not self._ages:
            self._begin(network)
        rows = torch.arange(self.rows, device=self._own.device)
        for _ in range(frames):
            for row in range(self.rows):
                if self._ages[row] == self._ends[row]:
                    self._follow_another(row)
            age = hand_over(torch.tensor(self._ages), self._own.device)
            told, before = self._told.rows((rows[:, None], age[:, None])), self._own[rows, (age - 1).clamp(min=0)]
            if network.config.moved:
                moved = move_ahead(tokenizer, network, before, told.motion[:, 0])
                moved = torch.where((age == 0)[:, None, None, None], torch.nan, moved)
                tau = _between(config.moved_tau_min, generator)
                told = shown(told, moved, noise_like(moved, generator), tau)
                self._moved[rows, age] = moved.to(self._moved.dtype)
            else:
                told = dataclasses.replace(told, moved=None)
            noise = [noise_like(before, generator) for _ in range(2)]
            drawn = draw(network, noise[0], told, self._ring, sampler).float()
            young = (age < self.true_frames)[:, None, None, None]
            newest = torch.where(young, self._clean[rows, age], drawn)
            self._own[rows, age] = newest
            commit_frame(network, newest, noise[1], told, self._ring, _between(config.past_tau_min, generator))
            self._ages = [t + 1 for t in self._ages]

    def clips(self, length: int, *, oldest: int) -> tuple[Tensor, Told, Tensor] | None:
        """The last ``length`` frames of rows no older than ``oldest``: own latents, what was told, the truth."""
        index = self._last(length, [length <= age <= oldest for age in self._ages])
        if index is None:
            return None
        told = self._told.rows(index)
        moved = None if told.moved is None else self._moved[index]
        return self._own[index], Told(told.motion, told.tags, moved), self._clean[index]

    def recent(self, length: int, *, drawn: int) -> tuple[list[int], Tensor, Told] | None:
        """The last ``length`` frames of the rows whose last ``drawn`` are their own.

        Returns:
            which rows, latents ``(rows, T, V, N, C)``, and what was told. What led to the first frame of each is not
            known, as of a true clip.
        """
        chosen = [age >= max(length, self.true_frames + drawn) for age in self._ages]
        index = self._last(length, chosen)
        if index is None:
            return None
        told, moved = self._told.rows(index), None
        told.motion[:, 0] = torch.nan
        if self._told.moved is not None:
            moved = self._moved[index]
            moved[:, 0] = torch.nan
        rows = [row for row, wanted in enumerate(chosen) if wanted]
        return rows, self._own[index], Told(told.motion, told.tags, moved)

    def errors(self, length: int) -> tuple[Tensor, Tensor] | None:
        """How the last ``length`` frames of the rows that have as many of their own differ from the truth.

        Returns:
            ``(E, T, V, N, C)`` latents less the true ones, and the same of the moved frames before; zero where either
            is unknown.
        """
        index = self._last(length, [age >= self.true_frames + length for age in self._ages])
        if index is None:
            return None
        own, clean, truly_moved = self._own[index], self._clean[index], self._told.rows(index).moved
        moved = torch.zeros_like(clean) if truly_moved is None else self._moved[index] - truly_moved
        return own - clean, torch.nan_to_num(moved)

    def _last(self, length: int, chosen: list[bool]) -> tuple[Tensor, Tensor] | None:
        """Rows and moments ``(rows, T)`` of the last frames of the chosen rows; ``None`` for no rows."""
        rows = [row for row, wanted in enumerate(chosen) if wanted]
        if not rows:
            return None
        ends = torch.tensor([self._ages[row] for row in rows])
        at = ends[:, None] - length + torch.arange(length)
        return (
            hand_over(torch.tensor(rows)[:, None].expand_as(at).contiguous(), self._own.device),
            hand_over(at, self._own.device),
        )

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and numbers."""
        if not self._ages:
            return {}
        ring = (self._ring.keys, self._ring.values, self._ring.slot, self._ring.count_B)
        numbers = {"ages": self._ages, "ends": self._ends, "born": self._born}
        told = (self._told.motion, self._told.tags, self._told.moved)
        return {"ring": ring, "own": (self._own, self._moved), "told": told, "clean": self._clean, **numbers}

    def restore(self, state: dict[str, Any], network: Dynamics) -> None:
        """Go on from ``state``."""
        if not state:
            return
        self._begin(network)
        self._ages, self._ends, self._born = list(state["ages"]), list(state["ends"]), state["born"]
        # The drives they follow are kept too: of a run whose data still arrives, the k-th is another each time.
        self._told = Told(*(None if x is None else x.to(self._own.device) for x in state["told"]))  # pyright: ignore
        for mine, its in zip((self._own, self._moved, self._clean), (*state["own"], state["clean"])):
            mine.copy_(its)
        keys, values, slot, count = state["ring"]
        self._ring.slot = torch.as_tensor(slot, device=self._ring.slot.device)
        for mine, its in zip(self._ring.keys + self._ring.values, [*keys, *values]):
            mine.copy_(its)
        self._ring.count_B = count.to(self._ring.count_B.device)

    def _begin(self, network: Dynamics) -> None:
        told, first = self.life(0)
        length = first.shape[1]

        def room(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.repeat(self.rows, *[1] * (x.ndim - 1))

        self._clean = first.repeat(self.rows, 1, 1, 1, 1)
        self._told = Told(told.motion.repeat(self.rows, 1, 1), room(told.tags), room(told.moved))
        self._own = torch.zeros_like(self._clean)
        self._moved = torch.full_like(self._own, torch.nan)
        self._ring = network.transformer.new_ring(self.rows, network.frame_tokens(), like=self._own)
        self._ages, self._ends = [0] * self.rows, [length] * self.rows
        if self.staggered:
            self._ends = [max(1, round(length * (row + 1) / self.rows)) for row in range(self.rows)]
        for row in range(self.rows):
            self._follow(row, self._next())

    def _next(self) -> int:
        self._born += 1
        return self._born - 1

    def _follow_another(self, row: int) -> None:
        self._follow(row, self._next())
        self._ages[row], self._ends[row] = 0, self._own.shape[1]
        self._ring.forget(row)

    def _follow(self, row: int, number: int) -> None:
        told, clean = self.life(number)
        self._clean[row] = clean[0]
        for mine, its in zip(
            (self._told.motion, self._told.tags, self._told.moved), (told.motion, told.tags, told.moved)
        ):
            if mine is not None and its is not None:
                mine[row] = its[0]


def lay_on(
    clean_BTVNC: Tensor,
    told: Told,
    errors: tuple[Tensor, Tensor],
    share: float,
    generator: torch.Generator,
    *,
    most_rms: float = 1.0,
) -> tuple[Tensor, Told]:
    """True clips as they would look with the errors of an own drive: the past ``(B, T, V, N, C)`` and what is told.

    Args:
        clean_BTVNC: true latents.
        told: with them; the moved frames get their share of the errors.
        errors: of ``OwnDrives.errors``; each clip takes one of them at random, at a strength of its own.
        share: of the clips; the others stay as they are.
        generator: a CPU generator.
        most_rms: strengths are from 0 to this, as a root mean square in normalised latents.
    """
    batch, device = len(clean_BTVNC), clean_BTVNC.device
    choice = hand_over(torch.randint(len(errors[0]), (batch,), generator=generator), device)
    strength = most_rms * torch.rand(batch, generator=generator)
    strength = hand_over(strength * (torch.rand(batch, generator=generator) < share), device)
    error, moved_error = (x[choice].to(clean_BTVNC.dtype) for x in errors)
    rms = error.square().flatten(1).mean(dim=1).sqrt().clamp(min=1e-6)
    gain = (strength / rms).clamp(max=_ERROR_GAIN)[:, None, None, None, None]
    moved = None if told.moved is None else told.moved + gain * moved_error
    return clean_BTVNC + gain * error, dataclasses.replace(told, moved=moved)


def _between(low: float, generator: torch.Generator) -> float:
    return low + (1 - low) * float(torch.rand((), generator=generator))
