"""Training where hydra is not installed: ``python -m worldmodel.training EXPERIMENT.yaml [key=value ...]``.

It reads the same experiment files as ``train.py`` and takes dotted overrides whose values are YAML, for instance
``python -m worldmodel.training conf/train/experiment/reference_nano_gpu.yaml dynamics_stage.steps=100``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from worldmodel.nn.component import config_from
from worldmodel.training.config import TrainConfig
from worldmodel.training.run import run


def settings(path: Path, overrides: list[str]) -> dict[str, Any]:
    """The experiment's tree with overrides laid over it.

    Raises:
        ValueError: no such file, or an override that is not ``key=value``.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such experiment file")
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise ValueError(f"{override!r}: expected key=value")
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = yaml.safe_load(value)
    return tree


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m worldmodel.training", description=__doc__)
    parser.add_argument("experiment", type=Path, help="a file of conf/train/experiment")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_args()
    try:
        run(config_from(TrainConfig, settings(arguments.experiment, arguments.overrides)))
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
