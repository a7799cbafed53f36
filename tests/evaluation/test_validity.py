"""Two worlds that agree are told so, and what is inverted is found; the drift watch marks what falls apart."""

import numpy as np
import pytest

from worldmodel.evaluation.certainty import choose, cross_chosen, words
from worldmodel.evaluation.falling import STATISTICS, FallWatch
from worldmodel.evaluation.keeping_drives import DEFAULT_CERTAINTY, JUDGE, TRUTH, account_of, keep, load
from worldmodel.evaluation.policy_scores import Scored, scored
from worldmodel.evaluation.validity import agree, of_policies, shared, summary, targets, worst_inversions
from worldmodel.geometry.motion import VehicleState
from worldmodel.metrics.driving import SCORES
from worldmodel.metrics.ranks import agreement
from worldmodel.perception.streaming import COLUMNS
from worldmodel.simulation.closed_loop import DONE, LOOKS, Driven
from worldmodel.simulation.trials import Trial
from worldmodel.types import Tags

NAMES = [f"s{i}" for i in range(6)]


def scores_of(composite, *, off_road=0.0, km=0.3):
    return [
        dict.fromkeys(SCORES, 0.5) | {"composite": c, "off_road": off_road, "driven_km": km, "failed_s": np.nan}
        for c in composite
    ]


def one(composite, **more):
    return Scored(scores_of(composite, **more), [None] * len(composite), [], list(NAMES))


def results(learned, true):
    """Worlds that score policies around the given means, scenario by scenario alike."""
    wobble = np.linspace(-0.05, 0.05, len(NAMES))
    return {
        f"p{i}": {
            ("learned", JUDGE): one(a + wobble, off_road=1 - a),
            ("true", TRUTH): one(b + wobble, off_road=1 - b),
            ("true", JUDGE): one(b + wobble, off_road=1 - b),
        }
        for i, (a, b) in enumerate(zip(learned, true))
    }


def test_worlds_that_agree_meet_every_target_they_can():
    true = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    found = summary(results(0.5 * true + 0.2, true), draws=50)
    validity = found["agreement"]["validity"]
    assert validity["composite"]["spearman"]["value"] == pytest.approx(1)
    assert validity["composite"]["pearson"]["value"] == pytest.approx(1)
    assert validity["composite"]["mmrv"]["value"] == 0
    assert validity["off_road"]["spearman"]["value"] == pytest.approx(1)
    met = {(t["score"], t["measure"]): t["is_met"] for t in found["targets"]}
    assert met["composite", "spearman"]
    assert not met["collision", "spearman"]  # no policy ever collides: nothing can be said
    assert worst_inversions(results(0.5 * true + 0.2, true), count=3) == []


def test_an_inversion_is_found_with_what_it_costs_and_where():
    true, learned = np.array([0.1, 0.4, 0.9]), np.array([0.1, 0.9, 0.4])
    both = results(learned, true)
    both["p1"]["learned", JUDGE].scores[4]["composite"] = 2.0
    worst = worst_inversions(both, count=3)
    assert [(w.better, w.worse, w.scenario) for w in worst] == [("p2", "p1", "s4")]
    assert worst[0].cost == pytest.approx(0.5)
    agreed = agree(both, "composite", "validity")
    assert agreed.mmrv.value == pytest.approx(1 / 3)  # two of three are part of it, at 0.5 each
    assert agree(both, "composite", "perception").spearman.value == pytest.approx(1)
    assert agree(both, "composite", "model").spearman.value == pytest.approx(0.5)


def test_only_policies_and_scenarios_of_both_worlds_are_compared():
    both = results([0.1, 0.5, 0.9], [0.1, 0.5, 0.9])
    both["oracle"] = {("true", TRUTH): one([0.9] * 6)}
    both["p0"]["learned", JUDGE].names[0] = "elsewhere"
    kept = shared(both)
    assert set(kept) == {"p0", "p1", "p2"}
    for views in kept.values():
        for view in views.values():
            assert view.names == NAMES[1:]
            assert len(view.scores) == 5


def test_rates_are_sums_over_kilometres():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2, (4, 8)).astype(float)
    km = rng.uniform(0.1, 1.0, (4, 8))
    agreed = agreement(counts, counts, per=(km, km))
    assert agreed.pearson.value == pytest.approx(1)
    half = agreement(counts, counts, per=(km, 2 * km))
    assert half.pearson.value == pytest.approx(1)
    rates = of_policies(results([0.2, 0.4], [0.2, 0.4]), "off_road", ("true", TRUTH))
    np.testing.assert_allclose(rates, [0.8 / 0.3, 0.6 / 0.3])


def test_targets_that_nobody_knows_are_not_met():
    assert not any(t["is_met"] for t in targets(dict.fromkeys(SCORES)))


