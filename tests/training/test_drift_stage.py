"""Drift can be learned later than the rest of a tokenizer, and comes along where it was."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.tiny import TOKENIZER, tiny_model
from worldmodel.model import WorldModel
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.run import run
from worldmodel.training.sources import load_sets

NOTHING = StageConfig(0)
WITHOUT = dataclasses.replace(TOKENIZER, drift_widths=())


def config(tmp_path: Path, out: str, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=2.0, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    stages = {f"{name}_stage": NOTHING for name in ("tokenizer", "depth", "drift", "dynamics")}
    return TrainConfig(out=str(tmp_path / out), data=data, progress=False, threads=1, **{**stages, **changes})


def test_a_model_without_drift_learns_it_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = tiny_model()
    plain.tokenizer = Tokenizer(WITHOUT)
    plain.save(tmp_path / "plain")
    learn = StageConfig(3, batch=2, learning_rate=1e-2, picture_every=0)
    settings = config(tmp_path, "learned", init=str(tmp_path / "plain"), tokenizer=TOKENIZER, drift_stage=learn)
    assert all("boxes" in stretch.truth for stretch in load_sets(settings)["reference"])
    learned = WorldModel.from_pretrained(run(settings))
    assert learned.tokenizer.drift is not None
    assert learned.tokenizer.drift.last.weight.abs().max() > 0
    before, after = WorldModel.from_pretrained(tmp_path / "plain").state_dict(), learned.state_dict()
    assert {key for key in after if key not in before} == {key for key in after if key.startswith("tokenizer.drift.")}
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_drift_of_a_model_comes_along_unless_another_is_asked_for(tmp_path: Path) -> None:
    tiny_model().save(tmp_path / "first")
    first = WorldModel.from_pretrained(tmp_path / "first")
    kept = run(config(tmp_path, "kept", init=str(tmp_path / "first"), tokenizer=WITHOUT))
    assert WorldModel.from_pretrained(kept).hashes() == first.hashes()
    # A finished tokenizer without it is not taken for one with it.
    plain = tiny_model()
    plain.tokenizer = Tokenizer(WITHOUT)
    plain.save(tmp_path / "out")
    with pytest.raises(ValueError, match="has another shape than this configuration"):
        run(config(tmp_path, "out", tokenizer=TOKENIZER))
    other = dataclasses.replace(TOKENIZER, drift_widths=(4, 8))
    with pytest.raises(ValueError, match="its tokenizer is"):
        run(config(tmp_path, "other", init=str(tmp_path / "first"), tokenizer=other))
