"""Do the instruments catch what they are for, and clear true video? Every score on videos with a known fault.

    python benchmarks/instruments.py [--judge judge] [--drives 8] [--seconds 20] [--size 64x128] [--json faults.json]

True drives of the reference world on clear days, made faulty in known ways (re-encoding is no fault). Half of the
training clips that copies are looked for in are those that one fault replays.
"""

import argparse
import dataclasses
import functools
import json
import math
import multiprocessing
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from worldmodel.datasets.prepare import parse_size
from worldmodel.datasets.workers import one_thread_each
from worldmodel.evaluation.control import any_drive
from worldmodel.evaluation.copies import copy_score
from worldmodel.evaluation.drift import drift_score
from worldmodel.evaluation.faults import FAULTS
from worldmodel.evaluation.library import Library
from worldmodel.evaluation.likeness import psnr_score
from worldmodel.evaluation.obedience import motion_score, path_score
from worldmodel.evaluation.pairs import paired, read_side
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.metrics.neighbours import thumbnails
from worldmodel.perception.reader import Reader
from worldmodel.types import Drive

#: Training drives are numbered from here, far from the held-out ones.
_TRAINED = 500_000
_COLUMNS = {
    "speed error": ("speed", "value", ".2f"),
    "yaw error": ("yaw", "value", ".4f"),
    "yaw lag, frames": ("yaw", "lag_frames", ".1f"),
    "way off, m": ("path", "value", ".1f"),
    "inside the band": ("drift", "value", ".0%"),
    "copies": ("near_copy", "value", ".0%"),
    "of 1-s clips": ("clips", "value", ".0%"),
    "in pixels": ("pixels", "value", ".0%"),
    "PSNR at 1 s": ("psnr", "value", ".1f"),
}


def make(number: int, *, size: tuple[int, int], seconds: float) -> Drive:
    camera = canonical_camera(*size, height_m=NOMINAL_HEIGHT_M)
    fixed = {"weather": "clear", "time_of_day": "day", "traffic": "none", "road_kind": "country"}
    return any_drive(camera, round(10 * seconds) + 1, number=number, **fixed)


def main() -> None:
    """Parse the command line, render, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--judge", default="judge", help="bundled name or folder of perception")
    add("--drives", type=int, default=8)
    add("--seconds", type=float, default=20.0, help="of every drive")
    add("--size", type=parse_size, default=(64, 128), help="height x width of the frames, as 64x128")
    add("--json", type=Path, help="write all scores here")
    arguments = parser.parse_args()
    count, reader = arguments.drives, Reader.from_pretrained(arguments.judge)
    numbers = [*range(count), *range(_TRAINED, _TRAINED + 2 * count)]
    with one_thread_each(), multiprocessing.get_context("spawn").Pool() as pool:
        build = functools.partial(make, size=arguments.size, seconds=arguments.seconds)
        drives = list(tqdm(pool.imap(build, numbers), "rendering", len(numbers)))
    frames = [np.stack([np.asarray(frame) for frame in drive.frames]) for drive in drives]
    held_out, trained = drives[:count], drives[count:]
    features = [reader.read(f, d.t_s, d.camera).features for f, d in zip(frames[count:], trained)]
    library = Library.of(features, [thumbnails(f) for f in frames[count:]])
    sides = [read_side(f, d.t_s, d.camera, reader) for f, d in zip(frames, tqdm(held_out, "true video"))]
    scores = {}
    for name, fault in FAULTS.items():
        pairs = []
        for i, drive in enumerate(tqdm(held_out, name)):
            faulty = fault(frames[i], frames[i - 1 if i else count - 1], frames[count + i])
            side = read_side(faulty, drive.t_s, drive.camera, reader)
            small = {"thumbs/generated": thumbnails(faulty), "thumbs/true": thumbnails(frames[i])}
            pair = paired(drive.t_s, drive.motion, side, sides[i], sides[i])
            pairs.append(dataclasses.replace(pair, kept=small))
        scores[name] = {"speed": motion_score(pairs, "speed"), "yaw": motion_score(pairs, "yaw")}
        scores[name] |= {"path": path_score(pairs), "drift": drift_score(pairs), "psnr": psnr_score(pairs)}
        scores[name]["near_copy"] = copy_score(pairs, library)
    print(f"{'':18}" + "".join(f"{column:>17}" for column in _COLUMNS))
    first = next(iter(scores.values()))
    for row in scores.values():
        row |= {kind: row["near_copy"][kind] for kind in ("clips", "pixels")}
    rows = {"(true video)": {key: first[key] | {"value": first[key]["floor"]} for key in first}} | scores
    rows["(true video)"]["yaw"]["lag_frames"] = first["yaw"]["lag_floor"]
    for name, row in rows.items():
        cells = [row[key][part] for key, part, _ in _COLUMNS.values()]
        styled = zip(cells, (style for *_, style in _COLUMNS.values()))
        shown = ["-" if cell is None or not math.isfinite(cell) else format(cell, style) for cell, style in styled]
        print(f"{name:18}" + "".join(f"{cell:>17}" for cell in shown))
    if arguments.json:
        arguments.json.write_text(json.dumps(scores, indent=1))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
