"""Real excerpts of public datasets, as their publishers lay them out; every number here was read from them."""

import shutil

import numpy as np
import pytest
from test_alignment_of_motion import CanonicalView, estimate_alignment, image_turn

from worldmodel.datasets import detect
from worldmodel.datasets.files import Tree, numbers, parse_array
from worldmodel.datasets.prepare import Settings, plan
from worldmodel.datasets.readers.camvid import CamVid
from worldmodel.datasets.readers.comma2k19 import Comma2k19, read_motion, segments
from worldmodel.datasets.readers.commavq import CommaVQ, read_tokens
from worldmodel.datasets.readers.donkeycar import Donkeycar
from worldmodel.datasets.readers.kitti_odometry import KittiOdometry
from worldmodel.datasets.readers.kitti_raw import KittiRaw
from worldmodel.datasets.readers.sullychen import SullyChen
from worldmodel.datasets.readers.udacity_ch2 import UdacityCh2, _read
from worldmodel.datasets.source import Problems


def opened(source):
    (drive,) = source.drives()
    return source.open(drive)


def turns_of(recording, rows, size=(128, 256)):
    view = CanonicalView.of(recording.camera, *size)
    frames = np.stack([view.apply(frame) for frame in recording.frames(list(rows))])
    return image_turn(frames, view.target, view.valid_mask)


def test_kitti_odometry_and_its_pictures_agree(real):
    recording = opened(KittiOdometry(real / "native" / "kitti_odometry_36frames"))
    assert len(recording) == 36, "there are 51 poses"
    assert recording.motion.is_known.sum() == 35
    assert recording.camera.fx_px == pytest.approx(718.856)
    assert any("times.txt: missing" in problem and "0.1037 s" in problem for problem in recording.problems)
    frame = next(recording.frames([0]))
    assert (frame[..., 0] == frame[..., 2]).all(), "grey becomes RGB"
    labelled = recording.motion.yaw_rate_radps[:18] * 0.1037
    read = turns_of(recording, range(19), (256, 512))
    assert np.abs(read - labelled).max() < 0.001, "0.06 degrees a frame"
    assert np.corrcoef(np.diff(read), np.diff(labelled))[0, 1] > 0.8, "and row by row, not only on the whole"


def test_kitti_raw_without_its_times_is_read_and_told(real):
    recording = opened(KittiRaw(real / "native" / "kitti_raw_image_02"))
    assert len(recording) == 13
    assert recording.yaw_rate_source == "unknown"
    assert len([p for p in recording.problems if "missing" in p or "no calib" in p or "motion unknown" in p]) == 3


def test_comma2k19_poses_agree_with_gyroscope_and_wheels(real):
    source = Comma2k19(real / "native" / "comma2k19_example_no_video")
    with pytest.raises(ValueError, match=r"40/video\.hevc: missing"):
        opened(source)
    tree, folder = segments(source.root)[source.drives()[0]]

    def array(name):
        return numbers(parse_array(tree.read(folder + name), name), name)

    t_s = array("global_pose/frame_times")
    motion, camera = read_motion(tree, folder, t_s, [])
    assert len(t_s) == 1200
    assert np.degrees(camera.pitch_rad) == pytest.approx(-3.8, abs=0.1)
    gyro = -np.interp(t_s + 0.025, array("processed_log/IMU/gyro/t"), array("processed_log/IMU/gyro/value")[:, 2])
    fit = estimate_alignment(gyro[:-1], motion.yaw_rate_radps[:-1])
    assert abs(fit.lag_frames) < 0.1
    assert fit.correlation > 0.8
    wheels = np.interp(t_s, array("processed_log/CAN/speed/t"), array("processed_log/CAN/speed/value")[:, 0])
    assert np.nanmedian(motion.speed_mps / wheels) == pytest.approx(1, abs=0.01)


