"""A trained component as one safetensors file: weights as fp16, and what they are in its metadata. No pickles.

A component may name tables (``in_bytes``) that are kept as bytes instead, each row with a scale of its own. The
metadata holds the format version, a hash of the content and ``about``, the component's own description: its
configuration at least. Knows nothing of what a component does.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

FORMAT_VERSION = 2
#: Where rows are kept as bytes, what they are to be multiplied by: beside them, under their name and this.
_SCALE = ".scale"
#: Components that come with the package, a folder each.
BUNDLED_DIR = Path(__file__).parents[1] / "bundled"


def content_hash(module: nn.Module) -> str:
    """SHA-256 over a component's tensors as saved: names, shapes, types and bytes, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_as_saved(module).items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _as_saved(module: nn.Module) -> dict[str, Tensor]:
    # Cloned into plain order: weights trained with channels last are laid out otherwise.
    plain = torch.contiguous_format
    saved = {name: tensor.detach().cpu() for name, tensor in module.state_dict().items()}
    for name in getattr(module, "in_bytes", ()):
        table_RD = saved[name].float()
        scale_R1 = (table_RD.abs().amax(dim=1, keepdim=True) / 127).clamp(min=1e-6).half()
        saved |= {name: (table_RD / scale_R1.float()).round().to(torch.int8), name + _SCALE: scale_R1}
    return {
        name: x.clone(memory_format=plain) if x.dtype == torch.int8 else x.to(torch.float16).clone(memory_format=plain)
        for name, x in saved.items()
    }


def save_component(module: nn.Module, path: Path, about: Mapping[str, Any]) -> str:
    """Write a component under a temporary name first, and return its content hash."""
    digest = content_hash(module)
    # Who reads nothing newer than the first version can read a file without bytes.
    version = FORMAT_VERSION if getattr(module, "in_bytes", ()) else 1
    metadata = {"format_version": str(version), "content_hash": digest, "about": json.dumps(about)}
    temporary = path.with_name(f".{path.name}.partial")
    save_file(_as_saved(module), temporary, metadata=metadata)
    os.replace(temporary, path)
    return digest


def load_component(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a component's file as fp32, and what it says about them.

    Raises:
        ValueError: no such file, a damaged one, one of something else, or of a newer format.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a complete safetensors file ({error})") from error
    if "about" not in metadata:
        raise ValueError(f"{path}: not a component of a world model (its metadata names no configuration)")
    if int(metadata["format_version"]) > FORMAT_VERSION:
        raise ValueError(
            f"{path}: format version {metadata['format_version']}, this is {FORMAT_VERSION}; update worldmodel"
        )
    scales = {name.removesuffix(_SCALE): tensors.pop(name) for name in list(tensors) if name.endswith(_SCALE)}
    tensors |= {name: tensors[name] * scale_R1 for name, scale_R1 in scales.items()}
    return tensors, json.loads(metadata["about"])


def config_from(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """A (nested) config dataclass from the plain dict ``dataclasses.asdict`` made of it; lists become tuples.

    Raises:
        ValueError: a setting the dataclass does not have, with the nearest one it has; words where a number belongs.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise ValueError(f"{cls.__name__}: no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    arguments = {}
    for name, value in values.items():
        if dataclasses.is_dataclass(hints[name]):
            value = config_from(typing.cast("type[Any]", hints[name]), value)
        elif hints[name] is float and isinstance(value, str):  # YAML takes 1e-4, without a point, for words
            try:
                value = float(value)
            except ValueError:
                raise ValueError(f"{cls.__name__}.{name}: expected a number, got {value!r}") from None
        arguments[name] = tuple(value) if isinstance(value, list) else value
    return cls(**arguments)
