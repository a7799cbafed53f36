"""One scenario, or a folder of them, through one mode: where results land, what is there already, one table at the end.

A folder of scenarios is resumable: the same command goes on with what is missing, remakes what was made with other
settings, and refuses to mix results of two models. Knows files and identities, nothing of what a mode does.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from worldmodel.simulation.keeping import keep_table, markdown, plain
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.recorder import PROVENANCE, write_json
from worldmodel.simulation.scenario import LIBRARY, ScenarioFile, find_scenarios
from worldmodel.simulation.views import parse_views
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings
from worldmodel.types import World

SUMMARY = "summary.json"


@dataclasses.dataclass(frozen=True)
class ScenarioConfig(WorldConfig):
    """What every mode that runs scenarios needs; the fields of ``WorldConfig`` say in which world.

    Attributes:
        scenario: name in ``conf/scenarios``, a YAML file, a folder of them, or ``library``.
        out: folder; empty for ``outputs/<mode>``, numbered where that is taken; of a folder of scenarios
            ``outputs/<mode>_<folder>``, which goes on where it was.
        overwrite: replace what is complete at ``out``.
        seed: of the first sample; ``None`` takes the scenario's.
        samples: drawn of each drive.
        policy: who drives a scenario on the reference world; empty for the keeper, who knows the truth.
        read: read speed, turning and lanes back from the frames.
        views: of ``rrd`` and ``mcap``, which need the ``viz`` extra.
    """

    scenario: str = ""
    out: str = ""
    overwrite: bool = False
    seed: int | None = None
    samples: int = 1
    policy: str = ""
    read: bool = True
    views: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples < 1:
            raise ValueError(f"samples: expected a number from 1, got {self.samples}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed: expected a number from 0, got {self.seed}")
        parse_views(self.views)

    def seed_of(self, scenario: ScenarioFile) -> int:
        """The seed of a scenario's first sample."""
        return scenario.seed if self.seed is None else self.seed


@dataclasses.dataclass(frozen=True)
class Job:
    """One scenario to run: ``folder`` is where to write, ``provenance`` what to keep of how it was made."""

    scenario: ScenarioFile
    world: World
    folder: Path
    provenance: Mapping[str, Any]


#: A mode: writes a job's files and returns its line of the table.
One = Callable[[Job], Mapping[str, Any]]


def run_scenarios(
    config: ScenarioConfig,
    one: One,
    *,
    mode: str,
    columns: Mapping[str, str],
    opened: tuple[World, Mapping[str, Any]] | None = None,
) -> Path:
    """Run what ``config.scenario`` names and return the folder.

    Args:
        config: of the run.
        one: the mode.
        mode: its name.
        columns: of the table of a folder: keys of a line and their headings.
        opened: a world and the provenance that describes it; by default the configured model's.

    Raises:
        ValueError: scenarios that are wrong (none is run then), results of another model at ``out``, or scenarios
            that failed (after the others were run).
    """
    scenarios = [ScenarioFile.load(path) for path in find_scenarios(config.scenario)]
    world, about = opened or open_world(config)
    if config.scenario == LIBRARY or Path(config.scenario).is_dir():
        name = LIBRARY if config.scenario == LIBRARY else Path(config.scenario).resolve().name
        out = Path(config.out or f"outputs/{mode}_{name}")
        return _run_folder(config, one, scenarios, world, about, out, mode, columns)
    with landing(config.out, default=f"outputs/{mode}", overwrite=config.overwrite) as (partial, final):
        _run_one(config, one, scenarios[0], world, about, partial, mode)
    print(final)
    return final


