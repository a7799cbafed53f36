"""``rollout.py mode=whatif``: branches of one moment, in the learned world and, where there is one, in the true world.

    <out>/branches.mp4            all branches; in each cell the learned one above the true one
    <out>/branches/<nr>_<name>    drives: sample_00 ... and true
    <out>/table.parquet, .csv     a row per branch and horizon: how far the learned branch is from the true one
    <out>/frames.parquet, .csv    a row per branch, world, sample and frame
    <out>/report.md               the table, and what could not be read

Shapes: S steps; T = S + 1 frames; B samples; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldmodel.evaluation.comparing import COLUMNS, Compared, compare, frame_rows, horizon_rows
from worldmodel.evaluation.film import write_film
from worldmodel.evaluation.scenario_runs import Job, ScenarioConfig, run_scenarios
from worldmodel.perception.reader import Reader
from worldmodel.simulation.branching import BranchDrive, count_steps, drive_branches
from worldmodel.simulation.courses import Course, lay_out
from worldmodel.simulation.documents import FieldError, find_document
from worldmodel.simulation.edits import Edits, open_edits
from worldmodel.simulation.keeping import keep_drive, keep_table, markdown
from worldmodel.simulation.overlay import tile, way_ahead
from worldmodel.simulation.policies.simple import Recorded
from worldmodel.simulation.profile import Profile
from worldmodel.simulation.rollout import begin
from worldmodel.simulation.sheet import grid
from worldmodel.simulation.staging import Staged, stage
from worldmodel.simulation.views import parse_views, write_views
from worldmodel.types import EgoMotion, FrameArray, Tags, World

#: Motion beyond the drive's end that a faster branch may need, as a share of the drive.
_FURTHER = 0.6
_COLUMNS_OF_FILM = 3
SUMMARY_COLUMNS = {
    "branches": "branches",
    "shared_share": "history shared",
    "horizon_s": "at, s",
    "unedited_path_m": "path off: unedited, m",
    "edited_path_m": "edited, m",
    "floor_m": "(true frames)",
    "unedited_gap_true_m": "gap: unedited, m",
    "widest_gap_true_m": "widest, m",
    "unedited_gap_read_m": "(read: unedited, m",
    "widest_gap_read_m": "widest, m)",
    "collisions_true": "true collisions",
}


@dataclasses.dataclass(frozen=True)
class WhatIfConfig(ScenarioConfig):
    """A what-if; the other fields are those of ``ScenarioConfig``.

    Attributes:
        edits: name in ``conf/edits``, a YAML file, or one line: branches parted by ``;``, the edits of one by ``+``.
        profile: who drives a scenario of tags alone, which has no motion of its own.
    """

    edits: str = "usual"
    profile: str = "winding"


def run(config: WhatIfConfig, *, opened: tuple[World, Mapping[str, Any]] | None = None) -> Path:
    """Drive the branches and return the folder.

    Raises:
        ValueError: as ``run_scenarios``, or edits that are wrong.
    """
    edits = open_edits(config.edits)

    def one(job: Job) -> Mapping[str, Any]:
        return what_if(job, config, edits)

    return run_scenarios(config, one, mode="whatif", columns=SUMMARY_COLUMNS, opened=opened)


def what_if(job: Job, config: WhatIfConfig, edits: Edits) -> dict[str, Any]:
    """Branch one scenario into the job's folder; returns its line of the table."""
    world, scenario = job.world, job.scenario
    further_s = _FURTHER * scenario.length_s + 2.0
    staged = stage(scenario, world.camera, dt_s=world.dt_s, policy=config.policy, further_s=further_s)
    base = staged.motion if staged.motion is not None else _of_profile(config.profile, world.dt_s, staged, further_s)
    with edits.locating():
        courses = lay_out(edits.branches, base, staged.steps, world.dt_s)
        for course, branch in zip(courses[1:], edits.branches):
            if course.policy and course.driver().needs_truth:
                message = f"policy {course.policy!r} sees the truth, which only the reference world has"
                raise FieldError((*branch.place, "edits"), message)
    seed, steps = config.seed_of(scenario), staged.steps
    contexts = [staged.context] * config.samples
    carry = begin(world, contexts, Recorded(base), batch=config.samples, seed=seed)
    total = count_steps(courses, steps) * (1 if staged.fork is None else 2)
    with tqdm(total=total, desc=scenario.name, unit="frame", leave=False) as bar:
        learned = drive_branches(world, carry, courses, steps=steps, tags=staged.tags, seed=seed, progress=bar.update)
        true = None
        if staged.fork is not None:
            fork = staged.fork
            fork.world.restore(fork.snapshot)
            true = drive_branches(
                fork.world, fork.carry, courses, steps=steps, tags=fork.tags, seed=seed, progress=bar.update
            )
    # Perception knows the reference world alone: of other footage it is not asked.
    reader = Reader.from_pretrained("judge") if config.read and true is not None else None
    branches = compare(learned, true, staged.camera, read=config.read, reader=reader)
    rows = horizon_rows(branches)
    keep_table(job.folder / "table.parquet", rows)
    keep_table(job.folder / "frames.parquet", frame_rows(branches))
    _keep(job, staged, branches)
    _film(job.folder, staged, branches)
    _report(job.folder / "report.md", staged, branches, rows, courses)
    for kind in parse_views(config.views):
        _views(job.folder, kind, branches)
    return _summary(branches, rows, courses, steps)


