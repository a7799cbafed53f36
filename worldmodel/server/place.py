"""One person's drive: the car, who drives it, what was switched, and the moments it can go back to.

A place decides how its row is to move and takes note of the frame that comes of it; the house moves all rows together.
It is touched by the stepping thread alone, but for ``hold``, which is replaced as a whole. Knows no sockets.
"""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.server.hands import Hold, controls_of, follow
from worldmodel.server.openings import Opening
from worldmodel.server.rows import Rows, one
from worldmodel.server.trace import Row, Spool, crc32_of
from worldmodel.simulation.policies.library import names, open_policy
from worldmodel.simulation.policies.policy import Observation, Policy
from worldmodel.simulation.scenario import EVENT_TAG_S
from worldmodel.types import VOCABULARY, Controls, EgoMotion, FrameArray, Tags

#: A moment that can be gone back to is kept so often.
MOMENT_S = 1.0
MOST_SNAPSHOTS = 8
PERSON = "person"
_CHANNELS = tuple(VOCABULARY)
#: Policies that plan or replay, and so cannot drive in real time, or at all.
_NOT_AT_THE_WHEEL = ("mpc", "recorded")


def offered(*, tells_truth: bool) -> list[str]:
    """Names of the policies that may be handed over to, in a world that tells its truth or not.

    By name alone: a policy may elsewhere also be a file or an address, which is not a guest's to choose.
    """
    fit = [name for name in names() if name not in _NOT_AT_THE_WHEEL]
    return [name for name in fit if tells_truth or not name.startswith("oracle-")]


@dataclasses.dataclass(frozen=True)
class PlaceLimits:
    """How much of a drive is kept.

    Attributes:
        rewind_s: how far back a drive can be rewound.
        longest_s: of a drive.
        most_bytes: of its pictures on disk.
    """

    rewind_s: float = 60.0
    longest_s: float = 3600.0
    most_bytes: int = 2**30


