"""What is to be compared: the model's own data, frames and parameters, as the run of the baseline's two networks.

Legend: see the package docstring.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.next_token.fsq import Levels, discrete_config
from worldmodel.model import WorldModel
from worldmodel.nn.component import config_from
from worldmodel.training.__main__ import settings
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig


def run_of(asked: argparse.Namespace, model: WorldModel, levels: Levels) -> TrainConfig:
    """The experiment's settings with the compared model's data and shapes, and as many frames as it has seen.

    What the model records of its own training wins over the experiment; ``--steps``, ``--tokenizer-steps`` over both.

    Raises:
        ValueError: no such experiment, or a setting that it does not know.
    """
    base: TrainConfig = config_from(TrainConfig, settings(asked.experiment, asked.overrides))
    summary: Mapping[str, Any] = model.training_record.summary
    data = dataclasses.replace(base.data, live=False)
    if "drives" in summary:
        recipe = {f.name: getattr(data, f.name) for f in dataclasses.fields(DataConfig)} | dict(summary["drives"])
        data = config_from(DataConfig, recipe)
    tokenizer_steps = asked.tokenizer_steps or _steps(base.tokenizer_stage, summary, "tokenizer")
    steps = asked.steps or _steps(base.dynamics_stage, summary, "dynamics")
    return dataclasses.replace(
        base,
        data=data,
        init="",
        device=asked.device,
        tokenizer=discrete_config(model.tokenizer.config, levels),
        tokenizer_stage=dataclasses.replace(
            base.tokenizer_stage,
            steps=tokenizer_steps,
            checkpoint_every=min(base.tokenizer_stage.checkpoint_every, max(1, tokenizer_steps // 20)),
            seconds=asked.tokenizer_seconds,
            picture_every=0,
        ),
        dynamics=model.dynamics.config,
        dynamics_stage=dataclasses.replace(
            base.dynamics_stage,
            steps=steps,
            seconds=asked.seconds,
            weight_decay=0.1,
            clip_norm=1.0,
            warmup_share=0.03,
            checkpoint_every=min(base.dynamics_stage.checkpoint_every, max(1, steps // 20)),
            picture_every=0,
        ),
    ).validate()


def _steps(stage: StageConfig, summary: Mapping[str, Any], name: str) -> int:
    """Steps of the stage's batch that make as many samples as the model has seen."""
    if not summary.get(f"{name}_steps"):
        return stage.steps
    return max(1, round(summary[f"{name}_steps"] * summary[f"{name}_batch"] / stage.batch))


def samples_seen(model: WorldModel, name: str) -> int:
    """Frames (``tokenizer``) or short clips (``dynamics``) the model records having been trained on; 0 for unknown."""
    summary = model.training_record.summary
    return int(summary.get(f"{name}_steps", 0)) * int(summary.get(f"{name}_batch", 0))


def with_learning_rate(config: TrainConfig, rate: float) -> TrainConfig:
    """The same run at another peak learning rate."""
    return dataclasses.replace(config, dynamics_stage=dataclasses.replace(config.dynamics_stage, learning_rate=rate))


def claim(folder: Path, config: TrainConfig, **more: Any) -> None:
    """Say in a folder what is trained there, so that a later call with other settings does not mix with it.

    Raises:
        ValueError: the folder is that of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = {"config": dataclasses.asdict(with_learning_rate(config, 0.0)), **more}
    for name in ("device", "threads", "progress", "logger", "out", "name"):  # how, not what
        about["config"].pop(name)
    for name in ("cache", "processes", "in_memory"):
        about["config"]["data"].pop(name)
    path, text = folder / "settings.json", json.dumps(about, indent=1, sort_keys=True)
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            raise ValueError(f"{folder}: holds a training with other settings (settings.json); choose another --out")
        return
    temporary = path.with_name(".settings.json.partial")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
