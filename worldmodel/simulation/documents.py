"""YAML files that people write, read so that an error names the file, the line and the field.

The documents that ship with the project lie in ``CONF_DIR``. Knows YAML and lines, not what a document is about:
whoever reads one raises ``FieldError`` with the place inside the document, and ``Document.locating`` turns it into a
``ValueError`` that an editor can jump to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_PACKAGE = Path(__file__).resolve().parents[1]
#: Where configuration lies: in the wheel inside the package, in a checkout beside it.
CONF_DIR = next((d for d in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if d.is_dir()), _PACKAGE.parent / "conf")
#: Keys and list indices from the root of a document.
Place = tuple[str | int, ...]


class FieldError(ValueError):
    """A field of a document is wrong.

    Args:
        place: where, as keys and list indices from the document's root.
        message: what is wrong, with the value and the remedy.
    """

    def __init__(self, place: Place, message: str) -> None:
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        super().__init__(f"{name}: {message}" if name else message)
        self.place = place


@dataclasses.dataclass(frozen=True)
class Document:
    """A YAML mapping and the line of every field.

    Attributes:
        path: of the file.
        data: its content.
        lines: place to line number, from 1.
    """

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[Place, int]

    @classmethod
    def load(cls, path: str | Path) -> Document:
        """Read a file.

        Raises:
            ValueError: no such file, not YAML, a key given twice, or not a mapping; with file and line.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ValueError(f"{path}:{line}: not YAML: {error.problem}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not YAML: {error}") from error
        if not isinstance(node, yaml.MappingNode):
            raise ValueError(f"{path}:1: expected fields and values (name: ...)")
        lines: dict[Place, int] = {}
        return cls(path, _plain(node, (), lines, path), lines)

    @contextlib.contextmanager
    def locating(self) -> Iterator[None]:
        """Give every ``FieldError`` raised inside the file and line it is about."""
        try:
            yield
        except FieldError as error:
            place = error.place
            while place not in self.lines:
                place = place[:-1]
            raise ValueError(f"{self.path}:{self.lines[place]}: {error}") from error


def _plain(node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> Any:
    """The node's value; lines are collected on the way."""
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        content = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in content:
                raise ValueError(f"{path}:{key_node.start_mark.line + 1}: {key}: given twice")
            content[key] = _plain(value_node, (*place, key), lines, path)
            lines[(*place, key)] = key_node.start_mark.line + 1
        return content
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, i), lines, path) for i, item in enumerate(node.value)]
    return yaml.SafeLoader("").construct_object(node)


def find_document(kind: str, name: str) -> Path:
    """The file a user names: a path, or the name of one that ships in ``conf/<kind>``.

    Args:
        kind: folder of ``conf``, e.g. ``profiles``.
        name: as typed.

    Raises:
        ValueError: neither; with the nearest name.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    shipped = {path.stem: path for path in sorted((CONF_DIR / kind).glob("*.yaml"))}
    if name in shipped:
        return shipped[name]
    close = difflib.get_close_matches(name, shipped, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(shipped)}, or give a .yaml file"
    raise ValueError(f"{kind.removesuffix('s')}: {name!r} is not in conf/{kind}; {remedy}")


def known_fields(given: Mapping[str, Any], known: Iterable[str], place: Place = ()) -> None:
    """Raise ``FieldError`` on a field that is not among ``known``, with the nearest name."""
    known = list(known)
    for field in given:
        if field not in known:
            close = difflib.get_close_matches(field, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise FieldError((*place, field), f"no such field; {remedy}")


def number(value: Any, place: Place, *, above: float = -math.inf, least: float = -math.inf) -> float:
    """``value`` as a finite float, or a ``FieldError``; ``above`` excludes the bound, ``least`` includes it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FieldError(place, f"expected a number, got {value!r}")
    if not value > above:
        raise FieldError(place, f"expected a number above {above:g}, got {value!r}")
    if value < least:
        raise FieldError(place, f"expected a number from {least:g}, got {value!r}")
    return float(value)
