"""The networks of a running world, made fast for the machine they run on.

Half precision: the weights of products and convolutions are kept in bf16, so that nothing is rounded anew every step,
and autocast does the rest, as in training. On a CPU with bf16 instructions that takes little more than half the time;
on others it takes many times as long. Compiling takes most of a minute and halves the time again.
Legend: see ``session``.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.model import WorldModel
from worldmodel.nn.half import has_bf16
from worldmodel.tokenizer.tokenizer import Tokenizer

Precision = Literal["auto", "fp32", "bf16"]


@dataclasses.dataclass(frozen=True)
class Networks:
    """What a running world calls; not what it was made from, which stays as it is."""

    tokenizer: Tokenizer
    dynamics: Dynamics


def best_precision(wanted: str, device: str | torch.device) -> str:
    """``auto`` made ``bf16`` where a machine has instructions for it, else ``fp32``.

    Raises:
        ValueError: not one of the three.
    """
    if wanted not in ("auto", "fp32", "bf16"):
        raise ValueError(f"precision: expected auto, fp32 or bf16, got {wanted!r}")
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16(device) else "fp32"


def fast_networks(model: WorldModel, *, precision: str, compiled: bool) -> Networks:
    """The networks of a model, on its device, for a world that runs in ``fp32`` or (under autocast) in ``bf16``."""
    if precision == "fp32" and not compiled:
        return Networks(model.tokenizer, model.dynamics)
    tokenizer, dynamics = copy.deepcopy(model.tokenizer), copy.deepcopy(model.dynamics)
    for network in (tokenizer, dynamics):
        network.eval().requires_grad_(False)
        if precision == "bf16":
            for layer in network.modules():
                if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                    layer.to(torch.bfloat16)
    if compiled:
        torch._dynamo.config.suppress_errors = True  # without a C++ compiler, all runs as it is
        called = [(tokenizer, "encode"), (tokenizer, "decode"), (dynamics, "step")]
        called += [(tokenizer.depth, "forward"), (tokenizer.drift, "forward")]
        for network, name in called:
            if network is not None:
                setattr(network, name, _Compiled(getattr(network, name)))
    return Networks(tokenizer, dynamics)


class _Compiled:
    """A method compiled for the first number of rows it is asked for. Others may come and go: it runs as it is."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._plain = method
        # Weights that are known to stay as they are can be laid out as the products want them.
        self._fast = torch.compile(method, dynamic=False, options={"freezing": True})
        self._rows: int | None = None

    def __call__(self, x: torch.Tensor, *rest: Any) -> Any:
        if self._rows is None:
            self._rows = len(x)
        return (self._fast if len(x) == self._rows else self._plain)(x, *rest)
