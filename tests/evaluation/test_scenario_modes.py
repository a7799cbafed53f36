"""``mode=replay`` and ``mode=whatif`` on a model of random weights: what lands on disk, and what it is worth."""

import dataclasses
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.tiny import tiny_model
from worldmodel.datasets.video import FrameSequence
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.evaluation import replay, whatif
from worldmodel.evaluation.comparing import Compared, horizon_rows
from worldmodel.evaluation.judging import judge, path_of, travelled_m
from worldmodel.evaluation.replay import ReplayConfig
from worldmodel.evaluation.whatif import WhatIfConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.branching import BranchDrive
from worldmodel.simulation.courses import Course
from worldmodel.simulation.documents import CONF_DIR
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.scenario import ScenarioFile
from worldmodel.simulation.session import Session
from worldmodel.simulation.staging import stage
from worldmodel.types import EgoMotion

SCENARIO = """\
name: {name}
context:
  reference: {{seed: 7, road_kind: country, traffic: light, lanes: 1}}
  length_s: 0.4
length_s: {length_s}
events: [{{kind: hard_brake, t_s: 0.2}}]
"""
TAGS = "context: {tags: {weather: rain}}\nlength_s: 1.0\n"


@pytest.fixture(scope="module")
def opened():
    model = tiny_model()
    return Session(model, sampler=SamplerConfig(2)), {"world": "learned", "components": model.hashes(), "device": "cpu"}


def write(folder, name="braking", *, length_s=1.2, text=SCENARIO):
    path = folder / f"{name}.yaml"
    path.write_text(text if text == TAGS else text.format(name=name, length_s=length_s))
    return str(path)


