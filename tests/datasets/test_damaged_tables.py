"""A line lost from a table whose rows stand for frames by their place alone: what comes after it is not believed."""

from types import SimpleNamespace

import numpy as np
import publishers as p
import publishers_more as more
import pytest
from layouts import reader_of

from worldmodel.datasets.video import VideoReader


def opened(name, root):
    source = reader_of(name, root)
    return source.open(source.drives()[0])


def without_line(path, number):
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:number] + lines[number + 1 :]))


@pytest.mark.parametrize("damage", ["two lines run together", "a line in two", "a number is another"])
def test_poses_below_a_damaged_line_are_not_used(damage, tmp_path):
    p.kitti_odometry(tmp_path)
    sound = opened("kitti_odometry", tmp_path).motion
    path = tmp_path / "poses/07.txt"
    lines = path.read_text().splitlines()
    if damage == "two lines run together":
        lines[12:14] = [lines[12] + lines[13]]
    elif damage == "a line in two":
        lines[12:13] = [lines[12][:40], lines[12][40:]]
    else:
        lines[12] = "0.5" + lines[12][lines[12].index(" ") :]
    path.write_text("\n".join(lines))
    damaged = opened("kitti_odometry", tmp_path)
    np.testing.assert_array_equal(damaged.motion.speed_mps[:11], sound.speed_mps[:11])
    assert np.isnan(damaged.motion.speed_mps[11:]).all()
    assert damaged.usable.all()
    assert any("poses/07.txt: line 13" in x and "from there on are not used" in x for x in damaged.problems)


def test_a_time_lost_among_states_leaves_motion_unknown(tmp_path):
    p.kitti_raw(tmp_path)
    drive = tmp_path / "2011_09_26/2011_09_26_drive_0001_sync"
    without_line(drive / "oxts/timestamps.txt", 12)
    recording = opened("kitti_raw", tmp_path)
    assert not np.isfinite(recording.motion.speed_mps).any()
    assert any("timestamps.txt: 29 times of 30 states" in problem for problem in recording.problems)
    text = (drive / "image_02/timestamps.txt").read_text()
    (drive / "image_02/timestamps.txt").write_text(text.replace("\n", "", 1))
    with pytest.raises(ValueError, match=r"timestamps\.txt: line 1: .* is not a time"):
        opened("kitti_raw", tmp_path)


def test_a_row_lost_from_a_recording_ends_it_there(tmp_path):
    p.recordings(tmp_path)
    whole = opened("recordings", tmp_path)
    without_line(tmp_path / "mine.csv", 13)  # that of frame 12
    recording = opened("recordings", tmp_path)
    assert len(recording) == 12
    np.testing.assert_array_equal(recording.motion.speed_mps, whole.motion.speed_mps[:12])
    assert any("30 frames but 29 table rows; the first 12 are used" in problem for problem in recording.problems)


def test_rows_doubled_in_a_recording_end_it_there(tmp_path):
    p.recordings(tmp_path)
    lines = (tmp_path / "mine.csv").read_text().splitlines()
    (tmp_path / "mine.csv").write_text("\n".join([*lines[:15], *lines[5:]]))
    recording = opened("recordings", tmp_path)
    assert len(recording) == 14, "the header is a line"
    assert any("30 frames but 40 table rows; the first 14 are used" in problem for problem in recording.problems)
    (tmp_path / "mine.csv").write_text("\n".join([*lines[:9], lines[9] + ",0.5", *lines[10:]]))
    recording = opened("recordings", tmp_path)
    assert len(recording) == 8
    assert any("line 10: 4 of 3 fields" in problem for problem in recording.problems)


def test_names_of_columns_that_are_no_text_are_told_by_file(tmp_path):
    more.lerobot_v3(tmp_path)
    path = tmp_path / "meta/episodes/chunk-000/file-000.parquet"
    path.write_bytes(path.read_bytes().replace(b"to_timestamp", b"to_tim\xec\xecamp"))
    with pytest.raises(ValueError, match=r"file-000\.parquet: not a readable parquet file"):
        opened("lerobot_v3", tmp_path)


@pytest.mark.parametrize("spec", ["0999999999d", "0300d", "x!r", "03d}{"])
def test_a_path_that_would_grow_without_end_is_refused(spec, tmp_path):
    more.lerobot_v3(tmp_path)
    path = tmp_path / "meta/info.json"
    path.write_text(path.read_text().replace("{file_index:03d}.mp4", f"{{file_index:{spec}}}.mp4"))
    with pytest.raises(ValueError, match=r"info\.json: its paths cannot be filled in"):
        opened("lerobot_v3", tmp_path)


def test_a_video_without_a_size_is_told_by_file(tmp_path, monkeypatch):
    """As FFmpeg opens some damaged files: with a stream of pictures of no width."""
    path = p.write_mp4(tmp_path / "v.mp4", 10, 10)
    stream = SimpleNamespace(codec_context=SimpleNamespace(width=0, height=32))
    container = SimpleNamespace(streams=SimpleNamespace(video=[stream]), close=lambda: None)
    monkeypatch.setattr("worldmodel.datasets.video.av.open", lambda *_, **__: container)
    with pytest.raises(ValueError, match=r"v\.mp4: .*no stream of pictures"):
        VideoReader(path)
