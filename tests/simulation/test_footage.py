"""Contexts and motion from episodes and recordings."""

import json

import numpy as np
import pytest

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeInfo, EpisodeWriter
from worldmodel.datasets.video import VideoWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.footage import Footage, open_episode, open_recording
from worldmodel.simulation.make_drive import DriveConfig, make_drive
from worldmodel.types import Clip, EgoMotion, Tags

CAMERA = canonical_camera(32, 64, height_m=1.4)
SHADES = np.arange(60) * 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Two episodes of 64x128 at 80 ms; row t moves at t m/s and turns by 0.01 t rad/s."""
    root = tmp_path_factory.mktemp("prepared")
    camera, writer = canonical_camera(64, 128, height_m=1.2), EpisodeWriter(root)
    for drive, (name, count) in enumerate((("alpha", 60), ("beta", 20))):
        frames = [np.full((64, 128, 3), shade, dtype=np.uint8) for shade in SHADES[:count]]
        motion = EgoMotion(np.arange(count, dtype=float), 0.01 * np.arange(count))
        info = EpisodeInfo(name, name, camera, np.ones((64, 128), dtype=bool), "measured", "measured")
        times = 5.0 + 0.08 * np.arange(count)
        writer.write(info, frames, times, motion, Tags.named(weather="fog"), drive=drive, part=0)
    lerobot.rebuild_meta(root)
    return root


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A 20 Hz mp4 with a csv whose second segment begins at frame 50."""
    root = tmp_path_factory.mktemp("recordings")
    with VideoWriter(root / "mine.mp4", 48, 96, fps=20.0) as video:
        for shade in SHADES:
            video.write(np.full((48, 96, 3), shade, dtype=np.uint8))
    rows = [f"{i * 0.05:.3f},{int(i >= 40)},{10 + i % 2},{0.1}" for i in range(60)]
    (root / "mine.csv").write_text("t,segment,speed_mps,yaw_rate\n" + "\n".join(rows) + "\n")
    return root / "mine.mp4"


def footage(times, speed):
    times = np.asarray(times, dtype=float)
    return Footage("test", times, EgoMotion(np.asarray(speed, dtype=float), np.zeros(len(times))), None, {})


def test_on_a_clock_distance_is_kept():
    motion = footage([0.0, 0.08, 0.2, 0.3, 0.4], [10, 20, 30, 40, np.nan]).on_clock(0.0, 0.1)
    np.testing.assert_allclose(motion.speed_mps, [(0.8 + 0.4) / 0.1, 2.0 / 0.1, 30, 40])


def test_on_its_own_clock_motion_is_itself():
    np.testing.assert_allclose(footage([1.0, 1.1, 1.2], [3, 4, np.nan]).on_clock(1.0, 0.1).speed_mps, [3, 4])
    assert footage([1.0, 1.1, 1.2], [3, 4, np.nan]).on_clock(1.2, 0.1).shape == (0,)


def test_on_a_clock_what_touches_the_unknown_is_unknown():
    motion = footage([0.0, 0.1, 0.2, 0.3], [1, np.nan, 3, np.nan]).on_clock(0.05, 0.1)
    np.testing.assert_array_equal(np.isnan(motion.speed_mps), [True, True])


def test_an_episode_is_found_by_number_and_name_and_brought_to_size(prepared):
    for wanted in (0, "alpha", "alpha#000"):
        found = open_episode(prepared, wanted, CAMERA)
        assert (found.name, len(found)) == ("alpha#000", 60)
    clip = found.read(10, 3)
    assert isinstance(clip, Clip)
    assert clip.validate().frames.shape == (3, 32, 64, 3)
    assert clip.camera.height_m == pytest.approx(1.2)
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), [40, 44, 48], atol=2)
    np.testing.assert_allclose(clip.motion.speed_mps, [10, 11, 12])


@pytest.mark.parametrize(
    ("episode", "message"),
    [
        (2, r"episode=2: .* has episodes 0\.\.1"),
        ("alhpa", "did you mean 'alpha'"),
        ("zzz", "its drives are alpha, beta"),
    ],
)
def test_an_episode_that_is_not_there(prepared, episode, message):
    with pytest.raises(ValueError, match=message):
        open_episode(prepared, episode, CAMERA)


def test_a_recording_is_read_at_a_stride_within_one_segment(recording):
    found = open_recording(recording, CAMERA)
    np.testing.assert_allclose(found.t_s, np.arange(20) * 0.1)
    np.testing.assert_allclose(found.motion.speed_mps[:-1], 10.5, rtol=1e-3)
    assert np.isnan(found.motion.speed_mps[-1])
    clip = found.read(5, 4).validate()
    np.testing.assert_allclose(clip.frames[:, 16, 32, 0], [40, 48, 56, 64], atol=2)
    later = open_recording(recording, CAMERA, time_s=2.5)
    assert later.t_s[0] == pytest.approx(2.0)


def test_cameras_come_from_a_file_of_profiles(recording, tmp_path):
    profiles = tmp_path / "profiles.json"
    profiles.write_text(json.dumps([{"match": "mi*", "camera": {"hfov_deg": 90, "height_m": 1.1}}]))
    found = open_recording(recording, CAMERA, cameras=profiles)
    assert found.read(0, 1).camera.height_m == 1.1
    with pytest.raises(ValueError, match=r"cameras=.*cannot be read"):
        open_recording(recording, CAMERA, cameras=tmp_path / "none.json")


def test_a_drive_goes_on_from_an_episode_with_its_motion(prepared, tmp_path, make_fake_world):
    config = DriveConfig(out=str(tmp_path / "d"), data=str(prepared), episode="alpha", t_s=2.0, context_s=0.8)
    drive = load_drive(make_drive(config, make_fake_world(), {}))
    assert drive.provenance["start"]["context_frames"] == 11
    assert drive.provenance["driver"]["motion"] == "recorded"
    # Frame 25 of the episode is at 2.0 s; the first step of 0.1 s is 0.08 s at 25 m/s and 0.02 s at 26 m/s.
    np.testing.assert_allclose(drive.motion.speed_mps[0], 25.2)
    assert drive.t_s[-1] == pytest.approx(2.7)
    assert drive.controls is None
    assert drive.tags[0].names()["weather"] == "fog"


def test_a_mirrored_recording_turns_the_other_way(recording, tmp_path, make_fake_world):
    def turning(**options):
        config = DriveConfig(out=str(tmp_path / "d"), context=str(recording), t_s=0.5, overwrite=True, **options)
        return load_drive(make_drive(config, make_fake_world(), {})).motion.yaw_rate_radps[:-1]

    np.testing.assert_allclose(turning(), 0.1)
    np.testing.assert_allclose(turning(mirror=True), -0.1)
    np.testing.assert_allclose(turning(motion_gain=(1.0, 1.5)), 0.15)


def test_asking_for_more_than_was_recorded(recording, tmp_path, make_fake_world):
    config = DriveConfig(out=str(tmp_path / "d"), context=str(recording), t_s=0.5, length_s=20.0)
    with pytest.raises(ValueError, match=r"length_s=20: only 1\.4 s of recorded motion are left"):
        make_drive(config, make_fake_world(), {})
    config = DriveConfig(out=str(tmp_path / "d"), context=str(recording), t_s=9.0)
    with pytest.raises(ValueError, match=r"t_s=9: mine\.mp4 goes from 2\.0 to 2\.9 s"):
        make_drive(config, make_fake_world(), {})
