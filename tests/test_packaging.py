"""The wheel holds the package alone, and works in an environment that has nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=600)
    (built,) = folder.glob("worldmodel-*.whl")
    return built


@pytest.mark.slow
def test_the_wheels_top_level_is_the_package_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"worldmodel"}
    for needed in (
        "worldmodel/py.typed",
        "worldmodel/conf/train/experiment/smoke.yaml",
        "worldmodel/conf/rollout/mode/drive.yaml",
        "worldmodel/bundled/nano/dynamics.safetensors",
        "worldmodel/bundled/nano/tokenizer.safetensors",
        "worldmodel/bundled/text/text.safetensors",
    ):
        assert needed in names


@pytest.mark.slow
def test_a_short_rollout_works_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    env = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True, timeout=120)
    python = env / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run(install, check=True, timeout=1200)
    code = (
        "from worldmodel.cli import rollout_main;"
        "rollout_main(['length_s=0.5', 'out=drive', 'context=weather=clear,time_of_day=day'])"
    )
    subprocess.run([str(python), "-c", code], check=True, timeout=600, cwd=tmp_path)
    for name in ("drive.mp4", "drive.parquet", "provenance.json"):
        assert (tmp_path / "drive" / name).stat().st_size > 0
    shutil.rmtree(env)


def test_bundled_weights_are_small_and_no_pickles() -> None:
    bundled = [p for p in (ROOT / "worldmodel" / "bundled").rglob("*") if p.is_file()]
    weights = [p for p in bundled if p.suffix == ".safetensors"]
    assert weights
    assert sum(p.stat().st_size for p in weights) <= 24e6
    assert {p.suffix for p in bundled} <= {".safetensors", ".json", ".md", ".py"}
