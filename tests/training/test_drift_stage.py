"""Drift can be learned later than the rest of a tokenizer, and comes along where it was."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.tiny import TOKENIZER, tiny_model
from worldmodel.model import WorldModel
from worldmodel.tokenizer.drift import STEPS_AGO, Earlier
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training import stages
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.run import run
from worldmodel.training.sources import load_sets

NOTHING = StageConfig(0)
WITHOUT = dataclasses.replace(TOKENIZER, drift_widths=())


def config(tmp_path: Path, out: str, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=2.0, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    stages = {f"{name}_stage": NOTHING for name in ("tokenizer", "depth", "drift", "astray", "dynamics")}
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
    kept = config(tmp_path, "kept", init=str(tmp_path / "first"), tokenizer=WITHOUT, drift_stage=StageConfig(3))
    assert not kept.learns_drift
    kept = run(kept)
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


@pytest.mark.parametrize("changes", [{"source": "episodes", "paths": ("some",)}, {"every": 2}])
def test_it_learns_where_boxes_and_every_frame_are_known(changes: dict, tmp_path: Path) -> None:
    settings = config(tmp_path, "x", tokenizer=TOKENIZER, drift_stage=StageConfig(3))
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, **changes))
    with pytest.raises(ValueError, match="drift_stage: learns from every frame of the reference world"):
        settings.validate()
    dataclasses.replace(settings, drift_stage=NOTHING).validate()


def test_a_step_is_taught_by_frames_motion_and_boxes_of_the_same_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are grey by their number, speeds tell which steps they are of, and boxes stand in another column each."""
    tokenizer, rows, length = tiny_model().tokenizer, 12, stages.DriftStage.length
    assert tokenizer.drift is not None
    taught = []

    def record(depth: object, drift: object, earlier: Earlier, before: Tensor, after: Tensor, *rest: Tensor, **more):
        taught.append((earlier, before, after, rest, more))
        return before.mean() * 0, before.mean() * 0

    monkeypatch.setattr(stages, "drift_loss", record)
    monkeypatch.setattr(stages, "_TOLD_OFF", 0.0)
    monkeypatch.setattr(stages, "_TURNED_OFF", 0.0)
    number = torch.arange(length)
    speed_mps = 2.0**number
    boxes = torch.full((rows, length, 1, 8), torch.nan)
    boxes[..., 0, :4] = torch.stack([4 * number + 1, 0 * number + 8, 4 * number + 2, 0 * number + 9], -1).float()
    batch = SimpleNamespace(
        frames=(10 * number).to(torch.uint8)[None, :, None, None, None].expand(rows, -1, 32, 64, 3),
        motion=torch.stack([speed_mps, 0 * speed_mps], dim=-1).expand(rows, -1, -1),
        dt_s=torch.full((rows, length), 0.1),
        camera_height_m=torch.full((rows,), 1.4),
        valid_mask=torch.ones(rows, 32, 64, dtype=torch.bool),
        boxes=boxes,
    )
    stage = stages.DriftStage(TrainConfig(tokenizer=TOKENIZER), tokenizer.drift, tokenizer)
    monkeypatch.setattr(stage, "log", lambda *_, **__: None)
    monkeypatch.setattr(stage, "log_speed", lambda *_: None)
    stage.training_step(batch, 0)
    earlier, before, after, (displacement_m, turn_rad, height_m, _), more = taught[0]
    shown = [((x[:, 0, 0, 0] + 1) * 12.75).round().int() for x in (before, after)]
    assert shown[0].tolist() == [STEPS_AGO] * rows
    apart = shown[1] - STEPS_AGO
    assert set(apart.tolist()) == {1, 2, 3}
    assert torch.allclose(earlier.displacement_m_B, 0.1 * speed_mps[:STEPS_AGO].sum().expand(rows))
    wanted_m = [0.1 * speed_mps[STEPS_AGO : STEPS_AGO + k].sum() for k in apart.tolist()]
    assert torch.allclose(displacement_m, torch.stack(wanted_m))
    assert torch.allclose(earlier.steps_B * apart, torch.full((rows,), float(STEPS_AGO)))
    assert (turn_rad == 0).all()
    assert torch.allclose(height_m, torch.tensor(1.4))
    columns = more["users_BHW"].any(dim=1).int().argmax(dim=1)
    assert ((columns - 4 * (STEPS_AGO + apart)).abs() <= 1).all()
    # The latter rows are seen as they are, the former as the tokenizer makes them.
    assert torch.equal(more["seen_BCHW"][rows // 2 :], before[rows // 2 :])
    assert not torch.allclose(more["seen_BCHW"][0], before[0], atol=0.01)
    assert (((earlier.frames_BCHW[-1, 0, 0, 0] + 1) * 12.75).round() == 0).all()
