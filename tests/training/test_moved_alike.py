"""What a network is shown moved is the same in a running world, in training on latents and on own drives, and when it
is asked for its surprise."""

import dataclasses
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
from worldmodel.geometry.road import POINTS
from worldmodel.model import Ahead, Past, WorldModel, decoded, move_ahead, no_memory
from worldmodel.simulation import session
from worldmodel.tokenizer.drift import STEPS_AGO
from worldmodel.training.config import TrainConfig
from worldmodel.training.corpus import Made, read_stretch, write_stretch
from worldmodel.training.latents import latents_of
from worldmodel.training.own_drives import Brief, OwnDrives
from worldmodel.types import VOCABULARY, Clip, EgoMotion, Tags

LENGTH = 40


@pytest.fixture(params=[1.0, 0.4], ids=["the last frame alone", "what is remembered too"])
def model(request: pytest.FixtureRequest) -> WorldModel:
    return tiny_model(newest=request.param)


def clip(seed: int = 3) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        frames=rng.integers(0, 256, (LENGTH, 32, 64, 3), dtype=np.uint8),
        t_s=np.arange(LENGTH) * 0.1,
        motion=EgoMotion(rng.uniform(2, 20, LENGTH), rng.uniform(-0.3, 0.3, LENGTH)),
        tags=Tags.unknown((LENGTH,)),
        camera=canonical_camera(32, 64, height_m=1.3),
        valid_mask=np.ones((32, 64), dtype=bool),
    )


def kept(model: WorldModel, tmp_path: Path, whole: Clip) -> torch.Tensor:
    """As training has it: rows are frames as the motion before them leaves the last, ``(T, N, C)``."""
    write_stretch(tmp_path, "d", Made("drive", "place", whole))
    config = TrainConfig(device="cpu", precision="32-true", progress=False, dynamics=model.dynamics.config)
    return latents_of(config, model.tokenizer, read_stretch(tmp_path, "d"))[:, 1].float()


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one - other).abs().max().item() < 2e-3


