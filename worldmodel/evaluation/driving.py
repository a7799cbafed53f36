"""What a learned world makes of held-out drives: their continuations, the answers to probes, further samples.

Drives run as rows of one batch. Knows worlds and models, nothing of judges or of scores.

Shapes: B rows; T frames; P steps of a probe; N samples; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch

from worldmodel.evaluation.held_out import Truth
from worldmodel.evaluation.probes import PROBES, STEPS
from worldmodel.evaluation.surprise import SURPRISE_FRAMES, surprises
from worldmodel.model import WorldModel
from worldmodel.simulation.session import Session
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.types import Clip, EgoMotion, FloatArray, FrameArray, World

#: Samples of a drive, its own continuation among them.
SAMPLES = 4
#: Seeds of probes and of samples, far from those of drives, which are their numbers.
_PROBE_SEED, _SAMPLE_SEED = 1_000_000, 2_000_000
_STRETCH = 64


@dataclasses.dataclass(frozen=True)
class Made:
    """What a world made of one held-out drive.

    Attributes:
        frames: ``(T, H, W, 3)`` from the newest of the context on.
        reconstructed: the tokenizer's view of the true frames ``(T, H, W, 3)``.
        probes: by name, ``(P + 1, H, W, 3)``.
        samples: ``(N - 1, S, H, W, 3)`` further continuations under other seeds; N is 1 where none were asked for.
        surprise: as ``surprise.surprises``.
    """

    frames: FrameArray
    reconstructed: FrameArray
    probes: Mapping[str, FrameArray]
    samples: FrameArray
    surprise: Mapping[str, FloatArray]


def make_group(
    world: Session,
    truths: Sequence[Truth],
    numbers: Sequence[int],
    *,
    samples_s: float,
    progress: Callable[[int], object],
) -> Iterator[Made]:
    """Go on from the contexts of some drives, numbered consecutively, as rows of one batch; yields them one by one.

    Of those that are probed, answers to probes and further samples of ``samples_s`` too. ``progress`` is told how many
    frames have been made.
    """
    clips, motion = [truth.clip() for truth in truths], _stacked([truth.motion[:-1] for truth in truths])
    frames = drive_on(world, clips, motion, seed=numbers[0], progress=progress)
    for number, truth, own in zip(numbers, truths, frames):
        clip, true = truth.clip(), truth.side.frames
        probes, samples = {}, own[None][:0]
        if truth.told:
            told, rows = _stacked(list(truth.told.values())), len(truth.told)
            answers = drive_on(world, [clip] * rows, told, seed=_PROBE_SEED + rows * number, progress=progress)
            probes = dict(zip(truth.told, answers))
        if truth.probed:
            count = min(len(true) - 1, round(samples_s / world.dt_s))
            same = _stacked([truth.motion[:count]] * (SAMPLES - 1))
            seed = _SAMPLE_SEED + SAMPLES * number
            samples = drive_on(world, [clip] * (SAMPLES - 1), same, seed=seed, progress=progress)
        rebuilt = np.concatenate(
            [reconstruct(world.model, true[i : i + _STRETCH]) for i in range(0, len(true), _STRETCH)]
        )
        yield Made(own, rebuilt, probes, samples, _surprise(world.model, truth, own, number))


def frames_of(steps: int, sampled: int, *, probed: bool) -> int:
    """How many frames are made of a drive of so many steps, of which ``sampled`` are made anew in further samples."""
    probes = PROBES * STEPS if steps >= STEPS else 0
    return steps + (probes + (SAMPLES - 1) * min(steps, sampled) if probed else 0)


def drive_on(
    world: World,
    clips: Sequence[Clip],
    motion: EgoMotion,
    *,
    seed: int,
    progress: Callable[[int], object] = lambda rows: None,
) -> FrameArray:
    """Frames ``(B, T + 1, H, W, 3)`` a world makes from the last of each context on, told motion ``(B, T)``."""
    rows, steps = motion.shape
    first = world.start(list(clips), seed=seed)
    made = np.empty((rows, steps + 1, *first.shape[1:]), np.uint8)
    made[:, 0] = first
    for t in range(steps):
        drawn = world.step(motion[:, t])
        assert drawn is not None
        made[:, t + 1] = drawn
        progress(rows)
    return made


@torch.no_grad()
def reconstruct(model: WorldModel, frames: FrameArray) -> FrameArray:
    """Frames ``(T, H, W, 3)`` through the tokenizer and back."""
    x = to_network(torch.from_numpy(frames).to(next(model.parameters()).device))
    return to_frames(model.tokenizer.decode(model.tokenizer.encode(x))).cpu().numpy()


def _surprise(model: WorldModel, truth: Truth, generated: FrameArray, number: int) -> dict[str, FloatArray]:
    frames, drive = truth.side.frames, truth.drive
    if len(frames) < SURPRISE_FRAMES:
        return {}
    rows = slice(truth.context - 1, truth.context - 1 + SURPRISE_FRAMES)
    valid = np.ones(frames.shape[1:3], bool)
    clip = Clip(frames[:SURPRISE_FRAMES], drive.t_s[rows], drive.motion[rows], drive.tags[rows], drive.camera, valid)
    made = dataclasses.replace(clip, frames=generated[:SURPRISE_FRAMES])
    return surprises(model, clip, made, frames[-SURPRISE_FRAMES:], seed=number)


def _stacked(motions: Sequence[EgoMotion]) -> EgoMotion:
    return EgoMotion(np.stack([m.speed_mps for m in motions]), np.stack([m.yaw_rate_radps for m in motions]))
