"""The three Lightning modules. A step draws everything random from (seed, stage, k), so resuming gives the same bits.

Legend: B batch, T frames, V views, N tokens, C channels or colours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, TypeVar

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Sampler

from worldmodel.dynamics.conditioning import between, incoming, motion_channels
from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.objective import Shown, shortcut_forcing_loss
from worldmodel.dynamics.road import road_features
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.nn.noise import hand_over
from worldmodel.nn.transformer import matmul_flops_per_token
from worldmodel.perception.network import Perceiver
from worldmodel.tokenizer.depth import DepthNetwork, parallax_loss
from worldmodel.tokenizer.drift import STEPS_AGO, DriftNetwork, Earlier, drift_loss
from worldmodel.tokenizer.losses import psnr_db, reconstruction_loss
from worldmodel.tokenizer.tokenizer import Tokenizer, TokenizerConfig, to_network
from worldmodel.training.config import StageConfig, TrainConfig
from worldmodel.training.keeping import seen_loss, tokens_with_users, user_map
from worldmodel.training.looks import shown_otherwise

M = TypeVar("M", bound=nn.Module)

#: Of drift's batches: rows that are seen as the tokenizer makes them; shares and angles by which what frames are taken
#: to have moved before is off, as what a rollout draws has not quite moved as it was told; the street below a road user
#: that is taught with it, as a share of its height: what was hidden there comes into sight, and must not look like it;
#: weight of saying where somebody is.
_RECONSTRUCTED_SHARE, _TOLD_OFF, _TURNED_OFF, _BELOW, _SAID = 0.5, 0.15, 0.004, 0.5, 0.1


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
        NumberedBatches(make, steps), batch_size=None, sampler=FromStep(module, steps), collate_fn=as_tensors
    )


def as_tensors(batch: Any) -> Any:
    """The same batch, its arrays as tensors; what is one already (``resident``) stays where it is."""
    parts = (x if isinstance(x, Tensor) else torch.from_numpy(np.ascontiguousarray(x)) for x in batch)
    return type(batch)(*parts)  # pyright: ignore


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
        self._began_s: float | None = None

    def done(self, step: int) -> float:
        """Share of the stage that is over after so many steps: of its steps or of its seconds, whichever is more."""
        share = step / max(1, self.stage.steps)
        if not self.stage.seconds or self._began_s is None:
            return share
        return max(share, (time.perf_counter() - self._began_s) / self.stage.seconds)

    def on_train_start(self) -> None:
        """Lightning's hook: the seconds of a stage count from here, those before a run was killed not among them."""
        self._began_s = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Lightning's hook: time may be up."""
        if self.done(self.global_step) >= 1:
            self.trainer.should_stop = True

    def generator(self) -> torch.Generator:
        """The random stream of the current step."""
        seed = np.random.SeedSequence([self.run_config.seed, len(self.name), self.global_step])
        return torch.Generator().manual_seed(int(seed.generate_state(1)[0]))

    def configure_optimizers(self) -> Any:
        """AdamW, with decay on matrices only, under a trapezium."""
        return self.scheduled(
            torch.optim.AdamW(self.parameter_groups(self), lr=self.stage.learning_rate, betas=(0.9, 0.95))
        )

    def parameter_groups(self, module: nn.Module) -> list[dict[str, Any]]:
        """Matrices of a module, which decay, and the rest of its parameters, which do not."""
        decay = [p for p in module.parameters() if p.ndim >= 2]
        rest = [p for p in module.parameters() if p.ndim < 2]
        return [{"params": decay, "weight_decay": self.stage.weight_decay}, {"params": rest, "weight_decay": 0.0}]

    def scheduled(self, optimizer: torch.optim.Optimizer) -> Any:
        """An optimizer under the stage's trapezium, as Lightning wants it."""
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: trapezium(self.done(step + 1), self.stage))
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
    """Frames → reconstruction loss.

    Args:
        config: of the run.
        network: to be trained.
        eyes: of a driver, in which reconstructions are to look like frames; ``None`` without ``reconstruction.seen``.
        former: whose latents are to be kept to; ``None`` without ``reconstruction.kept``.
    """

    name = "tokenizer"
    network: Tokenizer

    def __init__(
        self, config: TrainConfig, network: Tokenizer, eyes: Perceiver | None = None, former: Tokenizer | None = None
    ) -> None:
        super().__init__(config, config.tokenizer_stage)
        self.network = network
        self.eyes = None if eyes is None else freeze(eyes)
        self.former = None if former is None else freeze(former)

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One ``BoxedBatch`` of windows of a single frame."""
        weights, frames = self.run_config.reconstruction, batch.frames[:, 0]
        x_BCHW, valid_B1HW = to_network(frames), batch.valid_mask[:, None].float()
        latents_BND, output = self.network.as_trained(x_BCHW, generator=self.generator())
        output = output.float()
        weight_B1HW = 1 + weights.users * user_map(batch.boxes[:, 0], (x_BCHW.shape[2], x_BCHW.shape[3]))
        loss = reconstruction_loss(output, x_BCHW, valid_B1HW, weights, weight_B1HW=weight_B1HW)
        if self.eyes is not None:
            seen = seen_loss(self.eyes, output, x_BCHW, valid_B1HW * weight_B1HW)
            self.log("seen", seen)
            loss = loss + weights.seen * seen
        if self.former is not None:
            with torch.no_grad():
                former_BND = self.former.encode(x_BCHW)
            moved = F.mse_loss(latents_BND.float(), former_BND.float())
            self.log("moved", moved)
            loss = loss + weights.kept * moved
        self.log("loss", loss, prog_bar=True)
        self.log("psnr_db", psnr_db(output.detach(), x_BCHW, valid_B1HW).mean(), prog_bar=True)
        rows, columns = self.network.config.stem_grid
        self.log_speed(len(frames), 3 * len(frames) * rows * columns * matmul_flops_per_token(self.network))
        return loss


class DepthStage(Stage):
    """Pairs of frames → how well the depth foretells the later one."""

    name = "depth"
    network: DepthNetwork

    #: Frames of a window: pairs are up to this many less one apart, so that slow drives teach something too.
    length = 4

    def __init__(self, config: TrainConfig, network: DepthNetwork) -> None:
        super().__init__(config, config.depth_stage)
        self.network = network
        self._camera = canonical_camera(config.tokenizer.height_px, config.tokenizer.width_px)

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One batch of windows of uint8 frames."""
        rows = torch.arange(len(batch.frames), device=batch.frames.device)
        apart = torch.randint(1, self.length, (len(rows),), generator=self.generator())
        apart = hand_over(apart, rows.device)
        speed, yaw_rate = batch.motion.unbind(-1)
        outgoing = motion_channels(speed, yaw_rate, batch.dt_s, batch.camera_height_m[:, None])
        displacement_m, turn_rad = between(outgoing, torch.zeros_like(apart), apart)
        before, after = to_network(batch.frames[:, 0]), to_network(batch.frames[rows, apart])
        loss = parallax_loss(
            self.network,
            before,
            after,
            displacement_m,
            turn_rad,
            torch.nan_to_num(batch.camera_height_m, nan=NOMINAL_HEIGHT_M),
            self._camera,
            valid_BHW=batch.valid_mask,
        )
        self.log("loss", loss, prog_bar=True)
        self.log_speed(len(before), 0.0)
        return loss


