"""How well the bundled perception reads true drives it never saw, beside a reader that does not look.

    python benchmarks/check_perception.py [driver judge] [--drives 32] [--seconds 16] [--changed] [--json scores.json]

Held-out drives of the reference world, of every weather, road and way of driving (a quarter of them by drivers who tend
to leave the road or to crash), at 128x256; ``--size 64x128`` reads smaller ones. Numbers, flags, tags, and boxes of
other road users: average precision at an overlap of half, by distance and by height. ``--changed`` adds how errors grow
in other light and noise. Drives are rendered on all cores first.
"""

import argparse
import functools
import json
import multiprocessing
import sys
from pathlib import Path

from tqdm import tqdm

from worldmodel.datasets.prepare import parse_size
from worldmodel.datasets.workers import one_thread_each
from worldmodel.evaluation.control import any_drive
from worldmodel.evaluation.perception_check import moderate_changes, sample, scores_of, table
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.perception.reader import Reader
from worldmodel.types import Drive


def held_out(number: int, *, size: tuple[int, int], seconds: float) -> Drive:
    # Leaving the road and touching somebody are rare: every fourth drive is by somebody who is prone to one of them.
    fixed = {"ego": ("off_road", "crashing")[number // 4 % 2]} if number % 4 == 3 else {}
    return any_drive(canonical_camera(*size, height_m=NOMINAL_HEIGHT_M), round(10 * seconds), number=number, **fixed)


def main() -> None:
    """Parse the command line, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("perception", nargs="*", default=["driver", "judge"], help="bundled names or folders")
    add("--drives", type=int, default=32)
    add("--seconds", type=float, default=16.0, help="of every drive")
    add("--first", type=int, default=0, help="number of the first held-out drive")
    add("--size", type=parse_size, default=(128, 256), help="height x width of the frames, as 128x256")
    add("--changed", action="store_true", help="read them in other light and with noise, too")
    add("--json", type=Path, help="write all scores here")
    arguments = parser.parse_args()
    readers = {Path(name).name: Reader.from_pretrained(name) for name in arguments.perception}
    make = functools.partial(held_out, size=arguments.size, seconds=arguments.seconds)
    numbers = range(arguments.first, arguments.first + arguments.drives)
    with one_thread_each(), multiprocessing.get_context("spawn").Pool() as pool:
        drives = list(tqdm(pool.imap(make, numbers), "rendering", len(numbers)))
    changes = moderate_changes() if arguments.changed else {}
    columns = {}
    for name, reader in readers.items():
        for label, change in [("", None), *changes.items()]:
            samples = [sample(reader, drive, change=change) for drive in tqdm(drives, f"{name} {label}")]
            columns[f"{name} {label}".strip()] = scores_of(samples)
    print(table(columns))
    if arguments.json:
        arguments.json.write_text(json.dumps(columns, indent=1))


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
