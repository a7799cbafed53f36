"""The stage in which a model learns from its own long drives what true ones would have looked like.

Own drives go on from step to step as in ``own_drives``, without guidance, in as few steps as the model will have. Of
each frame one step, drawn at random, is learned from. Where it should have led is said by a guided teacher, often the
model as it was, and a critic that follows what the model makes now (``dynamics.matching``). What comes out needs no
guidance, and clips of any age of a drive have been made likely, not those near the truth alone.
A part of the rows begin with no true frame at all, and soon begin anew, so that what is asked for in words alone is
practised too.
Legend: R rows, K frames of a step, T frames of a clip, V views, N tokens, C channels.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.dynamics.matching import critic_loss, matched
from worldmodel.dynamics.sampler import FINEST, SamplerConfig, draw_frame, finished
from worldmodel.nn.ring import Ring
from worldmodel.nn.transformer import compile_blocks
from worldmodel.tokenizer.tokenizer import Tokenizer
from worldmodel.training.config import TrainConfig
from worldmodel.training.own_drives import Brief, Draw, OwnDrives
from worldmodel.training.stages import Stage, as_tensors, clips_loss, freeze, prepare_clips
from worldmodel.training.with_boxes import BoxedBatch

#: Multiples of it lie evenly between whole numbers: which drives are not told of their road.
_SPREAD = math.sqrt(2)


def distilled_sampler(config: TrainConfig) -> SamplerConfig:
    """How frames of the finished model are drawn: as it was taught to."""
    steps = config.distil.steps
    return dataclasses.replace(config.sampler, steps=steps, first_steps=steps, guidance=1.0, prompt_guidance=1.0)


def twin(network: Dynamics) -> Dynamics:
    """The same network with weights of its own; what is compiled of the one (``compile_blocks``) is not the other's."""
    other = Dynamics(network.config, tokens=network.tokens, channels=network.channels, views=network.views)
    other.load_state_dict(network.state_dict())
    return other.to(network.latent_mean.device)


