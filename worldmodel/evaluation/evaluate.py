"""``mode=evaluate``: how true is what a model makes? Held-out drives, continued, read, scored and reported.

Every drive is made and read once and kept; a run that was interrupted goes on with the next one, and scores are made
anew from what is kept. ``pairs`` makes and reads, ``obedience``, ``drift``, ``objects`` and ``likeness`` score,
``report`` shows.

Shapes: T frames; F features.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tqdm import tqdm

from worldmodel.datasets.windows import split
from worldmodel.evaluation.control import any_drive
from worldmodel.evaluation.drift import drift_score
from worldmodel.evaluation.likeness import SURPRISE_FRAMES, copy_score, psnr_score, surprise_score, surprises
from worldmodel.evaluation.obedience import motion_score, path_score, score_of
from worldmodel.evaluation.objects import objects_score
from worldmodel.evaluation.pairs import Pair, go_on, read_pair
from worldmodel.evaluation.report import film_of, write_report
from worldmodel.evaluation.scenario_runs import made_by_another
from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import WorldModel
from worldmodel.nn.component import config_from
from worldmodel.perception.reader import Reader
from worldmodel.reference.drive import render_drive
from worldmodel.simulation.footage import resized
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.session import Session
from worldmodel.simulation.starting import parse_tags
from worldmodel.simulation.worlds import WorldConfig, open_world, surroundings
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.training.config import DataConfig
from worldmodel.training.sources import options_of
from worldmodel.types import Camera, Clip, Drive, FloatArray, FrameArray

#: Drives and seconds of each.
PROFILES = {"quick": (8, 20.0), "standard": (64, 60.0), "long": (16, 360.0)}
#: Frames of the training set that copies are looked for in, at most, spread over all of its drives.
_LIBRARY_FRAMES = 4000
_PAIR, _MADE_BY = "pair.npz", "made_by.json"


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(WorldConfig):
    """What to evaluate; the fields of ``WorldConfig`` say in which world, ``model`` may name several, parted by commas.

    Attributes:
        data: ``reference`` for held-out drives of the reference world, or a prepared set, of which the drives held out
            of training are taken.
        tags: kept fixed in the reference world, as ``weather=clear,traffic=none``.
        profile: ``quick`` 8 drives of 20 s, ``standard`` 64 of 60 s, ``long`` 16 of 360 s.
        drives, length_s: instead of the profile's.
        context_s: seconds of true frames before a drive.
        copies: look for copies of training frames, which are rendered again for it.
        out: folder; it goes on where it was.
    """

    data: str = "reference"
    tags: str = ""
    profile: Literal["quick", "standard", "long"] = "quick"
    drives: int | None = None
    length_s: float | None = None
    context_s: float = 3.2
    copies: bool = True
    out: str = "outputs/evaluate"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.drives is not None and self.drives < 1:
            raise ValueError(f"drives: expected a number from 1, got {self.drives}")
        if self.length_s is not None and not self.length_s >= 2:
            raise ValueError(f"length_s: expected at least 2 s, got {self.length_s}")
        if not self.context_s > 0:
            raise ValueError(f"context_s: expected seconds above 0, got {self.context_s}")

    @property
    def extent(self) -> tuple[int, float]:
        """Drives and seconds of each."""
        drives, length_s = PROFILES[self.profile]
        return self.drives or drives, self.length_s or length_s


def run(config: EvaluateConfig, *, reader: Reader | None = None) -> Path:
    """Make, read and score the drives of every model named; returns the folder with ``report.json`` and ``.html``.

    Raises:
        ValueError: no such model or data, too few held-out drives, or results of another model in ``out``.
    """
    out, reader = Path(config.out), reader or Reader.from_pretrained("judge")
    out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in config.model.split(","):
        world, about = open_world(dataclasses.replace(config, model=name))
        assert isinstance(world, Session)
        folder = out / Path(name).name
        pairs = _pairs(config, world, about, reader, folder)
        library = _library(world.model, world.camera, reader, folder) if config.copies else None
        results[Path(name).name] = plain(scores_of(pairs, library)) | {"about": plain(about)}
    settings = plain({name: value for name, value in dataclasses.asdict(config).items() if name != "out"})
    write_report(out, results, settings | {"surroundings": surroundings()})
    print(out / "report.html")
    return out


def scores_of(pairs: Sequence[Pair], library: FloatArray | None) -> dict[str, Any]:
    """All scores of some pairs, by the keys of a report; what cannot be said has no value and says why."""

    def nothing(why: str) -> dict[str, Any]:
        return score_of(np.array([]), np.array([]), {}) | {"why": why}

    unaudited = "the model's record does not say which drives of the reference world it was trained on"
    return {
        "speed": motion_score(pairs, "speed"),
        "yaw": motion_score(pairs, "yaw"),
        "path": path_score(pairs),
        "drift": drift_score(pairs),
        "objects": objects_score(pairs),
        "near_copy": nothing(unaudited) if library is None else copy_score(pairs, library),
        "psnr": psnr_score(pairs),
        "surprise": surprise_score(pairs),
    }


def _pairs(
    config: EvaluateConfig, world: Session, about: Mapping[str, Any], reader: Reader, folder: Path
) -> list[Pair]:
    drives, length_s = config.extent
    context, steps = max(2, round(config.context_s / world.dt_s)), round(length_s / world.dt_s)
    made_by = plain({"components": about["components"], "sampler": about["sampler"], "settings": _identity(config)})
    pairs, true = [], None
    with tqdm(total=drives * steps, desc=folder.name, unit="frame") as bar:
        for number in range(drives):
            place = folder / f"drive_{number:03d}"
            if (place / _PAIR).is_file():
                _refuse_others(place, made_by)
                pairs.append(Pair.load(place / _PAIR))
                bar.update(steps)
                continue
            place.mkdir(parents=True, exist_ok=True)
            true = _true_drive(config, world.camera, context + steps, number)
            generated = go_on(world, true, context, seed=number, progress=bar.update)
            pair = read_pair(generated, true, context, _reconstructing(world.model), reader)
            pair = dataclasses.replace(pair, surprise=_surprise(world.model, true, generated, context, number))
            film_of(place, generated, true, context)
            write_json(place / _MADE_BY, made_by)
            pair.save(place / _PAIR)  # last: it marks the drive complete
            pairs.append(pair)
    return pairs


def _identity(config: EvaluateConfig) -> dict[str, Any]:
    """What a drive depends on, beside the model and its sampler."""
    return {name: getattr(config, name) for name in ("data", "tags", "context_s", "precision")} | {
        "length_s": config.extent[1]
    }


def _refuse_others(place: Path, made_by: Mapping[str, Any]) -> None:
    found = json.loads((place / _MADE_BY).read_text(encoding="utf-8"))
    if changed := made_by_another(found, made_by):
        raise ValueError(f"{place}: made by another model ({changed}); choose another out=")
    if found != made_by:
        raise ValueError(
            f"{place}: made with other settings {found['settings'] | found['sampler']}; choose another out="
        )


def _true_drive(config: EvaluateConfig, camera: Camera, frames: int, number: int) -> Drive:
    if config.data == "reference":
        # Small pictures are averaged down from large ones, as those a model of that size is trained on.
        scale = max(1, 128 // camera.height_px)
        large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=camera.height_m)
        fixed = {k: v for k, v in parse_tags(config.tags).names().items() if v != "unknown" and k != "event"}
        return _at(any_drive(large, frames, number=number, **fixed), camera)
    from worldmodel.datasets.episodes import EpisodeDataset

    dataset = EpisodeDataset(config.data)
    _, held_out = split(list(dataset))
    usable = [s for s in held_out or dataset if s.length >= frames and s.motion[: frames - 1].is_known.all()]
    if number >= len(usable):
        raise ValueError(
            f"data={config.data}: {len(usable)} held-out drives of {frames} frames with known motion, asked for "
            f"{config.extent[0]}; name fewer drives= or a shorter length_s="
        )
    episode = dataset.find(usable[number].episode_id)
    clip = resized(episode.clip(0, frames), camera)
    origin = {"data": config.data, "episode": episode.episode_id}
    return Drive(list(clip.frames), clip.t_s, clip.motion, None, {}, clip.tags, clip.camera, origin)


def _at(drive: Drive, camera: Camera) -> Drive:
    frames = np.stack([np.asarray(frame) for frame in drive.frames])
    valid = np.ones(frames.shape[1:3], bool)
    clip = resized(Clip(frames, drive.t_s, drive.motion, drive.tags, drive.camera, valid), camera)
    boxes = drive.info["boxes"].copy()
    boxes[..., :4] *= camera.width_px / drive.camera.width_px
    return dataclasses.replace(drive, frames=list(clip.frames), camera=clip.camera, info={**drive.info, "boxes": boxes})


def _reconstructing(model: WorldModel) -> Any:
    @torch.no_grad()
    def reconstruct(frames: FrameArray) -> FrameArray:
        x = to_network(torch.from_numpy(frames).to(next(model.parameters()).device))
        return to_frames(model.tokenizer.decode(model.tokenizer.encode(x))).cpu().numpy()

    return reconstruct


def _surprise(model: WorldModel, true: Drive, generated: FrameArray, context: int, number: int) -> dict[str, float]:
    rows = slice(context - 1, context - 1 + SURPRISE_FRAMES)
    frames = np.stack([np.asarray(frame) for frame in true.frames[rows]])
    if len(frames) < SURPRISE_FRAMES:
        return {}
    later = np.stack([np.asarray(frame) for frame in true.frames[-SURPRISE_FRAMES:]])
    valid = np.ones(frames.shape[1:3], bool)
    clip = Clip(frames, true.t_s[rows], true.motion[rows], true.tags[rows], true.camera, valid)
    return surprises(model, clip, dataclasses.replace(clip, frames=generated[:SURPRISE_FRAMES]), later, seed=number)


def _library(model: WorldModel, camera: Camera, reader: Reader, folder: Path) -> FloatArray | None:
    """The judge's features ``(L, F)`` of frames the model was trained on, rendered again; ``None`` if it cannot be."""
    recipe = model.training_record.summary.get("drives") or {}
    if model.training_record.data != "reference" or not recipe:
        return None
    path = folder / "training_features.npy"
    if not path.is_file():
        data = config_from(DataConfig, recipe)
        seeds = list(range(data.first_seed, data.first_seed + data.drives))
        random.Random(0).shuffle(seeds)
        scale, found = data.render_scale, []
        large = canonical_camera(camera.height_px * scale, camera.width_px * scale, height_m=camera.height_m)
        per_drive = round(10 * data.drive_s)
        chosen = seeds[: max(1, _LIBRARY_FRAMES // per_drive)]
        for seed in tqdm(chosen, "training frames", unit="drive"):
            made = render_drive(options_of(seed, data), per_drive, camera=large)
            clip = resized(made.clip(), camera)
            found.append(reader.read(clip.frames, clip.t_s, clip.camera).features)
        with open(path.with_suffix(".partial"), "wb") as file:
            np.save(file, np.concatenate(found).astype(np.float32))
        path.with_suffix(".partial").rename(path)
    return np.load(path).astype(np.float64)
