"""Windows of stretches that lie in the accelerator's memory, and of which more may still be arriving.

A GPU trains faster than a loader copies, and the reference world can be rendered while it is trained on: a ``Store``
takes stretches as they come and keeps what is wanted of their frames on the device; ``ResidentWindows`` draws from it
as ``ClipWindows`` does from stretches in memory. While stretches arrive, batch k depends on which have: such a run is
not the same to the bit when it is run again.
Legend: B windows, T frames of a window, F frames in all.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldmodel.datasets.windows import Batch, MemoryEpisode
from worldmodel.nn.noise import hand_over

#: New stretches are looked for once in so many batches.
_LOOK_EVERY = 20


class Store:
    """What is kept of the frames of every stretch, one after the other on one device.

    Args:
        arriving: stretches that have come since it was last asked.
        kept: what is kept of a stretch's frames, ``(T, ...)`` on the device.
        capacity: F, frames there is room for; what comes later is left out.
        at_least: frames to wait for before anything is drawn.
    """

    def __init__(
        self,
        arriving: Callable[[], Sequence[MemoryEpisode]],
        kept: Callable[[MemoryEpisode], Tensor],
        *,
        capacity: int,
        at_least: int = 1,
    ) -> None:
        self._arriving, self._kept, self.capacity, self._at_least = arriving, kept, capacity, at_least
        self.stretches: list[MemoryEpisode] = []
        self.first: list[int] = []
        self.frames = 0
        self._payload: Tensor | None = None

    def sync(self, *, wait: bool = False) -> None:
        """Take what has arrived; ``wait`` for the least there must be."""
        while True:
            for stretch in self._arriving():
                self._add(stretch)
            if not wait or self.frames >= self._at_least:
                return
            time.sleep(0.2)

    def _add(self, stretch: MemoryEpisode) -> None:
        if self.frames + stretch.length > self.capacity:
            return
        kept = self._kept(stretch)
        if self._payload is None:
            self._payload = kept.new_empty(self.capacity, *kept.shape[1:])
        self._payload[self.frames : self.frames + stretch.length] = kept
        # The frames themselves are not needed any more, only how many there are.
        bare = np.broadcast_to(np.zeros((), np.uint8), stretch.frames.shape)
        self.stretches.append(dataclasses.replace(stretch, frames=bare))
        self.first.append(self.frames)
        self.frames += stretch.length

    def take(self, index: Tensor) -> Tensor:
        """What is kept of the frames of an index of any shape."""
        assert self._payload is not None
        return self._payload[index]

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        assert self._payload is not None
        return self._payload.device

    def sample(self, every: int) -> Tensor:
        """Every so many-th of the frames there are."""
        assert self._payload is not None
        return self._payload[: self.frames : every]


class ResidentWindows:
    """Batches of windows of a ``Store``, as ``ClipWindows`` gives them; ``Batch.frames`` are a tensor on the device."""

    def __init__(self, store: Store, *, length: int, batch_size: int, seed: int) -> None:
        self.store, self.length, self.batch_size, self.seed = store, length, batch_size, seed
        self._known = 0
        self._cumulative = np.zeros(1, np.int64)
        self._tables: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    @property
    def stretches(self) -> list[MemoryEpisode]:
        """Those there are."""
        return self.store.stretches

    def draw(self, k: int) -> list[tuple[int, int]]:
        """The (stretch, first frame) of each of the B windows of batch k, of what has arrived."""
        if k % _LOOK_EVERY == 0 or not self._known:
            self.store.sync(wait=not self._known)
        for stretch in self.stretches[self._known :]:
            windows = max(0, stretch.length - self.length + 1)
            self._cumulative = np.append(self._cumulative, self._cumulative[-1] + windows)
            motion = np.stack([stretch.motion.speed_mps, stretch.motion.yaw_rate_radps], axis=-1).astype(np.float32)
            self._tables.append((motion, np.append(np.diff(stretch.t_s), np.nan).astype(np.float32)))
        self._known = len(self.stretches)
        random = np.random.default_rng((self.seed, k))
        windows = random.integers(self._cumulative[-1], size=self.batch_size)
        at = np.searchsorted(self._cumulative, windows, "right") - 1
        return [(int(i), int(w)) for i, w in zip(at, windows - self._cumulative[at])]

    def batch(self, k: int) -> Batch:
        """Batch k."""
        return self.gather(self.draw(k))

    def gather(self, places: Sequence[tuple[int, int]]) -> Batch:
        """The windows at the given (stretch, first frame)."""
        cuts = [slice(first, first + self.length) for _, first in places]
        tables = [self._tables[stretch] for stretch, _ in places]
        stretches = [self.stretches[stretch] for stretch, _ in places]
        start = torch.tensor([self.store.first[stretch] + first for stretch, first in places])
        index = hand_over(start[:, None] + torch.arange(self.length), self.store.device)
        masks = [s.info.valid_mask for s in stretches]
        whole = all(mask.all() for mask in masks)
        shape = (len(masks), *masks[0].shape)
        return Batch(
            self.store.take(index),  # pyright: ignore[reportArgumentType]
            np.stack([motion[cut] for (motion, _), cut in zip(tables, cuts)]),
            np.stack([dt_s[cut] for (_, dt_s), cut in zip(tables, cuts)]),
            np.stack([s.tags.codes[cut] for s, cut in zip(stretches, cuts)]),
            # A mask that hides nothing need not be sent.
            torch.ones((), dtype=torch.bool, device=self.store.device).expand(shape) if whole else np.stack(masks),  # pyright: ignore
            np.array([s.info.camera.height_m for s in stretches], dtype=np.float32),
        )