@pytest.fixture(scope="module")
def replayed(opened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("replayed")
    config = ReplayConfig(scenario=write(folder), out=str(folder / "out"), samples=2)
    return replay.run(config, opened=opened)


def test_a_replay_lands_whole(replayed):
    names = {path.name for path in replayed.iterdir()}
    assert names == {
        "replay.mp4", "errors.parquet", "errors.csv", "errors.png", "sheet.png", "summary.json", "provenance.json",
        "recorded", "sample_00", "sample_01",
    }  # fmt: skip
    recorded, sample = load_drive(replayed / "recorded"), load_drive(replayed / "sample_01")
    assert len(recorded) == len(sample) == 13
    assert {"gap_m", "collision", "lane_offset_m"} <= set(recorded.info)
    np.testing.assert_array_equal(recorded.motion.speed_mps, sample.motion.speed_mps)
    film = FrameSequence(replayed / "replay.mp4")
    assert film.shape == (13, 236, 3 * 384, 3)
    about = json.loads((replayed / "provenance.json").read_text())
    assert about["complete"]
    assert about["components"].keys() == {"tokenizer", "dynamics"}
    summary = json.loads((replayed / "summary.json").read_text())
    assert {"ssim_1s", "still_ssim_1s", "path_error_1s_m", "looks_part_s"} <= set(summary)


def test_errors_are_a_row_per_frame_and_sample(replayed):
    table = pq.read_table(replayed / "errors.parquet")
    assert table.num_rows == 2 * 13
    still = table["still_ssim"].to_numpy()
    assert still[0] == pytest.approx(1.0)
    assert still[12] < still[1] < 1.0, "a still frame is less and less like the recording"
    assert np.isfinite(table["ssim"].to_numpy()).all()


def test_the_same_scenario_seed_batch_and_device_give_the_same_frames(opened, replayed, tmp_path):
    again = replay.run(ReplayConfig(scenario=write(tmp_path), out=str(tmp_path / "out"), samples=2), opened=opened)
    for row in ("sample_00", "sample_01", "recorded"):
        np.testing.assert_array_equal(load_drive(again / row).frames[:], load_drive(replayed / row).frames[:])
    other = replay.run(
        ReplayConfig(scenario=write(tmp_path), out=str(tmp_path / "other"), samples=2, seed=1, read=False),
        opened=opened,
    )
    first = load_drive(other / "sample_00").frames[:], load_drive(replayed / "sample_00").frames[:]
    assert not np.array_equal(*first)


def test_a_recording_replayed_by_itself_never_parts(opened, tmp_path):
    scenario = ScenarioFile.load(write(tmp_path, length_s=2.0))
    staged = stage(scenario, opened[0].camera, dt_s=0.1)
    frames = staged.seen[:, None]
    drive = BranchDrive(None, frames, np.arange(21) * 0.1, None, {}, 20)
    errors = replay.Errors.of(staged, drive, read=False)
    assert errors.ssim == pytest.approx(1.0)
    assert errors.looks_part_s() == np.inf
    held = replay.Errors.of(staged, dataclasses.replace(drive, frames=frames[:1].repeat(21, 0)), read=False)
    np.testing.assert_allclose(held.ssim[:, 0], held.still_ssim)
    assert held.looks_part_s() < 1.5


def test_the_judge_reads_the_true_way_of_true_frames(tmp_path):
    """At a size it can read: the floor of every path error in a report."""
    path = tmp_path / "bend.yaml"
    path.write_text("context: {reference: {seed: 36, traffic: none}, length_s: 0.2}\nlength_s: 2\n")
    staged = stage(ScenarioFile.load(path), canonical_camera(64, 128, height_m=1.4), dt_s=0.1)
    t_s = np.arange(21) * 0.1
    told = EgoMotion(np.append(staged.motion.speed_mps, np.nan), np.append(staged.motion.yaw_rate_radps, np.nan))
    verdict, told = judge(staged.seen, t_s, staged.camera), path_of(told, t_s)
    assert verdict.read_share > 0.9
    assert np.hypot(*(verdict.path - told)[-1, :2]) < 0.05 * travelled_m(told)[-1] + 0.5


@pytest.mark.parametrize("name", ["car_kitti_odo03", "sim_bsh_lake"])
def test_a_real_recording_is_replayed(opened, tmp_path, name):
    folder = os.environ.get("WORLDMODEL_RECORDINGS")
    if not folder:
        pytest.skip("set WORLDMODEL_RECORDINGS to the folder that holds recordings/ and native/ to run this")
    video, profiles = Path(folder) / "recordings" / f"{name}.mp4", CONF_DIR.parent / "data/recordings/profiles.json"
    path = tmp_path / "real.yaml"
    path.write_text(f"context: {{recording: {video}, cameras: {profiles}, t_s: 12, length_s: 0.5}}\nlength_s: 1\n")
    config = ReplayConfig(scenario=str(path), out=str(tmp_path / "out"), samples=1, read=False)
    out = replay.run(config, opened=opened)
    recorded = load_drive(out / "recorded")
    assert recorded.motion.is_known[:-1].all()
    assert recorded.camera.height_m in (1.65, 0.97)
    table = pq.read_table(out / "errors.parquet")
    still = table["still_ssim"].to_numpy()
    assert still[0] == pytest.approx(1.0)
    assert still[-1] < 0.95, "the recording moves on"


@pytest.fixture(scope="module")
def branched(opened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("branched")
    config = WhatIfConfig(
        scenario=write(folder, length_s=2.0),
        out=str(folder / "out"),
        samples=2,
        edits="brake decel_mps2=5 from_s=0.3 for_s=1.5; policy policy=constant from_s=1",
    )
    return whatif.run(config, opened=opened)


def test_a_what_if_lands_whole(branched):
    names = sorted(path.name for path in (branched / "branches").iterdir())
    assert names == ["00_unedited", "01_brake_5_m_s2_at_0_3_s_for_1_5_s", "02_constant_from_1_s"]
    for name in names:
        drives = {path.name for path in (branched / "branches" / name).iterdir()}
        assert drives == {"sample_00", "sample_01", "true"}
    assert FrameSequence(branched / "branches.mp4").shape == (21, 2 * 236, 3 * 384, 3)
    report = (branched / "report.md").read_text()
    assert "its gap\non true frames is the floor" in report
    assert "parts at 0.3 s" in report


def test_braking_widens_the_true_gap_and_both_worlds_were_told_the_same(branched):
    drives = {
        (name, side): load_drive(branched / "branches" / name / side)
        for name in ("00_unedited", "01_brake_5_m_s2_at_0_3_s_for_1_5_s")
        for side in ("sample_00", "true")
    }
    unedited, braked = (drives[name, "true"] for name in ("00_unedited", "01_brake_5_m_s2_at_0_3_s_for_1_5_s"))
    assert braked.info["gap_m"][-1] > unedited.info["gap_m"][-1] + 1.5
    for name in ("00_unedited", "01_brake_5_m_s2_at_0_3_s_for_1_5_s"):
        told, true = drives[name, "sample_00"].motion, drives[name, "true"].motion
        np.testing.assert_array_equal(told.speed_mps, true.speed_mps)
    table = pq.read_table(branched / "table.parquet").to_pylist()
    row = next(row for row in table if row["branch"].startswith("brake") and row["t_s"] == 2.0)
    assert row["gap_true_m"] - row["unedited_gap_true_m"] == pytest.approx(
        braked.info["gap_m"][-1] - unedited.info["gap_m"][-1]
    )
    assert (
        row["travel_told_m"] < next(r for r in table if r["branch"] == "unedited" and r["t_s"] == 2.0)["travel_told_m"]
    )
    assert row["collision_read"] in (True, False), "the judge was asked"


def test_a_gap_that_a_judge_can_read_stands_beside_the_true_one():
    t_s, steady = np.arange(11) * 0.1, EgoMotion(np.full((11, 1), 9.0), np.zeros((11, 1)))
    frames = np.zeros((11, 1, 32, 64, 3), dtype=np.uint8)
    info = {"gap_m": np.linspace(20, 10, 11)[:, None], "collision": np.zeros((11, 1), dtype=bool)}

    def branch(name, gap_m):
        drive = BranchDrive(Course(name, steady[:10, 0], 10), frames, t_s, steady, info, 10)
        verdict = judge(frames[:, 0], t_s, canonical_camera(32, 64))
        hits, gaps = np.arange(11) == 5, np.full(11, gap_m)
        gaps[[8, 10]] = np.nan, 99.0  # one frame in which nobody is seen, and one in which somebody else is
        read = dataclasses.replace(verdict, gap_m=gaps, collision=hits)
        return Compared(drive, drive, [read], verdict, np.ones((11, 1)))

    (_, row) = horizon_rows([branch("unedited", 11.0), branch("brake", 14.0)])
    assert (row["gap_true_m"], row["gap_read_m"], row["unedited_gap_read_m"]) == (10.0, 14.0, 11.0)
    assert (row["collision_true"], row["collision_read"]) == (False, True)


def test_every_frame_of_a_branch_has_what_was_read_and_what_is_true(branched):
    rows = [row for row in pq.read_table(branched / "frames.parquet").to_pylist() if row["branch"] == "unedited"]
    true, drive = [row for row in rows if row["world"] == "true"], load_drive(branched / "branches/00_unedited/true")
    np.testing.assert_array_equal([row["gap_m"] for row in true], drive.info["gap_m"])
    assert all(row["read_collision"] in (0.0, 1.0) for row in rows), "the judge was asked of every frame"
    assert len(rows) == 3 * 21


def test_viewers_get_what_was_read_beside_the_frames(opened, tmp_path):
    reader = pytest.importorskip("mcap.reader")
    options = {"samples": 1, "views": "mcap", "edits": "brake decel_mps2=5 from_s=0.3 for_s=1"}
    out = whatif.run(WhatIfConfig(scenario=write(tmp_path), out=str(tmp_path / "out"), **options), opened=opened)
    rows = pq.read_table(out / "frames.parquet").to_pylist()
    for branch, folder in (("unedited", "00_unedited"), (rows[-1]["branch"], "01_brake_5_m_s2_at_0_3_s_for_1_s")):
        read = {}
        with (out / "branches" / folder / "branch.mcap").open("rb") as file:
            for _, channel, message in reader.make_reader(file).iter_messages():
                read.setdefault(channel.topic, []).append((message.log_time / 1e9, json.loads(message.data)))
        assert len(read["/camera/learned"]) == len(read["/camera/true"]) == 13
        for topic, world, column in (
            ("/read/learned/collision", "learned", "read_collision"),
            ("/true/gap_m", "true", "gap_m"),
        ):
            told = [(row["t_s"], row[column]) for row in rows if (row["branch"], row["world"]) == (branch, world)]
            shown = [(time_s, message["value"]) for time_s, message in read[topic]]
            np.testing.assert_allclose(shown, told, atol=1e-6)


def test_films_and_tables_open_without_this_package(replayed):
    film = cv2.VideoCapture(str(replayed / "replay.mp4"))
    seen = [film.read() for _ in range(14)]
    assert [done for done, _ in seen] == [True] * 13 + [False]
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    ours = FrameSequence(replayed / "replay.mp4")[12].astype(int)
    assert np.abs(seen[12][1][..., ::-1] - ours).mean() < 3
    table = pq.read_table(replayed / "sample_00/drive.parquet")
    np.testing.assert_allclose(table["t_s"].to_numpy(), np.arange(13) * 0.1)
    np.testing.assert_array_equal(table["speed_mps"].to_numpy(), load_drive(replayed / "recorded").motion.speed_mps)


def test_branches_of_the_learned_world_share_frames_until_they_part(branched):
    unedited, braked = (
        load_drive(branched / "branches" / name / "sample_00").frames[:]
        for name in ("00_unedited", "01_brake_5_m_s2_at_0_3_s_for_1_5_s")
    )
    np.testing.assert_array_equal(unedited[:4], braked[:4])
    assert not np.array_equal(unedited[-1], braked[-1])


def test_tags_alone_branch_from_a_profile_but_cannot_be_replayed(opened, tmp_path):
    path = write(tmp_path, "tags", text=TAGS)
    with pytest.raises(ValueError, match="tags: a context of tags alone has no recording to be replayed"):
        replay.run(ReplayConfig(scenario=path, out=str(tmp_path / "replay")), opened=opened)
    config = WhatIfConfig(scenario=path, out=str(tmp_path / "whatif"), edits="speed factor=0.8", read=False)
    folder = whatif.run(config, opened=opened)
    slower = load_drive(folder / "branches/01_20_speed_from_0_s/sample_00")
    assert slower.motion.speed_mps[9] < 13
    assert not (folder / "branches/00_unedited/true").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"edits": "policy policy=oracle-keeper from_s=0.5"},
            "'oracle-keeper' sees the truth, which only the reference",
        ),
        ({"edits": "brake decel_mps2=3 for_s=1 from_s=5"}, r"edits\[0\]\.from_s: 5 s is after the end, at 1\.2 s"),
        ({"edits": "speed factor=9"}, r"edits\[0\]\.factor: beyond the vehicle's limits"),
        ({"edits": "usuall"}, "'usuall' is not in conf/edits; did you mean 'usual'"),
        ({"policy": "keeper"}, "no policy is called 'keeper'; did you mean 'lane-keeper'"),
    ],
)
def test_a_mistake_writes_nothing(opened, tmp_path, options, message):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=message):
        whatif.run(WhatIfConfig(scenario=write(tmp_path), out=str(out), **options), opened=opened)
    assert [path.name for path in tmp_path.iterdir()] == ["braking.yaml"]


