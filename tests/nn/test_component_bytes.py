"""Tables that a component names are kept as bytes, each row with a scale of its own."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

from worldmodel.nn.component import content_hash, load_component, save_component


class WithTable(nn.Module):
    in_bytes = ("table.weight",)

    def __init__(self) -> None:
        super().__init__()
        self.table, self.rest = nn.Embedding(50, 8), nn.Linear(8, 3)


def test_a_row_is_off_by_half_a_step_of_its_own_and_saved_again_is_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = WithTable()
    with torch.no_grad():
        module.table.weight *= 10 ** torch.linspace(-2, 2, 50)[:, None]
        module.table.weight[7] = 0
    digest = save_component(module, tmp_path / "a.safetensors", {})
    tensors, _ = load_component(tmp_path / "a.safetensors")
    assert set(tensors) == set(module.state_dict())
    true, kept = module.table.weight.detach(), tensors["table.weight"]
    assert ((kept - true).abs() <= 0.51 * true.abs().amax(dim=1, keepdim=True) / 127 + 1e-6).all()
    assert not kept[7].any()
    torch.testing.assert_close(tensors["rest.weight"], module.rest.weight.detach(), atol=1e-3, rtol=1e-3)
    again = WithTable()
    again.load_state_dict(tensors)
    assert content_hash(again) == digest == content_hash(module)
    with torch.no_grad():
        again.table.weight[3] *= 1.5
    assert content_hash(again) != digest


def test_only_files_with_bytes_are_of_the_newer_format(tmp_path: Path) -> None:
    for module, name, version, dtype in (
        (WithTable(), "table.weight", "2", "I8"),
        (nn.Linear(2, 2), "weight", "1", "F16"),
    ):
        save_component(module, tmp_path / "x.safetensors", {})
        with safe_open(tmp_path / "x.safetensors", framework="pt") as file:
            assert file.metadata()["format_version"] == version
            assert file.get_slice(name).get_dtype() == dtype
