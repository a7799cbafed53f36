"""Training on the reference world needs no codec, no hydra, no gymnasium: GPU nodes are often bare."""

import subprocess
import sys
from pathlib import Path

import pytest

from worldmodel.training.__main__ import main

ROOT = Path(__file__).parent.parent.parent
BARE = """
import importlib.abc, sys

class Refuse(importlib.abc.MetaPathFinder):
    names = {"av", "hydra", "omegaconf", "gymnasium", "jaxtyping", "beartype", "pandas", "pygame"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (this node is bare)", name=name)

sys.meta_path.insert(0, Refuse())
import importlib.util
found = importlib.util.find_spec
refused = lambda name: name.split(".")[0] in Refuse.names
importlib.util.find_spec = lambda name, package=None: None if refused(name) else found(name, package)
sys.argv = ["python -m worldmodel.training", *sys.argv[1:]]
from worldmodel.training.__main__ import main
main()
"""


@pytest.mark.slow
def test_a_bare_node_trains_on_the_reference_world(tmp_path: Path) -> None:
    # One process: a worker would import without the refusals, so it is in-process rendering that is tested here.
    overrides = [
        f"out={tmp_path / 'out'}", f"data.cache={tmp_path / 'cache'}", "progress=false", "data.drives=2",
        "data.drive_s=3.0", "data.processes=1", "tokenizer_stage.steps=2", "depth_stage.steps=2", "drift_stage.steps=2",
        "astray_stage.steps=2",
        "dynamics_stage.steps=2", "data.options.traffic=light", "threads=1",
    ]  # fmt: skip
    render = (
        "import functools, worldmodel.training.corpus as c\n"
        "c._in_workers = lambda jobs, workers: map(c._make_one, jobs)\n"
    )
    code = BARE.replace("from worldmodel.training.__main__", render + "from worldmodel.training.__main__")
    experiment = ROOT / "conf" / "train" / "experiment" / "smoke.yaml"
    command = [sys.executable, "-c", code, str(experiment), *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "out" / "dynamics.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.yaml"], "no such experiment file"),
        (["smoke", "dynamics_stage.step=3"], "did you mean 'steps'"),
        (["smoke", "dynamics_stage.learning_rate=fast"], "learning_rate: expected a number, got 'fast'"),
        (["smoke", "dynamics_stage.learning_rate=1e-4", "nothing=1"], "no setting 'nothing'"),
        (["smoke", "steps"], "expected key=value"),
    ],
)
def test_mistakes_get_a_clear_line(arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [str(ROOT / "conf" / "train" / "experiment" / "smoke.yaml") if a == "smoke" else a for a in arguments]
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit, match=message):
        main()
