"""Motion profiles: what they mean, and the errors people get."""

from pathlib import Path

import numpy as np
import pytest

from worldmodel.geometry.motion import VehicleLimits
from worldmodel.simulation.documents import Document
from worldmodel.simulation.profile import Profile

PROFILES = sorted((Path(__file__).parents[2] / "conf/profiles").glob("*.yaml"))
GOOD = """\
name: test
start_speed_mps: 10
segments:
  - {duration_s: 2, speed_mps: 14}
  - {duration_s: 2, accel_mps2: -1, curvature_1pm: 0.02}
  - {duration_s: 1}
"""


def load(tmp_path, text):
    path = tmp_path / "profile.yaml"
    path.write_text(text)
    return Profile.load(path)


def test_speed_and_curvature_are_reached_at_the_end_of_their_segment(tmp_path):
    plan = load(tmp_path, GOOD).plan(0.5, 10)
    np.testing.assert_allclose(plan.speed_mps, [10, 11, 12, 13, 14, 13.5, 13, 12.5, 12, 12, 12])
    np.testing.assert_allclose(plan.curvature_1pm, [0, 0, 0, 0, 0, 0.005, 0.01, 0.015, 0.02, 0.02, 0.02])


def test_profile_begins_again_from_the_speed_it_has(tmp_path):
    plan = load(tmp_path, GOOD).plan(1.0, 8)
    np.testing.assert_allclose(plan.speed_mps[5:], [12, 13, 14, 13])


def test_yaw_rate_is_curvature_times_speed(tmp_path):
    text = "start_speed_mps: 10\nsegments:\n  - {duration_s: 1, yaw_rate_radps: 0.2, speed_mps: 8}\n"
    plan = load(tmp_path, text).plan(1.0, 1)
    assert plan.curvature_1pm[1] * plan.speed_mps[1] == pytest.approx(0.2)


def test_scaled_profile_takes_the_same_path_faster_and_mirrored(tmp_path):
    profile = load(tmp_path, GOOD)
    plan, faster, mirrored = (
        p.plan(0.1, 50) for p in (profile, profile.scaled(speed=1.2, turn=1.2), profile.scaled(turn=-1))
    )
    np.testing.assert_allclose(faster.speed_mps, 1.2 * plan.speed_mps)
    np.testing.assert_allclose(faster.curvature_1pm, plan.curvature_1pm)
    np.testing.assert_allclose(mirrored.speed_mps, plan.speed_mps)
    np.testing.assert_allclose(mirrored.curvature_1pm, -plan.curvature_1pm)


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_shipped_profiles_are_drivable(path):
    profile = Profile.load(path)
    plan = profile.plan(0.1, 1200)
    assert (plan.speed_mps >= 0).all()
    assert profile.name
    assert (np.abs(plan.curvature_1pm) * plan.speed_mps**2 < 4.0).all(), "a passenger would complain"


def test_default_profile_lasts_a_minute_and_turns_both_ways():
    profile = Profile.load(next(path for path in PROFILES if path.stem == "winding"))
    assert 55 <= profile.duration_s <= 65
    yaw = profile.plan(0.1, 600)
    turning = yaw.curvature_1pm * yaw.speed_mps
    assert (turning > 0.05).mean() > 0.2
    assert (turning < -0.05).mean() > 0.2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("speed_mps: 14", "sped_mps: 14", r"yaml:4: segments\[0\]\.sped_mps: no such field; did you mean 'speed_mps'"),
        ("name:", "nam:", r"yaml:1: nam: no such field; did you mean 'name'"),
        ("duration_s: 1}", "duration_s: -1}", r"yaml:6: segments\[2\]\.duration_s: .* above 0, got -1"),
        ("duration_s: 1}", "duration_s: .nan}", r"yaml:6: segments\[2\]\.duration_s: expected a number, got nan"),
        ("duration_s: 1}", "duration_s: 1e-1}", r"yaml:6: .*expected a number, got '1e-1'"),
        ("duration_s: 1}", "speed_mps: 3}", r"yaml:6: segments\[2\]: duration_s is missing"),
        ("accel_mps2: -1", "accel_mps2: -12", r"yaml:5: segments\[1\]\.accel_mps2: beyond the vehicle's limits: -12"),
        ("accel_mps2: -1", "accel_mps2: -7.5", r"yaml:5: .*beyond the vehicle's limits: -1 m/s at its end"),
        ("2, speed_mps: 14", "20, speed_mps: 60", r"yaml:4: .*beyond the vehicle's limits: 60 m/s"),
        ("curvature_1pm: 0.02", "curvature_1pm: 0.05", r"yaml:5: .*m/s2 sideways is not in -7..7"),
        ("curvature_1pm: 0.02", "curvature_1pm: 0.5", r"yaml:5: .*0.5 1/m at its end"),
        ("curvature_1pm: 0.02", "curvature_1pm: 0.02, yaw_rate_radps: 0.1", r"give curvature_1pm or yaw_rate_radps"),
        ("start_speed_mps: 10", "start_speed_mps: -1", r"yaml:2: start_speed_mps: expected a number from 0, got -1"),
        ("start_speed_mps: 10\n", "", r"yaml:1: start_speed_mps is missing"),
        ("  - {duration_s: 1}\n", "  - soon\n", r"yaml:6: segments\[2\]: expected fields"),
        ("name: test", "name: test\nname: again", r"yaml:2: name: given twice"),
        ("name: test", "name: [test", r"not YAML"),
    ],
)
def test_a_bad_profile_says_where_and_why(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        load(tmp_path, GOOD.replace(old, new))


def test_turning_at_a_standstill_is_refused(tmp_path):
    text = "start_speed_mps: 0\nsegments:\n  - {duration_s: 1, yaw_rate_radps: 0.2}\n"
    with pytest.raises(ValueError, match=r"yaml:3: .*standstill"):
        load(tmp_path, text)


def test_missing_file_and_other_yaml_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        Profile.load(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="expected fields and values"):
        load(tmp_path, "- 1\n- 2\n")


def test_stricter_limits_are_the_callers(tmp_path):
    (tmp_path / "p.yaml").write_text(GOOD)
    with pytest.raises(ValueError, match=r"14 m/s at its end is not in 0\.\.13"):
        Profile.load(tmp_path / "p.yaml", limits=VehicleLimits(speed_max_mps=13))


def test_document_keeps_lines_of_nested_fields(tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("a: 1\nb:\n  - c: 2\n    d: 3\n")
    document = Document.load(path)
    assert document.data == {"a": 1, "b": [{"c": 2, "d": 3}]}
    assert document.lines[("b", 0, "d")] == 4
