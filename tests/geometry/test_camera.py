"""The canonical view: any calibrated camera, seen through one level pinhole."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.geometry.camera import (
    HORIZON,
    CanonicalView,
    canonical_camera,
    ground_points,
    mount_rotation,
    nominal_camera,
    pixel_rays,
)
from worldmodel.types import Camera


def seen_by(camera: Camera, rays: np.ndarray) -> np.ndarray:
    """A smooth picture of directions, so that interpolation hardly matters: colour is a function of the level ray."""
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return ((unit * (0.6, 0.9, 0.3) + (0.8, 0.9, 0.4)) * 110).clip(0, 255).astype(np.uint8)


def photograph(camera: Camera) -> np.ndarray:
    """What a camera with mounting angles and distortion sees of that picture."""
    u, v = np.meshgrid(np.arange(camera.width_px, dtype=float), np.arange(camera.height_px, dtype=float))
    points = cv2.undistortPoints(
        np.stack([u, v], -1).reshape(-1, 1, 2), camera.matrix, np.array(camera.distortion)
    ).reshape(camera.height_px, camera.width_px, 2)
    rays = np.concatenate([points, np.ones((*points.shape[:2], 1))], -1)
    return seen_by(camera, rays @ mount_rotation(camera))


def test_the_canonical_camera_has_its_field_of_view_and_horizon() -> None:
    camera = canonical_camera(128, 256)
    rays = pixel_rays(camera)
    edge = math.degrees(math.atan((camera.width_px / 2) / camera.fx_px))
    assert math.isclose(2 * edge, 65.2, abs_tol=1e-9)
    above = (rays[..., 1] < 0).all(axis=1).sum()
    assert abs(above - HORIZON * 128) <= 1


@settings(max_examples=15, deadline=None)
@given(
    pitch=st.floats(-0.15, 0.15),
    yaw=st.floats(-0.15, 0.15),
    roll=st.floats(-0.1, 0.1),
    fov=st.floats(60, 110),
    k1=st.floats(-0.2, 0.1),
)
def test_any_mounting_and_lens_gives_the_same_canonical_picture(
    pitch: float, yaw: float, roll: float, fov: float, k1: float
) -> None:
    source = dataclasses.replace(
        nominal_camera(640, 400, fov), pitch_rad=pitch, yaw_rad=yaw, roll_rad=roll, distortion=(k1, 0, 0, 0, 0)
    )
    view = CanonicalView.of(source, 64, 128)
    truth = seen_by(view.target, pixel_rays(view.target))
    inner = cv2.erode(view.valid_mask.astype(np.uint8), np.ones((3, 3))).astype(bool)
    got = view.apply(photograph(source))
    assert inner.any()
    assert np.abs(got.astype(int) - truth)[inner].max() <= 4
    assert (got[~view.valid_mask] == 0).all()


def test_a_narrow_source_fills_only_the_middle() -> None:
    view = CanonicalView.of(nominal_camera(640, 480, 30.0), 64, 128)
    assert view.valid_mask[30, 64]
    assert not view.valid_mask[30, 0]
    assert not view.valid_mask[30, -1]


def test_ground_points_are_where_the_ground_projects_back() -> None:
    camera = canonical_camera(64, 128, height_m=1.3)
    points = ground_points(camera)
    on_ground = np.isfinite(points[..., 0])
    x, y = points[on_ground].T
    v, u = np.nonzero(on_ground)
    assert np.allclose(camera.cx_px - camera.fx_px * y / x, u)
    assert np.allclose(camera.cy_px + camera.fy_px * 1.3 / x, v)
    with pytest.raises(ValueError, match="height_m"):
        ground_points(canonical_camera(64, 128))


def test_a_frame_of_another_size_is_refused() -> None:
    view = CanonicalView.of(nominal_camera(64, 48, 60.0), 32, 64)
    with pytest.raises(ValueError, match="frame: expected shape"):
        view.apply(np.zeros((10, 10, 3), np.uint8))