class DistilStage(Stage):
    """Own drives → how far they are from likely ones, and how well the critic knows them.

    Args:
        config: of the run.
        network: the dynamics.
        teacher: dynamics on latents of the same tokenizer; ``None`` for the network as it is now.
        tokenizer: of its latents.
        life: the k-th true drive for own ones to follow.
        clips: the k-th batch of true clips, which are learned besides where ``distil.rehearsed`` is not 0.
        listener: dynamics on the same latents that hear tags where the teacher does not; ``None`` for the teacher.
    """

    name = "distil"
    network: Dynamics

    def __init__(
        self,
        config: TrainConfig,
        network: Dynamics,
        tokenizer: Tokenizer,
        life: Callable[[int], Any],
        teacher: Dynamics | None = None,
        clips: Callable[[int], Any] | None = None,
        listener: Dynamics | None = None,
    ) -> None:
        super().__init__(config, config.distil_stage)
        self._clips = clips
        # The critic begins as the teacher: a model that was taught here before is no denoiser any more.
        self.network, self.critic = network, twin(teacher or network)
        #: What comes out: the network swings about what it is pulled to.
        self.average = freeze(twin(network))
        # In lists: they are not trained, nor a part of this stage's checkpoints.
        self._teacher, self._tokenizer = [teacher or twin(network)], [tokenizer]
        self._listener = [freeze(listener)] if listener else []
        freeze(self._teacher[0])
        if config.compile:
            for other in (self.critic, *self._teacher, *self._listener):
                compile_blocks(other)
        self.sampler = distilled_sampler(config)
        d = config.distil
        self.own = OwnDrives(
            lambda k: self._prepared(life(k), k),
            d.rows,
            true_frames=d.true_frames,
            staggered=True,
            followers=Brief(d.followers, d.follower_life),
            beginners=Brief(d.beginners, d.beginner_life),
        )
        self._own_state: dict[str, Any] | None = None

    def on_fit_start(self) -> None:
        """Lightning's hook: teacher and listener go where the others are."""
        for other in (*self._teacher, *self._listener):
            other.to(self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook: own drives go on where they were."""
        waiting = self._own_state is not None  # resumed, and no step has needed them yet
        checkpoint["own_drives"] = self._own_state if waiting else self.own.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook; the drives are taken up at the next step, when the network is where it belongs."""
        self._own_state = checkpoint["own_drives"]

    def configure_optimizers(self) -> Any:
        """As of every stage, and for the critic at its own rate. Without momentum: what is aimed at moves."""
        groups = [
            group | {"lr": self.stage.learning_rate * rate}
            for module, rate in ((self.network, 1.0), (self.critic, self.run_config.distil.critic_rate))
            for group in self.parameter_groups(module)
        ]
        return self.scheduled(torch.optim.AdamW(groups, lr=self.stage.learning_rate, betas=(0.0, 0.99)))

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, **_: Any) -> None:
        """Lightning's hook: each network by itself."""
        for module in (self.network, self.critic):
            nn.utils.clip_grad_norm_(module.parameters(), gradient_clip_val)

    def training_step(self, batch: Any, _: int) -> Tensor:
        """Own drives go on, and are learned from. ``batch`` is nothing."""
        d, generator = self.run_config.distil, self.generator()
        if self._own_state is not None:
            self.own.restore(self._own_state, self.network, self._tokenizer[0])
            self._own_state = None
        decay = min(d.average, self.global_step / (self.global_step + 10))
        for mean, now in zip(self.average.parameters(), self.network.parameters()):
            mean.lerp_(now.detach(), 1 - decay)
        if self.global_step == 0:  # until the first rows have clips to show
            self._advance(d.true_frames + d.clip, generator, draw_frame)
        taught = Taught(int(torch.randint(d.steps, (), generator=generator)))
        self._advance(d.frames, generator, taught)
        made = torch.stack(taught.made, dim=1)
        some = [self.own.recent(d.clip, drawn=d.frames), self.own.newborn(d.frames)]
        parts = [self._judged(made[clips[0]], *clips, generator) for clips in some if clips is not None]
        if not parts:  # every row has just begun anew
            return sum((p.sum() * 0 for p in self.parameters()), torch.zeros((), device=self.device))
        learned = sum(len(pull_RKVNC) for pull_RKVNC, _ in parts)
        pull_RKVNC = torch.cat([pull for pull, _ in parts])
        critic = sum(len(pull) / learned * loss for pull, loss in parts)
        loss = 0.5 * pull_RKVNC.square().mean()
        self.log("pull", pull_RKVNC.detach().abs().mean(), prog_bar=True)
        self.log("critic", critic, prog_bar=True)
        self.log_speed(learned * d.frames, 0.0)
        return loss + critic + self._rehearsed(generator)

    def _rehearsed(self, generator: torch.Generator) -> Tensor:
        """What the network still knows of true clips, those in another look among them where the run has such."""
        weight = self.run_config.distil.rehearsed
        if not weight:
            return torch.zeros((), device=self.device)
        assert self._clips is not None
        batch = BoxedBatch(*(x.to(self.device) for x in as_tensors(self._clips(self.global_step))))
        loss, _ = clips_loss(self.run_config, self.network, batch, generator, shortcut=False)
        self.log("rehearsed", loss, prog_bar=True)
        return weight * loss

    def _judged(
        self, made_RKVNC: Tensor, rows: list[int], own_RTVNC: Tensor, told: Told, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """How far made frames are from where they should be, and the critic's loss on their clips."""
        d, frames = self.run_config.distil, made_RKVNC.shape[1]
        own_RTVNC[:, -frames:] = made_RKVNC.detach()
        goal = matched(
            self._teacher[0],
            self.critic,
            own_RTVNC,
            told,
            generator,
            guidance=d.guidance,
            tag_guidance=d.tag_guidance,
            listener=self._listener[0] if self._listener else None,
        )[:, -frames:]
        if d.truth:
            truth_RKVNC, since_RK = self.own.truth(rows, frames)
            share_RK = d.truth * (since_RK <= d.follower_life)
            goal = goal + share_RK[:, :, None, None, None] * (truth_RKVNC - goal)
        losses = [critic_loss(self.critic, own_RTVNC, told, generator) for _ in range(d.critic_passes)]
        return made_RKVNC - goal, torch.stack(losses).mean()

    def _advance(self, frames: int, generator: torch.Generator, draw: Draw) -> None:
        self.own.advance(self.network, self._tokenizer[0], generator, frames=frames, sampler=self.sampler, draw=draw)

    def _prepared(self, batch: Any, number: int) -> tuple[Told, Tensor]:
        """A true drive as ``OwnDrives`` wants it, on the stage's device; of a share of them the road is not told."""
        there = BoxedBatch(*(x.to(self.device) for x in as_tensors(batch)))
        told, clean = prepare_clips(there, self.network, self.run_config.tokenizer)
        if told.road is not None and number * _SPREAD % 1 < self.run_config.objective.drop_road:
            nowhere = None if told.map is None else torch.full_like(told.map, torch.nan)
            told = dataclasses.replace(told, road=torch.zeros_like(told.road), map=nowhere)
        return told, clean


class Taught:
    """Draws frames as ``draw_frame`` does, without guidance, and keeps what one step of each took it to be.

    Args:
        at: which step, from 0; it alone has gradients.
    """

    def __init__(self, at: int) -> None:
        self.at = at
        #: ``(R, V, N, C)`` of each frame so far.
        self.made: list[Tensor] = []

    def __call__(self, network: Dynamics, x: Tensor, told: Told, ring: Ring, sampler: SamplerConfig) -> Tensor:
        """A clean frame out of noise, as every ``Draw``."""
        d_B = x.new_full((len(x),), 1 / FINEST)
        for k in range(sampler.steps):
            tau_B = torch.full_like(d_B, k / sampler.steps)
            if k == self.at:
                with torch.enable_grad():  # in a ring of its own, as what gradients need must not be written over
                    self.made.append(network.step(x, tau_B, d_B, told, ring.clone()).float())
                clean = self.made[-1].detach()
            else:
                clean = network.step(x, tau_B, d_B, told, ring)
            x = x + (clean - x) / (sampler.steps - k)
        return finished(network, x, told, sampler)
