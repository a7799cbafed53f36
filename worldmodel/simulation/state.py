"""A running learned world put by: what ``Session.snapshot`` gives and ``restore`` takes.

Legend: B rows, V views, N tokens, C channels, H W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.nn.ring import Ring
from worldmodel.simulation.roads import Roads


@dataclasses.dataclass(frozen=True)
class SessionState:
    """A snapshot; shares no memory with the running world.

    ``before`` ``(B, K, V, N, C)`` are the K frames before the newest, the oldest first, and ``led`` ``(B, K, F)`` the
    motion channels that led on from each; K is ``STEPS_AGO``. ``memory`` ``(B, V, 4, H, W)`` is what those frames have
    left to be seen (``model.move_ahead``); ``roads`` is where the road lies about the newest.
    """

    ring: Ring
    latents: Tensor
    before: Tensor
    led: Tensor
    memory: Tensor
    roads: Roads
    seeds: tuple[int, ...]
    steps: tuple[int, ...]
    tags: NDArray[np.int64]
    height_m: NDArray[np.float64]

    def of_rows(self, rows: Sequence[int]) -> SessionState:
        """A snapshot of these rows, each as often as it is named: for trying several ways from one moment."""
        at = list(rows)
        seeds, steps = tuple(self.seeds[i] for i in at), tuple(self.steps[i] for i in at)
        kept = (self.latents[at], self.before[at], self.led[at], self.memory[at], self.roads.of_rows(at))
        return SessionState(self.ring.rows(at), *kept, seeds, steps, self.tags[at], self.height_m[at])

    @classmethod
    def joined(cls, states: Sequence[SessionState]) -> SessionState:
        """Rows of several snapshots of one model, one after the other: ``restore`` makes a batch of them.

        Alone, a snapshot comes back as it is, to the bit.
        """
        return cls(
            Ring.joined([state.ring for state in states]),
            torch.cat([state.latents for state in states]),
            torch.cat([state.before for state in states]),
            torch.cat([state.led for state in states]),
            torch.cat([state.memory for state in states]),
            Roads.joined([state.roads for state in states]),
            tuple(seed for state in states for seed in state.seeds),
            tuple(step for state in states for step in state.steps),
            np.concatenate([state.tags for state in states]),
            np.concatenate([state.height_m for state in states]),
        )
