"""Branches of one moment: shared history is computed once, and sharing changes nothing."""

import numpy as np
import pytest

from tests.tiny import tiny_model
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.simulation.branching import count_steps, drive_branches
from worldmodel.simulation.courses import lay_out
from worldmodel.simulation.edits import open_edits
from worldmodel.simulation.policies.simple import Recorded
from worldmodel.simulation.rollout import begin, rollout
from worldmodel.simulation.session import Session
from worldmodel.types import EgoMotion, Tags

STEPS = 12
MOTION = EgoMotion(np.full(20, 10.0), np.linspace(0.1, 0.3, 20))
EDITS = "brake decel_mps2=4 from_s=0.5 for_s=1; shift left_m=0.3 from_s=0.9; policy policy=random from_s=0.5"


@pytest.fixture(params=["fake", "learned"])
def world(request, make_fake_world):
    return make_fake_world() if request.param == "fake" else Session(tiny_model(), sampler=SamplerConfig(2))


def branches_of(world, edits=EDITS, *, batch=2, seed=3):
    courses = lay_out(open_edits(edits).branches, MOTION, STEPS, 0.1)
    carry = begin(world, Tags.named(weather="rain"), Recorded(MOTION), batch=batch, seed=seed)
    return drive_branches(world, carry, courses, steps=STEPS, seed=seed), courses


def test_shared_history_is_computed_once(fake_world):
    told = []
    courses = lay_out(open_edits(EDITS).branches, MOTION, STEPS, 0.1)
    carry = begin(fake_world, Tags.unknown(), Recorded(MOTION), batch=1)
    drives = drive_branches(fake_world, carry, courses, steps=STEPS, progress=told.append)
    assert len(fake_world.moved) == sum(told) == count_steps(courses, STEPS) == STEPS + 7 + 3 + 7
    assert [drive.fresh_steps for drive in drives] == [STEPS, 7, 3, 7]


def test_the_first_branch_is_the_drive_without_branches(world):
    drives, _ = branches_of(world)
    carry = begin(world, Tags.named(weather="rain"), Recorded(MOTION), batch=2, seed=3)
    plain = np.stack([moment.frames for moment in rollout(world, _fresh(Recorded(MOTION)), carry, steps=STEPS)])
    np.testing.assert_array_equal(drives[0].frames, plain)


def _fresh(policy):
    policy.reset(0, seed=3)
    policy.reset(1, seed=4)
    return policy


def test_a_branch_is_what_it_would_be_alone(world):
    together, courses = branches_of(world)
    for branch, course in zip(together[1:3], courses[1:3]):
        carry = begin(world, Tags.named(weather="rain"), Recorded(MOTION), batch=2, seed=3)
        (alone,) = drive_branches(world, carry, [course], steps=STEPS, seed=3)
        np.testing.assert_array_equal(branch.frames, alone.frames)
        np.testing.assert_array_equal(branch.motion.speed_mps, alone.motion.speed_mps)


def test_branches_agree_before_they_part_and_differ_after(world):
    drives, courses = branches_of(world)
    for drive, course in zip(drives[1:], courses[1:]):
        parting = course.first_step
        np.testing.assert_array_equal(drive.frames[: parting + 1], drives[0].frames[: parting + 1])
        assert not np.array_equal(drive.frames[-1], drives[0].frames[-1]), course.name


def test_a_policy_that_takes_over_is_seeded_by_row(world):
    drives, _ = branches_of(world)
    speed = drives[3].motion.speed_mps[5:-1]
    assert not np.array_equal(speed[:, 0], speed[:, 1])
    again, _ = branches_of(world)
    np.testing.assert_array_equal(drives[3].frames, again[3].frames)


def test_a_branch_that_never_parts_costs_nothing(fake_world):
    drives, _ = branches_of(fake_world, "react later_s=0.04 from_s=0.5")
    assert drives[1].fresh_steps == 0
    np.testing.assert_array_equal(drives[1].frames, drives[0].frames)
    assert drives[1].course.name != drives[0].course.name


def test_the_world_is_told_the_tags_of_the_frame_it_draws(fake_world):
    codes = np.zeros((STEPS + 1, len(Tags.unknown().codes)), dtype=np.int64)
    codes[:, 0] = np.arange(STEPS + 1) % 5
    courses = lay_out((), MOTION, STEPS, 0.1)
    carry = begin(fake_world, Tags.unknown(), Recorded(MOTION))
    drive_branches(fake_world, carry, courses, steps=STEPS, tags=Tags(codes))
    assert [int(tags.codes[0]) for tags in fake_world.told] == [i % 5 for i in range(1, STEPS + 1)]
