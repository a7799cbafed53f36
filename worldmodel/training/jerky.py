"""Clips in which time jumps, so that only what is told says how far the next frame is.

In true driving the past gives the motion away, and a network that reads it there does not listen to what it is told.
Here each step of a clip repeats a frame, takes the next one or leaves one out, at random, and the motion between the
frames that are left is composed of the true ones.
Legend: B clips, T frames, F motion channels.
"""

from __future__ import annotations

import torch
from torch import Tensor


def jump(length: int, batch: int, generator: torch.Generator) -> Tensor:
    """``(B, T)`` which frame of a true clip each frame of a jerky one is: steps of 0, 1 or 2, up to the last frame."""
    steps = torch.randint(0, 3, (batch, length), generator=generator)
    steps[:, 0] = 0
    return steps.cumsum(dim=1).clamp(max=length - 1)


def composed(incoming_BTF: Tensor, index_BT: Tensor) -> Tensor:
    """Incoming motion channels ``(B, T, F)`` of a jerky clip, from those of the true one.

    Displacement and turn are those of the pose relative to the frame before; a step over unknown motion is unknown. The
    time step and the camera height stay what they are: the clip is seen at the same rate.
    """
    # Unknown steps count as none here, so that sums do not carry them on, and are made unknown again at the end.
    displacement_m, turn_rad = torch.nan_to_num(incoming_BTF[..., 0]), torch.nan_to_num(incoming_BTF[..., 1])
    displacement_m[:, 0], turn_rad[:, 0] = 0, 0  # from nowhere to the first frame: the origin
    heading = turn_rad.cumsum(dim=1)
    direction = heading - turn_rad / 2
    x, y = (displacement_m * torch.cos(direction)).cumsum(dim=1), (displacement_m * torch.sin(direction)).cumsum(dim=1)
    x, y, heading = (values.gather(1, index_BT) for values in (x, y, heading))
    chord = torch.hypot(x.diff(dim=1), y.diff(dim=1))
    out = incoming_BTF.clone()
    out[:, 1:, 0], out[:, 1:, 1] = chord, heading.diff(dim=1)
    unknown = (~torch.isfinite(incoming_BTF[..., :2])).any(-1)
    unknown[:, 0] = False
    before = unknown.int().cumsum(dim=1).gather(1, index_BT)
    out[:, 1:, :2] = torch.where((before.diff(dim=1) > 0)[..., None], torch.nan, out[:, 1:, :2])
    return out
