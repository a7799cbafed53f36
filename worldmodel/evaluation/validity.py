"""Do policies rank in the learned world as they rank in the true one? Numbers from scored drives; no drives, no pages.

Three comparisons take the whole apart: the learned world by the judge against the truth (the claim), the true world by
the judge against the truth (perception's share), and the learned world against the true one, both by the judge (the
model's share).

Shapes: P policies; N scenarios, the same in both worlds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worldmodel.evaluation.keeping_drives import JUDGE, TRUTH
from worldmodel.evaluation.policy_scores import Scored, View
from worldmodel.metrics.driving import PER_KM, SCORES
from worldmodel.metrics.ranks import Agreement, agreement, rank_violations
from worldmodel.types import FloatArray

#: Comparisons: what is compared with what is taken for true.
COMPARISONS: dict[str, tuple[View, View]] = {
    "validity": (("learned", JUDGE), ("true", TRUTH)),
    "perception": (("true", JUDGE), ("true", TRUTH)),
    "model": (("learned", JUDGE), ("true", JUDGE)),
}
#: What is aimed at: at least, or for MMRV at most.
TARGETS = {
    "composite": {"pearson": 0.95, "spearman": 0.95, "mmrv": 0.03},
    "collision": {"pearson": 0.9, "spearman": 0.9},
    "off_road": {"pearson": 0.9, "spearman": 0.9},
}

Results = Mapping[str, Mapping[View, Scored]]


@dataclasses.dataclass(frozen=True)
class Inversion:
    """Two policies that the worlds rank differently, and the scenario that shows it most.

    Attributes:
        better, worse: in the true world.
        cost: their true gap.
        scenario: where the worlds disagree most about the two.
    """

    better: str
    worse: str
    cost: float
    scenario: str


def shared(results: Results) -> dict[str, dict[View, Scored]]:
    """Policies that drove in both worlds, with the drives that every one of them has."""
    both = {name: dict(views) for name, views in results.items() if {k for k, _ in views} == {"learned", "true"}}
    names = [set(scores.names) for views in both.values() for scores in views.values()]
    common = sorted(set.intersection(*names)) if names else []
    return {policy: {v: _only(s, common) for v, s in views.items()} for policy, views in both.items()}


def agree(results: Results, score: str, comparison: str, *, draws: int = 1000) -> Agreement | None:
    """Agreement of one score over policies; ``None`` where too few drives or policies know it."""
    view, other = COMPARISONS[comparison]
    values, truth = (_matrix(results, score, v) for v in (view, other))
    km, km_true = (_matrix(results, "driven_km", v) for v in (view, other))
    known = np.isfinite(values).all(axis=0) & np.isfinite(truth).all(axis=0)
    if len(values) < 3 or known.sum() < 2:
        return None
    per = (km[:, known], km_true[:, known]) if score in PER_KM else None
    return agreement(values[:, known], truth[:, known], per=per, draws=draws)


def of_policies(results: Results, score: str, view: View) -> FloatArray:
    """``(P,)`` a score of every policy: a mean over drives, or a rate per km."""
    values = [scores[view].intervals()[score].value for scores in results.values()]
    return np.array(values, dtype=np.float64)


def worst_inversions(results: Results, *, count: int, score: str = "composite") -> list[Inversion]:
    """The pairs of policies whose inversion costs most, worst first; none where both worlds rank them alike."""
    view, other = COMPARISONS["validity"]
    names = list(results)
    values, truth = (_matrix(results, score, v) for v in (view, other))
    costs = np.triu(rank_violations(values.mean(axis=1), truth.mean(axis=1)))
    found = []
    for flat in np.argsort(costs, axis=None)[::-1][:count]:
        i, j = np.unravel_index(flat, costs.shape)
        if costs[i, j] <= 0:
            break
        better, worse = (i, j) if truth[i].mean() >= truth[j].mean() else (j, i)
        disagreement = (values[worse] - values[better]) - (truth[worse] - truth[better])
        some = next(iter(results.values()))[view]
        scenario = some.names[int(disagreement.argmax())]
        found.append(Inversion(names[better], names[worse], float(costs[i, j]), scenario))
    return found


def summary(results: Results, *, draws: int = 1000) -> dict[str, Any]:
    """All of it, plain: every comparison's agreement of every score, and whether the targets are met."""
    table: dict[str, Any] = {}
    for comparison in COMPARISONS:
        table[comparison] = {}
        for score in SCORES:
            agreed = agree(results, score, comparison, draws=draws)
            table[comparison][score] = None if agreed is None else dataclasses.asdict(agreed)
    return {"agreement": table, "targets": targets(table["validity"])}


def targets(agreed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each target with what was reached."""
    lines = []
    for score, wanted in TARGETS.items():
        for measure, bound in wanted.items():
            value = None if agreed[score] is None else agreed[score][measure]["value"]
            reached = np.nan if value is None else float(value)
            is_met = bool(reached <= bound if measure == "mmrv" else reached >= bound)
            lines.append({"score": score, "measure": measure, "wanted": bound, "value": value, "is_met": is_met})
    return lines


def _matrix(results: Results, score: str, view: View) -> FloatArray:
    return np.stack([scores[view].column(score) for scores in results.values()])


def _only(scores: Scored, names: Sequence[str]) -> Scored:
    at = [scores.names.index(name) for name in names]
    return Scored(
        [scores.scores[i] for i in at],
        [scores.broke_down[i] for i in at],
        [scores.falls[i] for i in at] if scores.falls else [],
        list(names),
    )
