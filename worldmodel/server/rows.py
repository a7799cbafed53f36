"""Any number of independent drives in one world, of which any may stand still while the others move.

``LearnedRows`` makes one batch of those that move, whoever they are, so that a person alone is as fast as a batch of
one and several share one pass through the networks. ``ReferenceRows`` keeps a true world for each. Both speak of rows
by a key, and of a row's whole state as a thing that can be kept and put back. Knows worlds, nothing of people.

Shapes: R rows that move; H, W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from worldmodel.reference.world import World as ReferenceWorld
from worldmodel.simulation.rollout import info_of
from worldmodel.simulation.session import Session, SessionState
from worldmodel.types import Camera, Clip, EgoMotion, FloatArray, FrameArray, Tags, World


class Rows(Protocol):
    """Drives in one world.

    Attributes:
        camera: of the frames.
        dt_s: seconds per step.
        fixed_tags: channels of tags that cannot change on the way.
        tells_truth: whether ``truth`` says anything.
    """

    camera: Camera
    dt_s: float
    fixed_tags: tuple[str, ...]
    tells_truth: bool

    def open(self, context: Clip | Tags, seed: int) -> tuple[Any, FrameArray]:
        """A state at a context's end and its frame ``(H, W, 3)``; touches no row, so any thread may call it."""
        ...

    def put(self, key: int, state: Any) -> None:
        """Make row ``key``, new or not, what a state says."""
        ...

    def take(self, key: int) -> Any:
        """The state of a row, to be kept for as long as anybody likes."""
        ...

    def drop(self, key: int) -> None:
        """Forget a row."""
        ...

    def step(self, keys: Sequence[int], motion: EgoMotion, tags: Tags) -> FrameArray:
        """Move rows ``(R,)`` by their motion, told their tags, and return their frames ``(R, H, W, 3)``."""
        ...

    def truth(self, key: int) -> Mapping[str, np.ndarray]:
        """Named ``(1,)`` columns of what is true of a row's newest frame; empty where nobody knows."""
        ...


class LearnedRows:
    """Rows of a learned world, in one batch.

    Args:
        session: of the model and the sampler; its rows are taken over.
    """

    fixed_tags: tuple[str, ...] = ()
    tells_truth = False

    def __init__(self, session: Session) -> None:
        self._session = session
        self.camera, self.dt_s = session.camera, session.dt_s
        #: Keys of the session's rows, in order, and the states of those that stand aside.
        self._batch: list[int] = []
        self._aside: dict[int, SessionState] = {}

    def open(self, context: Clip | Tags, seed: int) -> tuple[SessionState, FrameArray]:
        """See ``Rows``."""
        session = self._session.another()
        frames = session.start(context, seed=seed)
        return session.snapshot(), frames[0]

    def put(self, key: int, state: SessionState) -> None:
        """See ``Rows``."""
        self.drop(key)
        self._aside[key] = state

    def take(self, key: int) -> SessionState:
        """See ``Rows``."""
        return self._aside[key] if key in self._aside else self._session.snapshot_row(self._batch.index(key))

    def drop(self, key: int) -> None:
        """See ``Rows``."""
        self._aside.pop(key, None)
        if key in self._batch:
            # Its row goes on unheeded until the next step gathers another batch.
            self._batch[self._batch.index(key)] = -1

    def step(self, keys: Sequence[int], motion: EgoMotion, tags: Tags) -> FrameArray:
        """See ``Rows``."""
        if list(keys) != self._batch:
            self._gather(list(keys))
        frames = self._session.step(motion, tags=tags)
        assert frames is not None
        return frames

    def truth(self, key: int) -> Mapping[str, np.ndarray]:
        """See ``Rows``."""
        return {}

    def _gather(self, keys: list[int]) -> None:
        for row, key in enumerate(self._batch):
            if key != -1:
                self._aside[key] = self._session.snapshot_row(row)
        self._session.restore(SessionState.joined([self._aside.pop(key) for key in keys]))
        self._batch = keys


class ReferenceRows:
    """Rows of the true world, each a world of its own.

    Args:
        camera: of the frames.
        dt_s: seconds per step.
    """

    #: A drive cannot turn into another kind of road.
    fixed_tags: tuple[str, ...] = ("road_kind",)
    tells_truth = True

    def __init__(self, camera: Camera, dt_s: float) -> None:
        self.camera, self.dt_s = camera, dt_s
        self._worlds: dict[int, World] = {}
        self._told: dict[int, tuple[int, ...]] = {}

    def open(self, context: Clip | Tags, seed: int) -> tuple[Any, FrameArray]:
        """See ``Rows``."""
        world = ReferenceWorld(camera=self.camera, dt_s=self.dt_s)
        frames = world.start(context, seed=seed)
        return self.state_of(world, world.snapshot()), frames[0]

    @staticmethod
    def state_of(world: World, snapshot: Any) -> Any:
        """The state of a true world of one row, for ``put``."""
        return world, snapshot, None

    @staticmethod
    def truth_of(state: Any) -> Mapping[str, np.ndarray]:
        """What is true where a state that was just opened is."""
        return info_of(state[0])

    def put(self, key: int, state: Any) -> None:
        """See ``Rows``."""
        world, snapshot, told = state
        world.restore(snapshot)
        self._worlds[key], self._told[key] = world, told

    def take(self, key: int) -> Any:
        """See ``Rows``."""
        return self._worlds[key], self._worlds[key].snapshot(), self._told[key]

    def drop(self, key: int) -> None:
        """See ``Rows``."""
        self._worlds.pop(key, None)
        self._told.pop(key, None)

    def step(self, keys: Sequence[int], motion: EgoMotion, tags: Tags) -> FrameArray:
        """See ``Rows``."""
        return np.stack([self._step(key, motion[row], tags[row]) for row, key in enumerate(keys)])

    def truth(self, key: int) -> Mapping[str, np.ndarray]:
        """See ``Rows``."""
        return info_of(self._worlds[key])

    def _step(self, key: int, motion: EgoMotion, tags: Tags) -> FrameArray:
        # Told once: an event that is asked for again and again begins again and again.
        codes = tuple(int(code) for code in tags.codes)
        is_new, self._told[key] = codes != self._told[key], codes
        frames = self._worlds[key].step(motion, tags=tags if is_new else None)
        assert frames is not None
        return frames[0]


def one(value: float) -> FloatArray:
    """A number as the ``(1,)`` column of one row."""
    return np.array([value], dtype=np.float64)
