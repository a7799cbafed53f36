"""What to look at while training runs: reconstructions, and sample drives beside what truly happened.

Pictures are PNG files in the run's ``pictures/``, sample drives also mp4 where ``av`` is installed (bare GPU nodes do
without); with the wandb logger they are logged as well.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import WandbLogger
from numpy.typing import NDArray
from torch import nn

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.conditioning import between, motion_channels
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.road import road_features
from worldmodel.dynamics.sampler import SamplerConfig, commit_frame, draw_frame, shown
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.model import Past, decoded, move_ahead, no_memory
from worldmodel.tokenizer.depth import FAR_M, inverse_depth
from worldmodel.tokenizer.drift import STEPS_AGO, Earlier, drifting, presence
from worldmodel.tokenizer.tokenizer import Tokenizer, to_frames, to_network
from worldmodel.training.corpus import clip_of
from worldmodel.training.stages import DepthStage, DriftStage, TokenizerStage

#: Drifts of so much over a step are told apart by their colour.
_WIDE = 0.2


class Pictures(lightning.Callback):
    """Every so many steps, ask the subclass for a picture, and perhaps a video, and put them where people look."""

    name = ""

    def __init__(self, folder: Path, held_out: list[MemoryEpisode]) -> None:
        self.folder, self.held_out = folder, held_out
        folder.mkdir(parents=True, exist_ok=True)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Lightning's hook."""
        step, every = pl_module.global_step, pl_module.stage.picture_every
        if not every or (step % every and step != pl_module.stage.steps) or not self.held_out:
            return
        pl_module.network.eval()
        with torch.no_grad():
            picture, video = self.draw(pl_module)
        pl_module.network.train()
        path = self.folder / f"{self.name}_{step:07d}.png"
        cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        film = None if video is None else write_film(path.with_suffix(".mp4"), video)
        if isinstance(trainer.logger, WandbLogger):
            trainer.logger.log_image(self.name, [str(path)], step=step)
            if film is not None:
                trainer.logger.log_video(f"{self.name}_video", [str(film)], step=step)

    def draw(self, stage: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """The picture ``(H, W, 3)`` after the current step, and the video ``(T, h, w, 3)`` where there is one."""
        raise AssertionError("a subclass draws")


def write_film(path: Path, frames: NDArray[np.uint8]) -> Path | None:
    """An mp4 of ``(T, H, W, 3)`` frames at 10 Hz; ``None`` where there is nothing to write it with."""
    if importlib.util.find_spec("av") is None:
        return None
    from worldmodel.datasets.video import VideoWriter

    with VideoWriter(path, frames.shape[1], frames.shape[2]) as writer:
        writer.write_all(frames)
    return path


class Reconstructions(Pictures):
    """Held-out frames above their reconstructions."""

    name = "reconstructions"

    def draw(self, stage: TokenizerStage) -> tuple[NDArray[np.uint8], None]:
        """Eight frames spread over the held-out drives."""
        chosen = [self.held_out[i * len(self.held_out) // 8] for i in range(8)]
        frames = np.stack([d.frames[(i * 37) % d.length] for i, d in enumerate(chosen)])
        x = to_network(torch.from_numpy(frames).to(stage.device))
        again = to_frames(stage.network.decode(stage.network.encode(x))).cpu().numpy()
        rows = [np.hstack(list(some)) for half in (slice(0, 4), slice(4, 8)) for some in (frames[half], again[half])]
        return np.vstack(rows), None


class Depths(Pictures):
    """Held-out frames above how near things are taken to be: red is 2 m, blue ``FAR_M``."""

    name = "depths"

    def draw(self, stage: DepthStage) -> tuple[NDArray[np.uint8], None]:
        """Four frames spread over the held-out drives."""
        chosen = [self.held_out[i * len(self.held_out) // 4] for i in range(4)]
        frames = np.stack([d.frames[(i * 37) % d.length] for i, d in enumerate(chosen)])
        x = to_network(torch.from_numpy(frames).to(stage.device))
        still, camera = x.new_zeros(len(x)), canonical_camera(*frames.shape[1:3])
        depth = inverse_depth(stage.network, x, still, still, torch.full_like(still, NOMINAL_HEIGHT_M), camera)
        near = torch.log(depth * FAR_M) / np.log(FAR_M / 2)
        return np.vstack([np.hstack(list(frames)), _coloured(near)]), None


class Drifts(Pictures):
    """Held-out frames, who is seen to be there, and how that moves by itself: red comes nearer, blue gets away."""

    name = "drifts"

    def draw(self, stage: DriftStage) -> tuple[NDArray[np.uint8], None]:
        """Four of the held-out drives, each where the largest road user is in sight."""
        long = [drive for drive in self.held_out if drive.length > STEPS_AGO]
        if not long:
            return np.zeros((2, 2, 3), np.uint8), None
        chosen = [long[i * len(long) // 4] for i in range(4)]
        clips = []
        for drive in chosen:
            boxes = np.nan_to_num(drive.truth.get("boxes", np.zeros((drive.length, 1, 4)))[STEPS_AGO:])
            area_px = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).max(axis=1)
            clips.append(clip_of(drive, int(area_px.argmax()), int(area_px.argmax()) + STEPS_AGO + 1))
        x = to_network(torch.from_numpy(np.stack([clip.frames for clip in clips])).flatten(0, 1).to(stage.device))
        earlier, now = x.unflatten(0, (4, -1))[:, 0], x.unflatten(0, (4, -1))[:, -1]
        rates = [np.stack([clip.motion.speed_mps, clip.motion.yaw_rate_radps], axis=-1) for clip in clips]
        outgoing = torch.from_numpy(np.stack(rates) * np.median(np.diff(clips[0].t_s))).float().to(stage.device)
        steps = torch.full_like(outgoing[:, 0, 0], STEPS_AGO)
        since = Earlier(earlier, *between(outgoing, torch.zeros_like(steps), steps), steps)
        camera, still = canonical_camera(*x.shape[2:]), torch.zeros_like(steps)
        depth = stage.tokenizer.depth
        depth_BHW = inverse_depth(depth, now, still, still, torch.full_like(still, NOMINAL_HEIGHT_M), camera)
        somebody, drift = drifting(stage.network, now, still, still, depth_BHW, camera, since)
        there = presence(somebody)
        rows = [np.hstack(list(to_frames(now).cpu().numpy())), _coloured(there), _coloured(0.5 + there * drift / _WIDE)]
        return np.vstack(rows), None


def _coloured(maps_BHW: torch.Tensor) -> NDArray[np.uint8]:
    """Maps of 0 to 1 side by side, from blue to red."""
    maps = (maps_BHW.clamp(0, 1) * 255).to(torch.uint8).cpu().numpy()
    return np.hstack([cv2.cvtColor(cv2.applyColorMap(m, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB) for m in maps]).astype(
        np.uint8
    )


class SampleDrives(Pictures):
    """A held-out drive and the model's continuation of it, side by side over time: motion is the recorded one."""

    name = "drives"

    def __init__(self, folder: Path, held_out: list[MemoryEpisode], tokenizer: nn.Module) -> None:
        super().__init__(folder, held_out)
        assert isinstance(tokenizer, Tokenizer)
        self.tokenizer = tokenizer

    def draw(self, stage: Any) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Rows: truth and sample of two drives, at 0.1, 0.5, 1, 2, 4 and 8 s after the context; truth beside sample."""
        self.tokenizer.to(stage.device)
        sheets, films = [], []
        for drive in self.held_out[:2]:
            context = min(stage.network.config.transformer.window, drive.length // 2)
            at = [context + k for k in (1, 5, 10, 20, 40, 80) if context + k < drive.length]
            if not at:
                continue
            drawn = continue_drive(
                stage.network, self.tokenizer, drive, stage.sampler, context=context, until=at[-1] + 1
            )
            sheets += [np.hstack([drive.frames[t] for t in at]), np.hstack([drawn[t - context] for t in at])]
            films.append(np.concatenate([drive.frames[context : at[-1] + 1], drawn], axis=2))
        if not sheets:
            return np.zeros((2, 2, 3), np.uint8), None
        picture = np.vstack([sheet[:, : min(s.shape[1] for s in sheets)] for sheet in sheets])
        return picture, np.concatenate([film[: min(map(len, films))] for film in films], axis=1)


@torch.no_grad()
def continue_drive(
    network: Any, tokenizer: Tokenizer, drive: MemoryEpisode, sampler: SamplerConfig, *, context: int, until: int
) -> NDArray[np.uint8]:
    """Frames ``context … until`` drawn by the network with the recorded motion, ``(T, H, W, 3)``."""
    device = next(network.parameters()).device
    clip = clip_of(drive, 0, until)
    outgoing = motion_channels(
        torch.from_numpy(clip.motion.speed_mps),
        torch.from_numpy(clip.motion.yaw_rate_radps),
        torch.from_numpy(np.append(np.diff(clip.t_s), np.nan)),
        torch.tensor(clip.camera.height_m, dtype=torch.float64),
    )
    unknown = torch.full_like(outgoing[:1], torch.nan)
    incoming = torch.cat([unknown, outgoing[:-1]]).to(device)
    tags = torch.from_numpy(clip.tags.codes).to(device)
    there = road = None
    if clip.road is not None:
        there = torch.from_numpy(np.array(clip.road)).to(device)
    if network.config.road and there is not None:
        heights = outgoing[None, :, 3].to(device)
        road = road_features(there[None], heights, clip.camera, tokenizer.config.latent_grid)
    generator = torch.Generator().manual_seed(0)
    ring = network.transformer.new_ring(1, network.frame_tokens(), like=incoming)
    known = tokenizer.encode(to_network(torch.from_numpy(clip.frames[:context]).to(device)))
    known = network.normalise(known)[:, None]
    drawn, pictures, memory = [], [], no_memory(network, tokenizer, 1, like=known)
    for t in range(until):
        noise = torch.randn(3, *known.shape[1:], generator=generator).to(device)
        told = Told(incoming[None, t : t + 1], tags[None, t : t + 1], road=None if road is None else road[:, t : t + 1])
        if t and network.config.moved:
            led = incoming[None, t - STEPS_AGO : t]
            past = Past(pictures[t - 1 - STEPS_AGO], led) if t > STEPS_AGO else None
            args = (tokenizer, network, z, incoming[t : t + 1], past, memory)
            about = there[t - 1 : t] if there is not None and t >= context else None
            moved, memory = move_ahead(*args, frames_BVCHW=pictures[-1], road_BEK2=about, righted=sampler.righted)
            told = shown(told, moved, noise[2:], sampler.moved_tau)
        z = known[t : t + 1] if t < context else draw_frame(network, noise[:1], told, ring, sampler)
        pictures.append(decoded(tokenizer, network, z))
        if t >= context:
            drawn.append(pictures[-1][0, 0])
        commit_frame(network, z, noise[1:2], told, ring, sampler.past_tau)
    return to_frames(torch.stack(drawn)).cpu().numpy()
