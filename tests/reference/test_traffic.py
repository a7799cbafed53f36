"""Road, traffic and contacts: places, pins, and geometry on random states."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.centreline import Centreline
from worldmodel.reference.contact import push_out
from worldmodel.reference.options import EVENT_KINDS, draw_options
from worldmodel.reference.road import ASPHALT, COVER_HALF_M, COVER_STEP_M, WHITE, Road
from worldmodel.reference.simulation import Simulation
from worldmodel.reference.traffic import ego_rectangle
from worldmodel.reference.vehicles import rectangle
from worldmodel.types import EgoMotion

TINY = canonical_camera(8, 16, height_m=1.4)
#: State of the traffic after 60 steps; a change here is a change of the world.
PINNED = {
    "country": "c41bf5d15f4d991e9f723dfcab4240cda0307df782c82ee21cd6df4e58d60fdb",
    "motorway": "c638153bbb6be99999a3623038b2a3f314256d147ce0e5e197c3a4d49710fd4a",
    "town": "ba525b08d8721360b288c8d4b48f88053f300bc07a58401fa4ea8f4c88dcaee4",
}


def test_traffic_needs_no_gymnasium_and_leaves_highway_env_importable():
    blocked = ("gymnasium", "pandas", "pygame", "matplotlib", "torch", "av", "hydra", "scipy")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "from worldmodel.geometry.camera import canonical_camera\n"
        "from worldmodel.reference.drive import render_drive\n"
        "from worldmodel.reference.options import draw_options\n"
        "d = render_drive(draw_options(1, traffic='dense'), 3, camera=canonical_camera(16, 32, height_m=1.4))\n"
        "assert 'highway_env' not in sys.modules and 'highway_env.road.road' in sys.modules\n"
        f"[sys.modules.pop(name) for name in {blocked!r}]\n"
        "import highway_env, gymnasium\n"
        "gymnasium.make('highway-v0').reset(seed=0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-800:]


def simulation(kind, seed=4, **fixed):
    fixed = {"traffic": "dense", "weather": "clear", "time_of_day": "day", "events": ()} | fixed
    return Simulation(draw_options(seed, road_kind=kind, **fixed), camera=TINY)


def roll(sim, steps, speed_mps=11.0, yaw=0.0):
    for _ in range(steps):
        turn = sim.line.curvature_scalar(sim._ego.s_m) * speed_mps + yaw
        sim.step(EgoMotion(np.array(speed_mps), np.array(turn)))


@pytest.mark.parametrize("kind", PINNED)
def test_the_state_of_the_traffic_is_pinned(kind):
    sim = simulation(kind)
    roll(sim, 60)
    state = sim.traffic.others[0]
    np.testing.assert_array_equal(np.round(state.position, 6), state.position)
    assert sim.traffic.state_hash() == PINNED[kind]


@pytest.mark.parametrize("kind", ["country", "motorway", "town"])
def test_road_coordinates_go_round(kind):
    rng = np.random.default_rng(0)
    line = Centreline(7, kind)
    line.reach(3000)
    s, d = rng.uniform(-400, 3000, 300), rng.uniform(-25, 25, 300)
    pose = line.position(s, d)
    back_s, back_d = line.project(pose[:, 0], pose[:, 1])
    np.testing.assert_allclose(back_s, s, atol=1e-3)
    np.testing.assert_allclose(back_d, d, atol=1e-3)
    for i in range(20):
        assert line.nearest(*pose[i, :2]) == pytest.approx((s[i], d[i]), abs=1e-3)
        np.testing.assert_allclose(line.point(s[i], d[i]), pose[i], atol=1e-4)
    steps = np.linspace(0, 2000, 4001)
    path = line.position(steps)
    np.testing.assert_allclose(np.hypot(*np.diff(path[:, :2], axis=0).T), 0.5, atol=1e-4)
    tight = np.abs(line.curvature_at(steps)).max()
    assert tight <= 1 / 59


def test_the_line_does_not_depend_on_when_it_was_asked_for():
    one, other = Centreline(3, "country"), Centreline(3, "country")
    one.reach(9000)
    for s in range(0, 9000, 700):
        other.reach(float(s))
    s = np.linspace(-500, 8000, 50)
    assert (one.position(s, 2.0) == other.position(s, 2.0)).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["country", "motorway", "town"])
def test_what_is_off_the_road_is_what_is_not_drawn_as_road(kind, seed):
    road = Road.drawn(seed, kind)
    table = road.cover_table()[0]
    d = np.arange(-COVER_HALF_M + COVER_STEP_M / 2, COVER_HALF_M, COVER_STEP_M)
    cover = np.diff(table, axis=0)
    closed = np.array([s for s in np.arange(0, 3000, 50.0) if road.extra_at(s) == 0])[0]
    drawn = cover[:, ASPHALT] + cover[:, WHITE:].sum(1) > 0.5
    border = np.abs(np.abs(d)[:, None] - [road.paved_m, road.median_m - road.inner_shoulder_m]).min(1) < 0.02
    assert (drawn == ~road.is_off(d, closed))[~border].all()


def test_the_further_lane_opens_and_ends_smoothly():
    road = next(r for r in (Road.drawn(s, "motorway") for s in range(20)) if r.has_extra)
    s = np.arange(0, 9000, 1.0)
    share = road.extra_at(s)
    assert share.max() == 1
    assert share.min() == 0
    assert np.abs(np.diff(share)).max() < 0.02
    np.testing.assert_allclose([float(road.extra_at(x)) for x in s[::97]], share[::97])


def shared_area(a, b):
    """Area common to two convex outlines: a clipped by every edge of b (Sutherland and Hodgman)."""
    points = [tuple(p) for p in a]
    for (x0, y0), (x1, y1) in zip(b, np.roll(b, -1, axis=0)):
        inside = [(x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) for x, y in points]
        kept = []
        for i, (p, here) in enumerate(zip(points, inside)):
            before, there = points[i - 1], inside[i - 1]
            if (here < 0) != (there < 0):
                share = there / (there - here)
                kept.append((before[0] + share * (p[0] - before[0]), before[1] + share * (p[1] - before[1])))
            if here >= 0:
                kept.append(p)
        points = kept
    x, y = np.array(points).reshape(-1, 2).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


boxes = st.tuples(st.floats(-6, 6), st.floats(-6, 6), st.floats(-3.2, 3.2), st.floats(0.5, 12), st.floats(0.4, 3))


@given(boxes, boxes)
@settings(max_examples=150, deadline=None)
def test_contact_agrees_with_geometry(a, b):
    one, other = rectangle(*a), rectangle(*b)
    area = shared_area(one, other)
    push = push_out(one, other)
    if area > 1e-3:
        assert push is not None
    if push is not None:
        assert shared_area(one, other + push) < 1e-6
        # It is the shortest: nine tenths of it do not part them.
        if np.hypot(*push) > 0.05:
            assert shared_area(one, other + 0.9 * push) > 0


@given(st.integers(0, 5), st.floats(-8, 8), st.floats(-0.4, 0.4), st.floats(0, 30))
@settings(max_examples=12, deadline=None)
def test_collision_and_off_road_agree_with_geometry_on_random_states(seed, d, heading, speed):
    sim = simulation("country", seed)
    sim.place_ego(d, speed)
    sim.step(EgoMotion(np.array(speed), np.array(heading * 10)))
    told = sim.truth()
    body = ego_rectangle(sim.pose)
    plans = [v.footprint for v in sim.shot().seen] + list(sim._renderer.scene.scenery.solids(sim._ego.s_m))
    overlap = max((shared_area(body, p) for p in plans), default=0.0)
    if overlap > 0.01:
        assert told["collision"]
    if not told["collision"]:
        assert overlap < 0.01
    _, offset = sim.line.project(*sim.pose[:2])
    assert told["off_road"] == bool(sim.road.is_off(offset, sim._ego.s_m))
    assert told["road_offset_m"] == pytest.approx(float(offset), abs=1e-6)


def test_driving_into_a_standing_vehicle_is_a_collision_and_pushes_it():
    sim = simulation("country", traffic="light")
    traffic = sim.traffic
    traffic.road.vehicles[1:] = []
    ahead = traffic.enter(traffic.ego.side, traffic.ego.lane_index[2], 30.0, "sedan", 10.0, 0.0)
    ahead.script_accel_mps2 = -3.0
    gaps, collisions = [], []
    for _ in range(40):
        roll(sim, 1, 10.0)
        told = sim.truth()
        gaps.append(told["gap_m"])
        collisions.append(told["collision"])
    assert any(collisions)
    first = collisions.index(True)
    assert np.all(np.diff(gaps[: first - 1]) < 0)
    assert gaps[first - 1] < 1.5
    # It never stands inside the ego.
    assert ahead.s_m - traffic.ego.s_m > 4.0


@pytest.mark.parametrize("event", EVENT_KINDS)
def test_every_event_takes_place(event):
    sim = simulation("town", seed=31, traffic="light", events=((event, 1.0),))
    seen = set()
    for _ in range(450):
        gap = sim.situation().gap_m
        roll(sim, 1, float(np.clip(0.6 * (gap - 4), 0, 9)))
        seen.add(int(sim.truth()["event"]))
    assert len(seen) == 2


def test_nobody_appears_or_vanishes_in_sight():
    sim = simulation("motorway", seed=6)
    before = {v.number: v for v in sim.shot().seen}
    for _ in range(200):
        roll(sim, 1, 25.0)
        now = {v.number: v for v in sim.shot().seen}
        for number in set(now) ^ set(before):
            v = now.get(number) or before[number]
            ahead = np.cos(sim.pose[2]) * (v.x_m - sim.pose[0]) + np.sin(sim.pose[2]) * (v.y_m - sim.pose[1])
            assert ahead < -20 or ahead > 250
        before = now


def test_traffic_keeps_to_itself():
    sim = simulation("motorway", seed=8)
    roll(sim, 150, 24.0)
    assert sum(v.crashed for v in sim.traffic.others) <= 1
    for v in sim.traffic.others:
        lane = v.lane
        assert abs(v.d_m - lane.d_m) < 2.2
        assert 0 <= v.speed < 45
