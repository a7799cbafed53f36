"""One stage of a run, from its newest checkpoint to its last step.

A stage's folder in that of the run holds ``last.ckpt`` to resume from, ``metrics.csv``, and how many steps it took.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from worldmodel.training.config import StageConfig, TrainConfig
from worldmodel.training.latents import device_of, precision_of
from worldmodel.training.stages import Stage, loader, matmul_rate

#: In a stage's folder: how many steps it took.
_STEPS = "steps.txt"


def fit(
    config: TrainConfig, stage: Stage, make: Callable[[int], Any], settings: StageConfig, callbacks: list[Any]
) -> None:
    """Run one stage to its last step, resuming from its newest checkpoint."""
    folder = Path(config.out) / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    stage.peak_flops = matmul_rate(torch.device(device_of(config)))
    last = folder / "last.ckpt"
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="last", every_n_train_steps=settings.checkpoint_every, enable_version_counter=False
    )
    trainer = lightning.Trainer(
        accelerator="gpu" if device_of(config) == "cuda" else "cpu",
        devices=1,
        precision=precision_of(config),
        max_steps=settings.steps,
        max_epochs=-1,
        gradient_clip_val=settings.clip_norm,
        log_every_n_steps=settings.log_every,
        logger=_logger(config, stage),
        callbacks=[checkpoint, *callbacks],
        enable_progress_bar=config.progress,
        enable_model_summary=False,
        benchmark=device_of(config) == "cuda",
        use_distributed_sampler=False,
    )
    # weights_only=False: a run reads back its own resume file, never anybody else's.
    if settings.seconds and (folder / _STEPS).is_file():  # its time was up already
        stage.load_state_dict(torch.load(last, map_location="cpu", weights_only=False)["state_dict"])
        return
    resume = str(last) if last.is_file() else None
    trainer.fit(stage, loader(stage, make, settings.steps), ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(last)
    (folder / _STEPS).write_text(f"{trainer.global_step}\n")
    if isinstance(trainer.logger, WandbLogger):
        trainer.logger.experiment.finish()  # each stage is a run of its own


def steps_done(config: TrainConfig, stage: type[Stage]) -> int:
    """How many steps a stage of the run took; none where it was left out."""
    path = Path(config.out) / stage.name / _STEPS
    return int(path.read_text()) if path.is_file() else 0


def _logger(config: TrainConfig, stage: Stage) -> Logger:
    if config.logger == "wandb":
        os.environ.setdefault("WANDB_MODE", "offline")
        return WandbLogger(project="worldmodel", name=f"{config.name}-{stage.name}", save_dir=config.out)
    return CSVLogger(config.out, name=stage.name, version="")
