"""Many drives of one policy in one world: frames to the policy, controls to the vehicle, motion to the world.

Rows of the batch are drives; a row whose drive is over takes the next one. While it is driven each drive is watched:
the judge reads its frames, and the world's truth is written down where there is any. A policy that raises, hangs or
answers what is no number costs the drive it does so in, and no other. Knows nothing of scores or files.

Shapes: B rows; T frames of a drive; H, W pixels; F features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.metrics.driving import sustained
from worldmodel.metrics.image import colour_statistics, contrast, sharpness
from worldmodel.perception.streaming import COLUMNS, StreamingReader
from worldmodel.simulation.policies.guard import Guard, PolicyBrokeDown
from worldmodel.simulation.policies.policy import Observation, Policy
from worldmodel.simulation.rollout import vehicle_given
from worldmodel.simulation.trials import Arena, Trial
from worldmodel.types import Controls, EgoMotion, FloatArray, FrameArray, Tags

#: The judge has seen a failure when its probability has been above one half for so long, on average.
HOLD_S = {"collision": 0.3, "off_road": 0.5}
#: A drive goes on for so long after its failure, so that it can be seen, and be noticed by the judge.
AFTERMATH_S = 2.0
#: Columns of how a frame looks.
LOOKS = ("sharpness", "contrast", "red", "green", "blue")
DONE = "done"
_VEHICLE = ("speed_mps", "curvature_1pm")


@dataclasses.dataclass(frozen=True)
class Driven:
    """One drive as it went.

    Attributes:
        trial: that was driven.
        status: ``done``, or how the policy broke down.
        columns: named ``(T,)``: ``t_s``; ``speed_mps`` and ``yaw_rate_radps`` from frame t to t + 1 as the vehicle
            moved, the last NaN; ``accel_mps2`` and ``curvature_1pm`` as the policy said, NaN where it said a motion;
            ``judge.*`` of ``streaming.COLUMNS``; ``look.*`` of ``LOOKS``; ``truth.*`` where the world tells any.
        features: ``(T, F)`` of the judge.
    """

    trial: Trial
    status: str
    columns: dict[str, NDArray[Any]]
    features: NDArray[np.float32]


class Film(Protocol):
    """Whoever wants a drive's frames."""

    def write(self, frame: FrameArray) -> None:
        """The next frame ``(H, W, 3)``."""
        ...

    def close(self) -> Any:
        """The drive is over."""
        ...


class _Row:
    """A drive that is going on."""

    def __init__(self, trial: Trial, film: Film | None) -> None:
        self.trial, self.film = trial, film
        self.lines: list[dict[str, float]] = []
        self.features: list[FloatArray] = []
        self.failed_at: int | None = None

    @property
    def steps(self) -> int:
        return max(0, len(self.lines) - 1)

    def driven(self, status: str, dt_s: float) -> Driven:
        if self.film is not None:
            self.film.close()
        names = {*self.lines[0], "speed_mps", "yaw_rate_radps", "accel_mps2", "curvature_1pm"}
        columns = {name: np.array([line.get(name, np.nan) for line in self.lines]) for name in sorted(names)}
        columns["t_s"] = dt_s * np.arange(len(self.lines), dtype=np.float64)
        return Driven(self.trial, status, columns, np.stack(self.features).astype(np.float32))


