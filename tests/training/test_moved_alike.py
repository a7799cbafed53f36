"""What a network is shown moved is the same in a running world, in training on latents and on own drives, and when it
is asked for its surprise."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.conditioning import between
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.evaluation import surprise
from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import Past, decoded, move_ahead
from worldmodel.simulation import session
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.training.config import TrainConfig
from worldmodel.training.corpus import Made, read_stretch, write_stretch
from worldmodel.training.latents import latents_of
from worldmodel.training.own_drives import OwnDrives
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags

MODEL = tiny_model()
assert MODEL.tokenizer.drift is not None
torch.nn.init.normal_(MODEL.tokenizer.drift.last.weight, std=10)  # what is seen of before is to matter
LENGTH = 40


def clip(length: int = LENGTH) -> Clip:
    rng = np.random.default_rng(3)
    return Clip(
        frames=rng.integers(0, 256, (length, 32, 64, 3), dtype=np.uint8),
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(rng.uniform(2, 20, length), rng.uniform(-0.3, 0.3, length)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(32, 64, height_m=1.3),
        valid_mask=np.ones((32, 64), dtype=bool),
    )


def kept(tmp_path: Path) -> torch.Tensor:
    """As training has it: rows are frames as the motion before them leaves the last, ``(T, N, C)``."""
    write_stretch(tmp_path, "d", Made("drive", "place", clip()))
    config = TrainConfig(device="cpu", precision="32-true", progress=False)
    return latents_of(config, MODEL.tokenizer, read_stretch(tmp_path, "d"))[:, 1].float()


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one - other).abs().max().item() < 2e-3


def test_a_running_world_is_shown_what_training_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(*args: object, **kwargs: object) -> torch.Tensor:
        seen.append(move_ahead(*args, **kwargs))  # pyright: ignore[reportArgumentType]
        return seen[-1]

    monkeypatch.setattr(session, "move_ahead", record)
    world, true = session.Session(MODEL, sampler=SamplerConfig(1)), clip()
    world.start(true[:WINDOW])
    for t in range(WINDOW, 8):
        led = EgoMotion(true.motion.speed_mps[t - 1], true.motion.yaw_rate_radps[t - 1])
        world.observe(true.frames[t][None], led)
    wanted = kept(tmp_path)
    for t in range(1, 8):
        assert alike(MODEL.dynamics.denormalise(seen[t])[0, 0], wanted[t]), t


def test_surprise_is_asked_for_with_what_training_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surprise, "_PAST_TAU", 1.0)
    true = clip()
    x = torch.from_numpy(true.frames).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        z = MODEL.dynamics.normalise(MODEL.tokenizer.encode(x))[:, None]
        told = surprise._told(MODEL, true, z, torch.zeros_like(z))
    assert told.moved is not None
    assert alike(MODEL.dynamics.denormalise(told.moved)[0, 1:, 0], kept(tmp_path)[1:])


def test_own_drives_are_moved_by_their_own_past() -> None:
    generator = torch.Generator().manual_seed(1)
    motion = torch.rand(1, LENGTH, 4, generator=generator) * torch.tensor([2.0, 0.05, 0.1, 1.5])
    clean = torch.randn(1, LENGTH, 1, MODEL.tokenizer.config.tokens, MODEL.dynamics.channels, generator=generator)
    told = Told(motion, torch.zeros(1, LENGTH, len(VOCABULARY), dtype=torch.int64), clean)
    own = OwnDrives(lambda _: (told, clean), rows=1, true_frames=2)
    # Told all of it, one is shown what was moved as it is.
    sampler = SamplerConfig(1, moved_tau=1.0)
    own.advance(MODEL.dynamics, MODEL.tokenizer, generator, frames=12, sampler=sampler)
    latents, shown = (x[0] for x in own.state()["own"])
    wanted = []
    with torch.no_grad():
        for t in range(1, 12):
            led = motion[:, t - STEPS_AGO : t] if t > STEPS_AGO else None
            past = None if led is None else Past(decoded(MODEL.tokenizer, MODEL.dynamics, latents[None, t - 4]), led)
            wanted.append(move_ahead(MODEL.tokenizer, MODEL.dynamics, latents[None, t - 1], motion[:, t], past)[0])
    assert all(alike(shown[t], wanted[t - 1]) for t in range(1, 12))


def test_the_motion_between_is_that_of_its_steps_alone() -> None:
    outgoing = torch.rand(2, 6, 4)
    outgoing[0, 0], outgoing[1, 4] = torch.nan, torch.nan
    whole = between(outgoing, torch.tensor([1, 1]), torch.tensor([3, 3]))
    alone = between(outgoing[:, 1:4], torch.tensor([0, 0]), torch.tensor([3, 3]))
    assert torch.allclose(torch.stack(whole), torch.stack(alone))
    assert torch.stack(whole).isfinite().all()
