"""Drives on disk: written while they happen, read back, and readable after a kill at any moment."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.outputs import landing, partial_of
from worldmodel.simulation.recorder import DriveRecorder
from worldmodel.types import Controls, EgoMotion, Tags

CAMERA = canonical_camera(32, 64, height_m=1.2)
RAIN = Tags.named(weather="rain", time_of_day="night", caption="a wet night")


def record(recorder, count, *, first=0, info=None, controls=True):
    for i in range(first, first + count):
        recorder.write(
            np.full((32, 64, 3), (i * 5) % 256, dtype=np.uint8),
            t_s=i * 0.1,
            motion=EgoMotion(float(i), 0.01 * i if i % 3 else np.nan),
            controls=Controls(1.0, -0.01) if controls else None,
            tags=RAIN,
            info={"off_road": i > 3, "gap_m": 2.5 * i, "lane": i % 2, "ego_pose": np.arange(3.0) + i}
            if info is None
            else info,
        )


def test_a_finished_drive_reads_back(tmp_path):
    with DriveRecorder(tmp_path / "d", camera=CAMERA, dt_s=0.1, provenance={"seed": 7}) as recorder:
        record(recorder, 25)
        recorder.finish({"wall_s": 1.5})
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["drive.mp4", "drive.parquet", "provenance.json"]
    drive = load_drive(tmp_path / "d")
    assert len(drive) == 25
    np.testing.assert_allclose(drive.t_s, np.arange(25) * 0.1)
    assert abs(int(drive.frames[20].mean()) - 100) <= 2
    np.testing.assert_array_equal(drive.motion.speed_mps, np.arange(25.0))
    assert np.isnan(drive.motion.yaw_rate_radps[[0, 3, 24]]).all()
    np.testing.assert_array_equal(drive.controls.curvature_1pm, np.full(25, -0.01))
    assert drive.tags[3].names() == RAIN.names()
    assert drive.tags.caption == "a wet night"
    assert {name: column.dtype.kind for name, column in drive.info.items()} == {
        "off_road": "b",
        "gap_m": "f",
        "lane": "i",
        "ego_pose": "f",
    }
    np.testing.assert_array_equal(drive.info["ego_pose"][2], [2.0, 3.0, 4.0])
    assert drive.camera == CAMERA
    assert drive.provenance == {"seed": 7, "wall_s": 1.5, "complete": True}
    assert pq.read_table(tmp_path / "d/drive.parquet").num_rows == 25


def test_many_rows_are_converted_group_by_group(tmp_path, monkeypatch):
    monkeypatch.setattr("worldmodel.simulation.recorder._ROWS_PER_GROUP", 10)
    with DriveRecorder(tmp_path, camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
        record(recorder, 25)
        recorder.finish()
    assert pq.ParquetFile(tmp_path / "drive.parquet").num_row_groups == 3
    assert len(load_drive(tmp_path)) == 25


def test_a_drive_with_given_motion_has_no_controls(tmp_path):
    with DriveRecorder(tmp_path, camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
        record(recorder, 3, controls=False, info={})
        recorder.finish()
    assert load_drive(tmp_path).controls is None
    assert load_drive(tmp_path).info == {}


def test_an_exception_leaves_an_incomplete_playable_drive(tmp_path):
    def break_off():
        with DriveRecorder(tmp_path, camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
            record(recorder, 12)
            raise RuntimeError("the world broke")

    with pytest.raises(RuntimeError):
        break_off()
    drive = load_drive(tmp_path)
    assert len(drive) == 12
    assert drive.provenance["complete"] is False


def test_a_torn_last_line_is_left_out(tmp_path):
    with DriveRecorder(tmp_path, camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
        record(recorder, 5)
    rows = tmp_path / "rows.jsonl"
    with rows.open("a") as file:
        file.write('{"t_s": 0.5, "spe')
    assert len(load_drive(tmp_path)) == 5


def test_columns_must_stay_the_same(tmp_path):
    with DriveRecorder(tmp_path, camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
        record(recorder, 1)
        with pytest.raises(ValueError, match=r"frame 1: columns \['info.ego_pose', 'info.gap_m', .*not in every row"):
            record(recorder, 1, first=1, info={})


def test_no_drive_there_is_a_clear_error(tmp_path):
    with pytest.raises(ValueError, match=r"no drive is there \(drive.mp4 is missing\)"):
        load_drive(tmp_path)


WRITER = """
    import sys
    import numpy as np
    from test_recorder import CAMERA, record
    from worldmodel.simulation.recorder import DriveRecorder
    recorder = DriveRecorder(sys.argv[1], camera=CAMERA, dt_s=0.1, provenance={"seed": 1})
    for i in range(100_000):
        record(recorder, 1, first=i)
        print(recorder.count, flush=True)
