"""Speed and yaw rate read back from pixels, against the reference world's truth."""

import dataclasses
import math

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.plane import read_ground_motion, read_motion, read_speed, read_yaw_of_corners, read_yaw_rate
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions


def errors(drive, reading):
    speed = np.abs(reading.speed_mps - drive.motion.speed_mps)[:-1]
    yaw = np.abs(reading.yaw_rate_radps - drive.motion.yaw_rate_radps)[:-1]
    return speed.mean(), yaw.mean()


@pytest.mark.parametrize("name", ["weaving_128", "weaving_64"])
def test_motion_of_the_reference_world_is_read_back(name, request):
    drive = request.getfixturevalue(name)
    reading = read_motion(drive.frames, drive.t_s, drive.camera)
    speed, yaw = errors(drive, reading)
    assert speed < 0.4
    assert yaw < 0.01
    assert np.isnan(reading.speed_mps[-1])
    assert np.isnan(reading.yaw_rate_radps[-1])
    assert (reading.match[:-1] > 0.6).all()


def test_video_played_backwards_and_mirrored_reads_so(weaving_64):
    drive = weaving_64
    mirrored = read_motion(np.ascontiguousarray(drive.frames[:, :, ::-1]), drive.t_s, drive.camera)
    np.testing.assert_allclose(mirrored.yaw_rate_radps[:-1], -drive.motion.yaw_rate_radps[:-1], atol=0.02)
    np.testing.assert_allclose(mirrored.speed_mps[:-1], drive.motion.speed_mps[:-1], atol=1.0)


def test_speed_scales_with_the_clock(weaving_64):
    drive = weaving_64
    frames, yaw = drive.frames[:5], drive.motion.yaw_rate_radps[:5]
    slow = read_speed(frames, 1.2 * drive.t_s[:5], drive.camera, yaw / 1.2)
    np.testing.assert_allclose(slow[:-1], drive.motion.speed_mps[:4] / 1.2, atol=0.6)


def test_a_frozen_picture_stands_still(weaving_64):
    frozen = np.repeat(weaving_64.frames[:1], 5, axis=0)
    reading = read_motion(frozen, weaving_64.t_s[:5], weaving_64.camera)
    np.testing.assert_allclose(reading.speed_mps[:-1], 0, atol=0.05)
    np.testing.assert_allclose(reading.yaw_rate_radps[:-1], 0, atol=1e-3)


def test_frames_that_have_nothing_in_common_have_no_speed():
    frames = np.random.default_rng(0).integers(0, 256, (6, 64, 128, 3), dtype=np.uint8)
    reading = read_motion(frames, np.arange(6) / 10, canonical_camera(64, 128, height_m=1.4))
    assert np.isnan(reading.speed_mps).all()
    assert (reading.match[:-1] < 0.3).all()


def test_grey_frames_have_neither():
    frames = np.full((3, 64, 128, 3), 90, np.uint8)
    reading = read_motion(frames, np.arange(3) / 10, canonical_camera(64, 128, height_m=1.4))
    assert np.isnan(reading.speed_mps).all()
    assert np.isnan(reading.yaw_rate_radps).all()


def test_moderate_noise_and_light_change_little(weaving_128):
    drive = weaving_128
    noise = np.random.default_rng(0).normal(0, 4, drive.frames.shape)
    frames = np.clip(0.8 * drive.frames + 10 + noise, 0, 255).astype(np.uint8)
    speed, yaw = errors(drive, read_motion(frames, drive.t_s, drive.camera))
    assert speed < 0.5
    assert yaw < 0.01


def test_the_ground_corrects_a_first_turn_that_is_off(weaving_128):
    drive = weaving_128
    true = drive.motion.yaw_rate_radps[:4]
    off = np.append(true + 0.04, np.nan)
    reading = read_ground_motion(drive.frames[:5], drive.t_s[:5], drive.camera, off)
    assert np.abs(reading.yaw_rate_radps[:-1] - true).mean() < 0.015


def test_without_a_height_corners_alone_are_read(weaving_64):
    drive = weaving_64
    camera = dataclasses.replace(drive.camera, height_m=math.nan)
    yaw = read_yaw_rate(drive.frames, drive.t_s, camera)
    np.testing.assert_array_equal(yaw, read_yaw_of_corners(drive.frames, drive.t_s, camera))
    assert np.abs(yaw - drive.motion.yaw_rate_radps)[:-1].mean() < 0.015
    with pytest.raises(ValueError, match="height_m"):
        read_motion(drive.frames, drive.t_s, camera)


def test_a_single_frame_says_nothing(weaving_64):
    reading = read_motion(weaving_64.frames[:1], weaving_64.t_s[:1], weaving_64.camera)
    assert reading.speed_mps.shape == (1,)
    assert np.isnan(reading.speed_mps).all()


def test_what_cannot_be_read_is_named(weaving_64):
    frames, t_s, camera = weaving_64.frames[:3], weaving_64.t_s[:3], weaving_64.camera
    with pytest.raises(ValueError, match="frames"):
        read_motion(frames[:, 1:], t_s, camera)
    with pytest.raises(ValueError, match="t_s"):
        read_motion(frames, t_s[::-1].copy(), camera)
    with pytest.raises(ValueError, match="yaw"):
        read_ground_motion(frames, t_s, camera, np.zeros(2))
    with pytest.raises(ValueError, match="pitch_rad"):
        read_motion(frames, t_s, dataclasses.replace(camera, pitch_rad=0.1))
    with pytest.raises(ValueError, match="distortion"):
        read_motion(frames, t_s, dataclasses.replace(camera, distortion=(0.1, 0, 0, 0, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["motorway", "town"])
def test_other_roads_are_read_too(kind):
    drive = render_drive(DriveOptions(seed=2, road_kind=kind), 15)
    speed, yaw = errors(drive, read_motion(drive.frames, drive.t_s, drive.camera))
    assert speed < 0.4
    assert yaw < 0.01
