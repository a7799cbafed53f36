"""Row t of motion is what happens from frame t to frame t+1: on made-up turns, and on real recordings."""

import numpy as np
import pytest

from worldmodel.datasets.alignment import estimate_alignment, image_turn
from worldmodel.datasets.episodes import EpisodeDataset
from worldmodel.datasets.prepare import prepare
from worldmodel.datasets.readers.recordings import Recordings
from worldmodel.geometry.camera import CanonicalView, canonical_camera, pixel_rays


def turning_view(turns_rad):
    """Frames of a camera that turns on the spot before a painted cylinder at infinity; turn i is from frame i on."""
    import cv2

    camera = canonical_camera(128, 256)
    random = np.random.default_rng(0)
    panorama = cv2.GaussianBlur(random.integers(0, 256, (256, 1024, 3), dtype=np.uint8), (0, 0), 2.0)
    panorama = np.hstack([cv2.normalize(panorama, None, 0, 255, cv2.NORM_MINMAX)] * 2)
    rays = pixel_rays(camera)
    azimuth = np.arctan2(rays[..., 0], rays[..., 2])
    elevation = rays[..., 1] / np.hypot(rays[..., 0], 1)
    headings = np.concatenate([[0.0], np.cumsum(turns_rad)])
    frames = [
        cv2.remap(
            panorama,
            ((512 + (azimuth - heading) * 300) % 1024 + 0).astype(np.float32),
            (128 + elevation * 300).astype(np.float32),
            cv2.INTER_LINEAR,
        )
        for heading in headings
    ]
    return np.stack(frames), camera


def test_turns_are_read_back_from_the_pictures():
    turns = 0.03 * np.sin(np.arange(40) / 3) + 0.01
    frames, camera = turning_view(turns)
    read = image_turn(frames, camera)
    np.testing.assert_allclose(read, turns, atol=0.002)
    fit = estimate_alignment(read, turns)
    assert abs(fit.lag_frames) < 0.05
    assert fit.gain == pytest.approx(1, abs=0.02)
    assert fit.fits


def smooth_signal(count, shift=0.0, seed=0):
    random = np.random.default_rng(seed)
    fine = np.convolve(random.normal(size=count * 10), np.hanning(40), "same")
    at = np.arange(200, count * 10 - 200, 10.0)
    return np.interp(at - shift * 10, np.arange(count * 10), fine)


@pytest.mark.parametrize("lag", [-2.0, -0.6, 0.0, 0.3, 0.7, 1.0, 3.4])
def test_the_lag_is_found_to_a_tenth_of_a_frame(lag):
    fit = estimate_alignment(smooth_signal(900), 2 * smooth_signal(900, lag))
    assert fit.lag_frames == pytest.approx(lag, abs=0.1)
    assert fit.gain == pytest.approx(0.5, abs=0.06)
    assert fit.fits == (abs(lag) < 0.5)


def test_a_wrong_sign_and_an_off_by_one_are_seen():
    turns = smooth_signal(400)
    assert not estimate_alignment(turns, -turns).fits
    assert estimate_alignment(turns, -turns).correlation < -0.9
    assert estimate_alignment(turns[1:], turns[:-1]).lag_frames == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="never changes"):
        estimate_alignment(turns, np.zeros_like(turns))
    with pytest.raises(ValueError, match="0 known rows"):
        estimate_alignment(turns, np.full_like(turns, np.nan))


@pytest.mark.slow
def test_kitti_poses_and_pictures_agree_at_lag_zero(real, profiles, tmp_path):
    """Through the whole path: reader, canonical view, episode on disk, clip read by seek."""
    source = Recordings(real / "recordings", profiles)

    class Only(Recordings):
        def drives(self):
            return ["car_kitti_odo03"]

    prepare(Only(source.root, profiles), tmp_path, workers=0, progress=False)
    (episode,) = EpisodeDataset(tmp_path)
    clip = episode.clip(0, 400)
    turns = image_turn(clip.frames, clip.camera, clip.valid_mask)
    labelled = clip.motion.yaw_rate_radps[:-1] * np.diff(clip.t_s)
    fit = estimate_alignment(turns, labelled)
    assert abs(fit.lag_frames) < 0.1, fit
    assert fit.correlation > 0.99
    assert fit.gain == pytest.approx(1, abs=0.02), "the field of view is right"
    central = np.convolve(labelled, [0.5, 0.5], "same")
    assert abs(estimate_alignment(turns, central).lag_frames) > 0.3, "a central difference would be seen"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sim_bsh_lake", "sim_necyk_jungle"])
def test_steering_of_the_simulator_becomes_the_turn_in_the_pictures(real, profiles, name):
    recording = Recordings(real / "recordings", profiles).open(name)
    view = CanonicalView.of(recording.camera)
    rows = np.arange(600, 850)
    frames = np.stack([view.apply(frame) for frame in recording.frames(rows.tolist())])
    labelled = recording.motion.yaw_rate_radps[rows[:-1]] * np.diff(recording.t_s[rows])
    labelled[np.diff(recording.t_s[rows]) > 0.15] = np.nan
    fit = estimate_alignment(image_turn(frames, view.target, view.valid_mask), labelled)
    assert fit.fits, fit
    assert fit.correlation > 0.85, "positive steering is right"
    assert fit.gain == pytest.approx(1, abs=0.2), "2.87 m, 25 degrees and 98.2 degrees fit together"
