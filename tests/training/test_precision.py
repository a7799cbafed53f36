"""Half precision where the machine has instructions for it; elsewhere it takes a hundred times as long."""

from __future__ import annotations

import pytest

from worldmodel.nn.half import has_bf16
from worldmodel.simulation.networks import best_precision
from worldmodel.training import latents
from worldmodel.training.config import TrainConfig


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_what_the_machine_is_fastest_in_is_taken(monkeypatch: pytest.MonkeyPatch, has: bool, expected: str) -> None:
    monkeypatch.setattr(latents, "has_bf16", lambda device: has)
    assert latents.precision_of(TrainConfig(precision="auto", device="cpu")) == expected
    for asked in ("32-true", "bf16-mixed"):
        assert latents.precision_of(TrainConfig(precision=asked, device="cpu")) == asked


def test_worlds_and_training_agree() -> None:
    trained = latents.precision_of(TrainConfig(precision="auto", device="cpu"))
    assert (trained == "bf16-mixed") == has_bf16("cpu") == (best_precision("auto", "cpu") == "bf16")
