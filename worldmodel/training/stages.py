"""The two Lightning modules. A step draws everything random from (seed, stage, k), so resuming gives the same bits.

Legend: B batch, T frames, V views, N tokens, C channels or colours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from worldmodel.datasets.windows import Batch
from worldmodel.dynamics.conditioning import incoming, motion_channels
from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.objective import shortcut_forcing_loss
from worldmodel.model import move_ahead
from worldmodel.nn.transformer import matmul_flops_per_token
from worldmodel.tokenizer.losses import psnr_db, reconstruction_loss
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import StageConfig, TrainConfig
from worldmodel.training.jerky import composed, jump


class NumberedBatches(Dataset):
    """Batch k of a pure function of k."""

    def __init__(self, make: Callable[[int], Any], steps: int) -> None:
        self.make, self.steps = make, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, k: int) -> Any:
        return self.make(k)


class FromStep(Sampler):
    """The numbers of the batches still to come: a resumed run begins where it stopped."""

    def __init__(self, module: lightning.LightningModule, steps: int) -> None:
        self.module, self.steps = module, steps

    def __iter__(self) -> Any:
        return iter(range(self.module.global_step, self.steps))

    def __len__(self) -> int:
        return self.steps - self.module.global_step


def loader(module: lightning.LightningModule, make: Callable[[int], Any], steps: int) -> DataLoader:
    """A loader of numbered batches that respects how far the module is."""
    return DataLoader(
        NumberedBatches(make, steps), batch_size=None, sampler=FromStep(module, steps), collate_fn=_as_tensors
    )


def _as_tensors(batch: Any) -> Any:
    """The same batch, its arrays as tensors."""
    return Batch(*(torch.from_numpy(np.ascontiguousarray(value)) for value in batch))  # pyright: ignore


class Stage(lightning.LightningModule):
    """What both stages share: optimizer, schedule, random streams, throughput and FLOPs utilisation."""

    name = ""
    network: Any

    def __init__(self, config: TrainConfig, stage: StageConfig) -> None:
        super().__init__()
        self.run_config, self.stage = config, stage
        self._clock: tuple[float, int] | None = None
        #: Measured rate of a large fp32 matrix product on this device, for the utilisation that is logged.
        self.peak_flops = 0.0

    def generator(self) -> torch.Generator:
        """The random stream of the current step."""
        seed = np.random.SeedSequence([self.run_config.seed, len(self.name), self.global_step])
        return torch.Generator().manual_seed(int(seed.generate_state(1)[0]))

    def configure_optimizers(self) -> Any:
        """AdamW, with decay on matrices only, under a trapezium."""
        decay = [p for p in self.parameters() if p.ndim >= 2]
        rest = [p for p in self.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": self.stage.weight_decay}, {"params": rest, "weight_decay": 0.0}],
            lr=self.stage.learning_rate,
            betas=(0.9, 0.95),
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: trapezium(step, self.stage))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def log_speed(self, frames: int, flops: float) -> None:
        """Frames per second and the fraction of the measured matrix rate, over the time since the last call."""
        now = time.perf_counter()
        if self._clock is not None:
            seconds = now - self._clock[0]
            self.log("frames_per_s", frames / seconds, prog_bar=True)
            if self.peak_flops:
                self.log("mfu", flops / seconds / self.peak_flops, prog_bar=True)
        self._clock = (now, frames)


class TokenizerStage(Stage):
    """Frames → reconstruction loss."""

    name = "tokenizer"
    network: Tokenizer

    def __init__(self, config: TrainConfig, network: Tokenizer) -> None:
        super().__init__(config, config.tokenizer_stage)
        self.network = network

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of windows of a single uint8 frame."""
        frames = batch.frames[:, 0]
        x_BCHW, valid_B1HW = to_network(frames), batch.valid_mask[:, None].float()
        output = self.network(x_BCHW, generator=self.generator()).float()
        loss = reconstruction_loss(output, x_BCHW, valid_B1HW, self.run_config.reconstruction)
        self.log("loss", loss, prog_bar=True)
        self.log("psnr_db", psnr_db(output.detach(), x_BCHW, valid_B1HW).mean(), prog_bar=True)
        rows, columns = self.network.config.stem_grid
        self.log_speed(len(frames), 3 * len(frames) * rows * columns * matmul_flops_per_token(self.network))
        return loss


