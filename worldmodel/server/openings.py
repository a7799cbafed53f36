"""Where a drive can begin: the configured start, or a scenario; as a state of ``rows`` that anybody can be put into.

In a learned world an opening is made once and kept, so that somebody who comes in costs the others nothing. Knows
scenarios and starts, nothing of people.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.geometry.motion import VehicleState
from worldmodel.server.rows import ReferenceRows, Rows
from worldmodel.simulation.rollout import DEFAULT_SPEED_MPS, vehicle_after
from worldmodel.simulation.scenario import LIBRARY, ScenarioFile, find_scenarios
from worldmodel.simulation.staging import Staged, stage
from worldmodel.simulation.starting import USUAL, StartConfig, open_start, parse_tags
from worldmodel.types import VOCABULARY, Clip, FrameArray, Tags

#: Openings of a learned world that are kept; each has a ring and a context's frames.
_KEPT = 8
_SPEED_MPS = 12.0


@dataclasses.dataclass(frozen=True)
class Opening:
    """A beginning.

    Attributes:
        name: for people.
        state: for ``Rows.put``.
        frame: ``(H, W, 3)`` the first.
        vehicle: ``()`` speed and curvature there.
        tags: ``(S + 1,)`` wanted along the drive; the last goes on.
        context: what it began from; tags where there were no frames.
        seed: of the noise.
        about: for the provenance, enough to open it anew.
    """

    name: str
    state: Any
    frame: FrameArray
    vehicle: VehicleState
    tags: Tags
    context: Clip | Tags
    seed: int
    about: Mapping[str, Any]


class Openings:
    """Makes openings. One thread at a time.

    Args:
        rows: the world.
        start: where a drive begins that names no scenario.
        scenarios: a scenario, a folder of them, or ``library``: those that may be named.
        seed: of the start.

    Raises:
        ValueError: no such scenarios.
    """

    def __init__(self, rows: Rows, start: StartConfig, *, scenarios: str = LIBRARY, seed: int = 0) -> None:
        self._rows, self._start, self._seed = rows, start, seed
        self._paths: dict[str, Path] = {path.stem: path for path in find_scenarios(scenarios)}
        self._kept: OrderedDict[str, Opening] = OrderedDict()

    @property
    def names(self) -> tuple[str, ...]:
        """Scenarios that can be opened."""
        return tuple(self._paths)

    def open(self, scenario: str) -> Opening:
        """The beginning of a scenario, or of the configured start where none is named.

        Raises:
            ValueError: no such scenario, or one this world cannot begin from.
        """
        if scenario and scenario not in self._paths:
            raise ValueError(f"no scenario is called {scenario!r:.60}")
        if scenario in self._kept:
            self._kept.move_to_end(scenario)
            return self._kept[scenario]
        if scenario:
            opening = open_scenario(self._rows, self._paths[scenario])
        else:
            opening = open_configured(self._rows, self._start, self._seed)
        # The state of a true world is that world itself, which two people cannot drive.
        if not isinstance(self._rows, ReferenceRows):
            self._kept[scenario] = opening
            while len(self._kept) > _KEPT:
                self._kept.pop(next(name for name in self._kept if name))
        return opening


def open_configured(rows: Rows, start: StartConfig, seed: int) -> Opening:
    """The opening of a ``StartConfig``.

    Raises:
        ValueError: as ``open_start``; in the true world, a context of frames.
    """
    if isinstance(rows, ReferenceRows):
        if start.context != "reference" or start.data:
            raise ValueError("world=reference: begins on a road of its own; say what it is like with tags=")
        named = {name: value for name, value in parse_tags(start.tags).names().items() if value != "unknown"}
        context: Clip | Tags = Tags.named(**(USUAL | named))
        about: dict[str, Any] = {"context": USUAL | named}
    else:
        opened = open_start(start, rows.camera, dt_s=rows.dt_s, seed=seed, speed_mps=_SPEED_MPS)
        (context,), about = opened.contexts, dict(opened.about)
    state, frame = rows.open(context, seed)
    own_mps = DEFAULT_SPEED_MPS
    if isinstance(rows, ReferenceRows):
        own_mps = float(rows.truth_of(state)["speed_mps"][0])
    tags = context.tags[-1] if isinstance(context, Clip) else context
    vehicle = vehicle_after(context, own_mps=own_mps)
    return Opening("the start", state, frame, vehicle, _along(tags), context, seed, {"start": about, "seed": seed})


def open_scenario(rows: Rows, path: Path) -> Opening:
    """The opening of a scenario file.

    Raises:
        ValueError: as ``stage``; in the true world, a scenario that is not on it.
    """
    scenario = ScenarioFile.load(path)
    staged = stage(scenario, rows.camera, dt_s=rows.dt_s)
    about = {"scenario": str(path), "scenario_hash": scenario.content_hash, **staged.about}
    if isinstance(rows, ReferenceRows):
        return _true_opening(rows, staged, about)
    state, frame = rows.open(staged.context, scenario.seed)
    vehicle = vehicle_after(staged.context)
    return Opening(scenario.name, state, frame, vehicle, staged.tags, staged.context, scenario.seed, about)


def _true_opening(rows: ReferenceRows, staged: Staged, about: Mapping[str, Any]) -> Opening:
    scenario, fork = staged.scenario, staged.fork
    if fork is None:
        raise ValueError(f"{scenario.name}: is not on the reference world")
    vehicle = VehicleState(fork.carry.vehicle.speed_mps[0], fork.carry.vehicle.curvature_1pm[0])
    codes = staged.tags.codes[:1].copy()
    codes[:, list(VOCABULARY).index("event")] = 0  # the world itself sees to the scenario's events
    tags = Tags(codes, staged.tags.caption)
    state = rows.state_of(fork.world, fork.snapshot)
    frame = fork.carry.frames[0]
    return Opening(scenario.name, state, frame, vehicle, tags, staged.context, scenario.seed, about)


def _along(tags: Tags) -> Tags:
    return Tags(np.asarray(tags.codes)[None], tags.caption)
