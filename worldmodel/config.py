"""Floor 7: from YAML and the command line to the frozen dataclasses the rooms are configured with.

With ``cli`` the only importer of hydra and omegaconf: everything below is handed plain dataclasses. Two roots lie in
``CONF_DIR``: ``train`` and ``rollout``, each with a ``config.yaml``. This room knows how configuration is read, not
what any of it means.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from worldmodel.simulation.documents import CONF_DIR

HYDRA_VERSION_BASE = "1.3"

_PLAIN_NAMES: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "null",
}

T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """What to tell someone who wrote ``name`` where one of ``known`` was meant."""
    known = [str(key) for key in known]
    leaves = {key.rsplit(".", 1)[-1]: key for key in known}
    close = difflib.get_close_matches(name, known, n=1) or difflib.get_close_matches(
        name.rsplit(".", 1)[-1], leaves, n=1
    )
    if close:
        return f"did you mean {leaves.get(close[0], close[0])!r}?"
    return f"there are {', '.join(known)}" if known else "none is known here"


def build(cls: type[T], node: DictConfig | Mapping[str, Any], *, path: str = "") -> T:
    """Make the dataclass ``cls`` from a configuration node, strictly.

    Fields may be dataclasses, bool, int, float, str, ``Literal``, ``Optional``, homogeneous or fixed tuples, lists,
    mappings, and unions of these. An int is taken where a float is wanted, never the reverse; a bool is no
    number. A field that is absent keeps its default.

    Args:
        cls: a dataclass; its own ``ValueError`` from ``__post_init__`` is passed on with the path in front.
        node: keys are field names.
        path: where the node is in the whole tree, for messages.

    Raises:
        ValueError: an unknown or missing key, or a value of another type; the message names the full key.
    """
    if isinstance(node, DictConfig):
        try:
            node = typing.cast(dict[str, Any], OmegaConf.to_container(node, resolve=True, throw_on_missing=True))
        except OmegaConfBaseException as error:
            raise ValueError(f"{error.full_key or path}: {str(error.msg or error).splitlines()[0]}") from error
    if not isinstance(node, Mapping):
        raise ValueError(f"{path or cls.__name__}: expected keys of {cls.__name__}, got {node!r}")
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    hints = typing.get_type_hints(cls)
    for key in node:
        if key not in fields:
            raise ValueError(f"{_join(path, key)}: no such key; {nearest(str(key), fields)}")
    values = {key: _convert(hints[key], value, _join(path, key)) for key, value in node.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ValueError(f"{_join(path, name)}: missing; {_describe(hints[name])} is required")
    try:
        return cls(**values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}" if path else str(error)) from error


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _describe(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_describe(option) for option in typing.get_args(hint))
    if typing.get_origin(hint) in (tuple, list):
        return "a list [" + ", ".join("..." if a is Ellipsis else _describe(a) for a in typing.get_args(hint)) + "]"
    if dataclasses.is_dataclass(hint):
        return f"the keys of {getattr(hint, '__name__', hint)}"
    return _PLAIN_NAMES.get(hint, str(hint))


def _convert(hint: Any, value: Any, path: str) -> Any:
    """``value`` as a ``hint``, or a ``ValueError``."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(hint, args, value, path)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, path=path)
    if origin is tuple and isinstance(value, Sequence) and not isinstance(value, str):
        if len(args) == 2 and args[1] is Ellipsis:
            args = (args[0],) * len(value)
        if len(args) == len(value):
            return tuple(_convert(arg, item, f"{path}[{i}]") for i, (arg, item) in enumerate(zip(args, value)))
    elif origin is list and isinstance(value, list):
        return [_convert(args[0], item, f"{path}[{i}]") for i, item in enumerate(value)]
    elif origin in (dict, Mapping) and isinstance(value, Mapping):
        return {_convert(args[0], key, path): _convert(args[1], item, _join(path, key)) for key, item in value.items()}
    elif origin is Literal:
        if any(value == choice and type(value) is type(choice) for choice in args):
            return value
        if isinstance(value, str):
            raise ValueError(f"{path}: {value!r} is not {_describe(hint)}; {nearest(value, args)}")
    elif hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif hint is Path and isinstance(value, str):
        return Path(value)
    elif hint is None or hint is types.NoneType:
        if value is None:
            return None
    elif isinstance(hint, type) and origin is None and type(value) is hint:
        return value
    raise ValueError(f"{path}: expected {_describe(hint)}, got {value!r}")


