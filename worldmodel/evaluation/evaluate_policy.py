"""``mode=evaluate_policy``: how well does a policy drive? Scenarios in a learned world and in the true one, scored.

Every drive is kept as it ends; an interrupted run goes on with the next, and scores are made anew from what is kept.
``policy_drives`` drives, ``policy_scores`` scores, ``policy_report`` shows.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from worldmodel.evaluation.certainty import cross_chosen, words
from worldmodel.evaluation.falling import FallWatch
from worldmodel.evaluation.keeping_drives import JUDGE, TRUTH, Certainty, KeptDrive
from worldmodel.evaluation.policy_drives import YARDSTICK, Job, PolicyRun, PolicyRunConfig
from worldmodel.evaluation.policy_report import TITLES, drive_table, film, score_table, settings_table, write_page
from worldmodel.evaluation.policy_scores import VIEWS, Scored, View, scored
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.trials import DRAWN, Kind
from worldmodel.simulation.worlds import surroundings

_SCENARIOS, _LENGTH_S = 8, 20.0


@dataclasses.dataclass(frozen=True)
class EvaluatePolicyConfig(PolicyRunConfig):
    """Whom to evaluate, where; the fields of ``PolicyRunConfig`` say in which scenarios.

    Attributes:
        policy: one, or several parted by commas.
        worlds: ``both``, ``learned`` or ``true``; ``oracle-*`` policies drive in the true one alone.
        out: folder; it goes on where it was.
    """

    policy: str = "idm-normal"
    worlds: Literal["both", "learned", "true"] = "both"
    out: str = "outputs/evaluate_policy"

    @property
    def policies(self) -> list[str]:
        """Their names."""
        return [name.strip() for name in self.policy.split(",") if name.strip()]


def run(config: EvaluatePolicyConfig) -> Path:
    """Drive, score and report; returns the folder with ``report.json`` and ``report.html``.

    Raises:
        ValueError: a policy, model or scenario that is not there, or results of others in ``out``.
    """
    out = Path(config.out)
    length_s = _LENGTH_S if config.scenario == DRAWN else None
    runs = PolicyRun(config, out, count=_SCENARIOS if config.scenario == DRAWN else 0, length_s=length_s)
    jobs = jobs_of(config, runs)
    yardstick = Job(YARDSTICK, "true")
    # The drift watch needs to know how true drives look, whoever is evaluated.
    needed = [] if yardstick in jobs or not _has_truth(runs) else [yardstick]
    live = LiveTable()
    runs.run([*needed, *jobs], done=live.show)
    if runs.rank:
        return out
    watch = watch_of(runs)
    certainties = cross_chosen([drive for job in {*needed, *jobs} if job.kind == "true" for drive in runs.drives(job)])
    results: dict[str, dict[View, Scored]] = {
        policy: {
            (kind, who): scored(runs.drives(Job(policy, kind)), who, watch, certainties)
            for kind, who in VIEWS
            if Job(policy, kind) in jobs
        }
        for policy in config.policies
    }
    settings = plain({name: value for name, value in dataclasses.asdict(config).items() if name != "out"})
    report = {
        policy: {f"{kind}, {who}": s.plain() for (kind, who), s in views.items()} for policy, views in results.items()
    }
    about = settings | {"surroundings": surroundings(), "model components": runs.about["components"]}
    write_json(out / "report.json", plain({"policies": report, "settings": about}))
    write_page(
        out / "report.html", "How well do policies drive?", [*_parts(results, runs, certainties), settings_table(about)]
    )
    print(out / "report.html")
    return out


def jobs_of(config: EvaluatePolicyConfig, runs: PolicyRun) -> list[Job]:
    """Every policy in every world it can drive in.

    Raises:
        ValueError: no policy, or none of the worlds can be driven in.
    """
    if not config.policies:
        raise ValueError("policy: name at least one, as policy=idm-normal")
    kinds: list[Kind] = ["learned", "true"] if config.worlds == "both" else [config.worlds]
    if not _has_truth(runs):
        if config.worlds == "true":
            raise ValueError(f"worlds=true: scenario={config.scenario} has no true world behind it")
        kinds = ["learned"]
    jobs = [
        Job(name, kind)
        for name in config.policies
        for kind in kinds
        if kind == "true" or not open_policy(name, runs.tools).needs_truth
    ]
    if not jobs:
        raise ValueError(f"policy={config.policy}: oracle policies see the truth; give worlds=true or both")
    return jobs


def watch_of(runs: PolicyRun) -> FallWatch | None:
    """The drift watch of a run's own true drives; ``None`` where there are too few."""
    try:
        return FallWatch(runs.drives(Job(YARDSTICK, "true")))
    except ValueError:
        return None


class LiveTable:
    """Says, above the progress bar, how each drive went as it ends."""

    _WIDTHS = (28, 8, 24, 10, 9)

    def __init__(self) -> None:
        self._begun = False

    def show(self, job: Job, drive: KeptDrive) -> None:
        """One line of the table."""
        if not self._begun:
            self._begun = True
            tqdm.write(self._line(("policy", "world", "scenario", "composite", "metres", "failed")))
        score = drive.score(TRUTH if drive.has_truth else JUDGE)
        failed = " and ".join(word for word in ("collision", "off_road") if score[word])
        at = "" if math.isnan(score["failed_s"]) else f" at {score['failed_s']:.1f} s"
        words = f"{failed}{at}" if drive.is_done else drive.status
        cells = (
            job.policy,
            job.kind,
            drive.path.stem,
            f"{score['composite']:.2f}",
            f"{score['progress_m']:.0f}",
            words,
        )
        tqdm.write(self._line(cells))

    def _line(self, cells: Sequence[str]) -> str:
        return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, self._WIDTHS)) + f" {cells[-1]}"


def _has_truth(runs: PolicyRun) -> bool:
    from worldmodel.simulation.scenario import ReferenceContext

    return all(isinstance(scenario.context, ReferenceContext) for scenario in runs.scenarios.values())


def _parts(results: dict[str, dict[View, Scored]], runs: PolicyRun, certainties: Mapping[str, Certainty]) -> list[str]:
    parts = [
        "<p>Everything counts up to a drive's first failure. In the learned world the judge alone scores; in the true "
        "world the truth does, and the judge beside it, so that its own error is known. Intervals are 95 % over "
        "drives. A world <i>fell apart</i> when it left what true drives look like: trust such scores less.</p>",
        f"<p>{words(certainties)}</p>" if certainties else "",
    ]
    for view, title in TITLES.items():
        rows = {policy: views[view] for policy, views in results.items() if view in views}
        if rows:
            parts += [f"<h2>In the {title}</h2>", score_table(rows)]
    for policy, views in results.items():
        for view, scores in views.items():
            if view == ("true", JUDGE):
                continue
            parts += [f"<h2>{policy}: {TITLES[view]}</h2>", drive_table(scores)]
            kept = runs.drives(Job(policy, view[0]))
            kept = runs.drives(Job(policy, "learned" if view[0] == "learned" else "true"))
            drives = {drive.path.stem: drive for drive in kept}
            order = sorted(zip(scores.column("composite"), scores.names))
            for word, (composite, name) in {"worst": order[0], "best": order[-1]}.items():
                parts.append(film(drives[name].film, f"{word}: {name}, composite {composite:.2f}"))
    return parts
