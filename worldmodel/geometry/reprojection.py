"""What the camera would see next, were the world a flat road under a far sky: a picture moved by the ego's motion.

Pixels below the horizon are taken to lie on the ground, pixels above it at infinity. Where that is wrong (things that
stand up, move, or come into view), it is wrong in a way that a network can see and repair; what it gets right, the road
itself, moves by exactly what was told.
Legend: B pictures, C colours, H W pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.types import Camera


def source_pixels(
    displacement_m_B: Tensor, turn_rad_B: Tensor, height_m_B: Tensor, camera: Camera
) -> tuple[Tensor, Tensor]:
    """Columns and rows ``(B, H, W)`` of the earlier picture that each pixel of the later one shows.

    A later ray (1, l, y) (forwards, left, down, per metre of depth) meets the ground at inverse depth y / height; seen
    from the earlier pose it is the same ray turned, plus the chord of the motion times that inverse depth. Its down
    component stays, because the ground is flat. The chord points half way between the headings (``geometry.motion``).

    Args:
        displacement_m_B, turn_rad_B: from the earlier picture to the later.
        height_m_B: of the camera above ground.
        camera: level, of both pictures.
    """
    d_B11, turn_B11, height_B11 = (x.float()[:, None, None] for x in (displacement_m_B, turn_rad_B, height_m_B))
    device = displacement_m_B.device
    u_W = torch.arange(camera.width_px, device=device, dtype=torch.float32)
    v_H = torch.arange(camera.height_px, device=device, dtype=torch.float32)
    left_W = -(u_W - camera.cx_px) / camera.fx_px
    down_H1 = ((v_H - camera.cy_px) / camera.fy_px)[:, None]
    chord_BH1 = d_B11 * down_H1.clamp(min=0) / height_B11
    cos, sin = torch.cos(turn_B11), torch.sin(turn_B11)
    forward = (cos - sin * left_W + chord_BH1 * torch.cos(turn_B11 / 2)).clamp(min=1e-3)
    left = sin + cos * left_W + chord_BH1 * torch.sin(turn_B11 / 2)
    return camera.cx_px - camera.fx_px * left / forward, camera.cy_px + camera.fy_px * down_H1 / forward


def reproject(
    frames_BCHW: Tensor, displacement_m_B: Tensor, turn_rad_B: Tensor, height_m_B: Tensor, camera: Camera
) -> Tensor:
    """Pictures as they would look after the motion; what was not in view repeats the nearest pixel that was.

    Args:
        frames_BCHW: floats.
        displacement_m_B, turn_rad_B, height_m_B, camera: see ``source_pixels``; all finite.
    """
    u, v = source_pixels(displacement_m_B, turn_rad_B, height_m_B, camera)
    grid = torch.stack([(u + 0.5) / camera.width_px, (v + 0.5) / camera.height_px], dim=-1) * 2 - 1
    x = F.grid_sample(frames_BCHW.float(), grid, mode="bicubic", padding_mode="border", align_corners=False)
    return x.to(frames_BCHW.dtype)
