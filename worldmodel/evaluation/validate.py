"""``mode=validate``: the same policies through the same scenarios in both worlds, and how well the two rank them alike.

Resumable at the drive; shards under ``torchrun``. What is missing of the imitation networks among the policies is
trained first. ``validity`` has the numbers, ``policy_drives`` the drives.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any, Literal

from worldmodel.evaluation.certainty import cross_chosen, words
from worldmodel.evaluation.evaluate_policy import LiveTable, watch_of
from worldmodel.evaluation.keeping_drives import JUDGE
from worldmodel.evaluation.policy_drives import YARDSTICK, Job, PolicyRun, PolicyRunConfig
from worldmodel.evaluation.policy_report import (
    TITLES,
    film,
    number,
    scatter,
    score_table,
    settings_table,
    table,
    write_page,
)
from worldmodel.evaluation.policy_scores import VIEWS, Scored, View, scored
from worldmodel.evaluation.validity import (
    COMPARISONS,
    Inversion,
    Results,
    of_policies,
    shared,
    summary,
    worst_inversions,
)
from worldmodel.metrics.driving import SCORES
from worldmodel.metrics.intervals import Interval
from worldmodel.simulation.imitating import train
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.policies import imitation
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.trials import DRAWN, Kind
from worldmodel.simulation.worlds import surroundings

_QUICK = (
    "constant", "random", "recorded", "lane-keeper", "idm-timid", "idm-normal", "idm-normal+delay=0.6",
    "idm-normal+gain=2",
)  # fmt: skip
_FULL = (
    "constant", "random", "recorded", "scripted:winding", "lane-keeper", "pursuit", "idm-timid", "idm-normal",
    "idm-aggressive", "idm-normal+gain=0.5", "idm-normal+gain=2", "idm-normal+delay=0.3", "idm-normal+delay=0.6",
    "idm-normal+noise=2", "mpc", "imitation-small", "imitation-medium", "imitation-large",
)  # fmt: skip
#: Policies, scenarios, seconds of each.
PROFILES = {"quick": (_QUICK, 8, 20.0), "full": (_FULL, 32, 60.0)}
_SHOWN_INVERSIONS = 3
_WORDS = {
    "validity": "the claim: the learned world, scored by the judge, against the truth of the true world",
    "perception": "perception's share: the true world by the judge, against its truth",
    "model": "the model's share: the learned world against the true world, both by the judge",
}


@dataclasses.dataclass(frozen=True)
class ValidateConfig(PolicyRunConfig):
    """Which policies, and the scenarios of ``PolicyRunConfig``.

    Attributes:
        profile: ``quick`` 8 policies in 8 scenarios of 20 s, ``full`` 18 in 32 of 60 s.
        policies: instead of the profile's, parted by commas; at least three.
        out: folder; it goes on where it was.
    """

    profile: Literal["quick", "full"] = "quick"
    policies: str = ""
    out: str = "outputs/validate"

    @property
    def names(self) -> list[str]:
        """Of the policies."""
        named = [name.strip() for name in self.policies.split(",") if name.strip()]
        return named or list(PROFILES[self.profile][0])


def run(config: ValidateConfig) -> Path:
    """Drive what is missing and report; returns the folder with ``validity.json`` and ``report.html``.

    Raises:
        ValueError: fewer than three policies or two scenarios, one that is not there, or results of others in ``out``.
    """
    if len(config.names) < 3:
        raise ValueError(f"policies={config.policies}: ranks need at least three policies")
    out = Path(config.out)
    _, count, length_s = PROFILES[config.profile]
    runs = PolicyRun(config, out, count=count, length_s=length_s if config.scenario == DRAWN else None)
    if len(runs.scenarios) < 2:
        raise ValueError(
            f"scenario={config.scenario}: intervals need at least two scenarios, got {len(runs.scenarios)}"
        )
    kinds: tuple[Kind, ...] = ("true", "learned")
    _train_imitators(config.names, is_first=runs.rank == 0)
    jobs = [Job(YARDSTICK, "true"), *(Job(name, kind) for name in config.names for kind in kinds)]
    runs.run(jobs, done=LiveTable().show)
    if runs.rank:
        return out
    watch = watch_of(runs)
    certainties = cross_chosen([drive for job in jobs if job.kind == "true" for drive in runs.drives(job)])
    every: dict[str, dict[View, Scored]] = {
        name: {(kind, who): scored(runs.drives(Job(name, kind)), who, watch, certainties) for kind, who in VIEWS}
        for name in config.names
    }
    yardstick = scored(runs.drives(Job(YARDSTICK, "true")), "truth", watch)
    results = shared(every)
    settings = plain({name: value for name, value in dataclasses.asdict(config).items() if name != "out"})
    about = settings | {"surroundings": surroundings(), "model components": runs.about["components"]}
    inversions = worst_inversions(results, count=_SHOWN_INVERSIONS)
    found = summary(results) | {
        "inversions": [dataclasses.asdict(inversion) for inversion in inversions],
        "policies": {n: {f"{k}, {w}": s.plain() for (k, w), s in views.items()} for n, views in results.items()},
        "certainties": {name: dataclasses.asdict(certainty) for name, certainty in certainties.items()},
        "yardstick": yardstick.plain(),
        "settings": about,
    }
    write_json(out / "validity.json", plain(found))
    parts = [
        *_words(results, found),
        f"<p>{words(certainties)}</p>",
        *_tables(results, found),
        *_plots(results),
        *_films(runs, results, inversions),
    ]
    write_page(out / "report.html", "Do policies rank alike in both worlds?", [*parts, settings_table(about)])
    print(out / "report.html")
    return out


def _train_imitators(names: list[str], *, is_first: bool) -> None:
    """Train the imitation networks that are named and not there; other processes wait for the first."""
    for budget in (name.split("+")[0].removeprefix("imitation-") for name in names if name.startswith("imitation-")):
        path = imitation.FOLDER / budget / imitation.FILE
        if budget not in imitation.BUDGETS or path.is_file():
            continue
        if is_first:
            drives, steps = imitation.BUDGETS[budget]
            train(path.parent, drives=drives, steps=steps)
        while not path.is_file():
            time.sleep(2.0)


def _words(results: Results, found: dict[str, Any]) -> list[str]:
    some = next(iter(results.values()))[("learned", JUDGE)]
    parts = [
        f"<p>{len(results)} policies, {len(some.names)} scenarios, each from the same start in both worlds. A policy "
        "sees frames and its own speed, through the driver's perception; the judge's alone scores the learned world. "
        "Intervals are 95 %, scenarios drawn again. MMRV is the mean over policies of their worst inversion, weighted "
        "by the true gap (SIMPLER, arXiv 2405.05941), in the score's own unit: 0 is best.</p>"
    ]
    lines = [["score", "measure", "wanted", "reached", ""]]
    for target in found["targets"]:
        sign, value = ("≤" if target["measure"] == "mmrv" else "≥"), target["value"]
        shown = "-" if value is None else f"{value:.3f}"
        verdict = "met" if target["is_met"] else "not met"
        lines.append([SCORES[target["score"]][0], target["measure"], f"{sign} {target['wanted']}", shown, verdict])
    return [*parts, table(lines)]


def _tables(results: Results, found: dict[str, Any]) -> list[str]:
    parts = []
    for comparison in COMPARISONS:
        lines = [["", "Pearson", "Spearman", "MMRV"]]
        for score, (label, _) in SCORES.items():
            agreed = found["agreement"][comparison][score]
            measures = ("pearson", "spearman", "mmrv")
            cells = ["-"] * 3 if agreed is None else [number(Interval(**agreed[measure])) for measure in measures]
            lines.append([label, *cells])
        parts += [f"<h2>{_WORDS[comparison][0].upper()}{_WORDS[comparison][1:]}</h2>", table(lines)]
    for view, title in TITLES.items():
        parts += [
            f"<h2>Scores in the {title}</h2>",
            score_table({name: views[view] for name, views in results.items()}),
        ]
    return parts


def _plots(results: Results) -> list[str]:
    parts, names = ["<h2>Policy by policy</h2>"], list(results)
    for score in (
        "composite",
        "collision",
        "off_road",
        "progress_m",
        "time_to_collision",
        "lane_deviation_m",
        "comfort",
    ):
        learned, true = (of_policies(results, score, view) for view in COMPARISONS["validity"])
        label = SCORES[score][0]
        parts.append(scatter(true, learned, names, title=label, x_label="true world", y_label="learned world"))
    return parts


def _films(runs: PolicyRun, results: Results, inversions: list[Inversion]) -> list[str]:
    if not inversions:
        return ["<h2>The worst inversions</h2><p>None: both worlds rank the policies alike.</p>"]
    parts = ["<h2>The worst inversions</h2>"]
    for inversion in inversions:
        words = f"{inversion.better} is better than {inversion.worse} by {inversion.cost:.3f} in the true world alone"
        parts.append(f"<h3>{words}; scenario {inversion.scenario}</h3>")
        for policy in (inversion.better, inversion.worse):
            for kind, who in VIEWS[1::-1]:
                scores = results[policy][(kind, who)]
                composite = scores.scores[scores.names.index(inversion.scenario)]["composite"]
                path = runs.path(Job(policy, kind), inversion.scenario).with_suffix(".mp4")
                caption = f"{policy}, {kind} world, composite {composite:.2f}"
                parts.append(film(path if path.is_file() else None, caption))
    return parts