@dataclasses.dataclass(frozen=True)
class Moment:
    """All of a drive at one frame; ``rows`` are the trace up to there, where it cannot be had by cutting.

    ``last`` is the row that led there: two moments are on one line when the later's trace has the earlier's last row.
    """

    state: Any
    frame: FrameArray
    image: tuple[int, int]
    vehicle: VehicleState
    wheel: float
    step: int
    last: Row | None
    policy: Policy | None
    switched: Mapping[str, str]
    event_ends: int | None
    rows: tuple[Row, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Decision:
    """What the coming step is to be, of shape ``()`` all."""

    controls: Controls
    vehicle: VehicleState
    motion: EgoMotion
    wheel: float
    tags: Tags
    driver: str


class Place:
    """A drive that somebody is in.

    Args:
        key: of the row in ``rows``.
        rows: the world.
        opening: where it begins.
        image: the first frame, encoded.
        limits: how much is kept.
    """

    def __init__(self, key: int, rows: Rows, opening: Opening, image: bytes, limits: PlaceLimits) -> None:
        self.key, self.rows, self.limits = key, rows, limits
        #: The newest that is held; written by whoever listens to the person.
        self.hold = Hold()
        self.restart(opening, image)

    def restart(self, opening: Opening, image: bytes) -> None:
        """Begin anew: nothing of the drive so far is kept."""
        self.opening, self.spool = opening, Spool(self.limits.most_bytes)
        self.rows.put(self.key, opening.state)
        self.frame, self.image = opening.frame, self.spool.append(image)
        self.vehicle, self.wheel, self.step = opening.vehicle, 0.0, 0
        self.trace: list[Row] = []
        self.policy: Policy | None = None
        self.switched: dict[str, str] = {}
        self._event_ends: int | None = None
        self.snapshots: dict[int, Moment] = {}
        self._count = 0
        self.history: deque[Moment] = deque(maxlen=1 + round(self.limits.rewind_s / MOMENT_S))
        self.history.append(self._moment())
        #: Explicitly paused; and waiting for somebody to take the wheel, as at the start and after going back.
        self.is_paused, self.is_waiting = False, True

    @property
    def t_s(self) -> float:
        """Time since the start."""
        return self.step * self.rows.dt_s

    @property
    def driver(self) -> str:
        """Who drives: ``person`` or a policy's name."""
        return PERSON if self.policy is None else self.policy.name

    @property
    def is_at_its_end(self) -> bool:
        """Whether nothing more of the drive can be kept."""
        return self.t_s >= self.limits.longest_s or self.spool.is_full

    @property
    def is_moving(self) -> bool:
        """Whether the last look at it found it on its way."""
        return not (self.is_paused or self.is_waiting)

    @property
    def wants_to_move(self) -> bool:
        """Whether the coming step is to be made. Somebody who takes the wheel ends the waiting."""
        if self.is_paused or self.is_at_its_end:
            return False
        if self.is_waiting and self.hold.is_felt:
            self.is_waiting = False
        return not self.is_waiting

    def tags(self) -> Tags:
        """Tags ``()`` to be told with the coming step: the opening's, with what was switched."""
        along = self.opening.tags
        codes = along.codes[min(self.step, len(along.codes) - 1)].copy()
        if self._event_ends is not None and self.step >= self._event_ends:
            self._event_ends = None
            self.switched.pop("event", None)
        for channel, name in self.switched.items():
            codes[_CHANNELS.index(channel)] = VOCABULARY[channel].index(name)
        return Tags(codes, along.caption)

    def decide(self) -> Decision:
        """How the coming step is to be.

        Raises:
            ValueError: the policy that drives said something impossible.
        """
        dt_s, hold = self.rows.dt_s, self.hold
        if self.policy is None:
            wheel = follow(self.wheel, hold, dt_s)
            controls = controls_of(wheel, hold.pedal, float(self.vehicle.speed_mps))
        else:
            wheel, controls = 0.0, self._asked(self.policy)
        vehicle, motion = drive(self.vehicle, controls, dt_s)
        return Decision(controls, vehicle, motion, wheel, self.tags(), self.driver)

    def _asked(self, policy: Policy) -> Controls:
        truth = self.rows.truth(self.key) if policy.needs_truth else None
        vehicle = self.vehicle
        seen = Observation(
            self.frame[None], one(float(vehicle.speed_mps)), one(float(vehicle.curvature_1pm)), self.rows.dt_s, truth
        )
        action = policy.act(seen)
        if not isinstance(action, Controls):
            raise ValueError(f"{policy.name} plays a recording, it does not drive")
        action.validate()
        return Controls(action.accel_mps2.reshape(-1)[0], action.curvature_1pm.reshape(-1)[0])

    def arrive(self, decision: Decision, frame: FrameArray, image: bytes) -> None:
        """The step was made: this is the next frame."""
        row = Row(self.image, crc32_of(self.frame), decision.tags, decision.motion, decision.controls, decision.driver)
        self.trace.append(row)
        self.frame, self.image = frame, self.spool.append(image)
        self.vehicle, self.wheel, self.step = decision.vehicle, decision.wheel, self.step + 1
        if self.step % max(1, round(MOMENT_S / self.rows.dt_s)) == 0:
            self.history.append(self._moment())

    def between(self, share: float) -> EgoMotion:
        """How it moves ``()`` in the coming ``share`` of a step, by what is held now; only read, nothing moves."""
        dt_s, hold = share * self.rows.dt_s, self.hold
        if self.policy is None:
            controls = controls_of(follow(self.wheel, hold, dt_s), hold.pedal, float(self.vehicle.speed_mps))
        else:
            controls = Controls(np.array(0.0), self.vehicle.curvature_1pm)
        return drive(self.vehicle, controls, dt_s)[1]

    def switch(self, tags: Mapping[str, str]) -> None:
        """Tags from here on; ``unknown`` gives a channel back to the opening. An event is asked for, and passes.

        Raises:
            ValueError: a channel that cannot change in this world.
        """
        for channel in tags:
            if channel in self.rows.fixed_tags:
                raise ValueError(
                    f"in the true world a drive keeps its {channel.replace('_', ' ')}; begin anew for another"
                )
        for channel, name in tags.items():
            if name == "unknown":
                self.switched.pop(channel, None)
            else:
                self.switched[channel] = name
            if channel == "event":
                is_passing = name not in ("unknown", "none")
                self._event_ends = self.step + round(EVENT_TAG_S / self.rows.dt_s) if is_passing else None

    def hand_over(self, name: str) -> None:
        """Let a policy drive; an empty name takes the wheel back.

        Raises:
            ValueError: no such policy, or one that sees a truth this world has not.
        """
        if not name:
            self.policy = None
            return
        if name in offered(tells_truth=True) and name not in offered(tells_truth=self.rows.tells_truth):
            raise ValueError(f"{name} sees the truth, which only the reference world has")
        if name not in (fit := offered(tells_truth=self.rows.tells_truth)):
            raise ValueError(f"no policy is called {name!r} here; there are {', '.join(fit)}")
        policy = open_policy(name)
        policy.reset(0, seed=self.opening.seed)
        self.policy, self.is_waiting = policy, False

    def keep(self) -> int:
        """Make a snapshot of this moment; returns its number. The oldest of too many gives way."""
        self._count += 1
        self.snapshots[self._count] = dataclasses.replace(self._moment(), rows=tuple(self.trace))
        if len(self.snapshots) > MOST_SNAPSHOTS:
            self.snapshots.pop(min(self.snapshots))
        return self._count

    def branch(self, number: int) -> int | None:
        """Go on from a snapshot; the moment that is left is kept as one too, and its number returned if it is new.

        Raises:
            ValueError: no such snapshot.
        """
        if number not in self.snapshots:
            raise ValueError(f"there is no snapshot {number}")
        moment = self.snapshots[number]
        here = self.trace[-1] if self.trace else None
        left = None if any(kept.last is here for kept in self.snapshots.values()) else self.keep()
        # Keeping may have pushed the one out that was asked for.
        self.snapshots[number] = moment
        assert moment.rows is not None
        self._return(moment, list(moment.rows))
        return left

    def rewind(self, back_s: float) -> float:
        """Go back to the moment that lies nearest to ``back_s`` ago; returns how far that was."""
        now_s = self.t_s
        wanted = now_s - back_s
        moment = min(self.history, key=lambda kept: abs(kept.step * self.rows.dt_s - wanted))
        self._return(moment, self.trace[: moment.step])
        return now_s - self.t_s

    def _moment(self) -> Moment:
        last = self.trace[-1] if self.trace else None
        return Moment(
            self.rows.take(self.key), self.frame, self.image, self.vehicle, self.wheel, self.step, last,
            copy.deepcopy(self.policy), dict(self.switched), self._event_ends,
        )  # fmt: skip

    def _return(self, moment: Moment, trace: list[Row]) -> None:
        self.rows.put(self.key, moment.state)
        self.trace = trace
        self.frame, self.image, self.vehicle = moment.frame, moment.image, moment.vehicle
        self.wheel, self.step = moment.wheel, moment.step
        self.policy = copy.deepcopy(moment.policy)
        self.switched, self._event_ends = dict(moment.switched), moment.event_ends
        kept = [
            other
            for other in self.history
            if other.step <= moment.step and (other.last is None or trace[other.step - 1] is other.last)
        ]
        if not kept or kept[-1].step != moment.step:
            kept.append(dataclasses.replace(moment, rows=None))
        self.history = deque(kept, maxlen=self.history.maxlen)
        self.is_paused, self.is_waiting = False, True
