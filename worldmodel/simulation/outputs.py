"""Where a run's results land: in ``<out>.partial`` while it runs, in ``<out>`` once they are complete.

Whatever interrupts a run, ``<out>`` is either absent, older and complete, or new and complete. Knows folders, not what
is in them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

#: A folder that holds this file was written by a run and may be replaced when the user asks for it.
MARK = "provenance.json"


@contextlib.contextmanager
def landing(out: str, *, default: str, overwrite: bool = False) -> Iterator[tuple[Path, Path]]:
    """A folder to write to, renamed to its final name when the block ends without an exception.

    Args:
        out: final folder; empty takes ``default``, numbered (``default_2`` ...) where that is taken.
        default: final folder when the user names none.
        overwrite: whether a complete older run at ``out`` may be replaced.

    Yields:
        (partial folder to write into, final folder).

    Raises:
        ValueError: ``out`` holds a complete run and ``overwrite`` is false, or something that no run has written.
        KeyboardInterrupt: on Ctrl-C, saying where the finished part lies.
    """
    partial, final = _claim(Path(out), overwrite) if out else _claim_free(Path(default))
    try:
        yield partial, final
    except BaseException as error:
        with contextlib.suppress(OSError):  # not empty: what was finished stays
            partial.rmdir()
        if isinstance(error, KeyboardInterrupt):
            left = f"what was finished is in {partial}" if partial.exists() else "nothing was finished yet"
            raise KeyboardInterrupt(left) from None
        raise
    replaced = final.with_name(final.name + ".replaced")
    if final.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        final.rename(replaced)
    partial.rename(final)
    shutil.rmtree(replaced, ignore_errors=True)


def partial_of(final: Path) -> Path:
    """The folder a run writes to before it is complete."""
    return final.with_name(final.name + ".partial")


def _claim(final: Path, overwrite: bool) -> tuple[Path, Path]:
    if final.exists() and (not final.is_dir() or any(final.iterdir())):
        if not (final / MARK).is_file():
            raise ValueError(f"out={final}: exists and no run has written it; choose another folder")
        if not overwrite:
            raise ValueError(f"out={final}: holds a complete run; choose another folder or add overwrite=true")
    partial = partial_of(final)
    if partial.exists():  # left by an interrupted run of the same name
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    return partial, final


def _claim_free(default: Path) -> tuple[Path, Path]:
    number = 1
    while True:
        final = default if number == 1 else default.with_name(f"{default.name}_{number}")
        number += 1
        if final.exists():
            continue
        with contextlib.suppress(FileExistsError):  # an interrupted or a running run keeps its name
            partial_of(final).mkdir(parents=True)
            return partial_of(final), final