def drive_trials(
    arena: Arena,
    make_policy: Callable[[], Policy],
    trials: Sequence[Trial],
    judge: StreamingReader,
    *,
    batch: int,
    timeout_s: float = 0.0,
    film: Callable[[Trial], Film | None] = lambda trial: None,
    progress: Callable[[int], object] = lambda steps: None,
) -> Iterator[Driven]:
    """Drive every trial once; yields drives as they end, in any order.

    Args:
        arena: the world.
        make_policy: a new policy; called again when one has broken down.
        trials: to be driven.
        judge: who watches; its rows are used up.
        batch: drives at once, at most.
        timeout_s: a policy's answer may take so long for each row; 0 waits for ever.
        film: opens somewhere for a drive's frames to go, or ``None``.
        progress: told of steps made or saved.

    Raises:
        ValueError: a policy that needs the truth, in a world that has none.
    """
    waiting, alone = list(trials), []
    while waiting:
        loop = _Loop(arena, make_policy, judge, timeout_s, film, progress)
        try:
            yield from loop.run(waiting, batch)
        except PolicyBrokeDown as error:
            under_way = [row for row in loop.rows if row is not None]
            if len(under_way) == 1:
                progress(under_way[0].trial.steps - under_way[0].steps)
                yield under_way[0].driven(str(error), arena.dt_s)
                continue
            # Whose drive it was nobody knows: each is driven again on its own.
            for row in under_way:
                progress(-row.steps)
                if row.film is not None:
                    row.film.close()
            alone += [row.trial for row in under_way]
        finally:
            loop.close()
    for trial in alone:
        yield from drive_trials(
            arena, make_policy, [trial], judge, batch=1, timeout_s=timeout_s, film=film, progress=progress
        )


