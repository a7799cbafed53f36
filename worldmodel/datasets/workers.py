"""Worker processes for rendering and decoding, one core each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

#: What numerical libraries read, when they are first imported, to learn how many threads to start.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Processes spawned inside compute with one thread.

    There is a process per core already; with threads besides, the small matrix products of the renderer spin for each
    other (measured on two cores: five times slower). This process, whose libraries are loaded, is not touched.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
