"""Edits on the timeline: what they do to a motion, and the errors people get."""

import numpy as np
import pytest

from worldmodel.geometry.motion import dead_reckon
from worldmodel.simulation.courses import UNEDITED, apply, lay_out
from worldmodel.simulation.documents import CONF_DIR
from worldmodel.simulation.edits import Brake, Branch, React, Shift, Speed, Switch, open_edits, parse_edits
from worldmodel.types import EgoMotion

DT_S = 0.1
EDITS = [
    Brake(3.0, 1.5, 2.0),
    Speed(1.2, 1.0),
    Speed(0.7, 2.0, 1.0),
    Shift(0.5, 1.0),
    Shift(-1.5, 2.0, 3.0),
    React(0.4, 1.5),
]


@pytest.fixture
def motion():
    """Nine seconds at a changing speed round bends to both sides."""
    t_s = np.arange(90) * DT_S
    speed = 12 + 2 * np.sin(0.7 * t_s)
    return EgoMotion(speed, 0.02 * np.sin(0.9 * t_s) * speed)


def path_of(motion):
    count = motion.shape[0] + 1
    padded = EgoMotion(np.append(motion.speed_mps, np.nan), np.append(motion.yaw_rate_radps, np.nan))
    return dead_reckon(padded, np.arange(count) * DT_S)


def beside(points, path):
    """Signed distance (left positive) of every point to the nearest piece of a path."""
    start, along = path[:-1, :2], np.diff(path[:, :2], axis=0)
    away = points[:, None, :2] - start
    share = np.clip((away * along).sum(-1) / (along**2).sum(-1), 0, 1)
    rest = away - share[..., None] * along
    nearest = np.hypot(rest[..., 0], rest[..., 1]).argmin(axis=1)
    rows = np.arange(len(points))
    cross = along[nearest, 0] * rest[rows, nearest, 1] - along[nearest, 1] * rest[rows, nearest, 0]
    return np.sign(cross) * np.hypot(*rest[rows, nearest].T)


@pytest.mark.parametrize("edit", EDITS, ids=str)
def test_before_an_edit_nothing_changes_by_a_bit_and_after_it_something_does(motion, edit):
    edited, first = apply(edit, motion, DT_S), round(edit.from_s / DT_S)
    for name in ("speed_mps", "yaw_rate_radps"):
        np.testing.assert_array_equal(getattr(edited, name)[:first], getattr(motion, name)[:first])
    difference = np.abs(path_of(edited)[-30] - path_of(motion)[-30])
    assert difference.max() > 0.1


@pytest.mark.parametrize("edit", [edit for edit in EDITS if isinstance(edit, (Brake, Speed))], ids=str)
def test_at_another_pace_the_road_is_the_same(motion, edit):
    edited = path_of(apply(edit, motion, DT_S))
    within = edited[path_of(motion)[-1, 0] > edited[:, 0]]
    assert np.abs(beside(within, path_of(motion))).max() < 0.03


def test_braking_takes_off_what_it_says_and_no_more(motion):
    steady = EgoMotion(np.full(90, 12.0), np.zeros(90))
    edited = apply(Brake(3.0, 1.5, 2.0), steady, DT_S).speed_mps
    assert edited[19] == 12.0
    np.testing.assert_allclose(np.diff(edited[19:35]), -0.3)
    np.testing.assert_allclose(edited[35:], 12 - 4.5)
    stopped = apply(Brake(6.0, 4.0, 1.0), steady, DT_S).speed_mps
    assert stopped.min() == 0.0, "it does not reverse"
    assert (apply(Brake(2.0, 3.0, 1.0), motion, DT_S).speed_mps <= motion.speed_mps).all()


def test_a_factor_is_reached_evenly_and_held(motion):
    edited = apply(Speed(1.2, 1.0, 2.0), motion, DT_S)
    gain = edited.speed_mps / motion.speed_mps
    np.testing.assert_allclose(gain[29:], 1.2)
    np.testing.assert_allclose(np.diff(gain[9:29]), 0.01)


@pytest.mark.parametrize("left_m", [0.5, -1.5])
def test_a_shift_ends_beside_the_road_that_was_driven(motion, left_m):
    edited, base = path_of(apply(Shift(left_m, 1.0, 2.5), motion, DT_S)), path_of(motion)
    aside = beside(edited, base)[:-5]
    np.testing.assert_allclose(aside[:11], 0, atol=1e-9)
    np.testing.assert_allclose(aside[36:], left_m, atol=0.04)
    assert np.ptp(aside) < abs(left_m) + 0.05, "it does not overshoot"


def test_reacting_late_is_the_same_motion_later(motion):
    edited = apply(React(0.4, 1.5), motion, DT_S)
    np.testing.assert_array_equal(edited.speed_mps[19:], motion.speed_mps[15:-4])
    np.testing.assert_array_equal(edited.yaw_rate_radps[19:], motion.yaw_rate_radps[15:-4])
    np.testing.assert_array_equal(edited.yaw_rate_radps[15:19], np.full(4, motion.yaw_rate_radps[14]))


