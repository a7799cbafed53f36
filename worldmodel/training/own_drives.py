"""Drives the network makes on its own while it is trained, and is trained on: a rollout is then nothing new to it.

A few rows follow true drives. Each begins with true frames, or with none at all as a drive that is asked for in words
(beginners), then every frame is drawn by the network from its own past, exactly as a rollout draws it, while the
motion it is told is the recorded one. After L frames a row follows another drive. The rows go on from one training step
to the next, a few frames each time, which makes long chains cheap (compare Self Forcing, arXiv 2506.08009, and the
replay buffer of DAgger, arXiv 1011.0686).

What is learned from them is the matter of ``distilling``: what the truth shows at the same moment only while they are
near it (``distil.truth``), for they soon show another place, and compared with it would teach the mean of all places
(docs/ablations.md).
Legend: R rows, L frames of a life, T frames of a clip, V views, N tokens, C channels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, shown
from worldmodel.model import Past, decoded, move_ahead, no_memory
from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.ring import Ring
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.tokenizer.tokenizer import Tokenizer

#: The k-th life: what its frames are told ``(1, L)`` and their true normalised latents ``(1, L, V, N, C)``.
Life = Callable[[int], tuple[Told, Tensor]]
#: Draws a frame as ``draw_frame`` does.
Draw = Callable[[Dynamics, Tensor, Told, Ring, SamplerConfig], Tensor]


@dataclasses.dataclass(frozen=True)
class Brief:
    """Rows that soon begin anew: beginners because first frames are few, followers because the truth is near.

    Attributes:
        rows: how many of all rows.
        life: own frames after which the last of them begins anew; the k-th of n after k of n parts of it.
    """

    rows: int = 0
    life: int = 24

    def ends(self, first: int, shown: int) -> dict[int, int]:
        """The age at which each of the rows from ``first`` on begins anew, of lives that begin with ``shown``."""
        return {first + k: shown + self.life * (k + 1) // self.rows for k in range(self.rows)}


class OwnDrives:
    """Rows that drive on, and the clips they leave.

    Args:
        life: the k-th drive to follow.
        rows: R.
        true_frames: a row begins with.
        staggered: whether the rows' first lives end one after the other, so that there are rows of every age.
        followers: rows with true frames; the last of those.
        beginners: the last of the rows, which begin with no true frame, told motion and tags alone.
    """

    def __init__(
        self,
        life: Life,
        rows: int,
        *,
        true_frames: int,
        staggered: bool = False,
        followers: Brief = Brief(),
        beginners: Brief = Brief(),
    ) -> None:
        self.life, self.rows, self.true_frames, self.staggered = life, rows, true_frames, staggered
        old = rows - beginners.rows
        #: Of each row: true frames that a life begins with, and the length of a brief life.
        self._shown = [true_frames] * old + [0] * beginners.rows
        self._lives = followers.ends(old - followers.rows, true_frames) | beginners.ends(old, 0)
        self._born = 0
        self._ages: list[int] = []
        self._ends: list[int] = []
        #: The newest frames and those before, the oldest first, as far as they have been decoded.
        self._pictures: list[Tensor] = []

    @torch.no_grad()
    def advance(
        self,
        network: Dynamics,
        tokenizer: Tokenizer,
        generator: torch.Generator,
        *,
        frames: int,
        sampler: SamplerConfig,
        draw: Draw = draw_frame,
    ) -> None:
        """Let every row go on for so many frames, drawn as ``sampler`` has it, past and moved as noisy or less."""
        if not self._ages:
            self._begin(network, tokenizer)
        rows = torch.arange(self.rows, device=self._own.device)
        shown_frames = hand_over(torch.tensor(self._shown), self._own.device)
        for row, length in self._lives.items():  # beforehand, so that all their frames are of a step
            if self._ages[row] + frames > length:
                self._follow_another(row)
        for _ in range(frames):
            for row in range(self.rows):
                if self._ages[row] == self._ends[row]:
                    self._follow_another(row)
            age = hand_over(torch.tensor(self._ages), self._own.device)
            told, before = self._told.rows((rows[:, None], age[:, None])), self._own[rows, (age - 1).clamp(min=0)]
            if network.config.moved:
                to_draw, motion = age >= shown_frames, told.motion[:, 0]
                moved = self._move(network, tokenizer, age, motion, to_draw, sampler.righted)
                moved = torch.where((age == 0)[:, None, None, None], torch.nan, moved)
                tau = _between(sampler.moved_tau, generator)
                told = shown(told, moved, noise_like(moved, generator), tau)
                self._moved[rows, age] = moved.to(self._moved.dtype)
            else:
                told = dataclasses.replace(told, moved=None)
            noise = [noise_like(before, generator) for _ in range(2)]
            drawn = draw(network, noise[0], told, self._ring, sampler).float()
            young = (age < shown_frames)[:, None, None, None]
            newest = torch.where(young, self._clean[rows, age], drawn)
            self._own[rows, age] = newest
            commit_frame(network, newest, noise[1], told, self._ring, _between(sampler.past_tau, generator))
            self._ages = [t + 1 for t in self._ages]

    def _move(
        self, network: Dynamics, tokenizer: Tokenizer, age: Tensor, motion_RF: Tensor, to_draw_R: Tensor, righted: float
    ) -> Tensor:
        """The newest frame of every row, as the motion leaves it, and put right where the next is to be drawn."""
        rows = torch.arange(self.rows, device=age.device)

        def own(frames_ago: int) -> Tensor:
            return self._own[rows, (age - frames_ago).clamp(min=0)]

        self._pictures = [*self._pictures, decoded(tokenizer, network, own(1))][-STEPS_AGO - 1 :]
        whole = len(self._pictures) > STEPS_AGO
        earlier = self._pictures[0] if whole else decoded(tokenizer, network, own(STEPS_AGO + 1))
        steps = torch.arange(STEPS_AGO, device=age.device)
        led_RKF = self._told.motion[rows[:, None], (age[:, None] - STEPS_AGO + steps).clamp(min=0)]
        # Of a row that has too few frames, what lies there is of its life before.
        past = Past(earlier, torch.where((age > STEPS_AGO)[:, None, None], led_RKF, torch.nan))
        args = (tokenizer, network, own(1), motion_RF, past, self._memory)
        road = None
        if self._told.map is not None:
            about = self._told.map[rows, (age - 1).clamp(min=0)]
            road = torch.where(to_draw_R[:, None, None, None], about, torch.nan)
        moved, memory = move_ahead(*args, frames_BVCHW=self._pictures[-1], road_BEK2=road, righted=righted)
        # Before a first frame there was nothing, whatever the motion that led to it.
        self._memory = torch.where((age == 0)[:, None, None, None, None], torch.nan, memory)
        return moved

    def recent(self, length: int, *, drawn: int) -> tuple[list[int], Tensor, Told] | None:
        """The last ``length`` frames of the rows whose last ``drawn`` are their own.

        Returns:
            which rows, latents ``(rows, T, V, N, C)``, and what was told. What led to the first frame of each is not
            known, as of a true clip.
        """
        return self._clips_of(length, [age >= max(length, n + drawn) for age, n in zip(self._ages, self._shown)])

    def newborn(self, length: int) -> tuple[list[int], Tensor, Told] | None:
        """The same of the rows that are so many frames old, all of them their own."""
        return self._clips_of(length, [age == length and not n for age, n in zip(self._ages, self._shown)])

    def truth(self, rows: list[int], frames: int) -> tuple[Tensor, Tensor]:
        """What the drives that rows follow show at their last ``frames`` moments, and how far away they are from it.

        Returns:
            latents ``(rows, T, V, N, C)``, and frames ``(rows, T)`` since the last true one, infinite of beginners.
        """
        at = torch.tensor([self._ages[row] for row in rows])[:, None] - frames + torch.arange(frames)
        shown = torch.tensor([self._shown[row] or -torch.inf for row in rows])[:, None]
        of = torch.tensor(rows)[:, None].expand_as(at).contiguous()
        index = hand_over(of, self._own.device), hand_over(at, self._own.device)
        return self._clean[index], hand_over(at + 1 - shown, self._own.device)

    def _clips_of(self, length: int, chosen: list[bool]) -> tuple[list[int], Tensor, Told] | None:
        rows = [row for row, wanted in enumerate(chosen) if wanted]
        if not rows:
            return None
        at = torch.tensor([self._ages[row] for row in rows])[:, None] - length + torch.arange(length)
        of = torch.tensor(rows)[:, None].expand_as(at).contiguous()
        index = hand_over(of, self._own.device), hand_over(at, self._own.device)
        told, moved = self._told.rows(index), None
        told.motion[:, 0] = torch.nan
        if self._told.moved is not None:
            moved = self._moved[index]
            moved[:, 0] = torch.nan
        return rows, self._own[index], dataclasses.replace(told, moved=moved)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on, as tensors and numbers."""
        if not self._ages:
            return {}
        ring = (self._ring.keys, self._ring.values, self._ring.slot, self._ring.count_B)
        numbers = {"ages": self._ages, "ends": self._ends, "born": self._born}
        told = [getattr(self._told, field.name) for field in dataclasses.fields(Told)]
        own = (self._own, self._moved, self._memory)
        return {"ring": ring, "own": own, "told": told, "clean": self._clean, **numbers}

    def restore(self, state: dict[str, Any], network: Dynamics, tokenizer: Tokenizer) -> None:
        """Go on from ``state``."""
        if not state:
            return
        self._begin(network, tokenizer)
        self._ages, self._ends, self._born = list(state["ages"]), list(state["ends"]), state["born"]
        # The drives they follow are kept too: of a run whose data still arrives, the k-th is another each time.
        self._told = Told(*(None if x is None else x.to(self._own.device) for x in state["told"]))  # pyright: ignore
        for mine, its in zip((self._own, self._moved, self._memory, self._clean), (*state["own"], state["clean"])):
            mine.copy_(its)
        keys, values, slot, count = state["ring"]
        self._ring.slot = torch.as_tensor(slot, device=self._ring.slot.device)
        for mine, its in zip(self._ring.keys + self._ring.values, [*keys, *values]):
            mine.copy_(its)
        self._ring.count_B = count.to(self._ring.count_B.device)
        self._pictures = []

    def _begin(self, network: Dynamics, tokenizer: Tokenizer) -> None:
        told, first = self.life(0)
        length = first.shape[1]

        def room(x: Tensor | None) -> Tensor | None:
            return None if x is None else x.repeat(self.rows, *[1] * (x.ndim - 1))

        self._clean = first.repeat(self.rows, 1, 1, 1, 1)
        parts = room(told.tags), room(told.moved), None, room(told.road), room(told.map)
        self._told = Told(told.motion.repeat(self.rows, 1, 1), *parts)
        self._own = torch.zeros_like(self._clean)
        self._moved = torch.full_like(self._own, torch.nan)
        self._memory = no_memory(network, tokenizer, self.rows, like=self._own)
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
        # A follower's few frames are of anywhere in the drive: the fractional parts of a golden ratio lie evenly.
        is_brief = self._shown[row] and row in self._lives
        spare = clean.shape[1] - self._lives[row] if is_brief else 0
        first = int(spare * (number * 0.6180339887 % 1))
        self._clean[row] = clean[0].roll(-first, 0)
        for part in ("motion", "tags", "moved", "road", "map"):
            mine, its = getattr(self._told, part), getattr(told, part)
            if mine is not None and its is not None:
                mine[row] = its[0].roll(-first, 0)
        if first:
            self._told.motion[row, 0] = torch.nan  # that led to its first frame is not known, as of any drive


def _between(low: float, generator: torch.Generator) -> float:
    return low + (1 - low) * float(torch.rand((), generator=generator))
