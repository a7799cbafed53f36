"""Does a recorded drive do what it was told? Speed, yaw and lane markings read back by plain geometry.

    python benchmarks/check_drive.py outputs/drive [--control] [--seconds 60] [--json check.json]
    python benchmarks/check_drive.py outputs/drive --against outputs/mirrored

With ``--control`` the same reading stands beside two true drives of the reference world: one moved by the same motion
and one by its own driver. Shuffled motion, beside which signs agree in about half of the turning seconds, is always
there. Reading takes about 15 ms a frame at 64x128 and 50 at 128x256 on a free core.
"""

import argparse
import dataclasses
import json
import math
import sys
from pathlib import Path

import cv2

from worldmodel.evaluation.check import check_drive, table
from worldmodel.evaluation.control import own_drive, same_motion
from worldmodel.evaluation.parting import parting, parting_table
from worldmodel.evaluation.reading import DriveReading, read_drive
from worldmodel.simulation.drive_io import load_drive
from worldmodel.types import Drive


def first_seconds(drive: Drive, seconds: float) -> Drive:
    count = int((drive.t_s - drive.t_s[0] < seconds + 1e-6).sum())
    return dataclasses.replace(
        drive,
        frames=[drive.frames[i] for i in range(count)],
        t_s=drive.t_s[:count],
        motion=drive.motion[:count],
        controls=None,
        info={},
        tags=drive.tags[:count],
    )


def read(name: str, drive: Drive) -> DriveReading:
    def progress(done: int, count: int) -> None:
        print(f"\r{name}: {done} of {count} frames", end="\n" if done == count else "", file=sys.stderr, flush=True)

    return read_drive(drive, progress=progress)


def check(name: str, drive: Drive) -> dict:
    return check_drive(drive.motion, read(name, drive), drive.t_s)


def opened(folder: Path, arguments: argparse.Namespace) -> Drive:
    """The drive, or its beginning, its camera's height filled in where it is unknown."""
    drive = load_drive(folder)
    if math.isnan(drive.camera.height_m):
        print(f"the camera's height is unknown: {arguments.camera_height} m is taken", file=sys.stderr)
        drive = dataclasses.replace(drive, camera=dataclasses.replace(drive.camera, height_m=arguments.camera_height))
    return first_seconds(drive, arguments.seconds) if arguments.seconds < math.inf else drive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drive", type=Path, help="folder of a recorded drive, or of an interrupted one")
    parser.add_argument("--control", action="store_true", help="read true drives of the reference world too")
    parser.add_argument("--control-seconds", type=float, default=20.0, help="length of those")
    parser.add_argument("--seconds", type=float, default=math.inf, help="look at the beginning alone")
    parser.add_argument("--camera-height", type=float, default=1.4, help="where the drive does not say, in metres")
    parser.add_argument("--against", type=Path, help="another drive from the same beginning: how do the two part?")
    parser.add_argument("--json", type=Path, help="write all scores here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        drive = opened(arguments.drive, arguments)
        if arguments.against:
            both = [drive, opened(arguments.against, arguments)]
            count = min(map(len, both))
            readings = [read(str(name), d) for name, d in zip((arguments.drive, arguments.against), both)]
            told, seen = [d.motion[:count] for d in both], [r.motion[:count] for r in readings]
            print(parting_table(parting((told[0], told[1]), (seen[0], seen[1]), drive.t_s[:count]), drive.t_s[:count]))
            return
        results = {"drive": check("drive", drive)}
    except ValueError as error:
        sys.exit(str(error))
    if arguments.control:
        count = min(
            len(drive), 1 + round(arguments.control_seconds * (len(drive) - 1) / (drive.t_s[-1] - drive.t_s[0]))
        )
        moved = same_motion(drive.camera, drive.motion[:count], drive.t_s[:count])
        results["same motion"] = check("reference world, same motion", moved)
        own = own_drive(drive.camera, count, dt_s=float(drive.t_s[1] - drive.t_s[0]), tags=drive.tags[0])
        results["own driver"] = check("reference world, own driver", own)
    print(table(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
