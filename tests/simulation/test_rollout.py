"""The engine: steps, alignment, rows, branches."""

import copy
import itertools
import tracemalloc

import numpy as np
import pytest

from worldmodel.simulation.policies.simple import Constant, Random, Recorded, Scripted
from worldmodel.simulation.profile import Profile, Segment
from worldmodel.simulation.rollout import DEFAULT_SPEED_MPS, advance, begin, rollout, vehicle_after
from worldmodel.types import Controls, EgoMotion, Tags, World

BEND = Profile(10.0, (Segment(1.0, speed_mps=12.0), Segment(1.0, curvature_1pm=0.02), Segment(2.0, accel_mps2=-1.0)))


def test_fake_world_obeys_the_protocol(fake_world):
    assert isinstance(fake_world, World)


def test_one_moment_per_frame_and_the_last_motion_is_unknown(fake_world):
    policy = Constant(accel_mps2=1.0)
    moments = list(rollout(fake_world, policy, begin(fake_world, Tags.unknown(), policy), steps=5))
    assert [round(m.t_s, 6) for m in moments] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert all(m.motion.is_known.all() for m in moments[:-1])
    assert not moments[-1].motion.is_known.any()
    assert np.isnan(moments[-1].controls.accel_mps2).all()


def test_motion_of_a_moment_leads_from_its_frame_to_the_next(fake_world):
    policy = Random()
    moments = list(rollout(fake_world, policy, begin(fake_world, Tags.unknown(), policy, batch=3), steps=20))
    for now, after in itertools.pairwise(moments):
        moved = after.info["distance_m"] - now.info["distance_m"]
        np.testing.assert_allclose(moved, now.motion.speed_mps * 0.1, atol=1e-9)


def test_recorded_motion_reaches_the_world_unchanged(fake_world):
    motion = EgoMotion([5.0, np.nan, 7.0], [0.1, 0.2, np.nan])
    policy = Recorded(motion)
    moments = list(rollout(fake_world, policy, begin(fake_world, Tags.unknown(), policy, batch=2), steps=3))
    given = fake_world.moved
    np.testing.assert_array_equal([step.speed_mps[1] for step in given], motion.speed_mps)
    np.testing.assert_array_equal([step.yaw_rate_radps[0] for step in given], motion.yaw_rate_radps)
    assert moments[0].controls is None


def test_scripted_profile_is_followed_from_its_own_speed(fake_world):
    policy = Scripted(BEND)
    carry = begin(fake_world, Tags.unknown(), policy, speed_mps=BEND.start_speed_mps)
    moments = list(rollout(fake_world, policy, carry, steps=40))
    plan = BEND.plan(0.1, 40)
    middle = (plan.speed_mps[:-1] + plan.speed_mps[1:]) / 2
    np.testing.assert_allclose([m.motion.speed_mps[0] for m in moments[:-1]], middle, rtol=1e-3)
    turned = [m.motion.yaw_rate_radps[0] / m.motion.speed_mps[0] for m in moments[:-1]]
    np.testing.assert_allclose(turned, plan.curvature_1pm[1:], rtol=1e-3, atol=1e-9)


def test_scripted_profile_catches_up_from_another_speed(fake_world):
    policy = Scripted(Profile(10.0, (Segment(1.0),)))
    carry = begin(fake_world, Tags.unknown(), policy, speed_mps=4.0)
    moments = list(rollout(fake_world, policy, carry, steps=60))
    assert moments[0].controls.accel_mps2[0] == pytest.approx(2.0)
    assert moments[-2].motion.speed_mps[0] == pytest.approx(10.0)


def test_vehicle_starts_as_the_context_ends(clip):
    state = vehicle_after(clip)
    assert (state.speed_mps, state.curvature_1pm) == (10.0, pytest.approx(0.02))
    assert vehicle_after(Tags.unknown()).speed_mps == DEFAULT_SPEED_MPS
    assert vehicle_after(clip, speed_mps=3.0).speed_mps == 3.0


def test_row_is_what_its_seed_gives_alone(make_fake_world):
    def drive(seed, batch):
        world, policy = make_fake_world(), Random()
        return list(rollout(world, policy, begin(world, Tags.unknown(), policy, batch=batch, seed=seed), steps=12))

    together, alone = drive(4, 3), drive(6, 1)
    for a, b in zip(together, alone):
        np.testing.assert_array_equal(a.frames[2], b.frames[0])
    assert not np.array_equal(together[-1].frames[0], together[-1].frames[1])


def test_branch_from_carry_snapshot_and_policy_copy_is_the_same_drive(fake_world):
    policy = Random()
    carry = begin(fake_world, Tags.unknown(), policy, batch=2)
    for _ in range(5):
        carry, _ = advance(fake_world, policy, carry)
    kept, other = fake_world.snapshot(), copy.deepcopy(policy)
    first = [m.frames for m in rollout(fake_world, policy, carry, steps=6)]
    fake_world.restore(kept)
    second = [m.frames for m in rollout(fake_world, other, carry, steps=6)]
    np.testing.assert_array_equal(first, second)


def test_memory_does_not_grow_with_length(fake_world):
    def peak(steps):
        policy = Constant()
        carry = begin(fake_world, Tags.unknown(), policy)
        tracemalloc.start()
        for _ in rollout(fake_world, policy, carry, steps=steps):
            fake_world.moved.clear()
            fake_world.told.clear()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    frame_bytes = 32 * 64 * 3
    peak(50)
    assert peak(1500) - peak(50) < 50 * frame_bytes


class Bad:
    name, needs_truth = "bad", False

    def reset(self, row, *, seed): ...

    def act(self, observation):
        return Controls(np.nan, 0.0)


class Oracle(Constant):
    name, needs_truth = "oracle-test", True

    def act(self, observation):
        assert observation.truth is not None
        return super().act(observation)


def test_policy_that_answers_nan_is_named(fake_world):
    with pytest.raises(ValueError, match=r"Controls\.accel_mps2"):
        advance(fake_world, Bad(), begin(fake_world, Tags.unknown(), Bad()))


def test_truth_is_handed_to_oracles_alone(make_fake_world):
    world, seen = make_fake_world(), []

    class Peeking(Constant):
        def act(self, observation):
            seen.append(observation.truth)
            return super().act(observation)

    advance(world, Peeking(), begin(world, Tags.unknown(), Peeking()))
    assert seen == [None]
    advance(world, Oracle(), begin(world, Tags.unknown(), Oracle()))
    blind = make_fake_world(tells=False)
    with pytest.raises(ValueError, match="oracle-test"):
        advance(blind, Oracle(), begin(blind, Tags.unknown(), Oracle()))
