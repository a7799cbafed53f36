"""A run's stretches while they are still being made: told apart into trained on and held out as they arrive.

Legend: see ``resident``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from worldmodel.datasets.windows import MemoryEpisode, split
from worldmodel.training.resident import Store


class Live:
    """Stretches so far, and stores that take them as they come.

    Args:
        arriving: stretches that have come since it was last asked.
        held_out: share of drives, by their id, that are not trained on.
        capacity: frames that will arrive in all.
        at_least: frames to wait for before anything is drawn.
        device: that the stores lie on.
    """

    def __init__(
        self,
        arriving: Callable[[], Sequence[MemoryEpisode]],
        *,
        held_out: float,
        capacity: int,
        at_least: int,
        device: str,
    ) -> None:
        self._arriving, self._share, self._capacity, self._at_least = arriving, held_out, capacity, at_least
        self._device = device
        self.train: list[MemoryEpisode] = []
        self.held_out: list[MemoryEpisode] = []
        self._frames: Store | None = None

    def look(self) -> None:
        """Take what has arrived."""
        for stretch in self._arriving():
            _, out = split([stretch], held_out=self._share)
            (self.held_out if out else self.train).append(stretch)

    def store(self, kept: Callable[[MemoryEpisode], torch.Tensor]) -> Store:
        """A store of what is kept of every stretch that is trained on, from the first."""
        seen = 0

        def new() -> list[MemoryEpisode]:
            nonlocal seen
            self.look()
            some, seen = self.train[seen:], len(self.train)
            return some

        return Store(new, kept, capacity=self._capacity, at_least=self._at_least)

    def frames(self) -> Store:
        """The store of frames as they are; one for all that ask."""
        if self._frames is None:
            self._frames = self.store(lambda s: torch.from_numpy(s.frames.copy()).to(self._device))
        return self._frames

    def forget_frames(self) -> None:
        """Nobody needs frames on the device any more."""
        self._frames = None
