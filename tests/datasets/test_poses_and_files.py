"""Poses, mountings and lenses of publishers in our terms; files of publishers that are missing, empty or damaged."""

import dataclasses
import time
import zipfile

import cv2
import numpy as np
import publishers as p
import pytest

from worldmodel.datasets import poses
from worldmodel.datasets.files import Tree, number, numbers, parse_array, read_columns, read_json
from worldmodel.datasets.source import assemble, decode_image
from worldmodel.datasets.stream import StreamFrames
from worldmodel.geometry.camera import canonical_camera, mount_rotation
from worldmodel.types import EgoMotion


@pytest.mark.parametrize("angles", [(0, 0, 0), (0.1, 0, 0), (0, 0.2, 0), (0, 0, -0.3), (0.05, -0.04, 0.2)])
def test_a_mounting_is_taken_apart_as_geometry_puts_it_together(angles):
    pitch, roll, yaw = angles
    camera = dataclasses.replace(canonical_camera(), pitch_rad=pitch, roll_rad=roll, yaw_rad=yaw)
    body_of_camera = poses.BODY_OF_CAMERA @ mount_rotation(camera).T
    found = poses.mounted(canonical_camera(), body_of_camera)
    assert (found.pitch_rad, found.roll_rad, found.yaw_rad) == pytest.approx(angles, abs=1e-9)


def test_a_camera_that_looks_down_and_left_in_its_car():
    """By hand: its axis points forwards, left and down."""
    down, left = 0.1, 0.2
    forwards = np.array([np.cos(down) * np.cos(left), np.cos(down) * np.sin(left), -np.sin(down)])
    right = np.array([np.sin(left), -np.cos(left), 0])
    found = poses.mounted(canonical_camera(), np.stack([right, np.cross(forwards, right), forwards], axis=1))
    assert (found.pitch_rad, found.yaw_rad, found.roll_rad) == pytest.approx((-down, left, 0), abs=1e-9)


def test_a_fisheye_is_a_pinhole_with_distortion_as_far_as_we_look():
    angles = np.linspace(0, np.radians(50), 51)[1:]
    camera = poses.radial_camera(1920, 1080, (959.5, 539.5), angles, 930 * angles - 30 * angles**3)
    assert camera.fx_px == pytest.approx(930, rel=0.01)
    for degrees in (5, 20, 35, 45):
        a = np.radians(degrees)
        ray = np.array([[[np.sin(a), 0, np.cos(a)]]])
        pixel = cv2.projectPoints(ray, np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion))[0][0, 0]
        assert pixel[0] - 959.5 == pytest.approx(930 * a - 30 * a**3, abs=0.5), degrees
    with pytest.raises(ValueError, match="radii must grow"):
        poses.radial_camera(1920, 1080, (959.5, 539.5), angles, -angles)


def test_motion_of_poses_is_unknown_where_a_pose_is():
    t_s = np.arange(6) * 0.1
    rotations = poses.rotation_of_quaternion(p.quaternion(p.heading(t_s)))
    rotations[3] *= 1.1
    motion = poses.motion_of_poses(t_s, p.place(t_s), poses.checked_rotation(rotations))
    assert np.flatnonzero(np.isnan(motion.yaw_rate_radps)).tolist() == [2, 3, 5]
    backwards = poses.motion_of_poses(t_s, -p.place(t_s), poses.rotation_of_quaternion(p.quaternion(p.heading(t_s))))
    assert (backwards.speed_mps[:-1] < 0).all()


def test_poses_between_poses_stop_at_gaps_and_ends():
    at_s = np.array([0.0, 0.1, 0.2, 1.0, 1.1])
    positions, rotations = poses.interpolate_poses(
        at_s, p.place(at_s), -p.quaternion(p.heading(at_s)), np.array([-0.1, 0.05, 0.5, 1.05, 1.2])
    )
    assert np.isnan(positions[:, 0]).tolist() == [True, False, True, False, True]
    turned = np.arctan2(rotations[[1, 3], 1, 0], rotations[[1, 3], 0, 0])
    np.testing.assert_allclose(turned, p.heading(np.array([0.05, 1.05])), atol=1e-3)


@pytest.mark.parametrize("damage", [1.6, 1e300])
def test_a_quaternion_of_another_length_is_unknown_and_so_is_what_lies_beside_it(damage):
    at_s = np.arange(6) * 0.1
    quaternions = p.quaternion(p.heading(at_s))
    quaternions[2, 3] += damage
    with np.errstate(over="raise"):
        rotations = poses.rotation_of_quaternion(quaternions)
        between = poses.interpolate_poses(at_s, p.place(at_s), quaternions, at_s[:-1] + 0.05)[1]
    assert np.flatnonzero(np.isnan(rotations[:, 0, 0])).tolist() == [2]
    assert np.flatnonzero(np.isnan(between[:, 0, 0])).tolist() == [1, 2], "of a good and a bad one comes no good one"


