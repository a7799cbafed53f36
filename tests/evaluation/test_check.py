"""A drive against what it was told: true video passes, and each fault shows in the score that is for it."""

import dataclasses
import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from worldmodel.evaluation.check import check_drive, table
from worldmodel.evaluation.control import own_drive, same_motion
from worldmodel.evaluation.reading import DriveReading, read_drive
from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.lanes import LaneFit
from worldmodel.simulation.recorder import DriveRecorder
from worldmodel.types import EgoMotion

CAMERA = canonical_camera(64, 128, height_m=1.4)
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "check_drive.py"
T_S = np.arange(401) / 10
TOLD = EgoMotion(np.append(np.full(400, 12.0), np.nan), np.append(0.1 * np.sign(np.sin(np.arange(400) / 30)), np.nan))


def reading_of(motion):
    count = motion.shape[0]
    rows = {field.name: np.zeros(count) for field in dataclasses.fields(LaneFit)}
    lanes = LaneFit(**rows | {"fitted": np.ones(count, bool)})
    return DriveReading(motion, np.full(count, 0.9), lanes, np.full(count, 9.0), np.full(count, 40.0))


@pytest.fixture(scope="module")
def turning():
    count = 12
    told = EgoMotion(np.append(np.full(count - 1, 12.0), np.nan), np.append(np.full(count - 1, 0.12), np.nan))
    return same_motion(CAMERA, told, np.arange(count) / 10)


def test_a_perfect_reading_scores_perfect():
    scores = check_drive(TOLD, reading_of(TOLD), T_S)
    assert scores["turning"]["share"] == scores["turning"]["half_share"] == 1
    assert scores["yaw"]["error_radps"] == scores["speed"]["error_mps"] == 0
    assert scores["yaw"]["gain"] == pytest.approx(1)
    assert scores["path"]["30"]["fde_m"] == pytest.approx(0, abs=1e-9)
    assert scores["lanes"]["fitted_share"] == 1
    assert 0.3 < scores["shuffled"]["turning"]["share"] < 0.7
    assert [window["from_s"] for window in scores["windows"]] == [0, 10, 20, 30, 40]
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_motion_that_is_ignored_or_mirrored_or_faint_is_seen():
    zero = EgoMotion(TOLD.speed_mps, 0 * TOLD.yaw_rate_radps)
    assert check_drive(TOLD, reading_of(zero), T_S)["turning"]["share"] == 0
    mirrored = EgoMotion(TOLD.speed_mps, -TOLD.yaw_rate_radps)
    assert check_drive(TOLD, reading_of(mirrored), T_S)["yaw"]["gain"] == pytest.approx(-1)
    faint = check_drive(TOLD, reading_of(EgoMotion(TOLD.speed_mps, 0.05 * TOLD.yaw_rate_radps)), T_S)
    assert faint["turning"]["share"] == 1
    assert faint["turning"]["half_share"] == 0


def test_what_was_not_read_is_counted_and_no_path_is_made_of_it():
    speed = np.where(np.arange(401) % 2 == 0, TOLD.speed_mps, np.nan)
    scores = check_drive(TOLD, reading_of(EgoMotion(speed, TOLD.yaw_rate_radps)), T_S)
    assert scores["speed"]["read_share"] == pytest.approx(0.5)
    assert scores["path"] == {}


def test_nothing_read_at_all_is_said_plainly():
    scores = check_drive(TOLD, reading_of(EgoMotion.unknown((401,))), T_S)
    assert scores["speed"]["error_mps"] is None
    assert scores["turning"]["share"] == 0
    assert "-" in table({"drive": scores})


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="told"):
        check_drive(TOLD[:5], reading_of(TOLD), T_S)


def test_the_reference_world_does_what_it_is_told(turning):
    scores = check_drive(turning.motion, read_drive(turning), turning.t_s)
    assert scores["turning"]["half_share"] == 1
    assert scores["speed"]["error_mps"] < 0.6
    assert scores["yaw"]["error_radps"] < 0.02


def test_a_stretch_at_a_time_reads_what_the_whole_reads(turning, monkeypatch):
    whole = read_drive(turning)
    monkeypatch.setattr("worldmodel.evaluation.reading._STRETCH", 5)
    parts = read_drive(turning)
    assert np.isfinite(parts.motion.speed_mps[:-1]).all()
    np.testing.assert_array_equal(parts.lanes.fitted, whole.lanes.fitted)
    np.testing.assert_allclose(parts.motion.speed_mps, whole.motion.speed_mps, atol=0.5)


def test_a_control_drives_itself():
    drive = own_drive(CAMERA, 3, seed=1).validate()
    assert len(drive) == 3
    assert drive.tags[0].names()["weather"] == "clear"
    with pytest.raises(ValueError, match="told"):
        same_motion(CAMERA, TOLD, T_S[:3])


def test_the_command_reads_a_recorded_drive(turning, tmp_path, monkeypatch, capsys):
    with DriveRecorder(tmp_path / "drive", camera=CAMERA, dt_s=0.1, provenance={}) as recorder:
        for i, frame in enumerate(turning.frames):
            recorder.write(
                frame, t_s=float(turning.t_s[i]), motion=turning.motion[i], controls=None, tags=turning.tags[i], info={}
            )
        recorder.finish()
    out = tmp_path / "check.json"
    command = ["check_drive.py", str(tmp_path / "drive"), "--seconds", "0.6", "--json", str(out)]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(BENCHMARK), run_name="__main__")
    assert "with the right sign" in capsys.readouterr().out
    assert json.loads(out.read_text())["drive"]["seconds"] == pytest.approx(0.6)


def test_a_folder_without_a_drive_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["check_drive.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="no drive is there"):
        runpy.run_path(str(BENCHMARK), run_name="__main__")
