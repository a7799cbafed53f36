"""A place: back in time is back to the bit, branches keep what was left, what is saved replays to the same frames."""

import dataclasses

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.server.hands import Hold
from worldmodel.server.house import encoder
from worldmodel.server.openings import Openings
from worldmodel.server.place import MOST_SNAPSHOTS, Place, PlaceLimits
from worldmodel.server.rows import LearnedRows, ReferenceRows
from worldmodel.server.saving import Keeper, Recording, load_context, replay, save_context
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.session import Session
from worldmodel.simulation.starting import StartConfig
from worldmodel.simulation.worlds import WorldConfig, open_world
from worldmodel.types import Clip, EgoMotion, Tags

TAGS = "weather=clear,time_of_day=day,road_kind=country,traffic=none"


ENCODE = encoder("jpeg", 90)


def step(place, steps=1, steer=0.0, pedal=0.0):
    """Drive a place alone, as the house would; returns the frames."""
    frames = []
    for _ in range(steps):
        place.hold = Hold(place.hold.number + 1, steer, pedal)
        decision = place.decide()
        motion = EgoMotion(decision.motion.speed_mps[None], decision.motion.yaw_rate_radps[None])
        frame = place.rows.step([place.key], motion, Tags(decision.tags.codes[None]))[0]
        place.arrive(decision, frame, ENCODE(frame))
        frames.append(frame)
    return frames


def seat(key, rows, opening, **limits):
    return Place(key, rows, opening, ENCODE(opening.frame), PlaceLimits(**limits))


@pytest.fixture
def place(rows, openings):
    return seat(1, rows, openings.open(""), rewind_s=3.0)


def test_it_waits_until_somebody_takes_the_wheel(place):
    assert not place.wants_to_move
    place.hold = Hold(1, 0.1, 0.0)
    assert not place.wants_to_move
    place.hold = Hold(2, 1.0, 0.0)
    assert place.wants_to_move
    place.hold = Hold(3, 0.0, 0.0)
    assert place.wants_to_move, "it goes on when the wheel is let go"
    place.is_paused = True
    assert not place.wants_to_move


def test_left_turns_left_and_the_pedal_changes_the_speed(place):
    speed = float(place.vehicle.speed_mps)
    step(place, 10, steer=1.0, pedal=0.0)
    assert float(place.trace[-1].motion.yaw_rate_radps) > 0.1
    assert float(place.vehicle.speed_mps) == pytest.approx(speed)
    step(place, 10, steer=-1.0, pedal=-1.0)
    assert float(place.trace[-1].motion.yaw_rate_radps) < -0.1
    assert float(place.vehicle.speed_mps) < speed - 3


@pytest.mark.parametrize("back_s", [1.0, 2.0, 3.0])
def test_a_rewound_drive_goes_on_as_it_did_to_the_bit(place, back_s):
    step(place, 10, steer=0.5)
    there = place.step
    frames = step(place, 30, steer=-0.4, pedal=0.5)
    assert place.rewind(back_s) == pytest.approx(back_s, abs=0.5)
    assert place.is_waiting
    since = place.step - there
    assert len(place.trace) == place.step
    assert all(np.array_equal(a, b) for a, b in zip(step(place, 30 - since, -0.4, 0.5), frames[since:], strict=True))


def test_rewinding_reaches_every_second_of_the_last_and_no_further(place):
    step(place, 60)
    reached = []
    for back_s in (0.0, 1.0, 1.0, 1.0, 1.0):
        place.rewind(back_s)
        reached.append(place.t_s)
    assert reached == pytest.approx([6.0, 5.0, 4.0, 3.0, 3.0])


def test_a_branch_keeps_what_was_left_and_both_go_on_to_the_bit(place):
    step(place, 7, steer=0.3)
    first = place.keep()
    left_branch = step(place, 8, steer=1.0)
    left = place.branch(first)
    assert left is not None
    assert place.step == 7
    right_branch = step(place, 8, steer=-1.0)
    assert not np.array_equal(left_branch[-1], right_branch[-1])
    place.branch(left)
    assert place.step == 15
    assert np.array_equal(place.frame, left_branch[-1])
    assert [float(row.motion.yaw_rate_radps) > 0 for row in place.trace[-5:]] == [True] * 5
    assert place.branch(left) is None, "nothing new is left behind"
    place.branch(first)
    again = step(place, 8, steer=1.0)
    assert all(np.array_equal(a, b) for a, b in zip(again, left_branch))


def test_after_a_branch_rewinding_stays_on_its_own_line(place):
    step(place, 10)
    fork = place.keep()
    step(place, 20, steer=1.0)
    place.branch(fork)
    step(place, 12, steer=-1.0)
    place.rewind(1.2)
    assert place.step == 10
    place.rewind(1.0)
    assert place.step == 0
    assert [moment.step for moment in place.history] == [0]


