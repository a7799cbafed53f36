"""The two modes from end to end with a tiny model and blind networks: resumable, sharded, and mistakes in one line."""

import json
import sys
from pathlib import Path

import pytest
import torch

from worldmodel.cli import rollout_main
from worldmodel.evaluation import evaluate_policy, validate
from worldmodel.evaluation.evaluate_policy import EvaluatePolicyConfig
from worldmodel.evaluation.policy_drives import Job, PolicyRun
from worldmodel.evaluation.validate import ValidateConfig
from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import save_perceiver
from worldmodel.simulation.trials import name_scenarios

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny import tiny_model

EASY = "traffic=none,weather=clear,time_of_day=day"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Settings with a model of 32×64 and small perception of random weights."""
    folder = tmp_path_factory.mktemp("weights")
    tiny_model().save(folder / "model")
    torch.manual_seed(0)
    network = Perceiver(PerceptionConfig(64, 128, widths=(8, 8, 8), maps=2, hidden=16))
    save_perceiver(network, folder / "eyes", {})
    eyes = str(folder / "eyes")
    return {"model": str(folder / "model"), "driver": eyes, "judge": eyes, "tags": EASY, "device": "cpu"}


@pytest.mark.slow
def test_a_policy_is_scored_in_both_worlds_and_the_run_goes_on_where_it_was(made, tmp_path, capsys):
    config = EvaluatePolicyConfig(
        **made, policy="constant,oracle-timid", scenarios=2, length_s=1.0, out=str(tmp_path / "out")
    )
    out = evaluate_policy.run(config)
    report = json.loads((out / "report.json").read_text())
    views = report["policies"]["constant"]
    assert set(views) == {"learned, judge", "true, truth", "true, judge"}
    assert set(report["policies"]["oracle-timid"]) == {"true, truth", "true, judge"}
    assert views["true, truth"]["scores"]["progress_m"]["value"] > 2
    assert [drive["scenario"] for drive in views["learned, judge"]["drives"]] == ["drawn_000", "drawn_001"]
    page = (out / "report.html").read_text()
    assert page.count("data:video/mp4") == 6
    assert "composite" in capsys.readouterr().out
    # Again: nothing is driven anew, but for what is missing.
    lost = out / "learned" / "constant" / "drawn_001.npz"
    kept = out / "learned" / "constant" / "drawn_000.npz"
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    evaluate_policy.run(config)
    assert kept.stat().st_mtime_ns == stamp
    assert lost.is_file()
    assert len(before) == pytest.approx(lost.stat().st_size, rel=0.05)
    with pytest.raises(ValueError, match="made with other settings"):
        evaluate_policy.run(EvaluatePolicyConfig(**(made | {"tags": ""}), scenarios=2, length_s=1.0, out=str(out)))


@pytest.mark.slow
def test_worlds_are_compared_and_ranked(made, tmp_path):
    config = ValidateConfig(
        **made, policies="constant,random,recorded", scenarios=2, length_s=1.0, films=False, out=str(tmp_path / "out")
    )
    out = validate.run(config)
    found = json.loads((out / "validity.json").read_text())
    assert set(found["policies"]) == {"constant", "random", "recorded"}
    assert {t["score"] for t in found["targets"]} == {"composite", "collision", "off_road"}
    assert set(found["agreement"]) == {"validity", "perception", "model"}
    assert "<svg" in (out / "report.html").read_text()
    assert not list(out.rglob("*.mp4"))


@pytest.mark.slow
def test_processes_share_the_scenarios(made, tmp_path, monkeypatch):
    config = EvaluatePolicyConfig(**made, policy="constant", scenarios=3, length_s=1.0, worlds="learned", films=False)
    job, seen = Job("constant", "learned"), []
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        runs = PolicyRun(config, tmp_path, count=3, length_s=1.0)
        runs.run([job], done=lambda job, drive, rank=rank: seen.append((rank, drive.path.stem)))
    assert seen == [(1, "drawn_001"), (0, "drawn_000"), (0, "drawn_002")]
    assert len(runs.drives(job)) == 3


def test_drawn_scenarios_are_the_same_whatever_their_number():
    few, many = (name_scenarios("drawn", count=n, length_s=20.0, tags=EASY) for n in (2, 5))
    assert list(many)[:2] == list(few)
    assert all((many[n].context, many[n].events) == (few[n].context, few[n].events) for n in few)
    assert all(s.context.options.traffic == "none" and not s.events for s in many.values())
    shipped = name_scenarios("library", count=3, length_s=None)
    assert len(shipped) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"policy": "idm-nromal"}, "did you mean 'idm-normal'"),
        ({"policy": "oracle-timid", "worlds": "learned"}, "oracle policies see the truth"),
        ({"policy": ""}, "name at least one"),
        ({"scenario": "library", "tags": EASY}, "only drawn scenarios take tags"),
        ({"scenario": "hard_brak"}, "hard_brake"),
        ({"batch": 0}, "batch: expected a number from 1"),
    ],
)
def test_mistakes_are_named_before_anything_is_driven(made, tmp_path, settings, message):
    usual = made | {"tags": "", "scenarios": 1, "length_s": 1.0, "out": str(tmp_path / "out")}
    with pytest.raises(ValueError, match=message):
        evaluate_policy.run(EvaluatePolicyConfig(**(usual | settings)))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="at least three policies"):
        validate.run(ValidateConfig(policies="constant"))


def test_the_true_world_is_a_word_on_the_command_line(capsys):
    with pytest.raises(SystemExit):
        rollout_main(["mode=evaluate_policy", "worlds=true", "policy=idm-nromal", "scenarios=1", "length_s=1"])
    assert capsys.readouterr().err.startswith("error: policy: no policy is called 'idm-nromal'")
