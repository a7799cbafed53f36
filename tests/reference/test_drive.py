"""Drives: what motion means, determinism, and any options and camera."""

import dataclasses
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import advance, between
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import EGO_SHARES, EVENT_KINDS, DriveOptions, draw_options, options_from_tags
from worldmodel.types import VOCABULARY, Camera, Tags

SMALL = canonical_camera(32, 64, height_m=1.4)


def drive(seed=3, n=8, camera=SMALL, **fixed):
    return render_drive(draw_options(seed, **fixed), n, camera=camera)


def test_motion_row_t_leads_from_frame_t_to_frame_t_plus_1():
    d = drive(seed=5, n=12, ego="swerving", road_kind="country", traffic="none")
    for t in range(11):
        reached = advance(d.poses[t], d.motion[t], 0.1)
        np.testing.assert_allclose(between(reached, d.poses[t + 1]), 0, atol=1e-9)
    assert np.isnan(d.motion.speed_mps[-1])
    # Off by one would show: the speed is not constant.
    assert np.abs(np.diff(d.motion.speed_mps[:-1])).max() > 0.01


def test_a_longer_drive_begins_like_a_shorter_one_and_the_same_seed_gives_the_same_bytes():
    options = draw_options(11, traffic="dense", weather="rain", time_of_day="night", sensor=True)
    long, short = render_drive(options, 9, camera=SMALL), render_drive(options, 5, camera=SMALL)
    assert (long.frames[:5] == short.frames).all()
    for name, column in short.columns.items():
        np.testing.assert_array_equal(column, long.columns[name][:5], err_msg=name)


def test_another_process_gives_the_same_bytes():
    code = (
        "import hashlib\n"
        "from worldmodel.geometry.camera import canonical_camera\n"
        "from worldmodel.reference.drive import render_drive\n"
        "from worldmodel.reference.options import draw_options\n"
        "d = render_drive(draw_options(21), 4, camera=canonical_camera(32, 64, height_m=1.4))\n"
        "print(hashlib.sha256(d.frames.tobytes()).hexdigest())"
    )
    env = dict(os.environ, PYTHONHASHSEED="7")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout
    assert out.strip() == hashlib.sha256(drive(seed=21, n=4).frames.tobytes()).hexdigest()


def test_paired_drives_differ_in_look_alone():
    options = draw_options(8, weather="clear", time_of_day="day", traffic="dense")
    day = render_drive(options, 10, camera=SMALL)
    night = render_drive(dataclasses.replace(options, weather="snow", time_of_day="night"), 10, camera=SMALL)
    np.testing.assert_array_equal(day.poses, night.poses)
    for name in day.columns:
        np.testing.assert_array_equal(day.columns[name], night.columns[name], err_msg=name)
    assert np.abs(day.frames.astype(int) - night.frames).mean() > 20


def test_a_drive_is_a_valid_clip_with_tags_and_caption():
    d = drive(seed=2, n=4, weather="fog", time_of_day="dusk", road_kind="town", events=())
    clip = d.clip().validate()
    names = clip.tags[0].names()
    assert (names["weather"], names["time_of_day"], names["road_kind"]) == ("fog", "dusk", "town")
    assert names["event"] == "none"
    assert "fog" in clip.tags.caption
    assert "town" in clip.tags.caption


def test_events_show_in_the_tags_while_they_happen():
    d = drive(seed=31, n=60, road_kind="town", traffic="light", ego="good", events=(("hard_brake", 1.0),))
    event = d.tags.channel("event")
    code = VOCABULARY["event"].index("hard_brake")
    assert (event == code).any()
    assert event[0] != code
    assert not d.columns["collision"].any()


@pytest.mark.parametrize("ego", EGO_SHARES)
def test_every_ego_driver_drives(ego):
    d = drive(seed=9, n=25, ego=ego, traffic="none", events=())
    assert np.isfinite(d.motion.speed_mps[:-1]).all()
    assert np.abs(d.columns["heading_error_rad"]).max() < 1.2
    if ego in ("good", "timid"):
        assert np.abs(d.columns["lane_offset_m"]).max() < 0.8
        assert not d.columns["off_road"].any()


def test_bad_drivers_do_what_they_are_for():
    off = drive(
        seed=62,
        n=220,
        ego="off_road",
        road_kind="country",
        traffic="none",
        camera=canonical_camera(8, 16, height_m=1.4),
    )
    assert off.columns["off_road"].mean() > 0.02
    braking = drive(
        seed=5,
        n=150,
        ego="hard_braking",
        road_kind="country",
        traffic="none",
        camera=canonical_camera(8, 16, height_m=1.4),
    )
    assert np.diff(braking.motion.speed_mps[:-1]).min() < -0.4


