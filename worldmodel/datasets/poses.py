"""From published poses and mountings to ours: rotations, motion between poses, angles and models of cameras.

Axes of a body are x forwards, y left, z up (ISO 8855); those of a camera x right, y down, z forwards. Knows no dataset.

Shapes: N rows.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.types import Camera, EgoMotion, FloatArray

#: Columns are a camera's axes (right, down, forwards) in those of a body that looks the same way.
BODY_OF_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


def rotation_of_quaternion(wxyz: FloatArray) -> FloatArray:
    """Rotations ``(N, 3, 3)`` of quaternions ``(N, 4)``; NaN where one is further than 1 % from unit length."""
    w, x, y, z = np.moveaxis(_of_unit_length(wxyz), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def _of_unit_length(wxyz: FloatArray) -> FloatArray:
    q = np.asarray(wxyz, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        length = np.linalg.norm(q, axis=-1, keepdims=True)
        return np.where(np.abs(length - 1) < 0.01, q / length, np.nan)


def checked_rotation(matrices: FloatArray) -> FloatArray:
    """The given ``(N, 3, 3)``; NaN where one is no rotation, as a damaged number leaves it."""
    matrices = np.asarray(matrices, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(np.swapaxes(matrices, -1, -2) @ matrices - np.eye(3)).max(axis=(-1, -2))
        good = (off < 1e-3) & (np.linalg.det(np.nan_to_num(matrices)) > 0)
    return np.where(good[..., None, None], matrices, np.nan)


def motion_of_poses(
    t_s: FloatArray, positions_m: FloatArray, rotations: FloatArray, lever_m: tuple[float, float, float] = (0, 0, 0)
) -> EgoMotion:
    """Motion ``(N,)`` from each pose to the next: the SE(2) part of T_t^-1 T_{t+1} over the true time; the last is NaN.

    Args:
        t_s: ``(N,)`` seconds.
        positions_m: ``(N, 3)`` of the body's origin in the world.
        rotations: ``(N, 3, 3)`` world from body (x forwards, y left, z up).
        lever_m: where the camera is in the body, so that the motion is that of the ground point under it.
    """
    unknown = EgoMotion.unknown((len(t_s),))
    if len(t_s) < 2:
        return unknown
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        positions = positions_m + rotations @ np.asarray(lever_m, dtype=np.float64)
        back = np.swapaxes(rotations[:-1], -1, -2)
        moved = (back @ (positions[1:] - positions[:-1])[..., None])[..., 0]
        turn = back @ rotations[1:]
        dt_s = np.diff(np.asarray(t_s, dtype=np.float64))
        dt_s = np.where(dt_s > 0, dt_s, np.nan)
        speed = np.hypot(moved[:, 0], moved[:, 1]) * np.where(moved[:, 0] < 0, -1.0, 1.0) / dt_s
        yaw_rate = np.arctan2(turn[:, 1, 0], turn[:, 0, 0]) / dt_s
    unknown.speed_mps[:-1], unknown.yaw_rate_radps[:-1] = speed, yaw_rate
    return unknown


def interpolate_poses(
    at_s: FloatArray, positions_m: FloatArray, wxyz: FloatArray, t_s: FloatArray, *, max_gap_s: float = 0.25
) -> tuple[FloatArray, FloatArray]:
    """Positions ``(M, 3)`` and rotations ``(M, 3, 3)`` at times ``(M,)`` between poses ``(N,)`` at increasing times.

    Quaternions are interpolated along the chord, which for poses less than a few degrees apart is the sphere. NaN
    outside the poses, in gaps longer than ``max_gap_s``, and beside a quaternion further than 1 % from unit length.
    """
    wxyz = _of_unit_length(wxyz)  # before they are mixed: the mean of a good and a damaged one can be made to look good
    right = np.clip(np.searchsorted(at_s, t_s), 1, len(at_s) - 1)
    left = right - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (t_s - at_s[left]) / (at_s[right] - at_s[left])
    inside = (share >= 0) & (share <= 1) & (at_s[right] - at_s[left] <= max_gap_s)
    share = np.where(inside, share, np.nan)[:, None]
    sign = np.where((wxyz[left] * wxyz[right]).sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    q = (1 - share) * wxyz[left] + share * sign * wxyz[right]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        q = q / np.linalg.norm(q, axis=1, keepdims=True)
        positions = (1 - share) * positions_m[left] + share * positions_m[right]
    return positions, rotation_of_quaternion(q)


def mounted(camera: Camera, body_of_camera: FloatArray) -> Camera:
    """The camera with the angles of its mounting ``(3, 3)``: its axes (right, down, forwards) in those of the body.

    Inverse of ``geometry.camera.mount_rotation``.

    Raises:
        ValueError: not a rotation, or the camera looks more than 45 degrees aside.
    """
    if np.isnan(checked_rotation(body_of_camera)).any():
        raise ValueError(f"Camera: its mounting is no rotation: {np.round(body_of_camera, 3).tolist()}")
    m = body_of_camera.T @ BODY_OF_CAMERA
    pitch = math.asin(float(np.clip(-m[2, 1], -1, 1)))
    yaw, roll = math.atan2(-m[2, 0], m[2, 2]), math.atan2(m[0, 1], m[1, 1])
    return dataclasses.replace(camera, pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll).validate()


def radial_camera(
    width_px: int, height_px: int, centre_px: tuple[float, float], angles_rad: FloatArray, radii_px: FloatArray
) -> Camera:
    """A fisheye given as radii ``(N,)`` at angles ``(N,)`` from its axis, as the best pinhole with k1, k2, k3.

    Only the given angles are fitted, which should reach as far as the canonical view does (below 60 degrees).

    Raises:
        ValueError: radii that do not grow with the angle.
    """
    if not (np.isfinite(radii_px).all() and (np.diff(radii_px) > 0).all() and radii_px[0] >= 0):
        raise ValueError(f"Camera: radii must grow with the angle, got {np.round(radii_px, 1).tolist()}")
    r = np.tan(angles_rad)
    columns = np.stack([r, r**3, r**5, r**7], axis=1)
    f, k1, k2, k3 = np.linalg.lstsq(columns, radii_px, rcond=None)[0]
    distortion = (k1 / f, k2 / f, 0.0, 0.0, k3 / f)
    return Camera(width_px, height_px, f, f, *centre_px, distortion=distortion).validate()