def test_impossible_and_jumping_motion_becomes_unknown_and_is_told():
    speed = np.full(10, 9.0)
    speed[3], speed[7] = 25.0, 1e5
    problems: list[str] = []
    recording = assemble(
        "d", t_s=np.arange(10) * 0.1, motion=EgoMotion(speed, np.zeros(10)), camera=canonical_camera(),
        frames=lambda rows: iter([]), where="here.log", problems=problems)  # fmt: skip
    assert np.flatnonzero(np.isnan(recording.motion.speed_mps)).tolist() == [2, 3, 4, 7, 9]
    assert any("here.log: 1 rows of impossible speed_mps, first 7" in problem for problem in problems)
    assert any("3 rows of jumping speed_mps, first 2" in problem for problem in problems)
    with pytest.raises(ValueError, match=r"here\.log: row 1: its time is not a number"):
        assemble("d", t_s=[0, np.nan], camera=canonical_camera(), frames=lambda rows: iter([]), where="here.log")


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "empty.json").write_bytes(b"")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, told in (
        ("no.json", "No such file"),
        ("empty.json", "empty file"),
        ("list.json", "expected a JSON dict"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: {told}"):
            read_json(tmp_path / name)
    with pytest.raises(ValueError, match=r"deep\.json: not readable as JSON"):
        read_json(tmp_path / "deep.json")
    p.table(tmp_path / "t.parquet", {"a": [1, 2]})
    with pytest.raises(ValueError, match=r"t\.parquet: column 'b' is missing; it has \['a'\]"):
        read_columns(tmp_path / "t.parquet", ("b",))
    with pytest.raises(ValueError, match=r"x: not a readable numpy array"):
        parse_array(b"\x93NUMPY\x01\x00", "x")
    for bad in ("a", None, "inf", [1]):
        with pytest.raises(ValueError, match=r"field: .* is not a"):
            number(bad, "field")
    with pytest.raises(ValueError, match=r"field: expected shape \(3,\), got \(2,\)"):
        numbers([1, None], "field", (3,))
    assert np.isnan(numbers([1, None], "field")).tolist() == [False, True]


def test_pictures_without_their_end_are_no_pictures():
    data = p.encoded(3)
    assert p.index_of(decode_image(data, "x.jpg")) == 3
    with pytest.raises(ValueError, match=r"x\.jpg: not an image that can be used: truncated"):
        decode_image(data[:-20], "x.jpg")
    thumbnail = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    assert p.index_of(decode_image(data[:2] + thumbnail + data[2:], "x.jpg")) == 3
    with pytest.raises(ValueError, match=r"x\.jpg: .* truncated"):
        decode_image(data[:2] + thumbnail + data[2:-20], "x.jpg")


def test_pictures_that_lie_about_their_size_are_refused_before_they_cost_anything():
    jpeg, png = p.encoded(3), cv2.imencode(".png", p.picture(3))[1].tobytes()
    assert decode_image(png, "x.png").shape == (32, 64, 3)
    at = jpeg.index(b"\xff\xc0") + 5
    for data, told in (
        (jpeg[:at] + b"\x7f\xff\x7f\xff" + jpeg[at + 4 :], "a picture of 32767x32767"),
        (png[:16] + b"\0\0\x7f\xff\0\0\x7f\xff" + png[24:], "a picture of 32767x32767"),
        (png.replace(b"IDAT", b"IDA", 1), "truncated"),
        (png[:33] + b"\xdd" + png[34:], "a damaged length"),
    ):
        began_s = time.process_time()
        with pytest.raises(ValueError, match=rf"x: not an image that can be used: .*{told}"):
            decode_image(data, "x")
        assert time.process_time() - began_s < 0.5


def test_a_damaged_stream_in_an_archive_loses_its_end_only(tmp_path):
    whole = p.hevc(20)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a/video.hevc", whole[: len(whole) * 3 // 4])
    frames = StreamFrames(Tree(tmp_path / "c.zip"), "a/video.hevc", "hevc")
    assert frames.size() == (48, 64)
    shown = list(frames([0, 2, 5, 19]))
    assert [p.index_of(f) for f in shown[:3]] == [0, 2, 5]
    assert shown[3] is None
    assert any("c.zip:a/video.hevc" in problem for problem in frames.problems)
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"bad\.zip: not a readable zip archive"):
        Tree(tmp_path / "bad.zip").names("*")
