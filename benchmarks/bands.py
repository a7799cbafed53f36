"""Make the bands that true drives stay inside, by which running drives are watched: a file for each frame size.

    python benchmarks/bands.py [--sizes 128x256,64x128] [--drives 160] [--seconds 60] [--processes 2]

Drives of the reference world that stay on the road, as many of each weather and time of day as of any other, looked at
as ``worldmodel.simulation.watch`` looks at a running drive: two frames a second. What was read is kept drive by drive
in ``--cache``, so that an interrupted run goes on. No trained network is asked: the files stay as they are when
perception is trained anew. They are to be made again when ``reference.WORLD_VERSION`` or what the watch reads changes.
"""

import argparse
import functools
import json
import multiprocessing
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from worldmodel.datasets.prepare import parse_size
from worldmodel.datasets.workers import one_thread_each
from worldmodel.evaluation.control import stretches_of
from worldmodel.evaluation.held_out import shrunk
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.nn.component import BUNDLED_DIR
from worldmodel.reference import WORLD_VERSION
from worldmodel.reference.options import DriveOptions, draw_options
from worldmodel.simulation.watch import READINGS, STATISTICS, read_moment, statistics_of
from worldmodel.types import VOCABULARY, EgoMotion

#: Seeds of these drives, far from those of training and of held-out ones.
_FIRST_SEED = 8_000_000_000
_CHANNELS = ("weather", "time_of_day", "road_kind", "traffic")
_WORDS = tuple(f"{channel}={word}" for channel in _CHANNELS for word in VOCABULARY[channel][1:])
_DT_S = 0.1
#: Drivers who end in a field or in a truck: true too, but no measure of what a drive should look like.
_LEFT_OUT = ("off_road", "crashing", "erratic")


def options_of(number: int) -> DriveOptions:
    weather, time_of_day = VOCABULARY["weather"][1:], VOCABULARY["time_of_day"][1:]
    road_kind, traffic = VOCABULARY["road_kind"][1:], VOCABULARY["traffic"][1:]
    # Consecutive pairs of drives have the same weather, so that each half of a band has all of them.
    place = number // 2
    return draw_options(
        _FIRST_SEED + number,
        weather=weather[place % 4],
        time_of_day=time_of_day[place // 4 % 3],
        road_kind=road_kind[place // 12 % 3],
        traffic=traffic[(place + place // 12) % 3],
    )


def read(number: int, *, sizes: list[tuple[int, int]], seconds: int, cache: Path) -> None:
    path = cache / f"{number:04d}_{seconds}.npz"
    if path.is_file():
        return
    cameras = {f"{h}x{w}": canonical_camera(h, w, height_m=NOMINAL_HEIGHT_M) for h, w in sizes}
    largest = max(cameras.values(), key=lambda camera: camera.height_px)
    starts = [round(s / _DT_S) for s in range(seconds)]
    pairs, motion = stretches_of(options_of(number), largest, starts, 2)
    arrays = {"told": np.stack([motion.speed_mps[starts], motion.yaw_rate_radps[starts]])}
    for name, camera in cameras.items():
        seen = pairs if camera is largest else [shrunk(pair, camera) for pair in pairs]
        arrays[name] = np.stack([read_moment(pair, camera, _DT_S) for pair in seen])
    temporary = path.with_suffix(".partial")
    with open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
    temporary.rename(path)


def main() -> None:
    """Parse the command line, read what is missing, write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sizes", default="128x256,64x128", help="heights x widths of frames, parted by commas")
    add("--drives", type=int, default=160)
    add("--seconds", type=int, default=60, help="of every drive: the longest for which a band holds its share")
    add("--processes", type=int, default=0, help="0 for one a core")
    add("--cache", type=Path, default=Path("outputs/bands"))
    add("--out", type=Path, default=BUNDLED_DIR / "bands")
    arguments = parser.parse_args()
    sizes = [parse_size(size) for size in arguments.sizes.split(",")]
    cache = arguments.cache / f"world_{WORLD_VERSION}" / "_".join(READINGS)
    cache.mkdir(parents=True, exist_ok=True)
    numbers = [number for number in range(arguments.drives) if options_of(number).ego not in _LEFT_OUT]
    job = functools.partial(read, sizes=sizes, seconds=arguments.seconds, cache=cache)
    with one_thread_each(), multiprocessing.get_context("spawn").Pool(arguments.processes or None) as pool:
        for _ in tqdm(pool.imap_unordered(job, numbers), "reading", len(numbers)):
            pass
    arguments.out.mkdir(parents=True, exist_ok=True)
    for height, width in sizes:
        statistics, has = [], []
        for number in numbers:
            with np.load(cache / f"{number:04d}_{arguments.seconds}.npz") as file:
                statistics.append(statistics_of(file[f"{height}x{width}"], EgoMotion(*file["told"])))
            names = options_of(number).tags.names()
            has.append([word in {f"{channel}={name}" for channel, name in names.items()} for word in _WORDS])
        band = TaggedBand.of(np.stack(statistics), np.array(has), statistics=STATISTICS, words=_WORDS)
        about = {"world": WORLD_VERSION, "drives": len(numbers), "seconds": arguments.seconds}
        path = arguments.out / f"{height}x{width}.json"
        path.with_suffix(".partial").write_text(json.dumps(band.as_plain() | about, indent=None) + "\n")
        path.with_suffix(".partial").rename(path)
        inside = [band.deviation(s, h).max() <= 1 for s, h in zip(statistics[::2], np.array(has)[::2])]
        print(
            f"{path}: {path.stat().st_size / 1e3:.0f} kB; holds {np.mean(inside):.0%} of the drives it was laid through"
        )


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
