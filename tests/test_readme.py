"""What the README tells people to type exists and composes, and its map of the house is the house."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
#: Lines of the README's shell blocks.
COMMANDS = [
    line.split("  #")[0].strip()
    for block in re.findall(r"```(?:bash|sh)\n(.*?)```", README, flags=re.S)
    for line in block.splitlines()
    if line.strip() and not line.strip().startswith("#")
]


def test_there_are_commands_to_check() -> None:
    assert any(c.startswith("make drive") for c in COMMANDS)
    assert any(c.startswith("python rollout.py") for c in COMMANDS)
    assert any(c.startswith("python train.py") for c in COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    dry = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.match(r"python (rollout|train)\.py", c)])
def test_hydra_commands_compose(command: str) -> None:
    words = [w for w in shlex.split(command)[1:] if w != "-m"]
    run = subprocess.run([sys.executable, *words, "--cfg", "job"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", [c for c in COMMANDS if re.match(r"python (data|benchmarks)/", c)])
def test_other_scripts_explain_themselves(command: str) -> None:
    run = subprocess.run([sys.executable, shlex.split(command)[1], "--help"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_map_names_every_room_and_no_other() -> None:
    table = README.split("## The house", 1)[1].split("\n## ", 1)[0]
    rooms = set(re.findall(r"^\| \d \| `([a-z]+)(?:/|\.py)`", table, flags=re.M))
    package = ROOT / "worldmodel"
    there = {p.name for p in package.iterdir() if (p / "__init__.py").is_file() and any(p.glob("[a-z]*.py"))}
    there |= {p.stem for p in package.glob("[a-z]*.py")}
    assert rooms == there


def test_pictures_and_pages_that_are_linked_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
