"""``mode=evaluate`` from end to end, with random weights for model and judge: it runs, goes on and refuses others."""

import json
import re

import cv2
import numpy as np
import pytest
import torch

from tests.evaluation import standins
from tests.tiny import tiny_model
from worldmodel.evaluation.evaluate import EvaluateConfig, run
from worldmodel.evaluation.objects import PARTS
from worldmodel.evaluation.report import OBJECT_PARTS, ROWS
from worldmodel.model import Training
from worldmodel.perception.boxes import CENTRE
from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import Reader

TAGS = "weather=clear,time_of_day=day,road_kind=country,traffic=none"


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    config = PerceptionConfig(64, 128, widths=(8, 8, 8), matched=4, maps=2, hidden=16, context=3, boxes=8)
    network = Perceiver(config)
    network.boxes.out.bias.data[CENTRE] = 0.3  # it finds somebody everywhere
    return Reader(network)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model().save(tmp_path_factory.mktemp("model") / "tiny")


def config(model, out, **changes):
    settings = {"drives": 3, "length_s": 2.0, "context_s": 0.6, "tags": TAGS, "steps_per_frame": 1, "processes": 1}
    return EvaluateConfig(model=str(model), out=str(out), **(settings | changes))


def test_a_run_reports_every_score_and_goes_on_where_it_was(model, reader, tmp_path):
    out = run(config(model, tmp_path / "out"), reader=reader)
    report = json.loads((out / "report.json").read_text())
    assert set(ROWS) <= set(report)
    for key in ROWS:
        assert {"value", "floor", "interval", "n"} <= set(report[key])
    assert report["speed"]["n"] == 3
    assert {"shuffled", "held", "mean", "reconstructed"} <= set(report["speed"])
    assert report["objects"]["n"] == 3
    assert {"frozen", "shuffled", "reconstructed"} <= set(report["objects"])
    assert set(report["objects"]["parts"]) == set(OBJECT_PARTS) == set(PARTS)
    assert report["objects"]["parts"]["users"]["value"] > 0
    assert len(report["objects"]["by_second"]["true"]["gap_m"]) == 3
    assert report["near_copy"]["why"]  # the tiny model does not say what it was trained on
    assert report["surprise"]["shuffled"] is not None
    page = (out / "report.html").read_text()
    assert page.count("data:video/mp4;base64,") == 3
    assert not re.search(r'src="(?!data:)', page)  # nothing beside it is needed
    drive = out / "tiny" / "drive_001" / "pair.npz"
    (out / "tiny" / "drive_002" / "pair.npz").unlink()  # as if it had been killed there
    before = drive.stat().st_mtime_ns
    again = json.loads((run(config(model, out), reader=reader) / "report.json").read_text())
    assert drive.stat().st_mtime_ns == before
    for key in ROWS:  # another batch's rows differ in their last digits
        assert again[key]["n"] == report[key]["n"]
        for part in ("value", "floor"):
            np.testing.assert_allclose(np.float64(again[key][part]), np.float64(report[key][part]), rtol=1e-3)


@pytest.mark.slow
def test_probes_samples_copies_and_published_networks_are_reported(model, reader, tmp_path):
    weights = {f"{name}_weights": str(standins.save(name, tmp_path)) for name in ("fid", "fvd", "lpips")}
    recipe = {"drives": 2, "drive_s": 10.0, "options": {"traffic": "none"}, "render_scale": 4, "first_seed": 5}
    trained = tiny_model()
    trained.training_record = Training("reference", {"drives": recipe})
    path = trained.save(tmp_path / "model" / "trained")
    more = {"drives": 2, "length_s": 4.2, "probed": 1, "library": 160}
    out = run(config(path, tmp_path / "out", **more, **weights), reader=reader)
    report = json.loads((out / "report.json").read_text())
    for name in ("speed", "yaw"):
        assert set(report[name]["gain_slope"]) == {"0.5", "1.5"}
        assert report[name]["response"]["n"] == 1
    assert report["speed"]["gain_slope"]["0.5"]["true"] is not None
    assert report["psnr"]["samples"] == 4
    assert report["diversity"]["why"]  # takes two drives
    assert report["near_copy"]["library_frames"] == 160
    assert report["near_copy"]["planted"] == report["near_copy"]["pixels"]["planted"] == 1
    assert len(report["near_copy"]["worst"]) == 2
    assert report["published"]["fid"]["n"] == 2 * 43
    assert report["published"]["fvd"]["n"] == 2 * 2
    assert report["published"]["lpips"]["value"] > 0
    picture = cv2.imread(str(out / "trained" / "copies.png"))
    assert picture.std() > 5
    page = (out / "report.html").read_text()
    assert "slope when scaled by 0.5" in page
    assert page.count("data:image/png;base64,") == 7  # speed, yaw, two answers, objects, surprise, copies


@pytest.mark.slow
def test_workers_make_what_one_process_makes(model, reader, tmp_path):
    alone, apart = (run(config(model, tmp_path / str(n), drives=2, processes=n), reader=reader) for n in (1, 2))
    one, other = (json.loads((out / "report.json").read_text()) for out in (alone, apart))
    for key in ROWS:
        np.testing.assert_allclose(np.float64(one[key]["value"]), np.float64(other[key]["value"]), rtol=1e-3)


def test_results_of_another_model_or_setting_are_refused(model, reader, tmp_path):
    out = run(config(model, tmp_path / "out", drives=1), reader=reader)
    with pytest.raises(ValueError, match="other settings"):
        run(config(model, out, drives=1, context_s=0.8), reader=reader)
    other = tiny_model(seed=1).save(tmp_path / "other" / "tiny")
    with pytest.raises(ValueError, match="another model"):
        run(config(other, out, drives=1), reader=reader)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"drives": 0}, "drives"),
        ({"length_s": 1.0}, "length_s"),
        ({"context_s": 0.0}, "context_s"),
        ({"probed": -1}, "probed"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EvaluateConfig(**changes)
