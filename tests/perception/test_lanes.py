"""Lane markings: found where they are, and not where there are none."""

import cv2
import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera, ground_points
from worldmodel.perception.lanes import fit_lanes


def shuffled_blocks(frame, side, rng):
    height, width, _ = frame.shape
    blocks = frame.reshape(height // side, side, width // side, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    blocks = blocks[rng.permutation(len(blocks))]
    return blocks.reshape(height // side, width // side, side, side, 3).swapaxes(1, 2).reshape(frame.shape)


def painted(camera, offsets, heading=0.0, curvature=0.0, *, colour=(230, 230, 225), dash=None):
    """Grey asphalt under a blue sky with lines 0.15 m wide, four times oversampled."""
    large = canonical_camera(4 * camera.height_px, 4 * camera.width_px, height_m=camera.height_m)
    ground = ground_points(large)
    x, y = ground[..., 0], ground[..., 1]
    grain = np.random.default_rng(0).normal(0, 6, (*x.shape, 1))
    frame = np.where(np.isnan(x)[..., None], (130, 170, 220), grain + np.array([90, 90, 92]))
    for offset in offsets:
        line = np.abs(y - (offset - np.tan(heading) * x + curvature * x**2 / 2)) < 0.075
        line &= (x % dash[1] < dash[0]) if dash else True
        frame[line] = colour
    size = (camera.width_px, camera.height_px)
    return cv2.resize(np.clip(frame, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("name", ["weaving_128", "weaving_64"])
def test_markings_of_the_reference_world_are_found(name, request):
    drive = request.getfixturevalue(name)
    fit = fit_lanes(drive.frames, drive.camera)
    assert fit.fitted.mean() >= 0.8
    found = fit.fitted
    heading = np.abs(fit.heading_error_rad - drive.columns["heading_error_rad"])[found]
    assert np.median(heading) < 0.04


@pytest.mark.parametrize("height", [64, 128])
@pytest.mark.parametrize(
    ("heading", "curvature", "dash", "colour"),
    [
        (0.0, 0.0, None, (230, 230, 225)),
        (0.05, 0.0, None, (235, 185, 45)),
        (-0.03, 0.006, None, (230, 230, 225)),
        (0.02, -0.004, (4.0, 9.0), (230, 230, 225)),
    ],
)
def test_painted_lines_are_placed(height, heading, curvature, dash, colour):
    camera = canonical_camera(height, 2 * height, height_m=1.4)
    frame = painted(camera, (1.9, -1.5), heading, curvature, colour=colour, dash=dash)
    fit = fit_lanes(frame, camera)
    assert fit.fitted.tolist() == [True]
    assert fit.span_m[0] >= 10
    assert fit.heading_error_rad[0] == pytest.approx(heading, abs=0.015)
    assert fit.curvature_1pm[0] == pytest.approx(curvature, abs=0.002)
    assert fit.left_m[0] == pytest.approx(1.9, abs=0.12)
    assert fit.right_m[0] == pytest.approx(-1.5, abs=0.12)
    assert fit.lane_offset_m[0] == pytest.approx(-0.2, abs=0.12)


@pytest.mark.parametrize("height", [64, 128])
def test_there_are_no_markings_where_there_is_no_road(height):
    camera = canonical_camera(height, 2 * height, height_m=1.4)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (10, height, 2 * height, 3), dtype=np.uint8)
    smooth = np.stack([cv2.normalize(cv2.GaussianBlur(f, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX) for f in noise])
    grey = np.full((1, height, 2 * height, 3), 90, np.uint8)
    sky = np.broadcast_to(np.linspace((120, 160, 220), (220, 230, 240), height)[None, :, None], grey.shape)
    bare = painted(camera, ())[None]
    for frames in (noise, smooth, grey, sky.astype(np.uint8), bare):
        fit = fit_lanes(frames, camera)
        assert not fit.fitted.any()
        assert np.isnan(fit.heading_error_rad).all()


@pytest.mark.parametrize("name", ["weaving_128", "weaving_64"])
def test_a_road_that_is_destroyed_has_no_markings(name, request):
    drive = request.getfixturevalue(name)
    rng = np.random.default_rng(0)
    height = drive.camera.height_px
    shuffled = np.stack([shuffled_blocks(f, height // 16, rng) for f in drive.frames])
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), height / 20) for f in drive.frames])
    assert fit_lanes(shuffled, drive.camera).fitted.mean() <= 0.1
    assert not fit_lanes(blurred, drive.camera).fitted.any()
    assert not fit_lanes(np.ascontiguousarray(drive.frames[:, ::-1]), drive.camera).fitted.any()


def test_frames_do_not_see_each_other(weaving_64):
    whole = fit_lanes(weaving_64.frames[:4], weaving_64.camera)
    for i, frame in enumerate(weaving_64.frames[:4]):
        alone = fit_lanes(frame, weaving_64.camera)
        np.testing.assert_array_equal(whole.heading_error_rad[i], alone.heading_error_rad[0])
        np.testing.assert_array_equal(whole.left_m[i], alone.left_m[0])


def test_what_cannot_be_fitted_is_named(weaving_64):
    with pytest.raises(ValueError, match="frames"):
        fit_lanes(weaving_64.frames[:, 1:], weaving_64.camera)
    with pytest.raises(ValueError, match="height_m"):
        fit_lanes(weaving_64.frames, canonical_camera(64, 128))
