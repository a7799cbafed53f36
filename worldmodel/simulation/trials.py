"""A scenario that many policies drive, in a learned world and in the true one, from the same start.

A ``Trial`` is a scenario with its context rendered once. An ``Arena`` is a world with rows that trials are put into:
the learned one is shown the context, the true one is driven up to the same moment. Knows worlds and starts, nothing of
who drives or of scores.

Shapes: B rows; S steps of a trial; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import VehicleState
from worldmodel.reference.options import draw_options
from worldmodel.simulation.beginning import Begun, begin_reference
from worldmodel.simulation.policies.oracle import OracleKeeper
from worldmodel.simulation.rollout import advance, info_of, vehicle_after
from worldmodel.simulation.scenario import Event, ReferenceContext, ScenarioFile, find_scenarios
from worldmodel.simulation.session import Session
from worldmodel.simulation.staging import stage
from worldmodel.simulation.starting import parse_tags
from worldmodel.types import Camera, Clip, EgoMotion, FrameArray, Tags

#: ``scenario=drawn`` draws them from the reference world's own distribution, from seeds that no training set uses.
DRAWN = "drawn"
#: Of worlds.
Kind = Literal["learned", "true"]
_FIRST_SEED = 8_000_000_000
#: The driver settles for so long before the context.
_SETTLE_S = 2.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """A scenario, ready to be driven by anybody.

    Attributes:
        name: a word that is a file name too.
        scenario: it comes from; whether there is a true world behind it, ``is_true``.
        context: what a learned world is shown.
        vehicle: ``()`` speed and curvature at the start.
        tags: ``(S + 1,)`` of every frame, for worlds that are told of events by tags.
        steps: S.
        seed: of everything that a world or a policy draws.
        recorded: ``(S,)`` motion of the scenario's own driver, where it is known.
    """

    name: str
    scenario: ScenarioFile
    context: Clip | Tags
    vehicle: VehicleState
    tags: Tags
    steps: int
    seed: int
    recorded: EgoMotion | None

    @property
    def is_true(self) -> bool:
        """Whether the reference world can go on from its start."""
        return isinstance(self.scenario.context, ReferenceContext)


def name_scenarios(
    name: str, *, count: int, length_s: float | None, tags: str = "", first: int = 0
) -> dict[str, ScenarioFile]:
    """Scenarios by the names of their trials.

    Args:
        name: ``drawn``, or as ``scenario.find_scenarios`` takes it.
        count: of those drawn; of others at most so many, 0 for all.
        length_s: instead of the scenarios' own; needed for drawn ones.
        tags: kept fixed in those drawn, as ``weather=clear,traffic=none``.
        first: number of the first drawn one.

    Raises:
        ValueError: no such scenario, or tags for scenarios that are not drawn.
    """
    if name == DRAWN:
        assert length_s is not None
        fixed = {k: v for k, v in parse_tags(tags).names().items() if v != "unknown" and k != "event"}
        return {f"drawn_{n:03d}": _drawn(n, length_s, fixed) for n in range(first, first + count)}
    if tags:
        raise ValueError(f"tags={tags}: only drawn scenarios take tags; those of {name} have their own")
    paths = find_scenarios(name)
    files = {path.stem: ScenarioFile.load(path) for path in (paths[:count] if count else paths)}
    return {n: f if length_s is None else dataclasses.replace(f, length_s=length_s) for n, f in files.items()}


def _drawn(number: int, length_s: float, fixed: Mapping[str, Any]) -> ScenarioFile:
    options = draw_options(_FIRST_SEED + number, **fixed, ego="good", sensor=False)
    events = tuple(Event(kind, t_s) for kind, t_s in options.events if t_s <= length_s)
    context = ReferenceContext(dataclasses.replace(options, events=()), _SETTLE_S)
    name = f"drawn {number}: {options.caption}"
    return ScenarioFile(name, context, 3.2, length_s, Tags.unknown(), events=events, seed=number)


def make_trial(name: str, scenario: ScenarioFile, camera: Camera, *, dt_s: float) -> Trial:
    """Render a scenario's context for worlds of a camera.

    Raises:
        ValueError: a scenario whose footage is not there or too short.
    """
    with scenario.locating():
        steps = round(scenario.length_s / dt_s)
        seed = zlib.crc32(f"{name}/{scenario.seed}".encode())
        if isinstance(scenario.context, ReferenceContext):
            begun = begin_reference(scenario, camera, dt_s=dt_s, policy=OracleKeeper())
            clip, carry = begun.clip(), begun.carry
            vehicle = VehicleState(carry.vehicle.speed_mps[0], carry.vehicle.curvature_1pm[0])
            tags = scenario.tags_along(clip.tags[-1], steps, dt_s)
            own = _own_driver(begun, scenario.look_along(steps, dt_s), steps)
            return Trial(name, scenario, clip, vehicle, tags, steps, seed, own)
    staged = stage(scenario, camera, dt_s=dt_s)
    vehicle = vehicle_after(staged.context)
    return Trial(name, scenario, staged.context, vehicle, staged.tags, steps, seed, staged.motion)


def _own_driver(begun: Begun, wanted: Tags | None, steps: int) -> EgoMotion:
    """What the scenario's own driver went on to do, undrawn, while the world is told ``wanted (S + 1,)``."""
    world, policy, carry, motions = begun.world, OracleKeeper(), begun.carry, []
    world.is_dark = True
    for index in range(steps):
        carry, moment = advance(world, policy, carry, tags=None if wanted is None else wanted[index + 1])
        motions.append(moment.motion)
    speed, yaw = (np.array([getattr(m, n)[0] for m in motions]) for n in ("speed_mps", "yaw_rate_radps"))
    return EgoMotion(speed, yaw)


