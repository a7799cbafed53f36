"""The reference world behind the engine: its film, the keeper that is told the truth, its environment."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from worldmodel.datasets.video import FrameSequence
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.world import World
from worldmodel.simulation.colours import FARTHEST_M, NEAREST_M, depth_colours, flow_colours
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.env import INFO_KEYS
from worldmodel.simulation.policies.library import names, open_policy
from worldmodel.simulation.reference_film import FILM, FilmConfig, run
from worldmodel.simulation.rollout import begin, rollout
from worldmodel.types import Scenario, Tags

SMALL = {"height_px": 32, "width_px": 64}


def small_world():
    return World(camera=canonical_camera(32, 64, height_m=1.4))


def test_a_film_shows_picture_depth_and_flow(tmp_path):
    folder = run(FilmConfig(out=str(tmp_path / "film"), length_s=0.6, tags="time_of_day=day,weather=clear", **SMALL))
    film, drive = FrameSequence(folder / FILM), load_drive(folder)
    assert film.shape == (7, 54, 192, 3)
    assert len(drive) == 7
    assert {"lane_offset_m", "off_road", "collision", "gap_m"} <= set(drive.info)
    assert drive.tags[0].names()["time_of_day"] == "day"
    np.testing.assert_allclose(drive.info["speed_mps"][1:], drive.motion.speed_mps[:-1], atol=1e-6)
    ground = film[3][40:, 64:128]
    assert ground[..., 0].mean() > ground[..., 2].mean(), "the road at our feet is near: red"
    assert (sorted(p.name for p in folder.iterdir())) == [
        "drive.mp4",
        "drive.parquet",
        "film.mp4",
        "provenance.json",
        "sheet.png",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_s": 0.0}, "length_s: expected a number of seconds above 0"),
        ({"width_px": 63}, "width_px: expected an even number"),
        ({"tags": "weather=hail"}, "'hail' is not one of"),
        ({"policy": "keeper"}, "no policy is called 'keeper'; did you mean 'lane-keeper'"),
    ],
)
def test_mistakes_are_named_and_write_nothing(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        run(FilmConfig(**{"out": str(tmp_path / "film"), **SMALL, **options}))
    assert not list(tmp_path.iterdir())


def test_the_keeper_keeps_its_lane_and_its_distance():
    world, policy = small_world(), open_policy("oracle-keeper")
    tags = Tags.named(traffic="dense", weather="clear", time_of_day="day")
    moments = list(rollout(world, policy, begin(world, tags, policy, batch=2, seed=40), steps=150))
    offset = np.array([moment.info["lane_offset_m"] for moment in moments])
    assert not np.any([moment.info["off_road"] for moment in moments])
    assert not np.any([moment.info["collision"] for moment in moments])
    assert np.sqrt((offset[40:] ** 2).mean()) < 0.5
    assert np.nanmean([moment.motion.speed_mps for moment in moments]) > 5.0


def test_the_vehicle_starts_with_the_worlds_own_speed():
    world, policy = small_world(), open_policy("constant")
    carry = begin(world, Tags.unknown(), policy, batch=4, seed=1)
    np.testing.assert_array_equal(carry.vehicle.speed_mps, world.info()["speed_mps"])


def test_every_policy_drives_in_the_reference_world():
    for name in set(names()) - {"recorded", "mpc"}:  # which need a recording, and a model of that size
        world, policy = small_world(), open_policy(name)
        assert policy.name == name
        carry = begin(world, Tags.named(traffic="none"), policy, batch=2, seed=5)
        moments = list(rollout(world, policy, carry, steps=3))
        assert np.isfinite(moments[2].motion.speed_mps).all()


@pytest.fixture
def env():
    return gymnasium.make("worldmodel:Reference-v0", tags="traffic=light", **SMALL)


@pytest.mark.filterwarnings("ignore:.*symmetric and normalized")
def test_check_env_passes_in_the_reference_world(env):
    check_env(env.unwrapped, skip_render_check=True)


def test_the_reference_environment_tells_the_truth_and_terminates_off_the_road(env):
    observation, info = env.reset(seed=4)
    assert tuple(info) == INFO_KEYS
    assert observation["speed"][0] == pytest.approx(info["truth"]["speed_mps"])
    terminated = truncated = False
    while not (terminated or truncated):
        *_, terminated, truncated, info = env.step(np.array([1.0, 0.02], dtype=np.float32))
    assert terminated
    assert info["off_road"] or info["collision"]


def test_a_scenario_starts_the_reference_environment(env):
    scenario = Scenario(Tags.named(weather="fog", traffic="none"), seed=9, length_s=0.3)
    first, _ = env.reset(options={"scenario": scenario})
    again, _ = env.reset(options={"scenario": scenario})
    np.testing.assert_array_equal(first["frame"], again["frame"])
    stop = np.zeros(2, dtype=np.float32)
    assert [env.step(stop)[3] for _ in range(3)] == [False, False, True]


def test_depth_is_red_near_and_blue_far_and_dark_in_the_sky():
    near, far, sky = depth_colours(np.array([[NEAREST_M, FARTHEST_M, np.inf]]))[0].astype(int)
    assert near[0] > near[2] + 50
    assert far[2] > far[0] + 20 or far.sum() < 200
    assert sky.tolist() == [24, 24, 24]


def test_flow_hue_is_direction_and_brightness_length():
    flow = np.array([[[12.0, 0.0], [1.0, 0.0], [-12.0, 0.0], [np.nan, 0.0]]])
    right, short, left, unknown = flow_colours(flow)[0].astype(int)
    assert right.argmax() == 0
    assert right.max() > short.max()
    assert left[1] > left[0]
    assert left[2] > left[0]
    assert np.ptp(unknown) == 0
