"""A running world puts right what it has drawn, by the map about it."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.simulation.test_session import clip
from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.road import POINTS, seen_from
from worldmodel.model import Ahead, move_ahead
from worldmodel.simulation import session
from worldmodel.simulation.session import Session
from worldmodel.types import EgoMotion


def test_frames_that_were_drawn_are_put_right_by_the_map_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By where the map lies before the motion, and not where frames were given; by none where there is none."""
    world, given = Session(tiny_model(), sampler=SamplerConfig(1, righted=0.2)), []

    def record(*args: object, road_BEK2: torch.Tensor | None = None, **more: object) -> Ahead:
        given.append(road_BEK2)
        return move_ahead(*args, road_BEK2=road_BEK2, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(session, "move_ahead", record)
    straight = np.stack([np.stack([4.0 * np.arange(200) - 12, np.full(200, y)], axis=-1) for y in (2.0, -1.5)])
    context = dataclasses.replace(clip(0), road=np.broadcast_to(straight, (WINDOW, *straight.shape)).astype(np.float32))

    def about(*pose: float) -> torch.Tensor:
        return torch.from_numpy(seen_from(straight, np.array(pose))[None, :, :POINTS]).float()

    world.start(context)
    assert given == [None] * WINDOW
    world.step(EgoMotion(0.0, 2.0))
    assert torch.allclose(given[-1], about(0.0, 0.0, 0.0), atol=1e-4)
    world.step(EgoMotion(10.0, 0.0))
    assert torch.allclose(given[-1], about(0.0, 0.0, 0.2), atol=1e-4)
    world.observe(np.zeros((1, 32, 64, 3), np.uint8), EgoMotion(1.0, 0.0))
    assert given[-1] is None
    world.start([context, dataclasses.replace(context, road=None)])
    world.step(EgoMotion(1.0, 0.0))
    assert given[-1][1].isnan().all()
    assert given[-1][0].isfinite().all()
    world.start(dataclasses.replace(context, road=None))
    world.step(EgoMotion(1.0, 0.0))
    assert given[-1] is None
    unasked = world.another(SamplerConfig(1))
    unasked.start(context)
    unasked.step(EgoMotion(1.0, 0.0))
    assert given[-1] is None