class Arena(Protocol):
    """A world with rows that trials are put into.

    Attributes:
        kind: ``learned`` or ``true``.
        camera, dt_s: of the world.
    """

    kind: Kind
    camera: Camera
    dt_s: float

    def begin(self, trials: Sequence[Trial]) -> FrameArray:
        """One row per trial; returns the newest frames ``(B, H, W, 3)``."""
        ...

    def renew(self, row: int, trial: Trial) -> FrameArray:
        """Another trial in a row; returns its newest frame ``(H, W, 3)``. Other rows stay as they are."""
        ...

    def step(self, motion: EgoMotion, tags: Tags, is_driven: NDArray[np.bool_]) -> FrameArray:
        """Move by ``(B,)`` and return the next frames; rows that nobody drives may stay as they are."""
        ...

    def truth(self) -> dict[str, NDArray[Any]]:
        """Named ``(B,)`` columns; empty where nobody knows."""
        ...


class LearnedArena:
    """A session, whose rows are independent already."""

    kind: Kind = "learned"

    def __init__(self, session: Session) -> None:
        self._session, self.camera, self.dt_s = session, session.camera, session.dt_s

    def begin(self, trials: Sequence[Trial]) -> FrameArray:
        """As the protocol's."""
        contexts, seeds = [trial.context for trial in trials], [trial.seed for trial in trials]
        return self._session.start(contexts, batch=len(trials), seed=seeds)

    def renew(self, row: int, trial: Trial) -> FrameArray:
        """As the protocol's."""
        self._session.reset(row, trial.context, seed=trial.seed)
        return self._session.decode()[row]

    def step(self, motion: EgoMotion, tags: Tags, is_driven: NDArray[np.bool_]) -> FrameArray:
        """As the protocol's."""
        frames = self._session.step(motion, tags=tags)
        assert frames is not None
        return frames

    def truth(self) -> dict[str, NDArray[Any]]:
        """Nobody knows."""
        return {}


class TrueArena:
    """The reference world, a simulation per row, seen by the camera of the learned world it is compared with.

    Args:
        camera: of the learned world.
        dt_s: likewise.
    """

    kind: Kind = "true"

    def __init__(self, camera: Camera, *, dt_s: float) -> None:
        self.camera, self.dt_s = camera, dt_s
        self._rows: list[Begun] = []
        self._wanted: list[Tags | None] = []
        self._ages: list[int] = []

    def begin(self, trials: Sequence[Trial]) -> FrameArray:
        """As the protocol's."""
        self._rows, self._ages = [self._open(trial) for trial in trials], [0] * len(trials)
        self._wanted = [self._look(trial) for trial in trials]
        self._frames = np.stack([begun.carry.frames[0] for begun in self._rows])
        return self._frames

    def renew(self, row: int, trial: Trial) -> FrameArray:
        """As the protocol's."""
        self._rows[row], self._wanted[row], self._ages[row] = self._open(trial), self._look(trial), 0
        return self._rows[row].carry.frames[0]

    def _open(self, trial: Trial) -> Begun:
        if not trial.is_true:
            raise ValueError(f"scenario {trial.name}: starts from footage or tags; the true world has only its own")
        return begin_reference(trial.scenario, self.camera, dt_s=self.dt_s, policy=OracleKeeper(), is_shown=False)

    def _look(self, trial: Trial) -> Tags | None:
        return trial.scenario.look_along(trial.steps, self.dt_s)

    def step(self, motion: EgoMotion, tags: Tags, is_driven: NDArray[np.bool_]) -> FrameArray:
        """As the protocol's; ``tags`` are the learned world's, this one is told of events by its options."""
        frames = self._frames.copy()
        for row in np.flatnonzero(is_driven):
            begun, wanted = self._rows[row], self._wanted[row]
            self._ages[row] += 1
            drawn = begun.world.step(motion[[row]], tags=None if wanted is None else wanted[self._ages[row]])
            assert drawn is not None
            frames[row] = drawn[0]
        self._frames = frames
        return frames

    def truth(self) -> dict[str, NDArray[Any]]:
        """As the protocol's."""
        told = [info_of(begun.world) for begun in self._rows]
        return {name: np.array([columns[name][0] for columns in told]) for name in told[0]}
