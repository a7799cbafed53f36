"""Files of publishers, read so that whatever is wrong with one ends in a ``ValueError`` that names it.

Plain bytes, JSON, numpy arrays, tables (parquet and feather), columns of numbers, and folders that may be a zip. Knows
no dataset.

Shapes: N rows of a table.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from numpy.typing import NDArray

from worldmodel.types import FloatArray

#: What ``zipfile`` raises on damaged archives.
_ZIP_ERRORS = (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, ValueError)


def find_drives(root: Path, name: str) -> dict[str, Path]:
    """Files called ``name`` in a folder and up to two below it, by the path of their own folder from the root."""
    paths = [path for depth in ("", "*/", "*/*/") for path in sorted(root.glob(f"{depth}{name}"))]
    return {"_".join(path.parent.relative_to(root).parts) or root.resolve().name: path for path in paths}


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        ValueError: it is missing, cannot be read or is empty.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if not data:
        raise ValueError(f"{path}: empty file")
    return data


def read_lines(path: Path) -> list[str]:
    """Lines of a text file, without their ends; bytes that are not UTF-8 are replaced, so that only they are lost."""
    return read_bytes(path).decode("utf-8-sig", errors="replace").splitlines()


def parse_json(data: bytes | str, where: object) -> Any:
    """JSON as Python objects.

    Raises:
        ValueError: not JSON; the message begins with ``where``.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not readable as JSON: {error}") from error


def read_json(path: Path, kind: type = dict) -> Any:
    """A JSON file whose top level is of the given kind.

    Raises:
        ValueError: missing, not JSON, or of another kind.
    """
    value = parse_json(read_bytes(path), path)
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected a JSON {kind.__name__} at the top, got {type(value).__name__}")
    return value


def field(record: Any, name: str, where: object) -> Any:
    """One field of a JSON object.

    Raises:
        ValueError: not an object, or the field is missing.
    """
    if not isinstance(record, Mapping) or name not in record:
        raise ValueError(f"{where}: field {name!r} is missing")
    return record[name]


def number(value: Any, where: object) -> float:
    """A finite number.

    Raises:
        ValueError: anything else.
    """
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where}: {value!r} is not a number") from error
    if not math.isfinite(result):
        raise ValueError(f"{where}: {value!r} is not a finite number")
    return result


def numbers(values: Iterable[Any], where: object, shape: tuple[int, ...] | None = None) -> FloatArray:
    """Values as float64, ``None`` as NaN; of a given shape, in which -1 stands for any length.

    Raises:
        ValueError: something that is no number, or another shape.
    """
    items = values if isinstance(values, np.ndarray) else list(values)
    try:
        array = np.asarray(items, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        try:
            array = np.array([math.nan if value is None else float(value) for value in items], dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{where}: not all numbers: {error}") from error
    if shape is not None:
        fits = array.ndim == len(shape) and all(w in (-1, n) for w, n in zip(shape, array.shape))
        if not fits:
            raise ValueError(f"{where}: expected shape {shape}, got {array.shape}")
    return array


def parse_array(data: bytes, where: object) -> NDArray[Any]:
    """A numpy array file; pickles are refused.

    Raises:
        ValueError: not such a file, or a damaged one.
    """
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError(f"{where}: not a readable numpy array: {error}") from error
    except (SyntaxError, tokenize.TokenError, RecursionError) as error:  # of the header, which numpy parses as Python
        raise ValueError(f"{where}: not a readable numpy array: {error}") from error


def read_columns(source: Path | bytes, names: Sequence[str], where: object = None) -> dict[str, list[Any]]:
    """Named columns of a parquet or feather file.

    Args:
        source: path, or the bytes of a parquet file.
        names: of the columns.
        where: what errors call it; the path when not given.

    Raises:
        ValueError: not such a file, damaged, or a column is missing.
    """
    where = source if where is None else where
    if isinstance(source, Path):
        read_bytes_head(source)
    try:
        if isinstance(source, Path) and source.suffix == ".feather":
            table = pyarrow.feather.read_table(source, memory_map=False)
            there = table.column_names
        else:
            with pq.ParquetFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
                there = file.schema_arrow.names
                table = file.read(columns=[name for name in names if name in there])
        missing = [name for name in names if name not in there]
        if missing:
            raise ValueError(f"{where}: column {missing[0]!r} is missing; it has {there}")
        return {name: table.column(name).to_pylist() for name in names}
    except (OSError, KeyError, TypeError, OverflowError, pa.ArrowException) as error:
        raise ValueError(f"{where}: not a readable table: {error}") from error
    except ValueError as error:
        raise error if str(where) in str(error) else ValueError(f"{where}: not a readable table: {error}") from error


def read_bytes_head(path: Path, count: int = 16) -> bytes:
    """The first bytes of a file; errors as ``read_bytes``."""
    try:
        with path.open("rb") as file:
            head = file.read(count)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    if not head:
        raise ValueError(f"{path}: empty file")
    return head


@dataclasses.dataclass(frozen=True)
class Tree:
    """Files by name under a folder, or inside a zip that is read where it lies.

    Attributes:
        root: the folder or the zip.
    """

    root: Path

    @property
    def is_zip(self) -> bool:
        """True for an archive."""
        return self.root.suffix == ".zip"

    def names(self, pattern: str) -> list[str]:
        """Names of files that match a pattern, as ``pathlib`` has it, sorted.

        Raises:
            ValueError: a damaged archive.
        """
        if not self.is_zip:
            return sorted(p.relative_to(self.root).as_posix() for p in self.root.glob(pattern))
        with self._archive() as archive:
            return sorted(name for name in archive.namelist() if Path("/" + name).match(pattern))

    def read(self, name: str) -> bytes:
        """A whole file; errors as ``read_bytes``."""
        if not self.is_zip:
            return read_bytes(self.root / name)
        with self.open(name) as file:
            try:
                data = file.read()
            except _ZIP_ERRORS as error:
                raise ValueError(f"{self.where(name)}: cannot be unpacked: {error}") from error
        if not data:
            raise ValueError(f"{self.where(name)}: empty file")
        return data

    def has(self, name: str) -> bool:
        """True when there is such a file."""
        if not self.is_zip:
            return (self.root / name).is_file()
        with self._archive() as archive:
            return name in archive.NameToInfo

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file to be read from its beginning.

        Raises:
            ValueError: there is none, or the archive is damaged.
        """
        if not self.is_zip:
            try:
                file: IO[bytes] = (self.root / name).open("rb")
            except OSError as error:
                raise ValueError(f"{self.where(name)}: {error.strerror or error}") from error
            with file:
                yield file
            return
        with self._archive() as archive:
            try:
                file = archive.open(name)
            except KeyError as error:
                raise ValueError(f"{self.where(name)}: no such file in the archive") from error
            except _ZIP_ERRORS as error:
                raise ValueError(f"{self.where(name)}: cannot be unpacked: {error}") from error
            with file:
                yield file

    def where(self, name: str) -> str:
        """How errors call a file."""
        return f"{self.root}:{name}" if self.is_zip else str(self.root / name)

    @contextlib.contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        try:
            archive = zipfile.ZipFile(self.root)
        except _ZIP_ERRORS as error:
            raise ValueError(f"{self.root}: not a readable zip archive: {error}; fetch it anew") from error
        with archive:
            yield archive