def made_by_another(provenance: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """In a few words, which component of the model that made something is another one; empty where it is the same."""
    then, now = provenance.get("components", {}), about.get("components", {})
    return ", ".join(
        f"{name} {str(then.get(name, 'none'))[:8]}, now {str(now.get(name, 'none'))[:8]}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    )


def _identity(config: ScenarioConfig, scenario: ScenarioFile, about: Mapping[str, Any]) -> dict[str, Any]:
    """What results depend on, beside the model's components."""
    options = dataclasses.asdict(config)
    for name in ("out", "overwrite", "scenario", "seed", "model", "device", "threads"):
        del options[name]
    options |= {"seed": config.seed_of(scenario), "device": about.get("device")}
    return plain({"scenario": scenario.content_hash, "options": options})


def _run_one(
    config: ScenarioConfig,
    one: One,
    scenario: ScenarioFile,
    world: World,
    about: Mapping[str, Any],
    partial: Path,
    mode: str,
) -> dict[str, Any]:
    provenance = {
        **about,
        **surroundings(),
        "mode": mode,
        "scenario": scenario.name,
        "identity": _identity(config, scenario, about),
        "seed": config.seed_of(scenario),
        "dt_s": world.dt_s,
        "options": dataclasses.asdict(config),
    }
    line = {"scenario": scenario.name, **plain(one(Job(scenario, world, partial, provenance)))}
    write_json(partial / SUMMARY, line)
    write_json(partial / PROVENANCE, provenance | {"complete": True})
    return line


def _run_folder(
    config: ScenarioConfig,
    one: One,
    scenarios: Sequence[ScenarioFile],
    world: World,
    about: Mapping[str, Any],
    out: Path,
    mode: str,
    columns: Mapping[str, str],
) -> Path:
    finals = {_stem(scenario): out / _stem(scenario) for scenario in scenarios}
    there = {stem: _provenance(final) for stem, final in finals.items()}
    others = {stem: made_by_another(kept, about) for stem, kept in there.items() if kept is not None}
    if any(others.values()) and not config.overwrite:
        count, what = sum(map(bool, others.values())), next(filter(None, others.values()))
        raise ValueError(
            f"out={out}: {count} of {len(scenarios)} scenarios there were made by another model ({what}); "
            "choose another folder or add overwrite=true"
        )
    lines, failed = [], []
    for scenario in tqdm(scenarios, mode, unit="scenario"):
        final, kept = finals[_stem(scenario)], there[_stem(scenario)]
        if kept is not None and not config.overwrite and kept.get("identity") == _identity(config, scenario, about):
            lines.append(json.loads((final / SUMMARY).read_text(encoding="utf-8")))
            continue
        try:
            with landing(str(final), default="", overwrite=True) as (partial, _):
                lines.append(_run_one(config, one, scenario, world, about, partial, mode))
        except ValueError as error:
            failed.append((scenario.name, str(error)))
        _table(out, lines, failed, mode, columns, about)
    _table(out, lines, failed, mode, columns, about)
    print(f"{out}: {len(lines)} of {len(scenarios)} scenarios; the table is {out / 'summary.md'}")
    if failed:
        raise ValueError(f"{len(failed)} of {len(scenarios)} scenarios failed; the first: {failed[0][1]}")
    return out


def _stem(scenario: ScenarioFile) -> str:
    assert scenario.document is not None
    return scenario.document.path.stem


def _provenance(final: Path) -> dict[str, Any] | None:
    """Of a complete result, or ``None``."""
    if not (final / PROVENANCE).is_file() or not (final / SUMMARY).is_file():
        return None
    return json.loads((final / PROVENANCE).read_text(encoding="utf-8"))


def _table(
    out: Path,
    lines: Sequence[Mapping[str, Any]],
    failed: Sequence[tuple[str, str]],
    mode: str,
    columns: Mapping[str, str],
    about: Mapping[str, Any],
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    shown = {"scenario": "scenario", **columns}
    keep_table(out / "summary.parquet", [{name: line.get(name) for name in shown} for line in lines])
    model = ", ".join(f"{name} {str(value)[:8]}" for name, value in about.get("components", {}).items())
    text = f"# {mode}: {len(lines)} scenarios\n\nModel: {about.get('model', '')} ({model})\n\n"
    text += markdown(lines, shown)
    if failed:
        text += "\nFailed:\n\n" + "".join(f"- {name}: {error}\n" for name, error in failed)
    temporary = out / "summary.md.tmp"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, out / "summary.md")