def test_snapshots_are_bounded_and_the_one_asked_for_survives(place):
    for _ in range(MOST_SNAPSHOTS + 3):
        step(place)
        place.keep()
    assert len(place.snapshots) == MOST_SNAPSHOTS
    oldest = min(place.snapshots)
    step(place)
    place.branch(oldest)
    assert place.step == oldest
    assert oldest in place.snapshots
    with pytest.raises(ValueError, match="no snapshot 999"):
        place.branch(999)


def test_switched_tags_are_told_and_events_pass(place):
    place.switch({"weather": "rain", "event": "cut_in"})
    step(place, 1)
    assert place.trace[-1].tags.names()["weather"] == "rain"
    assert place.trace[-1].tags.names()["event"] == "cut_in"
    step(place, 40)
    assert place.trace[-1].tags.names()["event"] == "unknown"
    assert place.trace[-1].tags.names()["weather"] == "rain"
    place.switch({"weather": "unknown"})
    step(place, 1)
    assert place.trace[-1].tags.names()["weather"] == "clear"


def test_a_scenario_brings_its_tags_and_its_events(rows, openings):
    place = seat(1, rows, openings.open("rain_on_the_way"))
    step(place, 45)
    told = [row.tags.names() for row in place.trace]
    assert {names["weather"] for names in told} == {"rain"}
    assert {names["road_kind"] for names in told} == {"town"}
    assert [names["event"] for names in told[9:12]] == ["none", "cut_in", "cut_in"]
    assert told[-1]["event"] == "none"
    with pytest.raises(ValueError, match="no scenario is called"):
        openings.open("../../etc/passwd")


def test_a_policy_drives_and_gives_back(place):
    place.hand_over("random")
    step(place, 5)
    assert {row.driver for row in place.trace} == {"random"}
    place.hand_over("")
    step(place, 1, steer=1.0)
    assert place.trace[-1].driver == "person"
    for name, reason in (("oracle-keeper", "sees the truth"), ("nobody", "no policy is called")):
        with pytest.raises(ValueError, match=reason):
            place.hand_over(name)


def test_a_rewound_policy_remembers_what_it_knew(place):
    place.hand_over("random")
    step(place, 10)
    first = step(place, 10)
    place.rewind(1.0)
    assert all(np.array_equal(a, b) for a, b in zip(step(place, 10), first))


def test_the_longest_drive_is_bounded(rows, openings):
    place = seat(1, rows, openings.open(""), longest_s=1.0)
    place.hold = Hold(1, 1.0, 0.0)
    while place.wants_to_move:
        step(place, 1, steer=1.0)
    assert place.t_s == pytest.approx(1.0)
    place.rewind(1.0)
    assert place.wants_to_move
    small = seat(2, rows, openings.open(""), most_bytes=30)
    step(small, 5)
    assert small.is_at_its_end


def test_people_side_by_side_drive_as_if_alone(rows, openings):
    """Who stands still or comes later does not change what the others see."""
    opening = openings.open("")
    alone = seat(1, rows, opening)
    step(alone, 12, steer=0.5, pedal=0.5)
    places = {key: seat(key, rows, opening) for key in (2, 3, 4)}
    for turn in range(12):
        moving = [2] + ([3] if turn % 2 else []) + ([4] if turn > 5 else [])
        decisions = {}
        for key in moving:
            places[key].hold = Hold(turn, 0.5, 0.5) if key == 2 else Hold(turn, -1.0, 0.2)
            decisions[key] = places[key].decide()
        motion = EgoMotion(
            np.array([d.motion.speed_mps for d in decisions.values()]),
            np.array([d.motion.yaw_rate_radps for d in decisions.values()]),
        )
        tags = Tags(np.stack([d.tags.codes for d in decisions.values()]))
        for key, frame in zip(moving, rows.step(moving, motion, tags)):
            places[key].arrive(decisions[key], frame, b"")
    assert [places[key].step for key in (2, 3, 4)] == [12, 6, 6]
    assert np.abs(places[2].frame.astype(int) - alone.frame).max() <= 1
    rows.drop(3)
    assert rows.take(2).steps[0] == 12 + 1  # the frame drawn from tags counts
    with pytest.raises(ValueError, match="not in list"):
        rows.take(3)


def context_clip(rows):
    rng = np.random.default_rng(0)
    camera = rows.camera
    return Clip(
        frames=rng.integers(0, 256, (5, camera.height_px, camera.width_px, 3), dtype=np.uint8),
        t_s=np.arange(5) * 0.1,
        motion=EgoMotion(np.array([9.0, 10.0, 11.0, 12.0, np.nan]), np.array([0, 0.1, 0.1, 0.1, np.nan])),
        tags=Tags(np.tile(Tags.named(weather="rain", caption="wet").codes, (5, 1)), "wet"),
        camera=camera,
        valid_mask=np.ones((camera.height_px, camera.width_px), dtype=bool),
        road=rng.normal(size=(5, 2, 9, 2)).astype(np.float32),
    )


