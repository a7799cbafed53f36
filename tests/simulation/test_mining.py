"""Finding what is worth replaying: what is found, what is not, and that the files are scenarios."""

import numpy as np
import pytest

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeInfo, EpisodeWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.simulation.mining import MineConfig, acceleration, run, search
from worldmodel.simulation.scenario import ScenarioFile, find_scenarios
from worldmodel.simulation.staging import stage
from worldmodel.types import EgoMotion, Tags

T_S = np.arange(300) * 0.1


def drive(*, brake_at=None, turn_at=None, stop_at=None):
    """Half a minute at 12 m/s in which one thing happens."""
    speed, yaw = np.full(300, 12.0), np.zeros(300)
    if brake_at is not None:
        speed = np.interp(T_S, [brake_at, brake_at + 2, brake_at + 6], [12.0, 2.0, 12.0])
    if stop_at is not None:
        speed = np.interp(T_S, [stop_at - 8, stop_at, stop_at + 4, stop_at + 12], [12.0, 0.0, 0.0, 12.0])
    if turn_at is not None:
        yaw = np.where(np.abs(T_S - turn_at) < 1, -0.4, 0.0)
    speed[-1] = yaw[-1] = np.nan
    return EgoMotion(speed, yaw)


def kinds(motion, columns=None, **options):
    return {find.kind: find for find in search(T_S, motion, columns or {}, MineConfig(**options))}


def test_an_even_drive_has_nothing_remarkable():
    assert kinds(drive()) == {}


def test_each_is_found_where_it_happens_and_nothing_else_is():
    braking = kinds(drive(brake_at=10))
    assert set(braking) == {"hard_braking"}
    assert T_S[braking["hard_braking"].begin] == pytest.approx(10, abs=0.5)
    assert braking["hard_braking"].value == pytest.approx(5.0, abs=0.1)
    turning = kinds(drive(turn_at=15))
    assert set(turning) == {"sharp_turning"}
    assert T_S[turning["sharp_turning"].begin] == pytest.approx(14.1, abs=0.1)
    standing = kinds(drive(stop_at=15))
    assert set(standing) == {"standstill"}
    assert standing["standstill"].value == pytest.approx(4.3, abs=0.3)


def test_a_gap_is_looked_at_where_there_is_a_column():
    gap = np.where((T_S > 12) & (T_S < 14), 5.0, 60.0)
    assert T_S[kinds(drive(), {"gap_m": gap})["small_gap"].begin] == pytest.approx(12.1)
    assert "small_gap" not in kinds(drive(), {"gap_m": np.full(300, np.nan)})
    assert "small_gap" not in kinds(drive(), {"gap_m": gap}, kinds="hard_braking")
    assert "small_gap" not in kinds(drive(), {"gap_m": gap}, gap_m=4.0, gap_s=0.3)


def test_what_has_no_whole_context_or_no_drive_after_it_is_left_out():
    assert kinds(drive(brake_at=2)) == {}
    assert kinds(drive(turn_at=30.2)) == {}
    assert kinds(drive(brake_at=2), context_s=0.5) != {}


def test_a_row_of_noise_is_no_braking_and_the_unknown_is_none():
    motion = drive()
    motion.speed_mps[100] = 9.0
    motion.speed_mps[200:205] = np.nan
    assert "hard_braking" not in {find.kind for find in search(T_S, motion, {}, MineConfig(braking_mps2=6.5))}
    assert np.isnan(acceleration(motion.speed_mps, T_S)[-5:]).all()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("prepared")
    camera, writer = canonical_camera(32, 64, height_m=1.2), EpisodeWriter(root)
    for number, (name, motion) in enumerate((("calm", drive()), ("braking", drive(brake_at=10)))):
        info = EpisodeInfo(name, name, camera, np.ones((32, 64), dtype=bool), "measured", "measured")
        frames = (np.full((32, 64, 3), row % 250, dtype=np.uint8) for row in range(300))
        columns = {"gap_m": np.full(300, 6.0 if number else 50.0)}
        writer.write(info, frames, T_S, motion, Tags.unknown(), drive=number, part=0, columns=columns)
    lerobot.rebuild_meta(root)
    return root


def test_a_set_gives_scenario_files_that_hold_what_was_found(prepared, tmp_path):
    folder = run(MineConfig(data=str(prepared), out=str(tmp_path / "mined"), most=1, length_s=4.0))
    files = find_scenarios(str(folder))
    assert [path.name for path in files] == ["hard_braking_00_braking_000.yaml", *[p.name for p in files[1:]]]
    scenario = ScenarioFile.load(files[0])
    staged = stage(scenario, canonical_camera(32, 64), dt_s=0.1)
    assert scenario.length_s == 4.0
    assert scenario.name == "hard braking 10 s into braking#000", "two of one episode have two names"
    assert len(staged.context) == 33
    slowing = np.flatnonzero(np.diff(staged.motion.speed_mps) < -0.3)
    assert slowing[0] * 0.1 == pytest.approx(1.5, abs=0.5), "it happens a moment after the drive begins"
    assert (folder / "finds.csv").read_text().startswith("file,kind,episode,t_s,value,unit\n")


def test_mistakes_are_named(prepared, tmp_path):
    with pytest.raises(ValueError, match="kinds: 'crash' is not one of hard_braking"):
        MineConfig(kinds="crash")
    with pytest.raises(ValueError, match="gap_m: expected a number above 0, got -1"):
        MineConfig(gap_m=-1.0)
    with pytest.raises(ValueError, match="data=no/such: no such folder"):
        run(MineConfig(data="no/such"))
    with pytest.raises(ValueError, match="nothing remarkable in 2 episodes"):
        run(MineConfig(data=str(prepared), out=str(tmp_path / "none"), kinds="standstill"))
    assert not list(tmp_path.iterdir())
