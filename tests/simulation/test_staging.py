"""Scenarios on stage: contexts, what was really seen, and the true world taken up again."""

import numpy as np
import pytest

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeInfo, EpisodeWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.branching import drive_branches
from worldmodel.simulation.courses import lay_out
from worldmodel.simulation.edits import open_edits
from worldmodel.simulation.env import DriveEnv
from worldmodel.simulation.scenario import ScenarioFile
from worldmodel.simulation.staging import stage
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags

CAMERA = canonical_camera(32, 64, height_m=1.4)
BRAKING = """\
context:
  reference: {seed: 7, road_kind: country, traffic: light, lanes: 1}
  length_s: 0.8
length_s: 3
tags: {weather: rain}
events: [{kind: hard_brake, t_s: 0.5}]
"""


def load(folder, text):
    path = folder / "scenario.yaml"
    path.write_text(text)
    return ScenarioFile.load(path)


@pytest.fixture(scope="module")
def braking(tmp_path_factory):
    scenario = load(tmp_path_factory.mktemp("braking"), BRAKING)
    return stage(scenario, CAMERA, dt_s=0.1, further_s=2.0)


def test_a_reference_scenario_is_driven_first(braking):
    assert isinstance(braking.context, Clip)
    braking.context.validate()
    assert len(braking.context) == 8
    assert braking.motion.shape == (50,)
    assert braking.seen.shape == (31, 32, 64, 3)
    assert braking.motion.is_known.all()
    np.testing.assert_array_equal(braking.seen[0], braking.context.frames[-1])
    np.testing.assert_allclose(braking.truth["speed_mps"][1:], braking.motion.speed_mps[:30], atol=0.5)
    event = braking.truth["event"] == VOCABULARY["event"].index("hard_brake")
    assert not event[:5].any()
    assert event[6:].all()


def test_tags_of_the_scenario_change_the_world_when_the_drive_begins(braking):
    assert braking.context.tags[-1].names()["weather"] == "clear"
    assert {braking.tags[0].names()["weather"]} == {"rain"}
    change = np.abs(np.diff(braking.seen.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert change[0] > 1.5 * change[1:5].max()


def test_the_unedited_branch_of_the_true_world_is_what_was_seen_to_the_bit(braking):
    fork = braking.fork
    fork.world.restore(fork.snapshot)
    courses = lay_out((), braking.motion, 30, 0.1)
    (again,) = drive_branches(fork.world, fork.carry, courses, steps=30, tags=fork.tags)
    np.testing.assert_array_equal(again.frames[:, 0], braking.seen)
    for name, column in braking.truth.items():
        np.testing.assert_array_equal(again.info[name][:, 0], column, err_msg=name)


def test_braking_earlier_leaves_a_larger_gap_in_the_true_world(braking):
    fork = braking.fork
    fork.world.restore(fork.snapshot)
    courses = lay_out(open_edits("brake decel_mps2=5 from_s=0.2 for_s=2").branches, braking.motion, 30, 0.1)
    unedited, braked = drive_branches(fork.world, fork.carry, courses, steps=30, tags=fork.tags)
    gap = braked.info["gap_m"][:, 0] - unedited.info["gap_m"][:, 0]
    assert abs(gap[2]) < 1e-9
    assert (np.diff(gap[3:20]) > 0).all()
    assert gap[20] > 3.0


def test_settling_and_further_motion_are_not_drawn_and_change_nothing(tmp_path, braking):
    settled = load(tmp_path, BRAKING.replace("lanes: 1}", "lanes: 1, settle_s: 0.4}").replace("8\n", "4\n", 1))
    later = stage(settled, CAMERA, dt_s=0.1)
    np.testing.assert_array_equal(later.context.frames, braking.context.frames[-4:])
    np.testing.assert_array_equal(later.seen, braking.seen)
    np.testing.assert_array_equal(later.motion.speed_mps, braking.motion.speed_mps[:30])


def test_an_environment_starts_from_a_scenario_file(braking, fake_world):
    env = DriveEnv(fake_world)
    scenario = braking.as_scenario()
    assert scenario.events == ({"kind": "hard_brake", "t_s": 0.5},)
    env.reset(options={"scenario": scenario})
    rows = [env.step(np.zeros(2, dtype=np.float32)) for _ in range(30)]
    assert [row[3] for row in rows] == [False] * 29 + [True], "as long as the file says"
    assert rows[0][4]["speed_mps"] == pytest.approx(braking.context.motion.speed_mps[-2], abs=0.5)


def test_tags_alone_have_no_recording(tmp_path):
    staged = stage(load(tmp_path, "context: {tags: {weather: snow}}\nlength_s: 2\n"), CAMERA, dt_s=0.1)
    assert isinstance(staged.context, Tags)
    assert (staged.motion, staged.seen, staged.fork) == (None, None, None)
    assert staged.tags.shape == (21,)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An episode at 80 ms whose row t has shade 4 t and moves at t m/s."""
    root = tmp_path_factory.mktemp("prepared")
    camera, writer = canonical_camera(64, 128, height_m=1.2), EpisodeWriter(root)
    frames = [np.full((64, 128, 3), 4 * row, dtype=np.uint8) for row in range(60)]
    motion = EgoMotion(np.arange(60, dtype=float), np.zeros(60))
    info = EpisodeInfo("alpha", "alpha", camera, np.ones((64, 128), dtype=bool), "measured", "measured")
    writer.write(info, frames, 5.0 + 0.08 * np.arange(60), motion, Tags.named(weather="fog"), drive=0, part=0)
    lerobot.rebuild_meta(root)
    return root


def footage(root, more="t_s: 2", length_s=2.0):
    return f"context:\n  data: {root}\n  episode: alpha\n  length_s: 0.8\n  {more}\nlength_s: {length_s}\n"


def test_of_an_episode_the_nearest_frames_are_seen(tmp_path, prepared):
    staged = stage(load(tmp_path, footage(prepared)), CAMERA, dt_s=0.1)
    assert len(staged.context) == 11
    assert staged.camera.height_m == 1.2
    assert staged.fork is None
    clock_s = 2.0 + 0.1 * np.arange(21)
    shown_s = staged.seen[:, 16, 32, 0] / 4 * 0.08
    assert np.abs(shown_s - clock_s).max() < 0.04 + 0.03, "within half a step and a grey level"
    np.testing.assert_allclose(staged.motion.speed_mps[0], (0.08 * 25 + 0.02 * 26) / 0.1, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("alpha", "beta"),
            r"scenario\.yaml:3: context\.episode: episode=beta: .* has none of that name; its drives are alpha",
        ),
        (("t_s: 2", "t_s: 200"), r"scenario\.yaml:5: context\.t_s: t_s=200: alpha#000 goes from 0\.0 to 4\.7 s"),
        (("length_s: 2.0", "length_s: 9"), r"scenario\.yaml:6: length_s: 9 s: only 2\.7 s of alpha#000 are left"),
    ],
)
def test_what_turns_out_to_be_wrong_later_is_located_too(tmp_path, prepared, change, message):
    with pytest.raises(ValueError, match=message):
        stage(load(tmp_path, footage(prepared).replace(*change)), CAMERA, dt_s=0.1)


def test_only_the_reference_world_is_driven_by_a_policy(tmp_path, prepared):
    with pytest.raises(ValueError, match="policy=random: only scenarios on the reference world are driven by one"):
        stage(load(tmp_path, footage(prepared)), CAMERA, dt_s=0.1, policy="random")