def _of_profile(name: str, dt_s: float, staged: Staged, further_s: float) -> EgoMotion:
    """The motion of a profile, for a drive that has none of its own."""
    plan = Profile.load(find_document("profiles", name)).plan(dt_s, staged.steps + round(further_s / dt_s))
    speed = (plan.speed_mps[:-1] + plan.speed_mps[1:]) / 2
    return EgoMotion(speed, speed * plan.curvature_1pm[1:])


def _summary(
    branches: Sequence[Compared], rows: Sequence[Mapping[str, Any]], courses: Sequence[Course], steps: int
) -> dict[str, Any]:
    last_s = rows[-1]["t_s"] if rows else None
    last = [row for row in rows if row["t_s"] == last_s]
    edited = [row["path_m"] for row in last[1:] if row["path_m"] is not None]
    gaps = [row["gap_true_m"] for row in last if row["gap_true_m"] is not None]
    return {
        "branches": len(branches) - 1,
        "shared_share": 1 - count_steps(courses, steps) / (steps * len(courses)),
        "horizon_s": last_s,
        "unedited_path_m": last[0]["path_m"] if last else None,
        "edited_path_m": float(np.mean(edited)) if edited else None,
        "floor_m": last[0]["floor_m"] if last else None,
        "unedited_gap_true_m": last[0]["gap_true_m"] if last else None,
        "widest_gap_true_m": max(gaps, default=None),
        "collisions_true": ", ".join(row["branch"] for row in last if row["collision_true"]) or None,
        "unedited_gap_read_m": last[0]["gap_read_m"] if last else None,
        "widest_gap_read_m": max((row["gap_read_m"] for row in last if row["gap_read_m"] is not None), default=None),
    }


