"""How far roads go astray can be learned later than the rest of a tokenizer, from frames and the maps about them."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tiny import TOKENIZER, tiny_model
from worldmodel.geometry.road import POINTS
from worldmodel.model import WorldModel
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training import astray
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.run import run

WITHOUT = dataclasses.replace(TOKENIZER, astray_width=0)


def config(tmp_path: Path, out: str, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=1.0, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    names = ("tokenizer", "depth", "drift", "astray", "dynamics")
    stages = {f"{name}_stage": StageConfig(0) for name in names}
    return TrainConfig(out=str(tmp_path / out), data=data, progress=False, threads=1, **{**stages, **changes})


def test_a_model_without_learns_it_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = tiny_model()
    plain.tokenizer = Tokenizer(WITHOUT)
    plain.save(tmp_path / "plain")
    init = str(tmp_path / "plain")
    weights = []
    for name, steps in (("one", 1), ("learned", 3)):
        learn = StageConfig(steps, batch=2, learning_rate=1e-2, picture_every=0)
        learned = WorldModel.from_pretrained(
            run(config(tmp_path, name, init=init, tokenizer=TOKENIZER, astray_stage=learn))
        )
        assert learned.tokenizer.astray is not None
        weights.append(torch.nn.utils.parameters_to_vector(learned.tokenizer.astray.parameters()))
    assert not torch.equal(*weights)
    before, after = WorldModel.from_pretrained(tmp_path / "plain").state_dict(), learned.state_dict()
    assert {key for key in after if key not in before} == {key for key in after if key.startswith("tokenizer.astray.")}
    assert all(torch.equal(before[key], after[key]) for key in before)
    # It comes along where it is not asked for.
    kept = run(config(tmp_path, "kept", init=str(tmp_path / "learned"), tokenizer=WITHOUT))
    assert WorldModel.from_pretrained(kept).hashes() == learned.hashes()


def test_it_learns_where_the_road_is_known(tmp_path: Path) -> None:
    settings = config(tmp_path, "x", tokenizer=TOKENIZER, astray_stage=StageConfig(3))
    settings = dataclasses.replace(settings, data=DataConfig(source="episodes", paths=("some",)))
    with pytest.raises(ValueError, match="astray_stage: learns from the reference world"):
        settings.validate()
    dataclasses.replace(settings, astray_stage=StageConfig(0)).validate()


def test_a_step_is_taught_by_frames_and_the_maps_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some frames as they are, some as the tokenizer makes them; maps are moved a little or more, either way."""
    tokenizer, rows, taught = tiny_model().tokenizer, 40, []
    assert tokenizer.astray is not None

    def record(network: object, frames: Tensor, *rest: Tensor, off_B3: Tensor) -> tuple[Tensor, Tensor]:
        taught.append((frames, *rest[:2], off_B3))
        return frames.mean() * 0, frames.mean() * 0

    monkeypatch.setattr(astray, "astray_loss", record)
    for name in ("_CONTRAST", "_BRIGHTNESS", "_NOISE", "_BLURRED_SHARE"):
        monkeypatch.setattr(astray, name, 0.0)
    rng = np.random.default_rng(0)
    height_m = torch.linspace(1.2, 1.6, rows)
    height_m[3] = torch.nan
    batch = SimpleNamespace(
        frames=torch.from_numpy(rng.integers(0, 256, (rows, 1, 32, 64, 3), dtype=np.uint8)),
        road=torch.from_numpy(rng.normal(size=(rows, 1, 2, POINTS, 2)).astype(np.float32)),
        camera_height_m=height_m,
    )
    stage = astray.AstrayStage(TrainConfig(tokenizer=TOKENIZER), tokenizer.astray, tokenizer)
    monkeypatch.setattr(stage, "log", lambda *_, **__: None)
    monkeypatch.setattr(stage, "log_speed", lambda *_: None)
    stage.training_step(batch, 0)
    frames, road, heights, off = taught[0]
    true = batch.frames[:, 0].movedim(-1, 1).float() / 127.5 - 1
    once = tokenizer.decode(tokenizer.encode(true)).clamp(-1, 1)
    as_they_are, made = slice(0, 30), slice(30, 35)
    assert torch.allclose(frames[as_they_are], true[as_they_are], atol=1e-5)
    assert torch.allclose(frames[made], once[made], atol=1e-4)
    assert not torch.allclose(frames[-1], once[-1], atol=1e-3), "the last are made twice"
    assert torch.equal(road, batch.road[:, 0])
    assert heights[3] == pytest.approx(1.4)
    assert torch.equal(heights[4:], height_m[4:])
    assert (off.abs().amax(0) > 3 * off.abs().median(0).values).all()
    assert ((off > 0).float().mean(0) - 0.5).abs().max() < 0.3