def test_a_context_comes_back_from_disk_as_it_was(rows, tmp_path):
    clip = context_clip(rows)
    save_context(tmp_path / "a", clip)
    back = load_context(tmp_path / "a")
    assert np.array_equal(back.frames, clip.frames)
    assert np.array_equal(back.tags.codes, clip.tags.codes)
    assert np.array_equal(back.road, clip.road)
    save_context(tmp_path / "c", dataclasses.replace(clip, road=None))
    assert load_context(tmp_path / "c").road is None
    assert np.array_equal(back.motion.speed_mps, clip.motion.speed_mps, equal_nan=True)
    assert (back.camera, back.tags.caption) == (clip.camera, "wet")
    tags = Tags.named(weather="fog")
    save_context(tmp_path / "b", tags)
    assert np.array_equal(load_context(tmp_path / "b").codes, tags.codes)


def drive_about(place):
    """A drive with a bit of everything."""
    step(place, 8, steer=0.7, pedal=0.5)
    place.switch({"weather": "snow"})
    number = place.keep()
    step(place, 7, steer=-0.7)
    place.branch(number)
    step(place, 6, pedal=-0.5)
    place.hand_over("random")
    step(place, 18)
    place.rewind(1.0)
    step(place, 3, steer=0.2)


def test_a_saved_drive_replays_to_the_same_frames(model_folder, scenarios, tmp_path):
    world, about = open_world(WorldConfig(model=str(model_folder), steps_per_frame=2))
    rows = LearnedRows(world)
    openings = Openings(rows, StartConfig(context=TAGS), scenarios=scenarios)
    place = seat(1, rows, openings.open("rain_on_the_way"))
    drive_about(place)
    name, folder = Keeper(tmp_path / "out", {**about, "threads": 1}).save(Recording.of(place))
    assert (folder.name, name) == ("drive", "drive")
    drive = load_drive(folder)
    assert len(drive) == place.step + 1 == len(drive.frames)
    assert drive.info["driver"][0] == "person"
    assert "random" in drive.info["driver"]
    assert drive.provenance["complete"]
    # One line from the start to now: what was left on the way is not in it.
    again = list(replay(folder))
    assert [same for _, same in again] == [True] * len(drive)
    assert np.array_equal(again[-1][0], place.frame)
    assert np.abs(np.stack([f for f, _ in again]).astype(int) - np.stack(list(drive.frames))).mean() < 12


def test_nothing_is_not_saved(place):
    with pytest.raises(ValueError, match="nothing to save"):
        Recording.of(place)


@pytest.fixture
def true_rows():
    return ReferenceRows(canonical_camera(32, 64, height_m=1.4), 0.1)


def test_the_true_world_is_driven_rewound_saved_and_replayed(true_rows, tmp_path):
    start = StartConfig(tags="road_kind=country,traffic=light")
    openings = Openings(true_rows, start, seed=3)
    place = seat(1, true_rows, openings.open(""))
    other = seat(2, true_rows, openings.open(""))
    driven_before = step(other, 3)
    drive_about(place)
    assert np.array_equal(other.frame, driven_before[-1]), "each has a world of their own"
    with pytest.raises(ValueError, match="road kind"):
        place.switch({"road_kind": "town"})
    place.hand_over("oracle-keeper")
    step(place, 3)
    _, folder = Keeper(tmp_path, {"world": "reference"}).save(Recording.of(place))
    assert all(same for _, same in replay(folder))


def test_a_scenario_of_the_true_world_begins_in_it(true_rows):
    openings = Openings(true_rows, StartConfig(), scenarios="straight")
    first, second = openings.open("straight"), openings.open("straight")
    assert first.state[0] is not second.state[0]
    place = seat(1, true_rows, first)
    assert np.array_equal(place.frame, first.context.frames[-1])
    assert float(place.vehicle.speed_mps) > 5
    assert len(step(place, 3)) == 3


def test_a_model_that_has_changed_is_refused(model_folder, tmp_path, scenarios):
    world, about = open_world(WorldConfig(model=str(model_folder), steps_per_frame=2))
    rows = LearnedRows(Session(world.model, sampler=world.sampler))
    openings = Openings(rows, StartConfig(context=TAGS), scenarios=scenarios)
    place = seat(1, rows, openings.open(""))
    drive_about(place)
    changed = about["components"] | {"dynamics": "0" * 64}
    _, folder = Keeper(tmp_path / "out", {**about, "components": changed, "threads": 1}).save(Recording.of(place))
    with pytest.raises(ValueError, match="its weights have changed"):
        list(replay(folder))
