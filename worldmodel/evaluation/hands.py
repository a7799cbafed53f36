"""Worker processes that render and read while this one drives, so that no core waits for another.

Knows how work is handed out, not what it is. What is handed to a worker, and what comes back, travels as a pickle.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from types import TracebackType
from typing import Any

import cv2
import torch

from worldmodel.datasets.workers import one_thread_each


class Hands:
    """A few processes with one thread each; with ``processes=1`` work is done at once, in this one.

    Args:
        processes: 0 for as many as there are cores.
    """

    def __init__(self, processes: int = 0) -> None:
        self._pool: ProcessPoolExecutor | None = None
        count = processes or os.cpu_count() or 1
        if count > 1:
            spawn = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(count, mp_context=spawn, initializer=_one_thread)

    @property
    def apart(self) -> bool:
        """Whether work is done in other processes."""
        return self._pool is not None

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin some work; ``result()`` of what is returned waits for it, and raises what it raised."""
        if self._pool is not None:
            # Processes start when they are first needed, and read then how many threads they may have.
            with one_thread_each():
                return self._pool.submit(work, *arguments)
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is None:
            return
        if kind is not None:
            # Work takes minutes: who interrupts a run does not want to wait for it.
            for process in multiprocessing.active_children():
                process.terminate()
        self._pool.shutdown(cancel_futures=kind is not None)


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
