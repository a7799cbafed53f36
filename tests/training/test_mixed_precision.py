"""Passes without gradients come before those with them in a step: old versions of torch then learned nothing."""

import pytest
import torch

from tests.tiny import WINDOW, tiny_model
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.objective import ObjectiveConfig, shortcut_forcing_loss


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU"))])  # fmt: skip
def test_every_matrix_learns_in_a_step_that_has_drawn_before(device: str) -> None:
    network = tiny_model().dynamics.train().requires_grad_(True).to(device)
    clean = torch.randn(4, WINDOW, 1, network.tokens, network.channels, device=device)
    told = Told(torch.rand(4, WINDOW, 4, device=device))
    config = ObjectiveConfig(shortcut_share=0.5)  # its targets are drawn without gradients
    with torch.autocast(device, torch.bfloat16):
        loss, _ = shortcut_forcing_loss(network, clean, told, config, torch.Generator().manual_seed(0))
    loss.backward()
    still = [name for name, p in network.named_parameters() if p.grad is None]
    assert not [name for name in still if not name.startswith(("tags", "moved_in", "groups"))]
