"""Weights in between."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.tiny import tiny_model
from worldmodel.model import WorldModel
from worldmodel.training.mixing import mix


def tiny(seed: int) -> WorldModel:
    """The same tokenizer, other dynamics."""
    model = tiny_model()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.dynamics.parameters():
            p += 0.1 * torch.randn(p.shape, generator=generator)
    return model


def weights(model: WorldModel) -> torch.Tensor:
    return torch.cat([p.flatten() for p in model.dynamics.parameters()]).detach()


def test_a_share_of_the_way_is_added() -> None:
    own, to, base = (weights(tiny(seed)) for seed in (1, 2, 3))
    assert torch.equal(weights(mix(tiny(1), 0.0, tiny(2), tiny(3))), own)
    torch.testing.assert_close(weights(mix(tiny(1), 1.0, tiny(2))), to)
    torch.testing.assert_close(weights(mix(tiny(1), 0.5, tiny(2))), (own + to) / 2)
    torch.testing.assert_close(weights(mix(tiny(1), 0.3, tiny(2), tiny(3))), own + 0.3 * (to - base))


def test_models_that_do_not_fit_are_refused() -> None:
    other = tiny(2)
    with torch.no_grad():
        next(iter(other.tokenizer.parameters())).add_(1)
    with pytest.raises(ValueError, match="to: its tokenizer is not that of the model"):
        mix(tiny(1), 0.5, other)
    with pytest.raises(ValueError, match="base: its tokenizer is not"):
        mix(tiny(1), 0.5, tiny(2), other)


def test_the_command_writes_a_model_and_never_over_one(tmp_path: Path) -> None:
    tiny(1).save(tmp_path / "a")
    tiny(2).save(tmp_path / "b")
    command = [sys.executable, "-m", "worldmodel.training.mixing", "out", "a", "0.25", "b"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "saved out" in done.stdout
    made = WorldModel.from_pretrained(tmp_path / "out")
    assert made.training_record.summary["mixed_with"] == {"share": 0.25, "to": "b", "from": "a"}
    torch.testing.assert_close(weights(made), 0.75 * weights(tiny(1)) + 0.25 * weights(tiny(2)), atol=2e-3, rtol=0)
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "out: there is a model already" in again.stderr
