"""Training of the two networks, on the frames and windows the compared model was trained on, in the same order.

``training.run.fit`` runs both, so checkpoints, resuming, precision, progress and limits in seconds are its own. The
optimizer is that of GPT-2's usual reproductions (and of GPT-3, Brown et al., arXiv 2005.14165): AdamW with betas 0.9
and 0.95, decay 0.1 on matrices, a short warm-up, a cosine down to a tenth, gradients clipped at 1. Ten times in a
training the held-out cross-entropy is measured, and the weights for which it was least are those that are kept.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.next_token.fsq import FsqTokenizer, Levels
from benchmarks.next_token.gpt import Gpt, GptConfig
from worldmodel.datasets.windows import Batch, ClipWindows, MemoryEpisode
from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.nn.component import config_from, content_hash, load_component, save_component
from worldmodel.nn.transformer import matmul_flops_per_token
from worldmodel.tokenizer.tokenizer import TokenizerConfig, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.fitting import fit, steps_done
from worldmodel.training.latents import device_of
from worldmodel.training.run import clip_shape
from worldmodel.training.stages import Stage, TokenizerStage, as_tensors, token_weight
from worldmodel.training.with_boxes import WithBoxes

Sets = dict[str, list[MemoryEpisode]]
#: Share of the peak that the learning rate falls to; held-out measurements in a training, and windows in each.
_FLOOR, _LOOKS, _WINDOWS = 0.1, 10, 96


class NextTokenStage(Stage):
    """Clips of codes → cross-entropy of each."""

    name = "next_token"
    network: Gpt

    def __init__(self, config: TrainConfig, network: Gpt) -> None:
        super().__init__(config, config.dynamics_stage)
        self.network = network

    def configure_optimizers(self) -> Any:
        """AdamW, with decay on matrices only, under a warm-up and a cosine."""
        groups = [
            {"params": [p for p in self.parameters() if p.ndim >= 2], "weight_decay": self.stage.weight_decay},
            {"params": [p for p in self.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.stage.learning_rate, betas=(0.9, 0.95))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: cosine(self.done(step + 1), self.stage.warmup_share)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of windows whose frames are codes."""
        torch.manual_seed(self.generator().initial_seed())  # dropout's too, so that resuming gives the same bits
        loss = mean_nats(self.network, batch, self.run_config.tokenizer)
        self.log("loss", loss, prog_bar=True)
        frames = batch.frames.shape[0] * batch.frames.shape[1]
        tokens = self.network.config.frame_tokens
        self.log_speed(frames, 3 * frames * tokens * matmul_flops_per_token(self.network.blocks))
        return loss


class HeldOut(lightning.Callback):
    """Measures the held-out cross-entropy as training goes on, and keeps the weights for which it was least."""

    def __init__(self, folder: Path, windows: list[Batch], about: dict[str, Any]) -> None:
        self.path, self.curve_path = folder / "gpt.safetensors", folder / "held_out.json"
        self.windows, self.about, self._looked = windows, about, -1

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Lightning's hook: what was measured after the checkpoint that is resumed from will be measured again."""
        if self.curve_path.is_file():
            kept = [entry for entry in curve_of(self.curve_path) if entry[0] <= trainer.global_step]
            _write(self.curve_path, kept)
        self._looked = int(pl_module.done(trainer.global_step) * _LOOKS)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Lightning's hook."""
        looks = int(pl_module.done(trainer.global_step) * _LOOKS)
        if self._looked < looks < _LOOKS:
            self._looked = looks
            self._look(pl_module, trainer.global_step)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Lightning's hook."""
        self._look(pl_module, trainer.global_step)

    def _look(self, stage: NextTokenStage, step: int) -> None:
        curve = curve_of(self.curve_path) if self.curve_path.is_file() else []
        if curve and curve[-1][0] == step:
            return
        nats = held_out_nats(stage.network, self.windows, stage.run_config.tokenizer, stage.device)
        if all(nats < before for _, before in curve):
            save_component(stage.network, self.path, {**self.about, "step": step, "held_out_nats": nats})
        _write(self.curve_path, [*curve, (step, nats)])


def cosine(done: float, warmup: float) -> float:
    """Learning rate factor after a share of the training."""
    if done < warmup:
        return done / warmup
    share = min(1.0, (done - warmup) / max(1e-9, 1 - warmup))
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * share))


def mean_nats(network: Gpt, batch: Any, tokenizer: TokenizerConfig) -> Tensor:
    """Cross-entropy of a code, over those the source camera saw, of a batch of windows of codes."""
    speed, yaw_rate = batch.motion.unbind(-1)
    outgoing = motion_channels(speed, yaw_rate, batch.dt_s, batch.camera_height_m[:, None])
    nats_BTN = network.nats(batch.frames.long(), incoming(outgoing), batch.tags)
    weight_B1N = token_weight(batch.valid_mask, tokenizer.latent_grid)[:, None]
    return (nats_BTN * weight_B1N).sum() / weight_B1N.expand_as(nats_BTN).sum().clamp(min=1e-6)


@torch.no_grad()
def held_out_nats(network: Gpt, windows: list[Batch], tokenizer: TokenizerConfig, device: torch.device | str) -> float:
    """Mean cross-entropy of a code over held-out windows, in fp32 and without dropout."""
    training = network.training
    network.eval()
    device = torch.device(device)
    with torch.autocast(device.type, enabled=False):
        some = [mean_nats(network, _on(batch, device), tokenizer) for batch in windows]
    network.train(training)
    return float(torch.stack(some).mean())


def _on(batch: Batch, device: torch.device) -> Any:
    return Batch(*(x.to(device) for x in as_tensors(batch)))  # pyright: ignore


