"""The cache of a running world: the keys and values of the last W frames, in constant memory.

Keys are kept after QK-norm and *before* rotation; they are rotated by their age when read, so a wrapped ring is the
same thing as a fresh one. All rows share the write position, but each row has its own count of frames, so that a row
can begin anew beside others that are thousands of frames old.

Legend: B rows, N tokens, G key-value heads, W slots, K head width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from worldmodel.nn.shapes import Bool, Float, Int


@dataclasses.dataclass
class Ring:
    """Keys and values of every temporal layer, and how far each row is.

    Attributes:
        keys, values: one ``(B, N, G, W, K)`` tensor per temporal layer.
        slot: where the current frame is written, a number on the device, so that compiled code is the same for all.
        count_B: finished frames each row has in the ring, saturating at W - 1.
    """

    keys: list[Float[Tensor, "b n g w k"]]
    values: list[Float[Tensor, "b n g w k"]]
    slot: Int[Tensor, ""]
    count_B: Int[Tensor, " b"]

    @classmethod
    def empty(
        cls, layers: int, batch: int, tokens: int, kv_heads: int, window: int, head_width: int, *, like: Tensor
    ) -> Ring:
        """A ring in which no row has seen a frame; device and dtype are those of ``like``."""
        shape = (batch, tokens, kv_heads, window, head_width)
        return cls(
            keys=[like.new_zeros(shape) for _ in range(layers)],
            values=[like.new_zeros(shape) for _ in range(layers)],
            slot=torch.zeros((), dtype=torch.int64, device=like.device),
            count_B=torch.zeros(batch, dtype=torch.int64, device=like.device),
        )

    @property
    def window(self) -> int:
        """W, the frames a frame sees, itself included."""
        return self.keys[0].shape[-2]

    def write(self, layer: int, k_BNGK: Tensor, v_BNGK: Tensor) -> None:
        """Put the current frame's keys and values in its slot; a later pass over the same frame overwrites them."""
        for side, x_BNGK in ((self.keys[layer], k_BNGK), (self.values[layer], v_BNGK)):
            side.index_copy_(3, self.slot[None], x_BNGK[:, :, :, None].to(side.dtype))

    def age_W(self) -> Int[Tensor, " w"]:
        """How many frames before the current one each slot was written."""
        return (self.slot - torch.arange(self.window, device=self.count_B.device)) % self.window

    def visible_BW(self) -> Bool[Tensor, "b w"]:
        """Slots each row may look at: its own finished frames and the current one."""
        return self.age_W()[None] <= self.count_B[:, None]

    def advance(self) -> None:
        """The current frame is finished: the next one goes to the next slot."""
        self.slot = (self.slot + 1) % self.window
        self.count_B = (self.count_B + 1).clamp(max=self.window - 1)

    def forget(self, row: int) -> None:
        """One row has seen nothing any more."""
        self.count_B = self.count_B.clone()
        self.count_B[row] = 0

    def times(self, copies: int) -> Ring:
        """An independent ring of every row so many times: all of them, then all of them again."""
        keys, values = ([torch.cat([x] * copies) for x in side] for side in (self.keys, self.values))
        return Ring(keys, values, self.slot, self.count_B.repeat(copies))

    def rows(self, rows: Sequence[int]) -> Ring:
        """An independent ring of these rows, each as often as it is named."""
        at = list(rows)
        return Ring([k[at] for k in self.keys], [v[at] for v in self.values], self.slot, self.count_B[at])

    def put_row(self, row: int, other: Ring) -> None:
        """Make one row what the only row of ``other`` is, turned so that its newest frame has the age it has there."""
        shift = int(self.slot - other.slot)
        for mine, its in zip(self.keys + self.values, other.keys + other.values):
            mine[row] = torch.roll(its[0], shift, dims=2)
        self.count_B = self.count_B.clone()
        self.count_B[row] = other.count_B[0]

    @classmethod
    def joined(cls, rings: Sequence[Ring]) -> Ring:
        """Rows of several rings of one network, one after the other, at the slot of the first."""
        slot = rings[0].slot

        def together(sides: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
            return [
                torch.cat([torch.roll(x, int(slot - ring.slot), dims=3) for x, ring in zip(side, rings)])
                for side in sides
            ]

        return cls(
            together(zip(*(ring.keys for ring in rings))),
            together(zip(*(ring.values for ring in rings))),
            slot,
            torch.cat([ring.count_B for ring in rings]),
        )

    def clone(self) -> Ring:
        """An independent copy, sharing no memory."""
        return Ring([k.clone() for k in self.keys], [v.clone() for v in self.values], self.slot, self.count_B.clone())
