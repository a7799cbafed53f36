"""Policies through scenarios in one world or both, drive by drive on disk: the runs behind scores.

A run is resumable at the drive. Under ``torchrun`` each process drives its share of the scenarios (machines share
``out``); the first waits for the others and goes on alone. Knows what is to be driven and where it lands, nothing of
scores.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from worldmodel.datasets.video import VideoWriter
from worldmodel.evaluation.keeping_drives import KeptDrive, keep, load
from worldmodel.nn.component import content_hash
from worldmodel.perception.reader import load_perceiver
from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.closed_loop import drive_trials
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.policies.library import Tools, open_policy, slug
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.session import Session
from worldmodel.simulation.trials import Arena, Kind, LearnedArena, Trial, TrueArena, make_trial, name_scenarios
from worldmodel.simulation.true_processes import TrueProcesses
from worldmodel.simulation.worlds import WorldConfig, open_world

#: Who shows how true drives look, for the drift watch.
YARDSTICK = "oracle-keeper"
_MADE_BY = "made_by.json"


@dataclasses.dataclass(frozen=True)
class PolicyRunConfig(WorldConfig):
    """What policies are driven through; the fields of ``WorldConfig`` say in which learned world.

    Attributes:
        scenario: ``drawn`` from the reference world's distribution, from seeds no training set uses, or a name of
            ``conf/scenarios``, a YAML file, a folder of them, or ``library``.
        scenarios: how many; 0 for all of a folder; ``None`` takes the profile's or the mode's.
        length_s: seconds of each drive; ``None`` likewise.
        tags: kept fixed in drawn scenarios, as ``weather=clear,traffic=none``.
        batch: drives at once in the learned world.
        workers: processes that draw the true world; 1 for this one alone.
        timeout_s: a policy's answer may take so long for each drive of a batch; 0 waits for ever.
        films: keep each drive's frames.
        driver: perception that policies see by, a bundled name or a folder.
        judge: perception that scores.
    """

    scenario: str = "drawn"
    scenarios: int | None = None
    length_s: float | None = None
    tags: str = ""
    batch: int = 8
    workers: int = 1
    timeout_s: float = 30.0
    films: bool = True
    driver: str = "driver"
    judge: str = "judge"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scenarios is not None and self.scenarios < 0:
            raise ValueError(f"scenarios: expected a number from 0, got {self.scenarios}")
        if self.length_s is not None and not self.length_s >= 1:
            raise ValueError(f"length_s: expected at least 1 s, got {self.length_s}")
        if self.batch < 1:
            raise ValueError(f"batch: expected a number from 1, got {self.batch}")
        if self.workers < 1:
            raise ValueError(f"workers: expected a number from 1, got {self.workers}")
        if not self.timeout_s >= 0:
            raise ValueError(f"timeout_s: expected seconds from 0, got {self.timeout_s}")


@dataclasses.dataclass(frozen=True)
class Job:
    """One policy in one world (``learned`` or ``true``), through all scenarios."""

    policy: str
    kind: Kind


class PolicyRun:
    """Worlds, scenarios and perception of a run, opened when they are first needed.

    Args:
        config: of the run.
        out: folder.
        count: of scenarios, where the config leaves it open.
        length_s: likewise.
    """

    def __init__(self, config: PolicyRunConfig, out: Path, *, count: int, length_s: float | None) -> None:
        self.config, self.out = config, out
        self.rank, self.ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        learned, self.about = open_world(config)
        assert isinstance(learned, Session)
        self.learned, self.camera, self.dt_s = learned, learned.camera, learned.dt_s
        self.tools = Tools(str(self.about["device"]), config.model, config.driver)
        count = count if config.scenarios is None else config.scenarios
        length_s = config.length_s or length_s
        self.scenarios = name_scenarios(config.scenario, count=count, length_s=length_s, tags=config.tags)
        self.judge = load_perceiver(config.judge)
        self._trials: dict[str, Trial] = {}
        self._arenas: dict[str, Arena] = {"learned": LearnedArena(learned)}

    def path(self, job: Job, scenario: str) -> Path:
        """Where a drive is kept."""
        return self.out / job.kind / slug(job.policy) / f"{scenario}.npz"

    def drives(self, job: Job) -> list[KeptDrive]:
        """All of a job's drives, in the scenarios' order; those not made are left out."""
        paths = [self.path(job, name) for name in self.scenarios]
        return [load(path) for path in paths if path.is_file()]

    def run(self, jobs: Sequence[Job], *, done: Callable[[Job, KeptDrive], object]) -> None:
        """Make what is missing of every job; ``done`` is told of each drive as it is kept.

        Raises:
            ValueError: results of another model, perception or scenarios in ``out``, or a policy that is not there.
        """
        for job in jobs:  # a misspelt name, or a file that is not there, before hours of driving
            policy = open_policy(job.policy, self.tools)
            if policy.needs_truth and job.kind == "learned":
                raise ValueError(f"policy: {job.policy!r} sees the truth, which only the reference world has")
        self._claim()
        own = list(self.scenarios)[self.rank :: self.ranks]
        todo = {job: [name for name in own if not self.path(job, name).is_file()] for job in jobs}
        steps = {name: round(self.scenarios[name].length_s / self.dt_s) for name in own}
        whole = sum(steps[name] for names in todo.values() for name in names)
        with tqdm(total=whole, unit="frame", disable=self.rank > 0) as bar:
            for job, names in todo.items():
                bar.set_description(f"{job.policy} ({job.kind})")
                for drive in self._drive(job, names, bar.update):
                    done(job, drive)
        if self.rank == 0:
            self._wait(jobs)

    def _drive(self, job: Job, names: Sequence[str], progress: Callable[[int], object]) -> Iterator[KeptDrive]:
        if not names:
            return
        trials = [self._trial(name) for name in names]
        folder = self.path(job, names[0]).parent
        folder.mkdir(parents=True, exist_ok=True)

        def film(trial: Trial) -> VideoWriter | None:
            if not self.config.films:
                return None
            path, size = folder / f"{trial.name}.mp4", (self.camera.height_px, self.camera.width_px)
            return VideoWriter(path, *size, fps=1 / self.dt_s, crf=23)

        judge = StreamingReader(self.judge, device=str(self.about["device"]))
        # Rows of the true world cost time of their own; two a worker, so that none waits for another to begin anew.
        batch = self.config.batch if job.kind == "learned" else max(min(self.config.batch, 4), 2 * self.config.workers)
        for driven in drive_trials(
            self._arena(job.kind),
            lambda: open_policy(job.policy, self.tools),
            trials,
            judge,
            batch=batch,
            timeout_s=self.config.timeout_s,
            film=film,
            progress=progress,
        ):
            path = self.path(job, driven.trial.name)
            keep(path, driven, self.dt_s)
            yield load(path)

    def _arena(self, kind: Kind) -> Arena:
        if kind not in self._arenas:
            workers, camera, dt_s = self.config.workers, self.camera, self.dt_s
            is_alone = workers == 1
            true = TrueArena(camera, dt_s=dt_s) if is_alone else TrueProcesses(camera, dt_s=dt_s, workers=workers)
            self._arenas[kind] = true
        return self._arenas[kind]

    def _trial(self, name: str) -> Trial:
        if name not in self._trials:
            self._trials[name] = make_trial(name, self.scenarios[name], self.camera, dt_s=self.dt_s)
        return self._trials[name]

    def _claim(self) -> None:
        """Refuse to mix with what others have made."""
        names = ("scenario", "tags", "precision")
        lengths = sorted({scenario.length_s for scenario in self.scenarios.values()})
        made_by = plain(
            {
                "components": self.about["components"],
                "sampler": self.about["sampler"],
                "perception": {
                    "judge": content_hash(self.judge),
                    "driver": content_hash(load_perceiver(self.config.driver)),
                },
                "settings": {name: getattr(self.config, name) for name in names} | {"length_s": lengths},
            }
        )
        path = self.out / _MADE_BY
        if path.is_file():
            found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if changed := [key for key in made_by if found.get(key) != made_by[key]]:
                raise ValueError(f"out={self.out}: made with other {', '.join(changed)}; choose another out=")
            return
        self.out.mkdir(parents=True, exist_ok=True)
        if self.rank == 0:
            write_json(path, made_by)

    def _wait(self, jobs: Sequence[Job]) -> None:
        """Until the other processes have driven their share; a launcher ends us all when one of them dies."""
        missing = [self.path(job, name) for job in jobs for name in self.scenarios]
        while missing := [path for path in missing if not path.is_file()]:
            if self.ranks == 1:
                raise RuntimeError(f"{missing[0]}: was not made")
            time.sleep(2.0)
