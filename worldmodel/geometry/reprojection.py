"""What the camera would see next: a picture moved by the ego's motion, given how that moves each pixel.

What a motion does to a pixel is its *parallax*: by how much the ego comes nearer to what it shows, as a share of how
far away that is. Of what stands it is displacement over depth, and where nothing better is known, the world is taken
for a flat road between distant walls (``street_inverse_depth``).
Legend: B pictures, C colours, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.types import Camera

#: Half the width of the street: of 14 to 40 m and infinity, the one that best foretells true next pictures.
SIDE_M = 30.0


def street_inverse_depth(height_m_B: Tensor, camera: Camera) -> Tensor:
    """``(B, H, W)`` 1/m along the optical axis: ground under the horizon, and walls ``SIDE_M`` to either side.

    Args:
        height_m_B: of the camera above ground.
        camera: level.
    """
    left_W, down_H1 = _rays(camera, height_m_B.device)
    ground_BHW = down_H1.clamp(min=0) / height_m_B.float()[:, None, None]
    return torch.maximum(ground_BHW, left_W.abs() / SIDE_M)


def source_pixels(
    parallax_BHW: Tensor, turn_rad_B: Tensor, camera: Camera, *, aside_BHW: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Columns and rows ``(B, H, W)`` of the earlier picture that each pixel of the later one shows.

    A later ray (1, l, y) (forwards, left, down, per metre of depth), seen from the earlier pose, is that ray turned,
    plus the chord of the motion times the inverse depth. Its down component stays, because the motion is level. The
    chord points half way between the headings (``geometry.motion``).

    Args:
        parallax_BHW: of what the later picture shows; 0 is infinitely far, or comes along with the ego.
        turn_rad_B: from the earlier picture to the later.
        camera: level, of both pictures.
        aside_BHW: by how much farther left it is there, per metre of depth, whatever the motion; ``None`` for nothing.
    """
    turn_B11, parallax_BHW = turn_rad_B.float()[:, None, None], parallax_BHW.float()
    left_W, down_H1 = _rays(camera, parallax_BHW.device)
    cos, sin = torch.cos(turn_B11), torch.sin(turn_B11)
    forward = (cos - sin * left_W + parallax_BHW * torch.cos(turn_B11 / 2)).clamp(min=0.05)
    left = sin + cos * left_W + parallax_BHW * torch.sin(turn_B11 / 2)
    left = left if aside_BHW is None else left + aside_BHW
    return camera.cx_px - camera.fx_px * left / forward, camera.cy_px + camera.fy_px * down_H1 / forward


def reproject(
    frames_BCHW: Tensor,
    parallax_BHW: Tensor,
    turn_rad_B: Tensor,
    camera: Camera,
    *,
    aside_BHW: Tensor | None = None,
    sampling: str = "bicubic",
) -> Tensor:
    """Pictures as they would look after the motion; what was not in view repeats the nearest pixel that was.

    Args:
        frames_BCHW: floats.
        parallax_BHW, turn_rad_B, camera, aside_BHW: see ``source_pixels``; all finite.
        sampling: ``bicubic`` to look at, ``bilinear`` to learn from.
    """
    u, v = source_pixels(parallax_BHW, turn_rad_B, camera, aside_BHW=aside_BHW)
    grid = torch.stack([(u + 0.5) / camera.width_px, (v + 0.5) / camera.height_px], dim=-1) * 2 - 1
    x = F.grid_sample(frames_BCHW.float(), grid, mode=sampling, padding_mode="border", align_corners=False)
    return x.to(frames_BCHW.dtype)


def _rays(camera: Camera, device: torch.device) -> tuple[Tensor, Tensor]:
    """Left ``(W,)`` and down ``(H, 1)`` components of each pixel's ray, per unit forwards."""
    u_W = torch.arange(camera.width_px, device=device, dtype=torch.float32)
    v_H = torch.arange(camera.height_px, device=device, dtype=torch.float32)
    return -(u_W - camera.cx_px) / camera.fx_px, ((v_H - camera.cy_px) / camera.fy_px)[:, None]
