"""``mode=evaluate``: how true is what a model makes? Held-out drives, continued, read, scored and reported.

Every drive is made and read once and kept; a run that was interrupted goes on with the next one, and scores are made
anew from what is kept. ``held_out`` has the drives, ``making`` goes on with them and reads what came of it;
``obedience``, ``probes``, ``drift``, ``objects``, ``likeness``, ``copies`` and ``surprise`` score, ``report`` shows.

Shapes: T frames.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

import numpy as np

from worldmodel.evaluation.copies import copy_score
from worldmodel.evaluation.drift import drift_score, tag_score
from worldmodel.evaluation.hands import Hands
from worldmodel.evaluation.held_out import Source
from worldmodel.evaluation.library import Library, TrainingDrive, begin, gather, training_drives
from worldmodel.evaluation.likeness import diversity_score, psnr_score
from worldmodel.evaluation.making import MADE_BY, PAIR, Work, make_apart, make_here
from worldmodel.evaluation.obedience import motion_score, path_score, score_of
from worldmodel.evaluation.objects import objects_score
from worldmodel.evaluation.pairs import Pair
from worldmodel.evaluation.probes import probe_score
from worldmodel.evaluation.published import Published, published_scores
from worldmodel.evaluation.report import copies_sheet, write_report
from worldmodel.evaluation.scenario_runs import made_by_another
from worldmodel.evaluation.surprise import surprise_score
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.nn.component import content_hash
from worldmodel.perception.reader import Reader
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.session import Session
from worldmodel.simulation.watch import band_for
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings


@dataclasses.dataclass(frozen=True)
class Profile:
    """How much is asked.

    Attributes:
        drives, length_s: seconds of each.
        probed: how many are told other motion too, and are continued under further seeds for ``samples_s``.
        library: frames of the training set.
    """

    drives: int
    length_s: float
    probed: int
    samples_s: float
    library: int


PROFILES = {
    "quick": Profile(8, 20.0, 4, 5.0, 1200),
    "standard": Profile(64, 60.0, 16, 10.0, 12_000),
    "long": Profile(16, 360.0, 8, 10.0, 12_000),
}


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(WorldConfig):
    """What to evaluate; the fields of ``WorldConfig`` say in which world, ``model`` may name several, parted by commas.

    Attributes:
        data: ``reference`` for held-out drives of the reference world, or a prepared set, of which the drives held out
            of training are taken.
        tags: kept fixed in the reference world, as ``weather=clear,traffic=none``.
        profile: ``quick`` 8 drives of 20 s, ``standard`` 64 of 60 s, ``long`` 16 of 360 s.
        drives, length_s: instead of the profile's.
        probed: drives that are told other motion too and continued under further seeds, instead of the profile's.
        context_s: seconds of true frames before a drive.
        copies: look for copies of training frames, which are rendered again for it.
        library: how many training frames, instead of the profile's.
        trained_on: prepared sets the model was trained on, parted by commas; of the reference world its record says.
        fid_weights, fvd_weights, lpips_weights: TorchScript files of the published networks (``published``).
        processes: that render and read beside the one that drives; 0 for one a core, 1 for none.
        out: folder; it goes on where it was.
    """

    data: str = "reference"
    tags: str = ""
    profile: Literal["quick", "standard", "long"] = "quick"
    drives: int | None = None
    length_s: float | None = None
    probed: int | None = None
    context_s: float = 3.2
    copies: bool = True
    library: int | None = None
    trained_on: str = ""
    fid_weights: str = ""
    fvd_weights: str = ""
    lpips_weights: str = ""
    processes: int = 0
    out: str = "outputs/evaluate"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("drives", 1), ("probed", 0), ("library", 1), ("processes", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: expected a number from {least}, got {value}")
        if self.length_s is not None and not self.length_s >= 2:
            raise ValueError(f"length_s: expected at least 2 s, got {self.length_s}")
        if not self.context_s > 0:
            raise ValueError(f"context_s: expected seconds above 0, got {self.context_s}")

    @property
    def extent(self) -> Profile:
        """How much is asked for, all things considered."""
        given = {name: getattr(self, name) for name in ("drives", "length_s", "probed", "library")}
        asked = dataclasses.replace(PROFILES[self.profile], **{k: v for k, v in given.items() if v is not None})
        return dataclasses.replace(asked, probed=min(asked.probed, asked.drives))

    @property
    def published(self) -> Published:
        """The published networks that were named."""
        return Published(self.fid_weights, self.fvd_weights, self.lpips_weights)


def run(config: EvaluateConfig, *, reader: Reader | None = None) -> Path:
    """Make, read and score the drives of every model named; returns the folder with ``report.json`` and ``.html``.

    Raises:
        ValueError: no such model or data, too few held-out drives, or results of another model in ``out``.
    """
    out, reader = Path(config.out), reader or Reader.from_pretrained("judge")
    out.mkdir(parents=True, exist_ok=True)
    with Hands(config.processes) as hands:
        results = {Path(name).name: _evaluate(config, name, out, reader, hands) for name in config.model.split(",")}
    settings = plain({name: value for name, value in dataclasses.asdict(config).items() if name != "out"})
    write_report(out, results, settings | {"surroundings": surroundings()})
    print(out / "report.html")
    return out


def _evaluate(config: EvaluateConfig, model: str, out: Path, reader: Reader, hands: Hands) -> dict[str, Any]:
    """All scores of one model, and what it is made of."""
    world, about = open_world(dataclasses.replace(config, model=model))
    assert isinstance(world, Session)
    folder = out / Path(model).name
    trained: list[TrainingDrive] = []
    if config.copies:
        trained = training_drives(world.model, world.camera, config.trained_on, config.extent.library)
    judge = content_hash(reader.network)
    # Features of another judge are other features.
    training, jobs = folder / f"training_{judge[:8]}", list[Future[None]]()
    pairs = _pairs(
        config, world, about | {"judge": judge}, reader, folder, hands,
        meanwhile=lambda: jobs.extend(begin(trained, training, reader, hands)),
    )  # fmt: skip
    library = gather(trained, training, jobs)
    scores = scores_of(pairs, library, band_for(world.camera))
    if library is not None:
        copies_sheet(folder, scores["near_copy"], library)
    if hashes := config.published.hashes():
        scores["published"] = published_scores(pairs, hashes)
    scores["drift"]["frechet_features"] = f"of the judge {judge[:12]}, in the directions true frames vary most in"
    return plain(scores) | {"about": plain(about | {"judge": judge})}


def scores_of(pairs: Sequence[Pair], library: Library | None, band: TaggedBand | None) -> dict[str, Any]:
    """All scores of some pairs, by the keys of a report; what cannot be said has no value and says why."""

    def nothing(why: str) -> dict[str, Any]:
        return score_of(np.array([]), np.array([]), {}) | {"why": why}

    unaudited = "nobody knows what the model was trained on; name the prepared sets with trained_on="
    return {
        "speed": motion_score(pairs, "speed") | probe_score(pairs, "speed"),
        "yaw": motion_score(pairs, "yaw") | probe_score(pairs, "yaw"),
        "path": path_score(pairs),
        "drift": drift_score(pairs) | ({} if band is None else {"tags": tag_score(pairs, band)}),
        "objects": objects_score(pairs),
        "near_copy": nothing(unaudited) if library is None else copy_score(pairs, library),
        "psnr": psnr_score(pairs),
        "surprise": surprise_score(pairs),
        "diversity": diversity_score(pairs),
    }


def _pairs(
    config: EvaluateConfig,
    world: Session,
    about: Mapping[str, Any],
    reader: Reader,
    folder: Path,
    hands: Hands,
    meanwhile: Callable[[], None],
) -> list[Pair]:
    """Make and read what is missing; ``meanwhile`` hands out work that can wait for the first drives."""
    extent = config.extent
    context, steps = max(2, round(config.context_s / world.dt_s)), round(extent.length_s / world.dt_s)
    source = Source(config.data, config.tags, world.camera, context + steps, context)
    source.check(extent.drives)
    model = {name: about[name] for name in ("components", "sampler", "judge")}
    made_by = [plain(model | {"settings": _identity(config, number)}) for number in range(extent.drives)]
    work = Work(source, folder, reader, config.published, extent.probed, extent.samples_s, tuple(made_by))
    for number, own in enumerate(made_by):
        if work.is_done(number):
            _refuse_others(work.place(number), own)
    if hands.apart and world.device.type == "cpu":
        make_apart(work, config, hands, meanwhile)
    else:
        make_here(work, world, hands, meanwhile)
    return [Pair.load(work.place(number) / PAIR) for number in range(extent.drives)]


def _identity(config: EvaluateConfig, number: int) -> dict[str, Any]:
    """What a drive depends on, beside the model and its sampler."""
    extent, names = config.extent, ("data", "tags", "context_s", "precision")
    asked = {"length_s": extent.length_s, "sampled_s": extent.samples_s if number < extent.probed else 0.0}
    return {name: getattr(config, name) for name in names} | asked | {"published": config.published.hashes()}


def _refuse_others(place: Path, made_by: Mapping[str, Any]) -> None:
    found = json.loads((place / MADE_BY).read_text(encoding="utf-8"))
    if changed := made_by_another(found, made_by):
        raise ValueError(f"{place}: made by another model ({changed}); choose another out=")
    if found != made_by:
        if found.get("judge") != made_by["judge"]:
            raise ValueError(f"{place}: read by another judge; choose another out=")
        raise ValueError(
            f"{place}: made with other settings {found['settings'] | found['sampler']}; choose another out="
        )