def test_a_running_world_is_shown_what_training_is(
    model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows with contexts of other lengths, a row that begins anew, and a world that goes back."""
    seen = []

    def record(*args: object, **kwargs: object) -> Ahead:
        ahead = move_ahead(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        seen.append(ahead.z_BVNC)
        return ahead

    monkeypatch.setattr(session, "move_ahead", record)
    world, true = session.Session(model, sampler=SamplerConfig(1)), [clip(seed) for seed in range(3)]
    wanted = [kept(model, tmp_path, whole) for whole in true]

    def check(*rows: tuple[int, int]) -> None:
        """Row r was last shown what training shows before the frame of a clip."""
        shown = model.dynamics.denormalise(seen[-1])[:, 0]
        for row, (number, at) in enumerate(rows):
            assert alike(shown[row], wanted[number][at]), (row, at)

    def observe(*rows: tuple[int, int]) -> None:
        frames = np.stack([true[number].frames[at] for number, at in rows])
        rates = [(true[n].motion.speed_mps[at - 1], true[n].motion.yaw_rate_radps[at - 1]) for n, at in rows]
        world.observe(frames, EgoMotion(*np.array(rates).T))
        check(*rows)

    world.start([true[0][:WINDOW], true[1][:2]])
    check((0, WINDOW - 1), (1, 1))
    for t in range(4):
        observe((0, WINDOW + t), (1, 2 + t))
    before = world.snapshot()
    observe((0, WINDOW + 4), (1, 6))
    world.restore(before)
    for t in range(4, 6):
        observe((0, WINDOW + t), (1, 2 + t))
    world.reset(0, true[2][:2])
    for t in range(6):
        observe((2, 2 + t), (1, 8 + t))


def test_of_a_context_longer_than_the_window_the_rest_is_not_seen(
    model: WorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def record(*args: object, **kwargs: object) -> Ahead:
        ahead = move_ahead(*args, **kwargs)  # pyright: ignore[reportArgumentType]
        seen.append(ahead.z_BVNC)
        return ahead

    monkeypatch.setattr(session, "move_ahead", record)
    world, whole = session.Session(model, sampler=SamplerConfig(1)), clip()
    world.start(whole[: 3 * WINDOW])
    long = seen.copy()
    seen.clear()
    world.start(whole[2 * WINDOW : 3 * WINDOW])
    assert long[0].isnan().all()
    assert torch.equal(torch.stack(long[1:]), torch.stack(seen[1:]))


def test_surprise_is_asked_for_with_what_training_is_shown(
    model: WorldModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surprise, "_PAST_TAU", 1.0)
    true = clip()
    x = torch.from_numpy(true.frames).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        z = model.dynamics.normalise(model.tokenizer.encode(x))[:, None]
        told = surprise._told(model, true, z, torch.zeros_like(z))
    assert told.moved is not None
    assert alike(model.dynamics.denormalise(told.moved)[0, 1:, 0], kept(model, tmp_path, true)[1:])


def test_own_drives_are_moved_by_their_own_past(model: WorldModel) -> None:
    """Also where rows are of different ages, begin anew, or with nothing."""

    def life(k: int) -> tuple[Told, torch.Tensor]:
        generator = torch.Generator().manual_seed(k)
        motion = torch.rand(1, LENGTH, 4, generator=generator) * torch.tensor([2.0, 0.05, 0.1, 1.5])
        clean = torch.randn(1, LENGTH, 1, model.tokenizer.config.tokens, model.dynamics.channels, generator=generator)
        told = Told(motion, torch.zeros(1, LENGTH, len(VOCABULARY), dtype=torch.int64), clean)
        # Frames of some lives have a map, somewhere beside the ego.
        x_m = (4.0 * torch.arange(POINTS) - 12).expand(1, LENGTH, 2, -1)
        y_m = torch.rand(1, LENGTH, 2, 1, generator=generator) + torch.tensor([2.0, -3.0])[:, None]
        road = torch.stack([x_m, y_m.expand_as(x_m)], dim=-1)
        return dataclasses.replace(told, map=road if k % 3 else torch.full_like(road, torch.nan)), clean

    own = OwnDrives(life, rows=4, true_frames=2, beginners=Brief(2, life=8))
    # Told all of it, one is shown what was moved as it is.
    sampler, generator = SamplerConfig(1, moved_tau=1.0, righted=0.2), torch.Generator().manual_seed(0)
    rounds, righted = [], []
    for _ in range(8):
        own.advance(model.dynamics, model.tokenizer, generator, frames=2, sampler=sampler)
        state = own.state()
        rounds.append(state["ages"])
        for row, age in enumerate(state["ages"]):
            latents, shown = (x[row] for x in state["own"][:2])
            motion = own._told.motion[row : row + 1]
            memory = no_memory(model.dynamics, model.tokenizer, 1, like=latents)
            for t in range(1, age):
                led = motion[:, t - STEPS_AGO : t] if t > STEPS_AGO else None
                before = None if led is None else decoded(model.tokenizer, model.dynamics, latents[None, t - 4])
                past = None if led is None or before is None else Past(before, led)
                args = (model.tokenizer, model.dynamics, latents[None, t - 1], motion[:, t], past, memory)
                # By the map about the last frame, where the next is drawn.
                road = own._told.map[row, t - 1][None] if own._told.map is not None and t >= own._shown[row] else None
                moved, memory = move_ahead(*args, road_BEK2=road, righted=0.2)
                righted.append(not alike(moved, move_ahead(*args).z_BVNC))
                assert alike(shown[t], moved[0]), (row, age, t)
    assert any(len(set(ages)) > 1 for ages in rounds)
    assert any(min(ages) < STEPS_AGO for ages in rounds[2:]), "a row began anew"
    assert 0 < sum(righted) < len(righted)


def test_the_motion_between_is_that_of_its_steps_alone() -> None:
    outgoing = torch.rand(2, 6, 4)
    outgoing[0, 0], outgoing[1, 4] = torch.nan, torch.nan
    whole = between(outgoing, torch.tensor([1, 1]), torch.tensor([3, 3]))
    alone = between(outgoing[:, 1:4], torch.tensor([0, 0]), torch.tensor([3, 3]))
    assert torch.allclose(torch.stack(whole), torch.stack(alone))
    assert torch.stack(whole).isfinite().all()


def test_who_reverses_has_gone_back() -> None:
    outgoing = torch.tensor([[[-1.0, 0.1], [-1.0, 0.1], [-1.0, 0.1]]])
    displacement_m, turn_rad = between(outgoing, torch.zeros(1), torch.full((1,), 3.0))
    forth_m, _ = between(outgoing * torch.tensor([-1.0, 1.0]), torch.zeros(1), torch.full((1,), 3.0))
    assert displacement_m < 0
    assert torch.equal(displacement_m, -forth_m)
    # The chord of an arc of three such chords.
    radius_m = 0.5 / np.sin(0.05)
    assert torch.allclose(forth_m, torch.tensor([2 * radius_m * np.sin(0.15)], dtype=torch.float32))
    assert torch.allclose(turn_rad, torch.tensor([0.3]))