class _Loop:
    """Rows of an arena and the policy that drives them, until it breaks down or nothing is left to drive."""

    def __init__(
        self,
        arena: Arena,
        make_policy: Callable[[], Policy],
        judge: StreamingReader,
        timeout_s: float,
        film: Callable[[Trial], Film | None],
        progress: Callable[[int], object],
    ) -> None:
        self.rows: list[_Row | None] = []
        self._arena, self._judge, self._film, self._progress = arena, judge, film, progress
        self._guard = Guard(make_policy(), timeout_s=timeout_s)

    def close(self) -> None:
        """The policy is not asked any more."""
        self._guard.close()

    def run(self, waiting: list[Trial], batch: int) -> Iterator[Driven]:
        """Drive what is waiting, taking it from the list."""
        arena, first = self._arena, waiting[:batch]
        del waiting[: len(first)]
        self.rows = [_Row(trial, self._film(trial)) for trial in first]
        frames = np.array(arena.begin(first))
        vehicle = VehicleState(*(np.array([float(getattr(t.vehicle, n)) for t in first]) for n in _VEHICLE))
        self._enter(frames, range(len(first)))
        while True:
            for index, driven in self._ended():
                self.rows[index] = None
                yield driven
            for index, row in enumerate(self.rows):
                if row is None and waiting:
                    trial = waiting.pop(0)
                    self.rows[index] = _Row(trial, self._film(trial))
                    frames[index] = arena.renew(index, trial)
                    for name in _VEHICLE:
                        getattr(vehicle, name)[index] = float(getattr(trial.vehicle, name))
                    self._enter(frames, [index])
            if not self._is_driven().any():
                return
            vehicle, motion, failed = self._act(frames, vehicle)
            yield from failed
            frames = np.array(arena.step(motion, self._tags(), self._is_driven()))
            under_way = np.flatnonzero(self._is_driven()).tolist()
            self._watch(frames, under_way)
            self._progress(len(under_way))

    def _enter(self, frames: FrameArray, rows: Sequence[int]) -> None:
        """New drives in some rows: whoever looks forgets the ones before."""
        for index in rows:
            self._judge.forget(index)
        self._watch(frames, rows)
        for index in rows:
            row = self.rows[index]
            assert row is not None
            self._guard.reset(index, seed=row.trial.seed)
            replay = getattr(self._guard.policy, "replay", None)
            if replay is not None:
                try:
                    replay(index, row.trial.recorded)
                except ValueError as error:
                    raise PolicyBrokeDown(str(error)) from error

    def _watch(self, frames: FrameArray, rows: Sequence[int]) -> None:
        """Write down what the newest frames of some rows show."""
        if not len(rows):
            return
        seen = frames[list(rows)]
        glance = self._judge.read(seen, self._arena.camera, dt_s=self._arena.dt_s, rows=rows)
        colours = colour_statistics(seen).mean
        looks = (sharpness(seen), contrast(seen), colours[:, 0], colours[:, 1], colours[:, 2])
        truth = self._arena.truth()
        for at, index in enumerate(rows):
            row = self.rows[index]
            assert row is not None
            line = {f"judge.{name}": float(glance.columns[name][at]) for name in COLUMNS}
            line |= {f"look.{name}": float(look[at]) for name, look in zip(LOOKS, looks)}
            line |= {f"truth.{name}": float(column[index]) for name, column in truth.items()}
            row.lines.append(line)
            row.features.append(glance.features[at])
            if row.film is not None:
                row.film.write(frames[index])
            if row.failed_at is None and self._has_failed(row, bool(truth)):
                row.failed_at = row.steps

    def _has_failed(self, row: _Row, is_told: bool) -> bool:
        """By the truth where there is one, else by the judge."""
        if is_told:
            return row.lines[-1]["truth.collision"] > 0.5 or row.lines[-1]["truth.off_road"] > 0.5
        dt_s, failed = self._arena.dt_s, False
        for name, hold_s in HOLD_S.items():
            recent = np.array([line[f"judge.{name}"] for line in row.lines[-round(hold_s / dt_s) :]])
            failed |= bool(sustained(recent, dt_s, hold_s=hold_s)[-1])
        return failed

    def _ended(self) -> list[tuple[int, Driven]]:
        """Drives that are over, with their rows: at their length, or for a while failed."""
        aftermath, ended = round(AFTERMATH_S / self._arena.dt_s), []
        for index, row in enumerate(self.rows):
            if row is None:
                continue
            if row.steps >= row.trial.steps or (row.failed_at is not None and row.steps - row.failed_at >= aftermath):
                self._progress(row.trial.steps - row.steps)
                ended.append((index, row.driven(DONE, self._arena.dt_s)))
        return ended

    def _act(self, frames: FrameArray, vehicle: VehicleState) -> tuple[VehicleState, EgoMotion, list[Driven]]:
        """Ask the policy and move the vehicles; a drive whose answer is no number is over."""
        arena, truth = self._arena, self._arena.truth()
        if self._guard.policy.needs_truth and not truth:
            raise ValueError(f"policy: {self._guard.policy.name!r} sees the truth, which only the reference world has")
        told = truth if self._guard.policy.needs_truth else None
        seen = Observation(frames, vehicle.speed_mps, vehicle.curvature_1pm, arena.dt_s, told)
        action = self._guard.act(seen)
        answer = _numbers_of(action)
        is_sane, is_driven = np.asarray(np.isfinite(answer).all(axis=0)), self._is_driven()
        answer = np.where(is_sane & is_driven, answer, 0.0)
        if isinstance(action, Controls):
            after, motion = drive(vehicle, Controls(*answer), arena.dt_s)
        else:
            motion = EgoMotion(*answer)
            after = vehicle_given(vehicle, motion)
        failed = []
        for index, row in enumerate(self.rows):
            if row is None:
                continue
            if not is_sane[index]:
                self._progress(row.trial.steps - row.steps)
                failed.append(row.driven("answered what is no finite number", arena.dt_s))
                self.rows[index] = None
                continue
            row.lines[-1] |= {
                "speed_mps": float(motion.speed_mps[index]),
                "yaw_rate_radps": float(motion.yaw_rate_radps[index]),
            }
            if isinstance(action, Controls):
                row.lines[-1] |= {"accel_mps2": answer[0, index], "curvature_1pm": answer[1, index]}
        return after, motion, failed

    def _is_driven(self) -> NDArray[np.bool_]:
        return np.array([row is not None for row in self.rows])

    def _tags(self) -> Tags:
        """Of the frames that come next; a row that nobody drives keeps unknown ones."""
        unknown = Tags.unknown().codes
        codes = [unknown if row is None else row.trial.tags.codes[len(row.lines)] for row in self.rows]
        return Tags(np.stack(codes))


def _numbers_of(action: Controls | EgoMotion) -> FloatArray:
    """``(2, B)``."""
    return np.stack([getattr(action, field.name) for field in dataclasses.fields(action)])