"""


@pytest.mark.parametrize("frames", [2, 15, 61])
def test_a_killed_drive_plays_up_to_its_last_frames(tmp_path, frames):
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        while int(process.stdout.readline()) < frames:
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    with av.open(str(tmp_path / "drive.mp4")) as container:
        played = sum(1 for _ in container.decode(video=0))
    assert played >= frames - 1
    drive = load_drive(tmp_path)
    assert len(drive) == played
    np.testing.assert_array_equal(drive.motion.speed_mps, np.arange(float(played)))
    assert abs(int(drive.frames[played - 1].mean()) - (played - 1) * 5 % 256) <= 3
    assert json.loads((tmp_path / "provenance.json").read_text()) == {"seed": 1, "complete": False}


def test_landing_renames_when_the_block_ends_well(tmp_path):
    with landing(str(tmp_path / "a"), default="") as (partial, final):
        (partial / "provenance.json").write_text("{}")
        assert partial == tmp_path / "a.partial"
        assert not final.exists()
    assert (tmp_path / "a/provenance.json").is_file()
    assert not partial.exists()


def test_landing_never_destroys_an_older_complete_run(tmp_path):
    old = tmp_path / "a"
    old.mkdir()
    (old / "provenance.json").write_text("old")
    with pytest.raises(ValueError, match=r"holds a complete run.*overwrite=true"), landing(str(old), default=""):
        pass
    with pytest.raises(RuntimeError), landing(str(old), default="", overwrite=True) as (partial, _):
        raise RuntimeError
    assert (old / "provenance.json").read_text() == "old"
    with landing(str(old), default="", overwrite=True) as (partial, _):
        (partial / "provenance.json").write_text("new")
    assert (old / "provenance.json").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a"]


def test_landing_refuses_a_folder_no_run_has_written(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    for overwrite in (False, True):
        with (
            pytest.raises(ValueError, match="no run has written it"),
            landing(str(tmp_path), default="", overwrite=overwrite),
        ):
            pass
    assert (tmp_path / "precious.txt").is_file()


def test_unnamed_runs_are_numbered_past_complete_and_interrupted_ones(tmp_path):
    default = str(tmp_path / "drive")
    with landing("", default=default) as (_, first):
        pass
    partial_of(tmp_path / "drive_2").mkdir()
    with landing("", default=default) as (_, third):
        pass
    assert [first.name, third.name] == ["drive", "drive_3"]
    assert partial_of(tmp_path / "drive_2").is_dir()


def test_a_run_that_fails_before_it_wrote_anything_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), landing("", default=str(tmp_path / "drive")):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_ctrl_c_says_where_the_finished_part_lies(tmp_path):
    def interrupt(name, *, write):
        with landing(str(tmp_path / name), default="") as (partial, _):
            if write:
                (partial / "drive.mp4").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"what was finished is in .*a\.partial"):
        interrupt("a", write=True)
    with pytest.raises(KeyboardInterrupt, match="nothing was finished yet"):
        interrupt("b", write=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.partial"]
