"""The whole path on a CPU, as a newcomer would type it: train the smoke experiment, then drive in what it made."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from worldmodel.model import WorldModel
from worldmodel.simulation.drive_io import load_drive

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_smoke_training_and_a_drive_in_its_model(tmp_path: Path) -> None:
    def run(*arguments: str) -> None:
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr[-4000:]

    model, drive = tmp_path / "model", tmp_path / "drive"
    run("train.py", "experiment=smoke", f"out={model}", f"data.cache={tmp_path / 'cache'}", "progress=false")
    assert list((model / "pictures").glob("reconstructions_*.png"))
    assert list((model / "pictures").glob("drives_*.png"))
    run("rollout.py", f"model={model}", "length_s=2", f"out={drive}")
    recorded = load_drive(drive).validate()
    loaded = WorldModel.from_pretrained(model)
    assert recorded.frames[0].shape == (64, 128, 3)
    assert recorded.provenance["components"] == loaded.hashes()
    assert len({frame.tobytes() for frame in recorded.frames}) == len(recorded)
    assert np.isfinite(recorded.motion.speed_mps[:-1]).all()
