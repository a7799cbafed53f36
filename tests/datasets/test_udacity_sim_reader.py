"""Udacity's simulator: every oddity of its logs, as in the excerpts of real ones."""

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.datasets.readers.udacity_sim import UdacitySim

WINDOWS = "C:\\Users\\me\\data\\IMG\\"
LINUX = "/home/me/track/IMG/"


def name_of(index, camera="center"):
    milliseconds = 11 + 100 * index  # 11 is written _11, not _011
    minute, second = 27 + milliseconds // 60000, milliseconds // 1000 % 60
    return f"{camera}_2019_05_31_15_{minute:02d}_{second:02d}_{milliseconds % 1000}.jpg"


def row_of(index, folder=WINDOWS, separator=", ", steering="0.2", speed="20.0"):
    images = [folder + name_of(index, camera) for camera in ("center", "left", "right")]
    return separator.join([*images, steering, "0.5", "0", speed])


def write_log(root, lines, images=range(30), ending="\n"):
    (root / "IMG").mkdir(parents=True, exist_ok=True)
    for index in images:
        picture = np.full((16, 32, 3), 3 * index, np.uint8)
        assert cv2.imwrite(str(root / "IMG" / name_of(index)), picture)
    (root / "driving_log.csv").write_bytes(ending.join(lines).encode())
    return UdacitySim(root)


