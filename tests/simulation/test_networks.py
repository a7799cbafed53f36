"""Half precision and compiled code draw the same world, nearly; what they were made from stays as it was."""

import numpy as np
import pytest
import torch

from tests.simulation.test_session import clip, motion
from tests.tiny import tiny_model
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.nn.component import content_hash
from worldmodel.simulation import networks
from worldmodel.simulation.networks import best_precision, fast_networks
from worldmodel.simulation.session import Session

SAMPLER = SamplerConfig(2, past_tau=0.7)


def drive(world: Session, *, batch: int = 2, steps: int = 6) -> np.ndarray:
    frames = [world.start(clip(0), batch=batch, seed=3)]
    frames += [world.step(motion(t)) for t in range(steps)]
    return np.stack(frames).astype(int)


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference over that of unlike frames."""
    return float(np.sqrt(np.square(a - b).mean() / np.square(a - a[::-1]).mean()))


def test_half_precision_draws_nearly_the_same_and_leaves_the_model_alone():
    model = tiny_model()
    before = content_hash(model.dynamics)
    whole, half = Session(model, sampler=SAMPLER), Session(model, sampler=SAMPLER, precision="bf16")
    frames = drive(half)
    assert 0 < apart(drive(whole), frames) < 0.2
    np.testing.assert_array_equal(frames, drive(half))
    assert content_hash(model.dynamics) == before
    assert half.networks.dynamics.latent_out.weight.dtype == torch.bfloat16
    assert half.model.dynamics.latent_out.weight.dtype == torch.float32


def test_weights_kept_in_half_precision_do_what_autocast_does():
    model = tiny_model()
    frame, fast = torch.rand(2, 3, 32, 64), fast_networks(model, precision="bf16", compiled=False)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fast.tokenizer.encode(frame), model.tokenizer.encode(frame), rtol=0, atol=0)


def test_other_worlds_of_the_same_networks_do_not_meet():
    world = Session(tiny_model(), sampler=SAMPLER, precision="bf16")
    frames = drive(world)
    other = world.another()
    assert other.networks is world.networks
    with pytest.raises(ValueError, match="start"):
        other.step(motion(0))
    np.testing.assert_array_equal(frames, drive(other))
    one_step = world.another(SamplerConfig(1))
    assert (one_step.sampler.steps, world.sampler.steps) == (1, 2)


@pytest.mark.slow
def test_compiled_worlds_draw_nearly_the_same_at_any_slot_of_the_ring():
    model = tiny_model()
    plain, fast = Session(model, sampler=SAMPLER), Session(model, sampler=SAMPLER, compiled=True)
    frames, again = drive(plain, steps=9), drive(fast, steps=9)  # twice around the ring
    assert apart(frames, again) < 1e-2
    # Compiled for a batch of two: one of another size runs as it is.
    np.testing.assert_allclose(drive(fast, batch=1), drive(plain, batch=1), atol=2)


def test_auto_is_half_precision_where_the_processor_has_it(monkeypatch):
    monkeypatch.setattr(networks.torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert best_precision("auto", "cpu") == "bf16"
    monkeypatch.setattr(networks.torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(networks.torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert best_precision("auto", "cpu") == "fp32"
    assert best_precision("bf16", "cpu") == "bf16"