def driven(seed, *, seconds=6, grows=0.0, status=DONE, truth=True):
    """A drive that looks steady, or ever sharper; the judge reads what the vehicle did, with noise."""
    rng, count = np.random.default_rng(seed), 10 * seconds + 1
    t_s = 0.1 * np.arange(count)
    columns = {"t_s": t_s, "speed_mps": np.append(np.full(count - 1, 10.0), np.nan)}
    columns["yaw_rate_radps"] = np.append(np.zeros(count - 1), np.nan)
    columns |= {f"look.{name}": 20 + rng.normal(0, 0.5, count) for name in LOOKS}
    columns["look.sharpness"] = columns["look.sharpness"] * np.exp(grows * t_s)
    columns |= {f"judge.{name}": np.zeros(count) for name in COLUMNS}
    columns["judge.speed_mps"] = np.append(np.nan, 10 + rng.normal(0, 0.2, count - 1))
    columns["judge.gap_m"] = np.full(count, 20.0)
    if truth:
        names = ("heading_error_rad", "lane_offset_m", "gap_m", "closing_speed_mps", "collision", "off_road")
        columns |= {f"truth.{name}": np.zeros(count) for name in names}
        columns["truth.off_road"][40:] = 1.0
    vehicle = VehicleState(np.array(10.0), np.array(0.0))
    trial = Trial(f"s{seed}", None, Tags.unknown(), vehicle, Tags.unknown((count,)), count - 1, seed, None)
    return Driven(trial, status, columns, rng.normal(0, 1, (count, 8)).astype(np.float32))


def kept(folder, **more):
    paths = [folder / f"s{seed}.npz" for seed in range(8)]
    for seed, path in enumerate(paths):
        keep(path, driven(seed, **more), 0.1)
    return [load(path) for path in paths]


def test_a_kept_drive_is_what_was_driven_and_truth_and_judge_give_their_own_accounts(tmp_path):
    drive = kept(tmp_path)[0]
    np.testing.assert_array_equal(drive.columns["judge.speed_mps"], driven(0).columns["judge.speed_mps"])
    assert drive.length_s == pytest.approx(6.0)
    assert drive.score(TRUTH)["off_road"] == 1
    assert drive.score(TRUTH)["failed_s"] == pytest.approx(4.0)
    assert drive.score(JUDGE)["off_road"] == 0
    assert drive.score(JUDGE)["progress_m"] == pytest.approx(60, rel=0.02)
    told, read = account_of(drive, TRUTH), account_of(drive, JUDGE)
    assert np.isnan(read.gap_m).all()  # has_gap is unlikely
    # A step is read at the frame it leads to, and told at the one it leads from.
    np.testing.assert_array_equal(read.speed_mps[:-1], drive.columns["judge.speed_mps"][1:])
    assert told.speed_mps[0] == 10.0
    assert not list(tmp_path.glob(".*"))


def test_a_policy_that_broke_down_is_worth_nothing(tmp_path):
    drives = kept(tmp_path, status="raised RuntimeError: no")
    found = scored(drives, JUDGE, None)
    assert found.broke_down == ["raised RuntimeError: no"] * 8
    assert found.intervals()["composite"].value == 0
    assert found.plain()["broke_down"] == 8


def test_certainty_is_chosen_on_the_other_half_of_true_drives(tmp_path):
    """A judge that says 0.1 where the ego is off the road and 0.01 elsewhere is believed at 0.1."""
    drives = []
    for seed in range(20):
        made = driven(seed)
        fails = made.columns["truth.off_road"] > 0.5 if seed < 16 else np.zeros(61, dtype=bool)
        made.columns["truth.off_road"] = fails.astype(float)
        made.columns["judge.off_road"] = np.where(fails, 0.1, 0.01)
        if seed == 3:
            made.columns["judge.off_road"] = np.full(61, 0.9)  # one that only its own half would spoil
        path = tmp_path / f"s{seed:02d}.npz"
        keep(path, made, 0.1)
        drives.append(load(path))
    chosen = cross_chosen(drives)
    assert all(0.01 < certainty.off_road < 0.1 for certainty in chosen.values())
    assert {certainty.collision for certainty in chosen.values()} == {0.5}  # never happened
    assert drives[0].score(JUDGE)["off_road"] == 0
    assert drives[0].score(JUDGE, chosen["s00"])["off_road"] == 1
    assert drives[18].score(JUDGE, chosen["s18"])["off_road"] == 0
    assert choose(drives[:3]) == DEFAULT_CERTAINTY
    assert "0.055" in words(chosen)


def test_the_watch_marks_a_world_that_falls_apart_and_leaves_true_ones_alone(tmp_path):
    watch = FallWatch(kept(tmp_path / "true"))
    again = kept(tmp_path / "again")
    assert sum(watch.fall(drive).second is not None for drive in again) <= 2
    for drive in kept(tmp_path / "apart", grows=0.2):
        fall = watch.fall(drive)
        assert fall.second is not None
        assert 1 <= fall.second <= 5
        assert fall.worst > 1
    assert fall.statistic in STATISTICS
    with pytest.raises(ValueError, match="at least 4"):
        FallWatch(again[:3])