@pytest.mark.parametrize(
    ("folder", "separator", "header", "ending"),
    [(WINDOWS, ", ", False, "\r\n"), (LINUX, ", ", False, "\n"), ("", ",", True, "\n")],
)
def test_paths_headers_and_blanks_of_every_kind(tmp_path, folder, separator, header, ending):
    lines = ["center,left,right,steering,throttle,brake,speed"] if header else []
    source = write_log(tmp_path / "lap", lines + [row_of(i, folder, separator) for i in range(30)], ending=ending)
    recording = source.open(source.drives()[0])
    assert len(recording) == 30
    assert recording.problems == []
    np.testing.assert_allclose(recording.t_s, np.arange(30) * 0.1, atol=1e-9)
    assert (recording.speed_source, recording.yaw_rate_source) == ("measured", "inferred")
    np.testing.assert_allclose(recording.motion.speed_mps[:-1], 20 * 0.44704)
    assert (recording.motion.yaw_rate_radps[:-1] < 0).all(), "positive steering turns right"
    assert [f[0, 0, 0] // 3 for f in recording.frames([0, 7, 29])] == [0, 7, 29]


def test_a_full_turn_of_the_wheel_is_the_turn_of_a_car_of_2_87_m(tmp_path):
    source = write_log(tmp_path, [row_of(i, steering="-1", speed="10") for i in range(30)])
    recording = source.open(source.drives()[0])
    expected = 10 * 0.44704 * np.tan(np.radians(25)) / 2.87
    np.testing.assert_allclose(recording.motion.yaw_rate_radps[20:-1], expected, rtol=1e-3)


def test_bad_rows_and_pictures_are_named_and_only_they_are_lost(tmp_path):
    lines = [row_of(i) for i in range(30)]
    lines[3] = "\0" * 60
    lines[5] = ",".join(lines[5].split(",")[:4])  # ends after the steering
    lines[8] = row_of(8, steering="left")
    lines[9] = row_of(9, steering="7")
    lines[11] = "center.jpg,left.jpg,right.jpg,0,0,0,3"
    source = write_log(tmp_path, lines, images=[i for i in range(30) if i not in (13,)])
    (tmp_path / "IMG" / name_of(15)).write_bytes(b"")
    (tmp_path / "IMG" / name_of(17)).write_bytes(b"\xff\xd8\xff not a jpeg")
    cv2.imwrite(str(tmp_path / "IMG" / name_of(19)), np.zeros((8, 8, 3), np.uint8))
    recording = source.open(source.drives()[0])
    told = "\n".join(recording.problems)
    assert "NUL bytes: 1 (line 4)" in told
    assert "steering or speed missing, motion unknown: 1 (line 6)" in told
    assert "field 4 is not a number: 1 (line 9)" in told
    assert "field 4 is beyond 1: 1 (line 10)" in told
    assert "no time in the image's name: 1 (line 12)" in told
    assert f"image missing: 1 ({name_of(13)})" in told
    assert f"empty image: 1 ({name_of(15)})" in told
    assert len(recording) == 26
    assert (~recording.usable).sum() == 2
    rows = np.flatnonzero(recording.usable)
    frames = list(recording.frames(rows.tolist()))
    assert sum(f is None for f in frames) == 2
    assert any(name_of(17) in p and "not an image" in p for p in recording.problems)
    assert any(name_of(19) in p and "size (8, 8)" in p for p in recording.problems)
    assert np.isnan(recording.motion.yaw_rate_radps).sum() == 3  # the row without speed, the one before it, the last


def test_nothing_usable_is_an_error_that_names_the_log(tmp_path):
    with pytest.raises(ValueError, match=r"no driving_log\.csv"):
        UdacitySim(tmp_path).drives()
    source = write_log(tmp_path, [row_of(i) for i in range(3)], images=[])
    with pytest.raises(ValueError, match=r"driving_log\.csv: none of its 3 images is there"):
        source.open(source.drives()[0])
    source = write_log(tmp_path, ["\0\0\0"], images=[])
    with pytest.raises(ValueError, match=r"driving_log\.csv: no usable row; .*NUL bytes"):
        source.open(source.drives()[0])


def test_a_pause_and_a_step_back_in_time_are_breaks(tmp_path):
    order = [*range(10), *range(25, 30), *range(12, 20)]
    source = write_log(tmp_path, [row_of(i) for i in order])
    recording = source.open(source.drives()[0])
    assert np.flatnonzero(recording.breaks).tolist() == [0, 10, 15]
    assert np.flatnonzero(np.isnan(recording.motion.yaw_rate_radps)).tolist() == [9, 14, 22]


def test_folders_of_logs_are_drives(tmp_path):
    for name in ("b", "a"):
        write_log(tmp_path / name, [row_of(i) for i in range(3)], images=range(3))
    assert UdacitySim(tmp_path).drives() == ["a", "b"]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_mutated_log_ends_in_data_or_a_named_error(data):
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        source = write_log(root, [row_of(i) for i in range(6)], images=range(6))
        log = root / "driving_log.csv"
        content = bytearray(log.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(0, max(0, len(content) - 1)))
            cut = data.draw(st.integers(0, 40))
            odd = st.sampled_from([b"nan", b"inf", b'"', b",", b"\r", b"\0", b"-1e999", "²".encode(), b"99999"])
            content[at : at + cut] = data.draw(st.binary(max_size=8) | odd)
        log.write_bytes(bytes(content))
        try:
            recording = source.open(source.drives()[0])
        except ValueError as error:
            assert "driving_log.csv" in str(error) or "IMG" in str(error)  # noqa: PT017
        else:
            count = len(recording)
            assert 0 < count <= 12
            assert np.isfinite(recording.t_s).all()
            assert recording.motion.shape == recording.breaks.shape == recording.usable.shape == (count,)
            recording.motion.validate()
            unbroken = ~recording.breaks[1:]
            assert (np.diff(recording.t_s)[unbroken] > 0).all()
            assert len(list(recording.frames(range(count)))) == count


@pytest.mark.parametrize("name", ["udacity_sim_bare_names", "udacity_sim_linux_paths", "udacity_sim_windows_paths"])
def test_real_excerpts_are_read_whole(real, name, tmp_path):
    recording = UdacitySim(real / "native").open(name)
    lines = (real / "native" / name / "driving_log.csv").read_text().splitlines()
    assert len(recording) == len(lines)
    assert recording.problems == []
    assert recording.usable.all()
    assert np.median(np.diff(recording.t_s)) == pytest.approx(0.11, abs=0.02)
    expected_mph = np.array([float(line.split(",")[-1]) for line in lines])
    np.testing.assert_allclose(
        recording.motion.speed_mps[:-1], (expected_mph[1:] + expected_mph[:-1]) / 2 * 0.44704, rtol=1e-6
    )
    frame = next(recording.frames([5]))
    assert frame.shape == (160, 320, 3)


def test_a_real_excerpt_with_damage_loses_only_that(real, tmp_path):
    copy = tmp_path / "excerpt"
    shutil.copytree(real / "native" / "udacity_sim_windows_paths", copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)
    lines = (copy / "driving_log.csv").read_text().splitlines()
    lines[100] = "\0" * len(lines[100])
    (copy / "driving_log.csv").write_text("\n".join(lines))
    name = lines[50].split(",")[0].split("\\")[-1]
    (copy / "IMG" / name).write_bytes(b"")
    source = UdacitySim(copy)
    recording = source.open(source.drives()[0])
    assert len(recording) == len(lines) - 1
    assert (~recording.usable).sum() == 1
    assert len(recording.problems) == 2


def test_a_speed_that_is_nothing_for_one_row_is_not_believed(tmp_path):
    source = write_log(tmp_path, [row_of(i, speed="0.0" if i == 12 else "40.0") for i in range(30)])
    recording = source.open(source.drives()[0])
    unknown = np.flatnonzero(np.isnan(recording.motion.speed_mps)).tolist()
    assert unknown == [10, 11, 12, 13, 29], "both steps at that row, and those they jump from"
    assert any("rows of jumping speed_mps, first 10" in problem for problem in recording.problems)
