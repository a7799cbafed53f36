"""The true world in several processes: rows of a ``TrueArena`` spread over workers that draw at the same time.

A row is the same to the byte as in one process. Knows arenas and pipes.

Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.workers import one_thread_each
from worldmodel.simulation.trials import Kind, Trial, TrueArena
from worldmodel.types import Camera, EgoMotion, FrameArray, Tags


class TrueProcesses:
    """As ``TrueArena``; ``close`` ends the workers, which end with this process anyway.

    Args:
        camera: of the learned world.
        dt_s: likewise.
        workers: processes.
    """

    kind: Kind = "true"

    def __init__(self, camera: Camera, *, dt_s: float, workers: int) -> None:
        self.camera, self.dt_s = camera, dt_s
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        with one_thread_each():
            for _ in range(workers):
                here, there = context.Pipe()
                context.Process(target=_serve, args=(there, camera, dt_s), daemon=True).start()
                self._pipes.append(here)
        self._truth: list[dict[str, Any]] = []

    def close(self) -> None:
        """End the workers."""
        for pipe in self._pipes:
            pipe.close()

    def begin(self, trials: Sequence[Trial]) -> FrameArray:
        """As the protocol's."""
        self._truth = [{} for _ in trials]
        self._frames = np.zeros((len(trials), self.camera.height_px, self.camera.width_px, 3), dtype=np.uint8)
        self._ask({row: ("open", _bare(trial)) for row, trial in enumerate(trials)})
        return self._frames

    def renew(self, row: int, trial: Trial) -> FrameArray:
        """As the protocol's."""
        self._frames = self._frames.copy()
        self._ask({row: ("open", _bare(trial))})
        return self._frames[row]

    def step(self, motion: EgoMotion, tags: Tags, is_driven: NDArray[np.bool_]) -> FrameArray:
        """As the protocol's."""
        self._frames = self._frames.copy()
        self._ask({int(row): ("step", motion[int(row)]) for row in np.flatnonzero(is_driven)})
        return self._frames

    def truth(self) -> dict[str, NDArray[Any]]:
        """As the protocol's."""
        return {name: np.array([told[name] for told in self._truth]) for name in self._truth[0]}

    def _ask(self, questions: dict[int, tuple[str, Any]]) -> None:
        """Ask every row's worker, all of them before the first answer is waited for."""
        for row, (what, content) in questions.items():
            self._pipes[row % len(self._pipes)].send((row, what, content))
        for row in questions:
            pipe = self._pipes[row % len(self._pipes)]
            try:
                frame, told = pipe.recv()
            except EOFError:
                raise RuntimeError("a process of the true world has died (was it out of memory?)") from None
            if isinstance(frame, Exception):
                raise frame
            self._frames[row], self._truth[row] = frame, told


def _bare(trial: Trial) -> Trial:
    """Without the pictures, which the true world does not need."""
    return dataclasses.replace(trial, context=Tags.unknown(), recorded=None)


def _serve(pipe: Connection, camera: Camera, dt_s: float) -> None:
    """A worker: an arena of one row for each that it was given."""
    arenas: dict[int, TrueArena] = {}
    one, nothing = np.ones(1, dtype=bool), Tags.unknown((1,))
    while True:
        try:
            row, what, content = pipe.recv()
        except EOFError:
            return
        try:
            if what == "open":
                arenas[row] = TrueArena(camera, dt_s=dt_s)
                frame = arenas[row].begin([content])[0]
            else:
                motion = EgoMotion(content.speed_mps[None], content.yaw_rate_radps[None])
                frame = arenas[row].step(motion, nothing, one)[0]
            pipe.send((frame, {name: column[0] for name, column in arenas[row].truth().items()}))
        except Exception as error:
            pipe.send((error, {}))
