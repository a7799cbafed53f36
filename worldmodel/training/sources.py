"""Where a run's stretches come from: the reference world, rendered on the spot, or prepared sets of episodes.

Rendering needs neither ``av`` nor anything else that bare GPU nodes lack, so the readers of episodes are imported only
where episodes are asked for.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import window
from worldmodel.reference import WORLD_VERSION
from worldmodel.reference.beside import render_beside
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions, draw_options
from worldmodel.training.config import DataConfig, TrainConfig
from worldmodel.training.corpus import Arriving, Made, Maker, build_corpus, corpus_folder, shrink
from worldmodel.training.live import Live
from worldmodel.types import VOCABULARY

#: The reference world is sampled at this rate.
REFERENCE_HZ = 10
#: Other poses that a moment is looked at from.
BESIDE = 3


def load_sets(config: TrainConfig) -> dict[str, list[MemoryEpisode]]:
    """All stretches of the run by the name of their set, rendered or decoded once and then taken from the cache."""
    data, size = config.data, config.frame_size
    if data.source == "reference":
        folder, names, make = _reference(config)
        return {"reference": _build(config, folder, names, make, f"rendering {len(names)}")}
    from worldmodel.training.episodes import episode_names, read_episode

    sets = {}
    for path in data.paths:
        folder = corpus_folder(data.cache, "episodes", str(Path(path).resolve()), size)
        make = functools.partial(read_episode, path=path, size=size)
        sets[path] = _build(config, folder, episode_names(path), make, f"decoding {path}")
    return sets


def in_another_look(config: TrainConfig, names: Sequence[str]) -> list[MemoryEpisode]:
    """Reference drives of the run once more, each in another weather or at another time of day."""
    folder, _, make = _reference(config, another_look=True)
    return _build(config, folder, names, make, f"rendering {len(names)} in another look")


def from_beside(config: TrainConfig, names: Sequence[str]) -> list[MemoryEpisode]:
    """The moments of reference drives of the run once more, each from ``BESIDE`` other poses, one after the other."""
    folder, _, make = _reference(config, beside=True)
    return _build(config, folder, names, make, f"rendering {len(names)} from beside")


def live_set(config: TrainConfig, *, device: str) -> Live:
    """The run's reference drives, as they are rendered in the background."""
    data = config.data
    folder, names, make = _reference(config)
    return Live(
        Arriving(folder, names, make, processes=data.processes),
        held_out=data.validation_share,
        capacity=data.drives * math.ceil(round(data.drive_s * REFERENCE_HZ) / data.every),
        at_least=data.live_from,
        device=device,
    )


def _reference(
    config: TrainConfig, *, another_look: bool = False, beside: bool = False
) -> tuple[Path, list[str], Maker]:
    """Folder and names of the run's reference drives, and what renders them: as they are, otherwise, or from beside."""
    data, size = config.data, config.frame_size
    names = [f"drive_{data.first_seed + i:06d}" for i in range(data.drives)]
    key = ("reference", WORLD_VERSION, data.drive_s, sorted(data.options.items()), size, data.render_scale)
    # Drives that were kept before they carried boxes are rendered anew where boxes are learned.
    boxes = config.trains == "perception" or config.reconstruction.users or config.objective.users
    boxes = boxes or config.learns_drift
    key += ("boxes",) if boxes else ()
    key += ("road",) if config.dynamics.road or config.learns_astray else ()  # nor did they carry the road
    key += ("every", data.every) if data.every > 1 else ()
    others = [sorted(group.items()) for group in _others(data)]
    key += ("other", data.other_share, repr(others if len(others) > 1 else others[0])) if data.other_share else ()
    key += ("another look",) if another_look else ("beside", BESIDE) if beside else ()
    if beside:
        make = functools.partial(_reference_beside, data=data, size=size, camera_height_m=config.camera_height_m)
        return corpus_folder(data.cache, *key), names, make
    make = functools.partial(
        _reference_drive, data=data, size=size, camera_height_m=config.camera_height_m, another_look=another_look
    )
    return corpus_folder(data.cache, *key), names, make


def _build(config: TrainConfig, folder: Path, names: Sequence[str], make: Maker, what: str) -> list[MemoryEpisode]:
    data = config.data
    return build_corpus(
        folder,
        names,
        make,
        processes=data.processes,
        progress=config.progress,
        what=what,
        in_memory=data.in_memory,
    )


def options_of(seed: int, data: DataConfig) -> DriveOptions:
    """The options of the reference drive of a seed; a list of values is drawn from."""
    rng = random.Random(zlib.crc32(f"other_{seed:06d}".encode()))
    wanted = rng.choice(_others(data)) if rng.random() < data.other_share else data.options
    rng = random.Random(zlib.crc32(f"drive_{seed:06d}".encode()))
    fixed = {key: rng.choice(value) if isinstance(value, list) else value for key, value in wanted.items()}
    if "events" in fixed:
        fixed["events"] = tuple((kind, float(at_s)) for kind, at_s in fixed["events"])
    return draw_options(seed, **fixed)


def looking_otherwise(options: DriveOptions) -> DriveOptions:
    """The same drive in another weather, at another time of day, or (one in five) both, by its seed."""
    rng = random.Random(zlib.crc32(f"look_{options.seed:06d}".encode()))
    fields = rng.choice([["weather"], ["time_of_day"]] * 2 + [["weather", "time_of_day"]])
    looks = {f: rng.choice([x for x in VOCABULARY[f][1:] if x != getattr(options, f)]) for f in fields}
    return dataclasses.replace(options, **looks)


def _others(data: DataConfig) -> list[dict[str, Any]]:
    """The groups of other options; records of models that were trained before there were several have one alone."""
    return [data.other_options] if isinstance(data.other_options, dict) else list(data.other_options)


def _reference_drive(
    name: str, *, data: DataConfig, size: tuple[int, int], camera_height_m: float, another_look: bool = False
) -> Made:
    scale = data.render_scale
    camera = canonical_camera(size[0] * scale, size[1] * scale, height_m=camera_height_m)
    options = options_of(int(name.rsplit("_", 1)[1]), data)
    options = looking_otherwise(options) if another_look else options
    drive = render_drive(options, round(data.drive_s * REFERENCE_HZ), camera=camera, every=data.every)
    boxes = drive.boxes.copy()
    boxes[..., :4] /= scale
    road = np.stack([window(drive.road, pose) for pose in drive.poses])
    return Made(name, name, shrink(drive.clip(), scale), {**drive.columns, "boxes": boxes, "road": road})


def _reference_beside(name: str, *, data: DataConfig, size: tuple[int, int], camera_height_m: float) -> Made:
    scale = data.render_scale
    camera = canonical_camera(size[0] * scale, size[1] * scale, height_m=camera_height_m)
    options = options_of(int(name.rsplit("_", 1)[1]), data)
    seen = render_beside(
        options, round(data.drive_s * REFERENCE_HZ), camera=camera, every=data.every, poses=BESIDE
    )  # fmt: skip
    return Made(name, name, shrink(seen.clip(), scale), {"road": seen.road})