def _report(
    path: Path,
    staged: Staged,
    branches: Sequence[Compared],
    rows: Sequence[Mapping[str, Any]],
    courses: Sequence[Course],
) -> None:
    dt_s = float(branches[0].learned.t_s[1])
    shared = 1 - count_steps(courses, staged.steps) / (staged.steps * len(courses))
    lines = [f"# What if: {staged.scenario.name}", "", f"{staged.steps * dt_s:g} s, {len(branches) - 1} branches."]
    lines += [f"{shared:.0%} of the steps were shared history and computed once.", ""]
    for course in courses[1:]:
        parts = "does not part" if course.first_step >= staged.steps else f"parts at {course.first_step * dt_s:.1f} s"
        lines.append(f"- {course.name}: {parts}")
    lines += ["", markdown(rows, COLUMNS)]
    against = "the true one" if branches[0].true is not None else "the one that was told"
    lines += [
        f"*path off*: between the path read from the learned frames and {against}; *(true frames)*: the same judge on",
        "true frames, the floor of that error; *(unedited)*: the same of the branch without edits.",
        "",
        "*gap* and *collision*: the truth, beside what the judge's perception reads from the learned frames; its gap",
        "on true frames is the floor of that. A gap that is read is the median of the frames around the moment. A dash",
        "is nobody ahead, or footage that perception does not know.",
    ]
    if not any(verdict.read_share > 0.5 for branch in branches for verdict in branch.verdicts):
        lines += ["", "Most steps of the learned frames could not be read: their paths are not known."]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _keep(job: Job, staged: Staged, branches: Sequence[Compared]) -> None:
    about = {**job.provenance, "start": dict(staged.about)}
    for index, branch in enumerate(branches):
        folder = job.folder / "branches" / _slug(index, branch.name)
        rows: list[tuple[str, BranchDrive, int]] = [
            (f"sample_{b:02d}", branch.learned, b) for b in range(branch.learned.frames.shape[1])
        ]
        if branch.true is not None:
            rows.append(("true", branch.true, 0))
        for name, drive, b in rows:
            keep_drive(
                folder / name,
                drive.frames[:, b],
                drive.t_s,
                drive.motion[:, b],
                Tags(staged.tags.codes, staged.tags.caption),
                {key: column[:, b] for key, column in drive.info.items()},
                camera=staged.camera,
                provenance={**about, "branch": branch.name, "row": b, **({"world": "true"} if name == "true" else {})},
            )


def _views(folder: Path, kind: str, branches: Sequence[Compared]) -> None:
    """A view of every branch, in its folder: the first sample and the true drive."""
    for index, branch in enumerate(branches):
        pictures, scalars = {"learned": branch.learned.frames[:, 0]}, {"ssim": branch.ssim[:, 0]}
        if branch.true is not None:
            pictures["true"] = branch.true.frames[:, 0]
        if (gap := branch.truth("gap_m")) is not None:
            scalars["true/gap_m"] = gap
        for name, verdict in (("learned", next(iter(branch.verdicts), None)), ("true", branch.true_verdict)):
            if verdict is not None:
                scalars |= {f"read/{name}/{column}": values for column, values in verdict.columns().items()}
        path = folder / "branches" / _slug(index, branch.name) / f"branch.{kind}"
        write_views(kind, path, branch.learned.t_s, pictures, branch.learned.motion[:, 0], scalars)


def _film(folder: Path, staged: Staged, branches: Sequence[Compared]) -> None:
    """All branches in one grid, and a sheet of three moments of it."""
    fps = 1 / float(branches[0].learned.t_s[1])
    on_sheet = {round(share * staged.steps) for share in (0.33, 0.67, 1)}
    pictures = (
        grid([_cell(staged, branch, t) for branch in branches], columns=_COLUMNS_OF_FILM)
        for t in range(staged.steps + 1)
    )
    write_film(folder / "branches.mp4", pictures, fps=fps, on_sheet=on_sheet)


def _cell(staged: Staged, branch: Compared, t: int) -> FrameArray:
    sides = [("learned", branch.learned)] + ([("true", branch.true)] if branch.true is not None else [])
    tiles = []
    for world, drive in sides:
        motion, dt_s = drive.motion[:, 0], float(drive.t_s[1])
        gap = branch.truth("gap_m")
        note = f"gap {gap[t]:.1f} m" if world == "true" and gap is not None and np.isfinite(gap[t]) else world
        told = motion[t] if t < staged.steps else motion[t - 1]
        title = branch.name if world == "learned" else "true"
        way = way_ahead(motion, t, dt_s)
        frame = drive.frames[t, 0]
        tiles.append(tile(frame, staged.camera, title, t_s=float(drive.t_s[t]), told=told, way=way, note=note))
    return np.concatenate(tiles)


def _slug(index: int, name: str) -> str:
    return f"{index:02d}_" + re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
