"""Held-out drives are made and read, each once: by a world here and readers beside it, or by workers with worlds.

On an accelerator drives run as rows of one batch in this process, while workers render and read. On CPUs a batch gains
little, so every worker makes drives of its own from beginning to end and no core waits for another. Either way each
drive is kept as soon as it is read, and what is kept is not made again. Knows how a drive becomes a ``Pair``, nothing
of scores.

Shapes: T frames; S frames of a sample; N samples of a drive.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from worldmodel.evaluation.driving import Made, frames_of, make_group
from worldmodel.evaluation.hands import Hands
from worldmodel.evaluation.held_out import Source, Truth, read_probe, read_truth
from worldmodel.evaluation.pairs import MEASURES, Pair, alike_at, frames_at, paired, read_side
from worldmodel.evaluation.published import Published
from worldmodel.evaluation.report import film_of
from worldmodel.metrics.neighbours import thumbnails
from worldmodel.perception.reader import Reader
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.session import Session
from worldmodel.simulation.watch import moments_of, read_moment
from worldmodel.simulation.worlds import WorldConfig, open_world
from worldmodel.types import FrameArray

#: Of a drive's folder: what was read, which is written last, and what it depends on.
PAIR, MADE_BY = "pair.npz", "made_by.json"
#: Frames of held-out drives that are in memory at once, and rows of a batch here and in a worker.
_FRAMES_AT_ONCE, _ROWS_HERE, _ROWS_APART = 4800, 32, 2


@dataclasses.dataclass(frozen=True)
class Work:
    """What is to be made of one model.

    Attributes:
        source: of the held-out drives.
        folder: of the model; a drive's is in it.
        reader: the judge.
        published: networks whose features are kept.
        probed: how many drives, from the first on, are told other motion too and continued under further seeds.
        samples_s: for how long those are.
        made_by: for each drive, what it depends on.
    """

    source: Source
    folder: Path
    reader: Reader
    published: Published
    probed: int
    samples_s: float
    made_by: tuple[Mapping[str, Any], ...]

    def place(self, number: int) -> Path:
        """Folder of a drive."""
        return self.folder / f"drive_{number:03d}"

    def is_done(self, number: int) -> bool:
        """Whether a drive is complete."""
        return (self.place(number) / PAIR).is_file()

    def groups(self, rows: int) -> list[list[int]]:
        """Drives that are missing, in groups to be made at once."""
        missing = [number for number in range(len(self.made_by)) if not self.is_done(number)]
        return list(_runs(missing, max(1, min(rows, _FRAMES_AT_ONCE // self.source.frames))))

    def frames(self, number: int, dt_s: float) -> int:
        """How many a world makes of a drive."""
        steps = self.source.frames - self.source.context
        return frames_of(steps, round(self.samples_s / dt_s), probed=number < self.probed)


def make_here(work: Work, world: Session, hands: Hands, meanwhile: Callable[[], None]) -> None:
    """Make what is missing in this process, a batch at a time, while others render ahead and read.

    ``meanwhile`` hands out work that can wait for the first drives.
    """
    groups = work.groups(_ROWS_HERE)

    def look_up(group: Sequence[int]) -> list[Future[Truth]]:
        return [hands.submit(read_truth, work.source, n, work.reader, n < work.probed) for n in group]

    ahead, jobs = look_up(groups[0]) if groups else [], []
    meanwhile()
    total = sum(work.frames(number, world.dt_s) for group in groups for number in group)
    with tqdm(total=total, desc=work.folder.name, unit="frame", disable=not groups) as bar:
        for index, group in enumerate(groups):
            truths = [job.result() for job in ahead]
            ahead = look_up(groups[index + 1]) if index + 1 < len(groups) else []
            asked = make_group(world, truths, group, samples_s=work.samples_s, progress=bar.update)
            for number, truth, made in zip(group, truths, asked):
                jobs.append(hands.submit(finish, work, number, truth, made))
            # Whatever went wrong is told now, and what is done takes no memory.
            jobs = [job for job in jobs if not job.done() or job.result()]
    for job in tqdm(jobs, "reading", unit="drive", disable=not jobs):
        job.result()


def make_apart(work: Work, config: WorldConfig, hands: Hands, meanwhile: Callable[[], None]) -> None:
    """Make what is missing in workers, each with a world of its own; ``meanwhile`` as above."""
    groups = work.groups(_ROWS_APART)
    jobs = {hands.submit(make_whole, work, config, group): len(group) for group in groups}
    meanwhile()
    drives = sum(jobs.values())
    with tqdm(total=drives, desc=work.folder.name, unit="drive", disable=not jobs) as bar:
        for job in as_completed(jobs):
            job.result()
            bar.update(jobs[job])


def make_whole(work: Work, config: WorldConfig, group: Sequence[int]) -> None:
    """Make and read some drives from beginning to end."""
    world = _world(config)
    truths = [read_truth(work.source, number, work.reader, number < work.probed) for number in group]
    asked = make_group(world, truths, group, samples_s=work.samples_s, progress=lambda frames: None)
    for number, truth, made in zip(group, truths, asked):
        finish(work, number, truth, made)


@functools.lru_cache(maxsize=1)
def _world(config: WorldConfig) -> Session:
    world, _ = open_world(config)
    assert isinstance(world, Session)
    return world


def finish(work: Work, number: int, truth: Truth, made: Made) -> None:
    """Read what was made of a drive and keep everything; ``pair.npz`` is written last and marks the drive complete."""
    place, reader = work.place(number), work.reader
    place.mkdir(parents=True, exist_ok=True)
    camera, rows = truth.drive.camera, truth.after
    t_s = truth.drive.t_s[rows] - truth.drive.t_s[rows.start]
    dt_s = float(np.median(np.diff(t_s)))
    true = truth.side
    sides = [read_side(frames, t_s, camera, reader) for frames in (made.frames, made.reconstructed)]
    pair = paired(t_s, truth.motion, sides[0], true, sides[1])
    probes = {}
    for name, told in truth.told.items():
        probes[name] = {"told": told, "made": read_probe(made.probes[name], dt_s, camera, reader)}
        if name in truth.probes:
            probes[name]["true"] = truth.probes[name]
    kept = work.published.features(t_s, made.frames, true.frames)
    kept |= {"thumbs/generated": thumbnails(made.frames), "thumbs/true": thumbnails(true.frames)}
    kept["tags"] = truth.drive.tags.codes[rows.start]
    for side, frames in (("generated", made.frames), ("true", true.frames)):
        moments = moments_of(len(frames), dt_s)
        kept[f"moments/{side}"] = np.stack([read_moment(frames[i : i + 2], camera, dt_s) for i in moments])
    samples = _samples(pair, made.samples, true.frames, truth, reader) if len(made.samples) else {}
    pair = dataclasses.replace(pair, probes=probes, surprise=made.surprise, samples=samples, kept=kept)
    film_of(place, made.frames, truth.drive, truth.context)
    write_json(place / MADE_BY, work.made_by[number])
    pair.save(place / PAIR)


def _samples(pair: Pair, frames: FrameArray, true: FrameArray, truth: Truth, reader: Reader) -> dict[str, np.ndarray]:
    """Likeness and features of a drive's own continuation and of further ones ``(N - 1, S, H, W, 3)``, by horizon."""
    t_s = pair.t_s[: frames.shape[1]]
    at = frames_at(t_s)
    rows = {measure: [pair.alike[measure]["generated"]] for measure in MEASURES}
    features = [pair.features["generated"][at]]
    for sample in frames:
        alike = alike_at(t_s, [sample[i] for i in at], true)
        for measure in MEASURES:
            rows[measure].append(alike[measure])
        pairs = [reader.read(sample[i - 1 : i + 1], t_s[i - 1 : i + 1], truth.drive.camera).features[1] for i in at]
        features.append(np.stack(pairs))
    reached = np.arange(len(rows["psnr_db"][0])) < len(at)
    found = {measure: np.where(reached, np.stack(rows[measure]), np.nan) for measure in MEASURES}
    return found | {"features": np.stack(features)}


def _runs(numbers: Sequence[int], most: int) -> Iterator[list[int]]:
    """Consecutive numbers together, at most so many: rows of a batch have consecutive seeds."""
    run: list[int] = []
    for number in numbers:
        if run and (number != run[-1] + 1 or len(run) == most):
            yield run
            run = []
        run.append(number)
    if run:
        yield run
