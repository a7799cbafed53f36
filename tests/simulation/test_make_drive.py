"""``rollout.py`` mode=drive on a world that costs nothing: what lands on disk, and the errors people get."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.make_drive import DriveConfig, make_drive
from worldmodel.simulation.starting import parse_tags, reference_clip

TAGS = "weather=rain,time_of_day=night"


@pytest.fixture
def drive(tmp_path, make_fake_world):
    def make(heard=None, **options):
        options = {"out": str(tmp_path / "drive"), "context": TAGS, "length_s": 3.0} | options
        world = make_fake_world()
        folder = make_drive(DriveConfig(**options), world, {"world": "fake"})
        if heard is not None:
            heard.extend(world.told)
        return folder

    return make


def test_a_drive_lands_whole(drive):
    folder = drive()
    assert sorted(p.name for p in folder.iterdir()) == ["drive.mp4", "drive.parquet", "provenance.json", "sheet.png"]
    loaded = load_drive(folder)
    assert len(loaded) == 31
    assert loaded.t_s[-1] == pytest.approx(3.0)
    assert loaded.tags[0].names()["weather"] == "rain"
    np.testing.assert_allclose(loaded.info["distance_m"][1:], np.cumsum(loaded.motion.speed_mps[:-1]) * 0.1)
    about = json.loads((folder / "provenance.json").read_text())
    assert about["complete"]
    assert about["world"] == "fake"
    assert about["options"]["length_s"] == 3.0
    assert {"versions", "machine", "frames_per_s", "start", "driver", "seed"} <= set(about)
    assert cv2.imread(str(folder / "sheet.png")).shape[1] >= 128


def test_default_drive_is_a_minute_that_turns_both_ways(drive):
    loaded = load_drive(drive(length_s=None))
    assert loaded.t_s[-1] == pytest.approx(60.0)
    yaw = loaded.motion.yaw_rate_radps[:-1]
    assert (yaw > 0.05).mean() > 0.2
    assert (yaw < -0.05).mean() > 0.2
    assert np.ptp(loaded.motion.speed_mps[:-1]) > 4.0


def test_default_context_is_the_reference_world(drive, make_fake_world):
    folder = drive(context="reference", context_s=0.5, length_s=0.5)
    about = json.loads((folder / "provenance.json").read_text())
    assert about["start"]["context"] == "reference"
    clip, _ = reference_clip(0, 5, make_fake_world().camera)
    assert clip.frames.shape == (5, 32, 64, 3)
    usual = {"weather": "clear", "time_of_day": "day", "road_kind": "country", "traffic": "none"}
    assert usual.items() <= load_drive(folder).tags[0].names().items()
    assert clip.motion.is_known.tolist() == [True] * 4 + [False]
    night, _ = reference_clip(0, 2, make_fake_world().camera, tags=parse_tags("time_of_day=night"))
    assert night.frames.mean() < clip.frames.mean() / 2


def test_a_reference_context_ends_at_the_speed_a_profile_begins_with(drive, make_fake_world):
    folder = drive(context="reference", context_s=0.5, length_s=1.0, seed=2, profile="winding")
    speed = load_drive(folder).motion.speed_mps
    assert speed[0] == pytest.approx(13.0, abs=0.7)
    clip, _ = reference_clip(2, 3, make_fake_world().camera, speed_mps=13.0)
    assert clip.validate().motion.speed_mps[0] == pytest.approx(13.0, abs=0.5)


def test_a_reference_context_is_driven_on_as_its_driver_did(drive, make_fake_world):
    camera = make_fake_world().camera
    folder = drive(context="reference", context_s=0.5, length_s=1.0, seed=2, batch=2)
    for row in range(2):
        longer, _ = reference_clip(2 + row, 5 + 10, camera)
        driven = load_drive(folder / f"{row:02d}").motion
        np.testing.assert_allclose(driven.speed_mps[:10], longer.motion.speed_mps[4:14])
        np.testing.assert_allclose(driven.yaw_rate_radps[:10], longer.motion.yaw_rate_radps[4:14])
    clip, ahead = reference_clip(2, 5, camera, ahead=10)
    longer, _ = reference_clip(2, 15, camera)
    assert np.array_equal(clip.frames, longer.frames[:5])
    assert np.array_equal(ahead.speed_mps, np.append(longer.motion.speed_mps[4:14], ahead.speed_mps[-1])[:10])


def test_tags_change_what_they_name_and_leave_the_rest(drive):
    told = []
    folder = drive(tags="weather=snow", length_s=0.3, heard=told)
    names = load_drive(folder).tags[2].names()
    assert (names["weather"], names["time_of_day"]) == ("snow", "night")
    assert [tags.shape for tags in told] == [(1,)] * 3
    assert told[0][0].names()["time_of_day"] == "night"


def test_mirror_and_gain_reach_the_motion(drive):
    plain = load_drive(drive(length_s=8.0)).motion
    mirrored = load_drive(drive(length_s=8.0, mirror=True, overwrite=True)).motion
    np.testing.assert_allclose(mirrored.yaw_rate_radps, -plain.yaw_rate_radps)
    np.testing.assert_allclose(mirrored.speed_mps, plain.speed_mps)
    wider = load_drive(drive(length_s=8.0, motion_gain=(1.0, 0.5), overwrite=True)).motion
    np.testing.assert_allclose(wider.yaw_rate_radps, plain.yaw_rate_radps / 2, rtol=1e-3, atol=1e-9)


def test_a_batch_is_a_folder_per_row(drive):
    folder = drive(batch=3, length_s=1.0, policy="random")
    assert sorted(p.name for p in folder.iterdir()) == ["00", "01", "02", "provenance.json"]
    rows = [load_drive(folder / name) for name in ("00", "01", "02")]
    assert [row.provenance["row"] for row in rows] == [0, 1, 2]
    assert not np.array_equal(rows[0].motion.speed_mps, rows[1].motion.speed_mps)
    assert rows[0].controls is not None


def test_the_same_seed_drives_the_same(drive):
    first, second = (load_drive(drive(policy="random", seed=5, overwrite=True)) for _ in range(2))
    np.testing.assert_array_equal(first.frames[:], second.frames[:])
    np.testing.assert_array_equal(first.motion.speed_mps, second.motion.speed_mps)


def test_an_interrupted_drive_is_playable_where_it_lies(tmp_path, make_fake_world):
    class Interrupted(make_fake_world):
        def step(self, motion, **options):
            if self.age.max() == 12:
                raise KeyboardInterrupt
            return super().step(motion, **options)

    config = DriveConfig(out=str(tmp_path / "drive"), context=TAGS)
    with pytest.raises(KeyboardInterrupt, match=r"drive\.partial"):
        make_drive(config, Interrupted(), {})
    assert not (tmp_path / "drive").exists()
    assert len(load_drive(tmp_path / "drive.partial")) == 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, "batch: expected a number from 1, got 0"),
        ({"length_s": -3.0}, "length_s: expected a number of seconds above 0, got -3"),
        ({"seed": -1}, "seed: expected a number from 0"),
        ({"context": "reference "}, "context=reference : expected reference, an mp4 file, or tags"),
        ({"context": "none.mp4"}, r"none\.mp4: no such file"),
        ({"context": "weather=hail"}, r"Tags\.weather: 'hail' is not one of unknown, clear"),
        ({"context": "wether=rain"}, r"Tags\.wether: no such tag"),
        ({"tags": "rain"}, r"tags: 'rain': expected channel=name"),
        ({"tags": "event=collision"}, r"tags: event=collision: comes of how the ego drives"),
        ({"profile": "windng"}, "profile: 'windng' is not in conf/profiles; did you mean 'winding'"),
        ({"profile": "none.yaml"}, r"none\.yaml: no such file"),
        ({"policy": "randm"}, "no policy is called 'randm'; did you mean 'random'"),
        ({"policy": "random", "mirror": True}, "motion_gain and mirror change a recorded or scripted motion"),
        ({"motion": "policy"}, "motion=policy: name one with policy="),
        ({"motion": "scripted", "policy": "random"}, "motion=scripted: leave out policy=random"),
        ({"motion": "recorded"}, "motion=recorded: this context has no recorded motion"),
        ({"motion_gain": 4.0}, "beyond the vehicle's limits"),
        ({"data": "no/such", "context": "reference"}, "data=no/such: no such folder"),
        ({"data": "no/such"}, "name one of the two"),
    ],
)
def test_a_mistake_is_one_clear_line_and_writes_nothing(drive, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as error:
        drive(**options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


MEASURED = """
    import resource, sys
    from conftest import FakeWorld
    from worldmodel.geometry.camera import canonical_camera
    from worldmodel.simulation.make_drive import DriveConfig, make_drive

    class Forgetful(FakeWorld):
        def step(self, motion, **options):
            self.moved.clear()
            self.told.clear()
            return super().step(motion, **options)

    world = Forgetful(camera=canonical_camera(128, 256, height_m=1.4))
    make_drive(DriveConfig(out=sys.argv[1], context="weather=rain", length_s=float(sys.argv[2])), world, {})
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_drive(tmp_path):
    here = Path(__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parents[1]}"}

    def peak(length_s):
        command = [sys.executable, "-c", textwrap.dedent(MEASURED), str(tmp_path / str(length_s)), str(length_s)]
        run = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return int(run.stdout.splitlines()[-1])

    short, long = peak(10), peak(120)
    frame_bytes = 128 * 256 * 3
    assert long - short < 0.3 * 1100 * frame_bytes, f"{(long - short) / 1e6:.0f} MB more for 1100 frames more"
