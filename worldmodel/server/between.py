"""Pictures between two of the world's: the newest one, moved by what the car does meanwhile.

A world steps ten times a second or so; a screen and a hand want more. The picture is moved as the model itself is told
its motion (``tokenizer.depth``, or a plain street where it has learned no depth), so what comes between is a view, not
a guess at what else happens. It is shown and forgotten: the world goes on from its own frames alone.

Shapes: R pictures; H, W pixels.
"""

from __future__ import annotations

import numpy as np
import torch

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.tokenizer.depth import DepthNetwork
from worldmodel.tokenizer.drift import look_ahead
from worldmodel.types import Camera, EgoMotion, FrameArray


class Mover:
    """Moves pictures.

    Args:
        camera: of them.
        depth: says how far things are; ``None`` for a plain street.
    """

    def __init__(self, camera: Camera, depth: DepthNetwork | None) -> None:
        self._camera, self._depth = camera, depth
        self._device = torch.device("cpu") if depth is None else next(depth.parameters()).device
        self._height_m = NOMINAL_HEIGHT_M if np.isnan(camera.height_m) else camera.height_m

    @torch.no_grad()
    def move(self, frames: FrameArray, motion: EgoMotion, dt_s: float) -> FrameArray:
        """Frames ``(R, H, W, 3)`` after ``dt_s`` of a motion ``(R,)``, all known."""
        x = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).movedim(-1, 1).float() / 127.5 - 1
        displacement_m, turn_rad = (
            torch.from_numpy(np.array(rate * dt_s, dtype=np.float32)).to(self._device)
            for rate in (motion.speed_mps, motion.yaw_rate_radps)
        )
        height_m = torch.full_like(displacement_m, self._height_m)
        moved = look_ahead(self._depth, None, x, displacement_m, turn_rad, height_m, self._camera)
        pixels = (moved.clamp(-1, 1) + 1) * 127.5
        return pixels.round().to(torch.uint8).movedim(1, -1).cpu().numpy()
