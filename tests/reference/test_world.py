"""The world behind the protocol: snapshots, independent rows, what it starts from."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions, draw_options
from worldmodel.reference.world import World
from worldmodel.types import EgoMotion, Tags
from worldmodel.types import World as WorldProtocol

CAMERA = canonical_camera(32, 64, height_m=1.4)
FORWARD = EgoMotion(np.array(14.0), np.array(0.01))


@pytest.fixture
def world():
    return World(camera=CAMERA)


def steps(world, n=4, motion=FORWARD):
    return np.stack([world.step(motion) for _ in range(n)])


def test_it_is_a_world(world):
    assert isinstance(world, WorldProtocol)


def test_restore_returns_to_a_snapshot_to_the_bit(world):
    world.start(Tags.named(weather="snow", traffic="dense"), batch=2, seed=5)
    steps(world, 3)
    kept = world.snapshot()
    first, told = steps(world), world.info()
    world.restore(kept)
    again = steps(world)
    assert (first == again).all()
    for name, column in world.info().items():
        np.testing.assert_array_equal(column, told[name], err_msg=name)


def test_a_snapshot_outlives_reset_and_changes_of_weather(world):
    world.start(Tags.named(weather="clear", traffic="light"), batch=2, seed=5)
    kept = world.snapshot()
    first = steps(world)
    world.step(FORWARD, tags=Tags.named(weather="fog", time_of_day="night"))
    world.reset(0, Tags.unknown(), seed=77)
    world.restore(kept)
    assert (steps(world) == first).all()


def test_rows_are_independent_of_their_neighbours(world):
    together = world.start(Tags.unknown(), batch=3, seed=40)
    moved = steps(world)
    for row in range(3):
        alone = World(camera=CAMERA)
        assert (alone.start(Tags.unknown(), seed=40 + row)[0] == together[row]).all()
        assert (steps(alone)[:, 0] == moved[:, row]).all()


def test_reset_starts_one_row_anew_and_leaves_the_others(world):
    first = world.start(Tags.unknown(), batch=2, seed=3)
    kept = world.snapshot()
    reference = steps(world)
    world.restore(kept)
    world.step(FORWARD)
    world.reset(1, Tags.unknown())
    after = world.step(FORWARD)
    assert (after[0] == reference[1][0]).all()
    assert (after[1] == reference[0][1]).all()
    assert (first[1] != after[1]).any()


def test_each_row_can_have_its_own_motion_and_context(world):
    contexts = [Tags.named(road_kind="town"), DriveOptions(5, road_kind="motorway", traffic="none")]
    world.start(contexts, batch=2)
    world.step(EgoMotion(np.array([5.0, 30.0]), np.array([0.0, 0.0])))
    assert world.step(FORWARD, decode=False) is None
    np.testing.assert_allclose(world.info()["speed_mps"], 14.0)
    assert world.tags().channel("road_kind").tolist() == [3, 1]


def test_weather_and_light_change_on_the_way_but_not_the_road(world):
    world.start(Tags.named(weather="clear", time_of_day="day", road_kind="country"), seed=9)
    kept = world.snapshot()
    clear = world.step(FORWARD)
    told = world.info()
    world.restore(kept)
    night = world.step(FORWARD, tags=Tags.named(time_of_day="night"))
    assert night.mean() < 0.5 * clear.mean()
    np.testing.assert_array_equal(world.info()["road_offset_m"], told["road_offset_m"])
    with pytest.raises(ValueError, match="road_kind"):
        world.step(FORWARD, tags=Tags.named(road_kind="town"))


def test_mistakes_are_refused_with_what_was_wrong(world):
    with pytest.raises(ValueError, match="starts from tags"):
        world.start(render_drive(draw_options(0, traffic="none"), 2, camera=CAMERA).clip())
    with pytest.raises(ValueError, match="contexts"):
        world.start([Tags.unknown()], batch=2)
    world.start(Tags.unknown(), batch=2)
    with pytest.raises(ValueError, match="motion"):
        world.step(EgoMotion(np.zeros(3), np.zeros(3)))
    with pytest.raises(ValueError, match="known motion"):
        world.step(EgoMotion.unknown())


def test_the_ego_moves_by_motion_alone(world):
    world.start(Tags.named(traffic="dense"), seed=2)
    before = world.simulation(0).pose
    steps(world, 5, EgoMotion(np.array(0.0), np.array(0.0)))
    np.testing.assert_array_equal(world.simulation(0).pose, before)


def test_driving_slowly_beside_the_road_is_off_road(world):
    world.start(Tags.named(road_kind="country", traffic="none"), seed=1)
    told = []
    for _ in range(40):
        world.step(EgoMotion(np.array(8.0), np.array(-0.15)))
        told.append(bool(world.info()["off_road"][0]))
    assert told[-1]
    assert not told[0]
