"""The house as DESIGN.md has it: calls point downward, rooms keep to themselves, files stay short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "worldmodel"
FLOORS = {
    "types": 0,
    "geometry": 1,
    "nn": 1,
    "metrics": 1,
    "tokenizer": 2,
    "datasets": 2,
    "reference": 2,
    "dynamics": 3,
    "perception": 3,
    "text": 3,
    "model": 4,
    "training": 5,
    "simulation": 5,
    "evaluation": 6,
    "server": 6,
    "config": 7,
    "cli": 7,
}
#: One room in two files.
SAME_ROOM = {"cli": "command line", "config": "command line"}
#: Third-party packages that one place alone may import.
ONLY_IN = {
    "av": {"worldmodel/datasets/video.py", "worldmodel/datasets/stream.py"},
    "hydra": {"worldmodel/config.py", "worldmodel/cli.py"},
    "omegaconf": {"worldmodel/config.py", "worldmodel/cli.py"},
    "highway_env": {"worldmodel/reference/traffic.py"},
}
NEVER = {"torchvision", "timm", "lpips", "litdata", "lerobot", "torch_fidelity", "data"}

SOURCES = [*sorted(PACKAGE.rglob("*.py")), ROOT / "train.py", ROOT / "rollout.py", *sorted(ROOT.glob("data/*/*.py"))]
EVERY_FILE = SOURCES + sorted(ROOT.glob("tests/**/*.py")) + sorted(ROOT.glob("benchmarks/**/*.py"))


def name_of(path):
    return str(path.relative_to(ROOT))


def imports(path, *, at_top=False):
    """Absolute names a file imports, wherever in it (or at its top level alone)."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else None


def same_room(one, other):
    return SAME_ROOM.get(one, one) == SAME_ROOM.get(other, other)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=name_of)
def test_calls_point_to_strictly_lower_floors(path):
    relative = path.relative_to(PACKAGE).with_suffix("").parts
    if relative == ("__init__",):
        allowed = {"worldmodel.simulation.registration", "worldmodel.simulation.registration.register_envs"}
        assert {name for name in imports(path) if name.startswith("worldmodel")} <= allowed
        return
    own = relative[0]
    assert own in FLOORS, f"{name_of(path)}: no such room in DESIGN.md"
    for module in imports(path):
        room = room_of(module) if module.split(".")[0] == "worldmodel" else None
        if room is not None and not same_room(room, own):
            assert FLOORS[room] < FLOORS[own], f"{name_of(path)} imports {module}, which is not below it"


def test_modules_do_not_import_each_other_in_circles():
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in SOURCES}
    graph = {n: {m for m in imports(p, at_top=True) if m in names and m != n} for n, p in names.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for other in graph[name]:
            visit(other)
        done.add(path.pop())

    for name in graph:
        visit(name)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_third_party_packages_stay_where_they_belong(path):
    for module in imports(path):
        package = module.split(".")[0]
        assert package not in NEVER, f"{name_of(path)} imports {module}"
        if package in ONLY_IN:
            assert name_of(path) in ONLY_IN[package], f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", EVERY_FILE, ids=name_of)
def test_files_stay_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = {"prepare.py": 79}.get(path.name, 400) if path.parts[-3] == "data" else 400
    limit = 15 if path.parent == ROOT else limit
    assert lines <= limit, f"{name_of(path)} has {lines} lines, at most {limit}"


def test_data_is_not_importable():
    assert not list((ROOT / "data").rglob("__init__.py"))


def test_there_is_one_package_and_the_doors_are_thin():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests"} == {"worldmodel"}
    for door in ("train.py", "rollout.py"):
        assert set(imports(ROOT / door)) <= {"worldmodel.cli", f"worldmodel.cli.{door.removesuffix('.py')}_main"}


def test_training_on_the_reference_world_needs_no_codec_no_hydra_and_no_gymnasium():
    blocked = ("av", "hydra", "omegaconf", "gymnasium", "pyarrow", "wandb")
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
    code += "import worldmodel.training.run, worldmodel.reference.drive"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-600:]
