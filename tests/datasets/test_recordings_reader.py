"""Your own recordings: with a table, with half a table, without one; and what a damaged one is told."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HEIGHT, WIDTH, write_video
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.datasets.readers.recordings import Recordings

COUNT = 40


@pytest.fixture
def folder(tmp_path):
    write_video(tmp_path / "drive.mp4", COUNT)
    return tmp_path


def write_csv(path, **columns):
    names = list(columns)
    rows = [",".join(str(columns[n][i]) for n in names) for i in range(len(columns[names[0]]))]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")


def table(**changes):
    columns = {"frame": np.arange(COUNT), "t": np.arange(COUNT) * 0.1, "segment": np.zeros(COUNT, int)}
    columns |= {"speed_mps": np.full(COUNT, 8.0), "yaw_rate": np.linspace(-0.1, 0.1, COUNT)} | changes
    return {name: column for name, column in columns.items() if column is not None}


def test_a_video_alone_has_its_own_times_and_no_motion(folder):
    recording = Recordings(folder).open("drive")
    np.testing.assert_allclose(recording.t_s, np.arange(COUNT) / 10, atol=1e-6)
    assert not recording.motion.is_known.any()
    assert recording.speed_source == recording.yaw_rate_source == "unknown"
    assert recording.problems == []
    assert (recording.camera.width_px, recording.camera.height_px) == (WIDTH, HEIGHT)
    assert np.degrees(recording.camera.horizontal_fov_rad) == pytest.approx(65)
    frames = list(recording.frames([3, 4, 10]))
    assert [f.shape for f in frames] == [(HEIGHT, WIDTH, 3)] * 3


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_forward_motion_row_for_row(folder, kind):
    columns = table(segment=np.repeat([0, 1], COUNT // 2))
    if kind == "csv":
        write_csv(folder / "drive.csv", **columns)
    else:
        pq.write_table(pa.table(columns), folder / "drive.parquet")
    recording = Recordings(folder).open("drive")
    np.testing.assert_allclose(recording.motion.yaw_rate_radps, columns["yaw_rate"])
    assert (recording.speed_source, recording.yaw_rate_source) == ("measured", "measured")
    assert np.flatnonzero(recording.breaks).tolist() == [0, COUNT // 2]


def test_profiles_and_the_sidecar_name_camera_vehicle_tags_and_licence(folder):
    write_csv(folder / "drive.csv", **table(yaw_rate=None, steering=np.full(COUNT, 0.3)))
    profiles = [
        {"match": "dri*", "camera": {"hfov_deg": 90, "height_m": 1.4}, "tags": {"weather": "fog"}},
        {"match": "other*", "camera": {"hfov_deg": 20}},
        {"steering": {"wheelbase_m": 2.5, "full_scale_deg": 20, "right_positive": True}},
    ]
    (folder / "drive.json").write_text(json.dumps({"license": "CC0", "track": "lake", "camera": {"horizon": 0.6}}))
    recording = Recordings(folder, profiles).open("drive")
    assert np.degrees(recording.camera.horizontal_fov_rad) == pytest.approx(90)
    assert recording.camera.cy_px == pytest.approx(0.6 * HEIGHT - 0.5)
    assert recording.camera.height_m == 1.4
    assert recording.tags[0].names()["weather"] == "fog"
    assert (recording.licence, recording.place_id) == ("CC0", "lake")
    assert recording.yaw_rate_source == "inferred"
    expected = -8 * np.tan(np.radians(6)) / 2.5
    np.testing.assert_allclose(recording.motion.yaw_rate_radps[:-1], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("frame,speed_mps\n0,1\n1,1\n", r"drive\.csv: column 't' \(seconds\) is missing"),
        ("frame,t\n0,0.0\n1,\n2,0.2\n", r"drive\.csv: row 1: 't' is not a number"),
        ("t,speed_mps\n0.0,fast\n0.1,2\n", r"column 'speed_mps': row 0: 'fast' is not a number"),
        ("", r"drive\.csv: empty file"),
        ("t,speed_mps\n", r"drive\.csv: no rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_the_reason(folder, content, message):
    (folder / "drive.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        Recordings(folder).open("drive")


def test_a_line_of_nul_bytes_or_a_short_one_ends_the_table_and_is_told(folder):
    write_csv(folder / "drive.csv", **table())
    lines = (folder / "drive.csv").read_text().splitlines()
    lines[21] = "\0" * 40
    (folder / "drive.csv").write_text("\n".join(lines))
    recording = Recordings(folder).open("drive")
    assert len(recording) == 20
    assert any("drive.csv: line 22: NUL bytes" in p for p in recording.problems)
    assert any("40 frames but 20 table rows" in p for p in recording.problems)
    lines[21] = "20,2.0"
    (folder / "drive.csv").write_text("\n".join(lines))
    assert any("line 22: 2 of 5 fields" in p for p in Recordings(folder).open("drive").problems)


def test_nan_motion_is_unknown_and_wild_motion_is_told(folder):
    speed = np.full(COUNT, 8.0)
    speed[3:6], speed[9], speed[10] = np.nan, 400.0, np.inf
    pq.write_table(pa.table(table(speed_mps=speed)), folder / "drive.parquet")
    recording = Recordings(folder).open("drive")
    assert np.flatnonzero(np.isnan(recording.motion.speed_mps)).tolist() == [3, 4, 5, 9, 10]
    assert recording.problems == [f"{folder}/drive.parquet: 2 rows with an impossible speed_mps, first 9; set unknown"]


def test_more_rows_than_frames_and_broken_files_are_named(folder):
    write_csv(folder / "drive.csv", t=np.arange(COUNT + 5) * 0.1)
    recording = Recordings(folder).open("drive")
    assert len(recording) == COUNT
    assert "40 frames but 45 table rows" in recording.problems[0]
    (folder / "drive.json").write_text("{not json")
    with pytest.raises(ValueError, match=r"drive\.json: not readable as JSON"):
        Recordings(folder).open("drive")
    (folder / "drive.json").write_text('{"camera": {"hfov_deg": "wide"}}')
    with pytest.raises(ValueError, match=r"drive\.mp4: its profile \(or \.json\) has an unusable camera"):
        Recordings(folder).open("drive")
    (folder / "drive.json").unlink()
    (folder / "drive.csv").unlink()
    (folder / "drive.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"drive\.parquet: not a readable parquet"):
        Recordings(folder).open("drive")
    with pytest.raises(ValueError, match=r"no \*\.mp4 file"):
        Recordings(folder / "nowhere").drives()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_mutated_table_ends_in_data_or_a_named_error(data):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_video(folder / "drive.mp4", 12)
        kind = data.draw(st.sampled_from(["csv", "parquet", "json"]))
        path = folder / f"drive.{kind}"
        small = {n: column[:12] for n, column in table(steering=np.zeros(COUNT)).items()}
        if kind == "csv":
            write_csv(path, **small)
        elif kind == "parquet":
            pq.write_table(pa.table(small), path)
        else:
            path.write_text(json.dumps({"camera": {"hfov_deg": 60, "horizon": 0.4}, "tags": {"weather": "rain"}}))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, max(0, len(content) - 1)))
            cut = data.draw(st.integers(0, 6))
            content[at : at + cut] = data.draw(
                st.binary(max_size=6) | st.sampled_from([b"nan", b"-", b",", b"\n", b"\0"])
            )
        path.write_bytes(bytes(content))
        try:
            recording = Recordings(folder).open("drive")
        except ValueError as error:
            assert "drive." in str(error), "an error names its file"  # noqa: PT017
        else:
            count = len(recording)
            assert 0 < count <= 12
            assert np.isfinite(recording.t_s).all()
            shapes = {recording.motion.shape, recording.breaks.shape, recording.usable.shape, recording.tags.shape}
            assert shapes == {(count,)}
            recording.motion.validate()
            recording.camera.validate()
