"""What a row of a running world is fed before it goes on by itself. Shapes: T frames, H W pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.types import Clip, Tags


@dataclasses.dataclass(frozen=True)
class Start:
    """A context as a row needs it: frames and road or none, per frame the incoming (speed, yaw rate, dt) and tags."""

    frames: NDArray[np.uint8] | None
    motion: NDArray[np.float64]
    tags: NDArray[np.int64]
    height_m: float
    road: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, context: Clip | Tags, camera: object, window: int) -> Start:
        """From a clip, of which the last ``window`` frames count, or from tags, which make one frame to be drawn.

        Raises:
            ValueError: frames of another size than the model's.
        """
        context.validate()
        if isinstance(context, Tags):
            codes = context.codes if context.codes.ndim == 1 else context.codes[-1]
            return cls(None, np.full((1, 3), np.nan), codes[None], np.nan)
        wanted = (camera.height_px, camera.width_px)  # pyright: ignore[reportAttributeAccessIssue]
        if context.frames.shape[1:3] != wanted:
            raise ValueError(
                f"context: frames are {context.frames.shape[1:3]}, the model's are {wanted}; "
                "prepare the recording at the model's size"
            )
        outgoing = np.stack(
            [context.motion.speed_mps[:-1], context.motion.yaw_rate_radps[:-1], np.diff(context.t_s)], axis=-1
        )
        motion = np.concatenate([np.full((1, 3), np.nan), outgoing])[-window:]
        motion[0] = np.nan  # what it led on from is not seen
        road = None if context.road is None else context.road[-window:]
        return cls(context.frames[-window:], motion, context.tags.codes[-window:], context.camera.height_m, road)