def test_comma2k19_without_poses_falls_back_to_its_logs(real, tmp_path):
    copy = tmp_path / "c"
    shutil.copytree(real / "native" / "comma2k19_example_no_video", copy, copy_function=shutil.copyfile)
    source = Comma2k19(copy)
    tree, folder = segments(source.root)[source.drives()[0]]
    t_s = numbers(parse_array(tree.read(folder + "global_pose/frame_times"), ""), "")
    posed = read_motion(tree, folder, t_s, [])[0]
    path = copy / folder / "global_pose/frame_positions"
    path.write_bytes(path.read_bytes()[:1000])
    problems: list[str] = []
    logged = read_motion(Tree(copy), folder, t_s, problems)[0]
    assert "frame_positions" in problems[0]
    assert np.nanmedian(np.abs(logged.yaw_rate_radps - posed.yaw_rate_radps)) < 0.002
    assert np.nanmedian(np.abs(logged.speed_mps - posed.speed_mps)) < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(("name", "usable"), [("donkeycar_tub_v2", 1600), ("donkeycar_tub_v2_dirty", 312)])
def test_a_tub_s_command_acts_when_the_pictures_turn(real, name, usable):
    recording = opened(Donkeycar(real / "native" / name))
    assert recording.usable.sum() == usable
    runs = np.split(np.arange(len(recording)), np.flatnonzero(recording.breaks[1:] | np.diff(recording.usable)) + 1)
    run = max((run for run in runs if recording.usable[run].all()), key=len)[:300]
    fit = estimate_alignment(turns_of(recording, run, (64, 128)), recording.columns["steering"][run[:-1]])
    assert abs(fit.lag_frames) < 1, "rows of 50 ms: within half a frame of ours"
    assert fit.correlation > 0.8
    told = "\n".join(recording.problems)
    assert "deleted by its driver: 400" in told if usable == 1600 else "image missing or empty: 487" in told
    assert usable == 1600 or "NUL bytes: 1 (catalog_4.catalog line 622)" in told


def test_sullychen_in_both_forms(real):
    recording = opened(SullyChen(real / "native" / "sullychen"))
    assert len(recording) in (100, 101)
    assert recording.speed_source == "unknown"
    assert any("30 frames a second are assumed" in problem for problem in recording.problems)
    with pytest.raises(ValueError, match=r"data\.txt: none of its 63825 images is there"):
        opened(SullyChen(real / "native" / "sullychen_2018_labels_only"))


def test_camvid_at_15_hz_is_read_and_at_1_hz_refused(real, tmp_path):
    source = CamVid(real / "native" / "camvid_15hz")
    recording = opened(source)
    assert len(recording) == 34
    np.testing.assert_allclose(np.diff(recording.t_s), 2 / 30)
    assert plan(source, "0016E5", Settings()).frames == 34
    for number in range(6690, 6900, 30):
        shutil.copyfile(real / "native" / "camvid_15hz" / "0016E5_07959.png", tmp_path / f"0001TP_{number:06d}.png")
    assert "a frame every 1000 ms" in plan(CamVid(tmp_path), "0001TP", Settings()).error


def test_udacity_challenge_2_s_table_is_sorted_out(real):
    folder = real / "native" / "udacity_ch2_labels_only"
    problems = Problems("")
    rows = _read(folder / "interpolated.csv", problems)
    assert problems.lines() == []
    assert len(rows) == 4401
    with pytest.raises(ValueError, match=r"none of its 4401 centre images is there"):
        opened(UdacityCh2(folder))


def test_commavq_tokens_are_read_and_want_their_decoder(real):
    folder = real / "native" / "commavq_tokens"
    assert read_tokens(folder / "tokens.npy").shape == (1200, 128)
    with pytest.raises(ValueError, match=r"tokens\.npy: .*--decoder"):
        opened(CommaVQ(folder))


def test_every_excerpt_is_known_to_its_own_reader(real):
    found = {f.folder.name: type(f.source).__name__ for f in detect.find_sources(real)}
    names = {p.name for p in (real / "native").iterdir()} | {"recordings"}
    assert set(found) == names
    assert found["comma2k19_example_no_video"] == "Comma2k19"
    assert found["recordings"] == "Recordings"
    assert len(set(found.values())) == 10