def test_an_absent_driver_holds_the_wheel_wherever_the_road_goes_and_comes_back():
    tiny = canonical_camera(8, 16, height_m=1.4)
    at_most_m, held, back = [], [], []
    for seed in range(6):
        d = drive(seed=seed, n=200, ego="absent", road_kind="country", traffic="none", events=(), camera=tiny)
        still = np.diff(d.controls.curvature_1pm) == 0
        edges = np.flatnonzero(np.diff(np.r_[False, still].astype(int)))
        if not d.columns["collision"].any():  # who has crashed waits
            held += np.diff(edges)[::2].tolist()  # what the drive's end cuts short does not count
        aside = np.abs(d.columns["lane_offset_m"])
        at_most_m.append(float(aside.max()))
        gone = np.flatnonzero(aside > 1.5)
        back += [] if not len(gone) else [float(aside[gone[0] :].min())]
    assert min(held) >= 18, "once let go of, the wheel stays for two seconds or more"
    assert max(at_most_m) > 1.5, "some of them leave their lane"
    assert min(back) < 0.5, "and come back"


@pytest.mark.parametrize(
    "camera",
    [
        canonical_camera(64, 128, height_m=1.2),
        Camera(97, 51, 60.0, 60.0, 48.0, 20.0, height_m=2.2),
        Camera(64, 48, 40.0, 42.0, 31.5, 30.0, height_m=1.5, pitch_rad=-0.2, roll_rad=0.1, yaw_rad=0.5),
        Camera(40, 30, 40.0, 40.0, 19.5, 80.0, height_m=1.5),
        Camera(40, 30, 40.0, 40.0, 19.5, -40.0, height_m=1.5),
    ],
    ids=["half", "odd", "mounted askew", "sky alone", "ground alone"],
)
def test_any_pinhole_camera(camera):
    d = render_drive(draw_options(4, sensor=True, weather="rain"), 3, camera=camera, truth=True)
    assert d.frames.shape == (3, camera.height_px, camera.width_px, 3)


@pytest.mark.parametrize("dt_s", [0.083, 0.104, 0.2])
def test_any_time_step(dt_s):
    d = render_drive(draw_options(4, traffic="dense"), 4, camera=SMALL, dt_s=dt_s)
    np.testing.assert_allclose(np.diff(d.t_s), dt_s)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", -1),
        ("weather", "hail"),
        ("time_of_day", "unknown"),
        ("ego", "asleep"),
        ("lanes", 9),
        ("events", (("x", 1.0),)),
    ],
)
def test_impossible_options_are_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"DriveOptions.{field}"):
        dataclasses.replace(DriveOptions(0), **{field: value}).validate()


def test_other_mistakes_are_refused_by_name():
    with pytest.raises(ValueError, match="n_frames"):
        render_drive(DriveOptions(0), 0)
    with pytest.raises(ValueError, match="dt_s"):
        render_drive(DriveOptions(0), 2, dt_s=0.0)
    with pytest.raises(ValueError, match="height_m"):
        render_drive(DriveOptions(0), 2, camera=canonical_camera(32, 64))
    with pytest.raises(ValueError, match="distortion"):
        render_drive(DriveOptions(0), 2, camera=dataclasses.replace(SMALL, distortion=(0.1, 0, 0, 0, 0)))
    with pytest.raises(ValueError, match="colour"):
        draw_options(0, colour="red")


def test_options_are_drawn_in_the_documented_shares_and_independently_of_what_is_fixed():
    drawn = [draw_options(seed) for seed in range(600)]
    shares = {name: np.mean([o.ego == name for o in drawn]) for name in EGO_SHARES}
    assert all(abs(shares[name] - EGO_SHARES[name]) < 0.05 for name in EGO_SHARES)
    assert abs(np.mean([o.weather == "clear" for o in drawn]) - 0.4) < 0.06
    assert {e[0] for o in drawn for e in o.events} == set(EVENT_KINDS)
    for seed in range(20):
        fixed = draw_options(seed, weather="snow")
        assert dataclasses.replace(draw_options(seed), weather="snow") == fixed


def test_unknown_tags_are_drawn_and_known_ones_kept():
    options = options_from_tags(Tags.named(weather="fog", event="cut_in"), 5)
    assert options.weather == "fog"
    assert options.events[0][0] == "cut_in"
    assert options_from_tags(Tags.unknown(), 5).weather == draw_options(5).weather


def random_options(seed):
    """Any mix of options, beyond what the balanced distribution draws."""
    rng = np.random.default_rng(seed)
    pick = {name: str(rng.choice(VOCABULARY[name][1:])) for name in ("weather", "time_of_day", "road_kind", "traffic")}
    events = tuple((str(rng.choice(EVENT_KINDS)), float(rng.uniform(0, 2))) for _ in range(rng.integers(0, 4)))
    ego, lanes = str(rng.choice(list(EGO_SHARES))), int(rng.integers(0, 4))
    return DriveOptions(
        int(rng.integers(2**62)), **pick, ego=ego, events=events, sensor=bool(rng.random() < 0.3), lanes=lanes
    )


# For 10,000: REFERENCE_RANDOM_OPTIONS=10000 python -m pytest tests/reference -k random_option
@pytest.mark.parametrize("seed", range(int(os.environ.get("REFERENCE_RANDOM_OPTIONS", "10"))))
def test_random_option_sets_do_not_crash(seed):
    camera = canonical_camera(24, 48, height_m=1.4)
    d = render_drive(random_options(seed), 25 if seed % 4 else 60, camera=camera, truth=seed % 5 == 0)
    d.clip().validate()
