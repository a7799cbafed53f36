"""A frame in the transformer is a list of named groups of tokens: camera views, motion, tags, prompt, registers.

Each group has its own learned embedding for each of its tokens. An absent group is simply not in the list, so it costs
nothing; text or further cameras come later as further groups, without a new model.
Legend: B batch, T frames, n tokens of one group, N of all groups, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from worldmodel.nn.shapes import Float


class TokenGroups(nn.Module):
    """Lays named groups side by side and takes them apart again.

    Args:
        width: D.
        counts: name to number of tokens, in the order in which they stand in a frame.
    """

    def __init__(self, width: int, counts: Mapping[str, int]) -> None:
        super().__init__()
        self.counts = dict(counts)
        self.embedding = nn.ParameterDict(
            {name: nn.Parameter(torch.randn(count, width) * 0.02) for name, count in counts.items()}
        )

    @property
    def total(self) -> int:
        """Tokens of a frame in which every group is present."""
        return sum(self.counts.values())

    def pack(self, groups: Mapping[str, Float[Tensor, "b t _ d"]]) -> Float[Tensor, "b t n d"]:
        """Add each group's own embedding and join the groups, in the model's order.

        Raises:
            ValueError: a group the model does not have, or with another number of tokens.
        """
        for name, x in groups.items():
            if name not in self.counts:
                raise ValueError(f"token group {name!r}: this model has {', '.join(self.counts)}")
            if x.shape[2] != self.counts[name]:
                raise ValueError(f"token group {name!r}: expected {self.counts[name]} tokens, got {x.shape[2]}")
        return torch.cat([groups[name] + self.embedding[name] for name in self.counts if name in groups], dim=2)

    def part(
        self, x_BTND: Float[Tensor, "b t n d"], name: str, present: Mapping[str, object]
    ) -> Float[Tensor, "b t _ d"]:
        """The tokens of one group out of a packed frame in which the groups of ``present`` stand."""
        start = 0
        for other, count in self.counts.items():
            if other == name:
                return x_BTND[:, :, start : start + count]
            start += count if other in present else 0
        raise ValueError(f"token group {name!r}: this model has {', '.join(self.counts)}")
