"""One command prepares whatever lies in a folder, and says of what it leaves why."""

import subprocess
import sys
from pathlib import Path

import publishers as p
import pytest

from worldmodel.datasets.check import MotionCheck
from worldmodel.datasets.episodes import EpisodeDataset

SCRIPT = Path(__file__).parents[2] / "data" / "everything" / "prepare.py"


def everything(*arguments):
    command = [sys.executable, str(SCRIPT), *map(str, arguments), "--workers", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_kind_of_dataset_in_one_command(tmp_path):
    p.kitti_odometry(tmp_path / "in" / "kitti")
    p.donkeycar(tmp_path / "in" / "car")
    p.commavq(tmp_path / "in" / "tokens")
    options = tmp_path / "in", "--out", tmp_path / "out", "--size", "32x64", "--min-frames", "8"
    dry = everything(*options, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert not (tmp_path / "out").exists()
    done = everything(*options)
    assert done.returncode == 0, done.stderr
    sets = sorted((tmp_path / "out").iterdir())
    assert [s.name for s in sets] == ["donkeycar_in_car", "kitti_odometry_in_kitti"]
    assert sum(len(e) for e in EpisodeDataset(sets[1])) == p.COUNT
    assert "fetch decoder.onnx from" in done.stdout
    last = done.stdout.splitlines()[-3:]
    assert [line.split(": ")[0].rsplit("/")[-1] for line in last] == ["car", "kitti", "tokens"]
    assert "nothing usable, see above" in last[2]
    again = everything(*options)
    assert again.returncode == 0, again.stderr
    assert [s.name for s in sorted((tmp_path / "out").iterdir())] == [s.name for s in sets]


def test_a_folder_of_nothing_is_told(tmp_path):
    assert everything(tmp_path / "no").stderr.strip().endswith("no: no such folder")
    (tmp_path / "empty").mkdir()
    done = everything(tmp_path / "empty")
    assert done.returncode == 1
    assert "no dataset that any reader knows" in done.stderr


@pytest.mark.slow
def test_the_real_excerpts_in_one_command(real, tmp_path):
    done = everything(real / "native", "--out", tmp_path, "--size", "64x128")
    assert done.returncode == 0, done.stderr
    checks = {path.name: MotionCheck.read(path).verdict for path in tmp_path.iterdir()}
    assert len(checks) == 8
    assert "FLAGGED" not in checks.values()
    assert sum(verdict == "fits" for verdict in checks.values()) >= 4
    assert all((path / "contact_sheet.png").exists() for path in tmp_path.iterdir())
    for reason in ("video.hevc: missing", "needs the published decoder", "63825 images", "4401 centre images"):
        assert reason.replace("needs", "need") in done.stdout or reason in done.stdout, reason
    assert "no stretch of 16 frames; --min-frames" in done.stdout, "13 frames of KITTI raw"