def _convert_union(hint: Any, args: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and types.NoneType in args:
        return None
    options = [arg for arg in args if arg is not types.NoneType]
    if len(options) == 1:
        return _convert(options[0], value, path)
    for option in options:
        with contextlib.suppress(ValueError):
            return _convert(option, value, path)
    raise ValueError(f"{path}: expected {_describe(hint)}, got {value!r}")


def offer_train_defaults() -> None:
    """Let ``conf/train`` begin from ``TrainConfig`` itself: every key is there, with the code's default and words.

    The configuration is called ``code``; its help text lists each key with what the dataclass says about it.
    """
    from worldmodel.training.config import TrainConfig

    node = typing.cast(dict[str, Any], _as_yaml(dataclasses.asdict(TrainConfig())))
    keys = "\n".join(f"  {line}" for line in explain(TrainConfig))
    # Doubled, because hydra reads the help text as a template.
    ConfigStore.instance().store("code", node | {"hydra": {"help": {"footer": keys.replace("$", "$$")}}})


def explain(cls: type, path: str = "") -> Iterator[str]:
    """One line per key of a config dataclass: its name, default, and its words under "Attributes" in the docstring."""
    words = attributes_of(cls)
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = _join(path, field.name)
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(hints[field.name]):
            yield f"{name}: {words.get(field.name, '')}".rstrip(": ")
            yield from explain(hints[field.name], name)
        else:
            shown = "" if default is dataclasses.MISSING else _as_yaml(default)
            yield f"{f'{name}={shown}':<44} {words.get(field.name, '')}".rstrip()


def attributes_of(cls: type) -> dict[str, str]:
    """What a docstring's "Attributes" section says about each name; several may share a line."""
    _, _, section = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    words: dict[str, str] = {}
    names: list[str] = []
    for line in section.split("\n\n")[0].splitlines():
        head, colon, rest = line.strip().partition(": ")
        if colon and re.fullmatch(r"\w+(, \w+)*", head):
            names = head.split(", ")
            words |= dict.fromkeys(names, rest)
        else:
            words |= {name: f"{words[name]} {line.strip()}" for name in names}
    return {name: text.replace("``", "") for name, text in words.items()}


def _as_yaml(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, Mapping):
        return {key: _as_yaml(item) for key, item in value.items()}
    return [_as_yaml(item) for item in value] if isinstance(value, (tuple, list)) else value


def compose(root: Literal["train", "rollout"], overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration of one root, as the command line would make it.

    Raises:
        ValueError: an override that names no key, or a choice that does not exist; one line, with the nearest name.
    """
    with one_line_errors(root, overrides):
        return _compose(root, overrides)


def _compose(root: str, overrides: Sequence[str]) -> DictConfig:
    if root == "train":
        offer_train_defaults()
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(CONF_DIR / root), version_base=HYDRA_VERSION_BASE):
        return hydra.compose("config", overrides=[item for item in overrides if not item.startswith("hydra.")])


@contextlib.contextmanager
def one_line_errors(root: Literal["train", "rollout"], overrides: Sequence[str]) -> Iterator[None]:
    """Turn hydra's errors about ``overrides`` into a ``ValueError`` of one line with the nearest name."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(_explain(error, root, overrides)) from error


def _explain(error: Exception, root: str, overrides: Sequence[str]) -> str:
    choices = _choices(root)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={choice}: no such {group}; there are {', '.join(sorted(error.options))}"
    for item in overrides:
        key, equals, _ = item.lstrip("+~").partition("=")
        if not equals:
            return f"{item}: expected key=value"
        if key.startswith("hydra") or key in choices:
            continue
        # The groups chosen decide which keys exist; any other override may be the bad one.
        chosen = [other for other in overrides if other.partition("=")[0] in choices]
        with contextlib.suppress(HydraException, OmegaConfBaseException):
            tree = _compose(root, chosen)
            if OmegaConf.select(tree, key, default=_ABSENT) is _ABSENT:
                return f"{key}: no such key; {nearest(key, [*_keys(tree), *choices])}"
    return " ".join(str(error).split())


_ABSENT = object()


def _choices(root: str) -> list[str]:
    """The config groups of a root: its folders."""
    return sorted(folder.name for folder in (CONF_DIR / root).iterdir() if folder.is_dir() and folder.name != "hydra")


def _keys(node: DictConfig, path: str = "") -> Iterator[str]:
    for key in node:
        child = None if OmegaConf.is_missing(node, key) else node[key]
        yield from _keys(child, _join(path, key)) if isinstance(child, DictConfig) else [_join(path, key)]