class DynamicsStage(Stage):
    """Clips of latents → shortcut forcing loss."""

    name = "dynamics"
    network: Dynamics

    def __init__(self, config: TrainConfig, network: Dynamics, tokenizer: Tokenizer) -> None:
        super().__init__(config, config.dynamics_stage)
        self.network = network
        self._tokenizer = [tokenizer]  # in a list: it is not trained, nor a part of this stage's checkpoints

    def move(self, z_BTVNC: Tensor, motion_BTF: Tensor) -> Tensor:
        """What each frame of own predictions is shown: the frame before it, moved; the first is shown nothing."""
        before, motion = z_BTVNC[:, :-1].flatten(0, 1), motion_BTF[:, 1:].flatten(0, 1)
        moved = move_ahead(self._tokenizer[0], self.network, before, motion).unflatten(0, (len(z_BTVNC), -1))
        return torch.cat([torch.full_like(moved[:, :1], torch.nan), moved], dim=1)

    def jerk(self, told: Told, z_BTVNC: Tensor, generator: torch.Generator) -> tuple[Told, Tensor]:
        """Let time jump in some of the clips (``jerky``)."""
        batch, length = z_BTVNC.shape[:2]
        rows = torch.randperm(batch, generator=generator)[: round(batch * self.run_config.clips.jerky_share)]
        index_RT = jump(length, len(rows), generator).to(z_BTVNC.device)
        rows = rows.to(z_BTVNC.device)
        if not len(rows):
            return told, z_BTVNC
        z_BTVNC, motion = z_BTVNC.clone(), told.motion.clone()
        z_BTVNC[rows] = z_BTVNC[rows[:, None], index_RT]
        motion[rows] = composed(motion[rows], index_RT)
        tags, moved = told.tags, told.moved
        if tags is not None:
            tags = tags.clone()
            tags[rows] = tags[rows[:, None], index_RT]
        if moved is not None:
            moved = moved.clone()
            moved[rows] = self.move(z_BTVNC[rows], motion[rows]).to(moved.dtype)
        return Told(motion, tags, moved), z_BTVNC

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of windows whose frames are latents."""
        told, clean = self.jerk(*prepare_clips(batch, self.network), generator := self.generator())
        done = self.global_step / max(1, self.stage.steps)
        loss, figures = shortcut_forcing_loss(
            self.network,
            clean,
            told,
            self.run_config.objective,
            generator,
            shortcut=done >= self.run_config.clips.shortcut_from,
            own=done >= self.run_config.clips.own_from,
            move=self.move,
            weight_BN=token_weight(batch.valid_mask, self.run_config.tokenizer.latent_grid),
        )
        self.log("loss", loss, prog_bar=True)
        for name, value in figures.items():
            self.log(name, value, prog_bar=name == "error_low_tau")
        frames = clean.shape[0] * clean.shape[1]
        tokens = self.network.frame_tokens()
        self.log_speed(frames, 3 * frames * tokens * matmul_flops_per_token(self.network.transformer))
        return loss


def prepare_clips(batch: Any, network: Dynamics) -> tuple[Told, Tensor]:
    """What each frame is told, and normalised latents, of a batch of windows of ``run.with_latents``."""
    speed, yaw_rate = batch.motion.unbind(-1)
    outgoing = motion_channels(speed, yaw_rate, batch.dt_s, batch.camera_height_m[:, None])
    z_BTVNC, moved_BTVNC = network.normalise(batch.frames.float()).split(network.views, dim=2)
    # The frame before the window is not there: its first frame is shown nothing.
    moved_BTVNC = torch.cat([torch.full_like(moved_BTVNC[:, :1], torch.nan), moved_BTVNC[:, 1:]], dim=1)
    return Told(incoming(outgoing), batch.tags, moved_BTVNC if network.config.moved else None), z_BTVNC


def token_weight(valid_BHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """``(B, N)`` share of each latent token's patch that the source camera saw."""
    return nn.functional.adaptive_avg_pool2d(valid_BHW[:, None].float(), grid).flatten(1)


def trapezium(step: int, stage: StageConfig) -> float:
    """Learning rate factor: up over ``warmup_share``, flat, down to zero over ``decay_share`` of the steps."""
    done = (step + 1) / max(1, stage.steps)
    return max(0.0, min(1.0, done / max(stage.warmup_share, 1e-9), (1 - done) / max(stage.decay_share, 1e-9)))


def matmul_rate(device: torch.device, *, seconds: float = 0.3) -> float:
    """Floating-point operations per second of a large fp32 matrix product on this device, measured."""
    a = torch.randn(2048, 2048, device=device)

    def run() -> None:
        torch.mm(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()

    run()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        count += 1
    return count * 2 * math.prod((2048, 2048, 2048)) / (time.perf_counter() - start)


def freeze(module: nn.Module) -> nn.Module:
    """In evaluation mode and without gradients."""
    return module.eval().requires_grad_(False)