def test_bad_settings_are_named():
    for options, message in (
        ({"samples": 0}, "samples: expected a number from 1, got 0"),
        ({"seed": -1}, "seed: expected a number from 0, got -1"),
        ({"views": "rdr"}, "views: 'rdr' is not one of rrd, mcap"),
    ):
        with pytest.raises(ValueError, match=message):
            ReplayConfig(**options)


@pytest.fixture
def library(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a", "b"):
        write(folder, name, length_s=0.6)
    return folder


def run_library(library, opened, **options):
    config = ReplayConfig(scenario=str(library), out=str(library.parent / "out"), samples=1, read=False, **options)
    return replay.run(config, opened=opened)


def test_a_folder_goes_on_where_it_was_and_ends_in_a_table(opened, library):
    out = run_library(library, opened)
    stamps = {name: (out / name / "provenance.json").stat().st_mtime_ns for name in ("a", "b")}
    assert pq.read_table(out / "summary.parquet").num_rows == 2
    assert (out / "summary.md").read_text().count("\n| ") == 3
    write(library, "c", length_s=0.6)
    write(library, "b", length_s=0.7)
    run_library(library, opened)
    again = {name: (out / name / "provenance.json").stat().st_mtime_ns for name in ("a", "b", "c")}
    assert again["a"] == stamps["a"], "what is there is not made again"
    assert again["b"] != stamps["b"], "a scenario that has changed is"
    assert [row["scenario"] for row in pq.read_table(out / "summary.parquet").to_pylist()] == ["a", "b", "c"]


def test_results_of_another_model_are_said_to_be_so(opened, library):
    out = run_library(library, opened)
    world, about = opened
    other = world, {**about, "components": {**about["components"], "dynamics": "0123456789abcdef"}}
    message = r"2 of 2 scenarios there were made by another model \(dynamics \w{8}, now 01234567\)"
    with pytest.raises(ValueError, match=message):
        run_library(library, other)
    run_library(library, other, overwrite=True)
    assert json.loads((out / "a/provenance.json").read_text())["components"]["dynamics"] == "0123456789abcdef"


def test_one_scenario_that_fails_does_not_stop_the_others_and_is_told(opened, library):
    (library / "aa.yaml").write_text(TAGS)
    with pytest.raises(ValueError, match="1 of 3 scenarios failed; the first: aa: a context of tags alone"):
        run_library(library, opened)
    text = (library.parent / "out/summary.md").read_text()
    assert "Failed:\n\n- aa: aa: a context of tags alone" in text
    assert "| b |" in text


def test_a_wrong_file_in_a_folder_is_found_before_anything_is_run(opened, library):
    (library / "z.yaml").write_text("length_s: 3\n")
    with pytest.raises(ValueError, match=r"z\.yaml:1: context is missing"):
        run_library(library, opened)
    assert not (library.parent / "out").exists()