class DriftStage(Stage):
    """Three frames of a drive → how well drift foretells road users in the last of them, and says where they are.

    Args:
        config: of the run.
        network: to be trained.
        tokenizer: in a part of the batch the network sees what it makes of the frames, as it will in a rollout.
    """

    name = "drift"
    network: DriftNetwork

    #: Steps from the second frame to the last are up to so many, so that slow drives teach something too.
    farthest = 3
    #: Frames of a window.
    length = STEPS_AGO + 1 + farthest

    def __init__(self, config: TrainConfig, network: DriftNetwork, tokenizer: Tokenizer) -> None:
        super().__init__(config, config.drift_stage)
        self.network, self._kept = network, [tokenizer]  # in a list: it is not trained
        self._camera = canonical_camera(config.tokenizer.height_px, config.tokenizer.width_px)

    def on_fit_start(self) -> None:
        """Lightning's hook: the tokenizer goes where the network is."""
        self.tokenizer.to(self.device)

    @property
    def tokenizer(self) -> Tokenizer:
        """That the drift is of."""
        return self._kept[0]

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One ``BoxedBatch`` of windows of uint8 frames."""
        rows, generator = torch.arange(len(batch.frames), device=batch.frames.device), self.generator()
        apart = hand_over(torch.randint(1, self.farthest + 1, (len(rows),), generator=generator), rows.device)
        speed, yaw_rate = batch.motion.unbind(-1)
        outgoing = motion_channels(speed, yaw_rate, batch.dt_s, batch.camera_height_m[:, None])
        first, middle = torch.zeros_like(apart), torch.full_like(apart, STEPS_AGO)
        last = middle + apart
        earlier, before, after = (to_network(batch.frames[rows, at]) for at in (first, middle, last))
        since_m, since_rad = between(outgoing, first, middle)
        displacement_m, turn_rad = between(outgoing, middle, apart)
        # What a rollout has drawn has not quite moved as it was told: only what moves otherwise than the rest drifts.
        off_B2 = hand_over(torch.randn(len(rows), 2, generator=generator), rows.device)
        since_m, since_rad = since_m * (1 + _TOLD_OFF * off_B2[:, 0]), since_rad + _TURNED_OFF * off_B2[:, 1]
        seen = [x.clone() for x in (earlier, before)]
        some = slice(0, round(_RECONSTRUCTED_SHARE * len(rows)))
        with torch.no_grad():
            for x in seen:
                x[some] = self.tokenizer.decode(self.tokenizer.encode(x[some])).to(x.dtype).clamp(-1, 1)
        boxes = batch.boxes[rows, last].clone()
        boxes[..., 3] += _BELOW * (boxes[..., 3] - boxes[..., 1])
        users_BHW = user_map(boxes, (before.shape[2], before.shape[3]))[:, 0] * batch.valid_mask
        foretold, said = drift_loss(
            self.tokenizer.depth,
            self.network,
            Earlier(seen[0], since_m, since_rad, STEPS_AGO / apart),
            before,
            after,
            displacement_m,
            turn_rad,
            torch.nan_to_num(batch.camera_height_m, nan=NOMINAL_HEIGHT_M),
            self._camera,
            users_BHW=users_BHW,
            seen_BCHW=seen[1],
        )
        loss = foretold + _SAID * said
        self.log("foretold", foretold, prog_bar=True)
        self.log("said", said, prog_bar=True)
        self.log("loss", loss, prog_bar=True)
        self.log_speed(len(before), 0.0)
        return loss


class DynamicsStage(Stage):
    """Clips of latents → shortcut forcing loss.

    Args:
        config: of the run.
        network: the dynamics.
    """

    name = "dynamics"
    network: Dynamics

    def __init__(self, config: TrainConfig, network: Dynamics) -> None:
        super().__init__(config, config.dynamics_stage)
        self.network = network
        self.sampler = config.sampler

    def training_step(self, batch: Any, _: int) -> Tensor:
        """One ``BoxedBatch`` of windows whose frames are latents."""
        shortcut = self.done(self.global_step) >= self.run_config.clips.shortcut_from
        loss, figures = clips_loss(self.run_config, self.network, batch, self.generator(), shortcut=shortcut)
        self.log("loss", loss, prog_bar=True)
        for name, value in figures.items():
            self.log(name, value, prog_bar=name == "error_low_tau")
        frames = batch.frames.shape[0] * batch.frames.shape[1]
        tokens = self.network.frame_tokens()
        self.log_speed(frames, 3 * frames * tokens * matmul_flops_per_token(self.network.transformer))
        return loss


def clips_loss(
    config: TrainConfig, network: Dynamics, batch: Any, generator: torch.Generator, *, shortcut: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """``shortcut_forcing_loss`` of a ``BoxedBatch`` of windows whose frames are latents, as a run has it."""
    shape, users = config.tokenizer, config.objective.users
    told, clean = prepare_clips(batch, network, shape)
    shown = None
    if config.looks.share:
        seen, asked_BT, whole_B1 = shown_otherwise(batch, config.looks, generator)
        told, z_BTVNC = prepare_clips(seen, network, shape)
        shown = Shown(z_BTVNC, asked_BT, whole_B1)
    seen_BN = token_weight(batch.valid_mask, shape.latent_grid)
    weight_BTN = seen_BN[:, None] * (1 + users * tokens_with_users(batch.boxes, shape))
    args = (network, clean, told, config.objective, generator)
    return shortcut_forcing_loss(*args, shortcut=shortcut, weight_BTN=weight_BTN, shown=shown)


def prepare_clips(batch: Any, network: Dynamics, shape: TokenizerConfig) -> tuple[Told, Tensor]:
    """What each frame is told, and normalised latents, of a ``BoxedBatch`` of windows of ``latents.with_latents``."""
    speed, yaw_rate = batch.motion.unbind(-1)
    outgoing = motion_channels(speed, yaw_rate, batch.dt_s, batch.camera_height_m[:, None])
    z_BTVNC, moved_BTVNC = network.normalise(batch.frames.float()).split(network.views, dim=2)
    # The frame before the window is not there: its first frame is shown nothing.
    moved_BTVNC = torch.cat([torch.full_like(moved_BTVNC[:, :1], torch.nan), moved_BTVNC[:, 1:]], dim=1)
    moved, road = moved_BTVNC if network.config.moved else None, None
    if network.config.road:
        camera, height_BT = canonical_camera(shape.height_px, shape.width_px), batch.camera_height_m[:, None]
        road = road_features(batch.road, height_BT.expand(speed.shape), camera, shape.latent_grid)
    return Told(incoming(outgoing), batch.tags, moved, road=road, map=batch.road), z_BTVNC


def token_weight(valid_BHW: Tensor, grid: tuple[int, int]) -> Tensor:
    """``(B, N)`` share of each latent token's patch that the source camera saw."""
    return nn.functional.adaptive_avg_pool2d(valid_BHW[:, None].float(), grid).flatten(1)


def trapezium(done: float, stage: StageConfig) -> float:
    """Learning rate factor after a share of the stage: up over ``warmup_share``, flat, down over ``decay_share``."""
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


def freeze(module: M) -> M:
    """In evaluation mode and without gradients."""
    return module.eval().requires_grad_(False)
