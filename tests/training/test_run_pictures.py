"""What a run shows while it runs: pictures and videos on disk, and in wandb, offline unless told otherwise."""

import dataclasses
from pathlib import Path

import cv2
import pytest

from tests.training.test_resume import clip, config
from worldmodel.datasets.video import VideoReader
from worldmodel.training import run as run_module
from worldmodel.training.config import StageConfig
from worldmodel.training.corpus import Made, read_stretch, write_stretch


@pytest.mark.parametrize("logger", ["csv", "wandb"])
def test_reconstructions_and_sample_drives_appear(logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        write_stretch(tmp_path / "corpus", f"d{i}", Made(f"drive{i}", f"place{i}", clip(i)))
    sets = {"reference": [read_stretch(tmp_path / "corpus", f"d{i}") for i in range(4)]}
    monkeypatch.setattr(run_module, "load_sets", lambda _: sets)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    stage = StageConfig(steps=2, batch=2, checkpoint_every=2, picture_every=2, log_every=1)
    out = tmp_path / "run"
    run_module.run(
        dataclasses.replace(
            config(out, tmp_path),
            logger=logger,
            tokenizer_stage=stage,
            depth_stage=stage,
            drift_stage=stage,
            astray_stage=stage,
            dynamics_stage=stage,
        )
    )
    assert cv2.imread(str(out / "pictures/reconstructions_0000002.png")).std() > 1
    assert cv2.imread(str(out / "pictures/depths_0000002.png")).std() > 1
    assert cv2.imread(str(out / "pictures/drifts_0000002.png")).std() > 1
    assert cv2.imread(str(out / "pictures/drives_0000002.png")).std() > 1
    with VideoReader(out / "pictures/drives_0000002.mp4") as video:
        assert len(video) > 5
        assert video.read([0]).shape[2] == 2 * 64  # truth beside sample
    media = {path.suffix for path in out.glob("wandb/offline-run-*/files/media/**/*") if path.is_file()}
    assert media == ({".png", ".mp4"} if logger == "wandb" else set())