def windows_of(config: TrainConfig, sets: Sets, length: int, batch: int) -> ClipWindows:
    """Windows mixed as ``training.run`` mixes them: by the configured weights, without sets that are too short."""
    usable = {name: some for name, some in sets.items() if any(s.length >= length for s in some)} or sets
    weights = dict(zip(config.data.paths, config.data.weights)) if config.data.weights else None
    weights = {name: weights[name] for name in usable} if weights else None
    return ClipWindows(usable, length=length, batch_size=batch, seed=config.seed, weights=weights)


def train_tokenizer(config: TrainConfig, levels: Levels, train: Sets, out: Path) -> FsqTokenizer:
    """The discrete tokenizer, trained as the continuous one was; a finished one in ``out`` is taken as it is."""
    path = out / "fsq.safetensors"
    if not path.is_file():
        torch.manual_seed(config.seed)
        network = FsqTokenizer(config.tokenizer, levels)
        config = dataclasses.replace(config, out=str(out))
        windows = windows_of(config, train, 1, config.tokenizer_stage.batch)
        fit(config, TokenizerStage(config, network), WithBoxes(windows), config.tokenizer_stage, [])
        save_component(network, path, {"config": dataclasses.asdict(config.tokenizer), "levels": levels})
    # Read back, so that codes are those of the weights as they are kept.
    tensors, about = load_component(path)
    levels = tuple(tuple(part) for part in about["levels"])
    network = FsqTokenizer(config_from(TokenizerConfig, about["config"]), levels)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def with_codes(config: TrainConfig, tokenizer: FsqTokenizer, sets: Sets) -> Sets:
    """Every stretch with codes ``(T, N, P)`` int32 for frames, from the cache where this tokenizer made them."""
    device = device_of(config)
    tokenizer.to(device)
    of = content_hash(tokenizer)[:16] + ("" if device == "cpu" else f"_{device}")
    folder = Path(config.data.cache) / f"codes_{of}"
    folder.mkdir(parents=True, exist_ok=True)
    found: Sets = {name: [] for name in sets}
    bar = tqdm(total=sum(map(len, sets.values())), desc="codes", disable=not config.progress)
    for name, stretches in sets.items():
        for stretch in stretches:
            path = folder / f"{stretch.episode_id}.npy"
            if not path.is_file():
                temporary = path.with_suffix(".partial")
                with open(temporary, "wb") as file:
                    np.save(file, codes_of(tokenizer, stretch.frames, device).numpy().astype(np.int32))
                os.replace(temporary, path)
            found[name].append(dataclasses.replace(stretch, frames=np.load(path)))
            bar.update()
    bar.close()
    return found


@torch.no_grad()
def codes_of(tokenizer: FsqTokenizer, frames: Any, device: str) -> Tensor:
    """Codes ``(T, N, P)`` of uint8 frames, on the CPU."""
    parts = []
    for start in range(0, len(frames), 64):
        x = to_network(torch.from_numpy(np.ascontiguousarray(frames[start : start + 64])).to(device))
        parts.append(tokenizer.codes(tokenizer.encode(x)).cpu())
    return torch.cat(parts)


def train_gpt(
    config: TrainConfig, shape: GptConfig, train: Sets, held_out: list[MemoryEpisode], out: Path
) -> tuple[Gpt, dict[str, Any]]:
    """One training at ``config.dynamics_stage.learning_rate``, over codes.

    Returns:
        The network with the weights for which the held-out cross-entropy was least, and what is known of them:
        ``learning_rate``, ``step``, ``held_out_nats``, the ``curve`` of ``(step, nats)`` and ``steps`` in all.
    """
    config = dataclasses.replace(config, out=str(out))
    torch.manual_seed(config.seed)
    network = Gpt(shape)
    windows: dict[int, ClipWindows] = {}
    for length, batch in {clip_shape(config, k) for k in range(max(1, config.clips.long_every))}:
        windows[length] = windows_of(config, train, length, batch)
    about = {"config": dataclasses.asdict(shape), "learning_rate": config.dynamics_stage.learning_rate}
    measure = HeldOut(out, held_out_windows(held_out, config.clips.short, config.dynamics_stage.batch), about)
    out.mkdir(parents=True, exist_ok=True)
    if not steps_done(config, NextTokenStage):
        stage = NextTokenStage(config, network)
        fit(config, stage, lambda k: windows[clip_shape(config, k)[0]].batch(k), config.dynamics_stage, [measure])
    tensors, about = load_component(measure.path)
    network = Gpt(config_from(GptConfig, about["config"]))
    network.load_state_dict(tensors)
    known = {**about, "curve": curve_of(measure.curve_path), "steps": steps_done(config, NextTokenStage)}
    return network.eval().requires_grad_(False), known


def held_out_windows(stretches: list[MemoryEpisode], length: int, batch: int) -> list[Batch]:
    """Windows without overlap, at most ``_WINDOWS`` of them, spread evenly over the held-out drives."""
    usable = sorted((s for s in stretches if s.length >= length), key=lambda s: s.episode_id)  # as ClipWindows does
    places = [(i, first) for i, s in enumerate(usable) for first in range(0, s.length - length + 1, length)]
    chosen = [places[i * len(places) // _WINDOWS] for i in range(_WINDOWS)] if len(places) > _WINDOWS else places
    source = ClipWindows(usable, length=length, batch_size=batch)
    return [source.gather(chosen[at : at + batch]) for at in range(0, len(chosen), batch)]


def curve_of(path: Path) -> list[tuple[int, float]]:
    """What was measured of the held-out drives in a training, by step."""
    return [(int(step), float(nats)) for step, nats in json.loads(path.read_text(encoding="utf-8"))]


def _write(path: Path, value: Any) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    os.replace(temporary, path)