def test_courses_begin_with_the_unedited_and_part_where_they_first_differ(motion):
    branches = parse_edits(
        [
            {"edits": [{"kind": "shift", "left_m": 0.5, "from_s": 3}]},
            {"edits": [{"kind": "brake", "decel_mps2": 0.0001, "for_s": 0.1, "from_s": 6.6}]},
            {"edits": [{"kind": "policy", "policy": "constant", "from_s": 2}]},
        ]
    )
    courses = lay_out(branches[:1], motion, 60, DT_S)
    assert [course.name for course in courses] == [UNEDITED, "0.5 m left from 3 s"]
    assert [course.first_step for course in courses] == [60, 30]
    with pytest.raises(ValueError, match=r"branches\[1\]\.edits\[0\]\.from_s: 6\.6 s is after the end, at 6 s"):
        lay_out(branches[:2], motion, 60, DT_S)
    policy = lay_out(branches[2:], motion, 60, DT_S)[1]
    assert (policy.policy, policy.policy_step, policy.first_step) == ("constant", 20, 20)


def test_an_edit_that_changes_nothing_does_not_part(motion):
    slowing = EgoMotion(np.linspace(20, 2, 90), np.full(90, 0.01))
    (_, course) = lay_out((Branch("less than it did", (Brake(1.0, 3.0, 1.0),)),), slowing, 60, DT_S)
    assert course.first_step == 60
    np.testing.assert_array_equal(course.motion.yaw_rate_radps, slowing.yaw_rate_radps[:60])


def test_a_line_and_a_file_say_the_same(tmp_path):
    line = open_edits("brake decel_mps2=3 from_s=2 for_s=1.5; speed factor=1.2 + shift left_m=-0.5 from_s=1")
    path = tmp_path / "edits.yaml"
    path.write_text(
        "branches:\n"
        "  - edits: [{kind: brake, decel_mps2: 3, from_s: 2, for_s: 1.5}]\n"
        "  - edits: [{kind: speed, factor: 1.2}, {kind: shift, left_m: -0.5, from_s: 1}]\n"
    )
    written = open_edits(str(path))
    assert [branch.edits for branch in line.branches] == [branch.edits for branch in written.branches]
    assert [branch.name for branch in line.branches] == [branch.name for branch in written.branches]
    assert line.branches[1].edits == (Speed(1.2), Shift(-0.5, 1.0))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            "{kind: brake, decel_mps2: 12, for_s: 1}",
            r"decel_mps2: beyond the vehicle's limits: 12 m/s2 is not in 0\.\.8",
        ),
        ("{kind: shift, left_m: 3, over_s: 0.5}", r"left_m: beyond the vehicle's limits: 69\.3 m/s2 sideways"),
        ("{kind: brake, decel_mps2: -3, for_s: 1}", r"decel_mps2: expected a number above 0, got -3"),
        ("{kind: brake, decel_mps2: 3, for_s: 1, from_s: -2}", r"from_s: expected a number from 0, got -2"),
        ("{kind: brake, decel_mps2: 3}", "for_s is missing"),
        ("{kind: brake, decel: 3, for_s: 1}", r"decel: no such field; did you mean 'decel_mps2'"),
        ("{kind: break, decel_mps2: 3}", r"kind: expected one of brake, speed, shift, react, policy, got 'break'"),
        ("{kind: policy, policy: randm}", r"policy: policy: no policy is called 'randm'; did you mean 'random'"),
    ],
)
def test_a_bad_edit_names_file_line_and_field(tmp_path, edit, message):
    path = tmp_path / "edits.yaml"
    path.write_text(f"name: bad\nbranches:\n  - edits:\n    - {edit}\n")
    with pytest.raises(ValueError, match=rf"edits\.yaml:4: branches\[0\]\.edits\[0\]\.?:? ?{message}"):
        open_edits(str(path))


def test_motion_beyond_the_limits_is_found_where_only_the_drive_tells(motion):
    for text, message in (
        ("speed factor=4", "factor: beyond the vehicle's limits"),
        ("speed factor=1.9 over_s=0.3", "factor: beyond the vehicle's limits: .* m/s2 along the road is above 4"),
    ):
        with pytest.raises(ValueError, match=rf"branches\[0\]\.edits\[0\]\.{message}"):
            lay_out(open_edits(text).branches, motion, 60, DT_S)
    unknown = EgoMotion(np.where(np.arange(90) == 40, np.nan, motion.speed_mps), motion.yaw_rate_radps)
    with pytest.raises(ValueError, match=r"the motion to be edited is unknown at 4\.0 s"):
        lay_out(open_edits("react later_s=0.4").branches, unknown, 60, DT_S)


def test_mistakes_on_the_command_line():
    with pytest.raises(ValueError, match="edits: 'hard': expected field=value"):
        open_edits("brake hard")
    with pytest.raises(ValueError, match="edit: 'usuall' is not in conf/edits; did you mean 'usual'"):
        open_edits("usuall")
    with pytest.raises(ValueError, match="edits: name one of conf/edits"):
        open_edits(" ")


@pytest.mark.parametrize("path", sorted((CONF_DIR / "edits").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_edits_can_be_driven(path, motion):
    courses = lay_out(open_edits(str(path)).branches, motion, 60, DT_S)
    assert len({course.name for course in courses}) == len(courses) >= 3
    assert all(course.first_step < 60 for course in courses[1:])


def test_a_switch_has_a_driver_of_its_own(motion):
    (_, course) = lay_out((Branch("mine", (Switch("random", 1.0),)),), motion, 60, DT_S)
    driver = course.driver()
    driver.reset(0, seed=1)
    driver.skip(9)

    class Seen:
        speed_mps = np.array([10.0])
        dt_s = DT_S

    assert isinstance(driver.act(Seen()), EgoMotion)
    assert not isinstance(driver.act(Seen()), EgoMotion)
