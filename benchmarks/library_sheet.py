"""One picture of a folder of replays: a row per scenario, what was seen above what the first sample shows.

    python rollout.py mode=replay scenario=library samples=1 out=outputs/replay_library
    python benchmarks/library_sheet.py outputs/replay_library docs/scenarios

Writes library.png and, beside it, the folder's table as library.md.
"""

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.sheet import STRIP_PX, grid, write_png

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TILE_PX = 80, 160


def row_of(folder: Path) -> np.ndarray:
    """Five moments of one scenario: the recording, and below it the first sample."""
    rows = []
    for name in ("recorded", "sample_00"):
        drive = load_drive(folder / name)
        frames = [drive.frames[round(share * (len(drive) - 1))] for share in SHARES]
        tiles = [cv2.resize(frame, TILE_PX[::-1], interpolation=cv2.INTER_AREA) for frame in frames]
        rows.append(np.concatenate(tiles, axis=1))
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    strip = np.full((STRIP_PX, rows[0].shape[1], 3), 24, dtype=np.uint8)
    parts = summary["looks_part_s"]
    when = {None: "cannot be told", "never": "never"}.get(parts, f"{parts} s")
    text = f"{summary['scenario']}   {summary['seconds']:g} s, looks part: {when}"
    cv2.putText(strip, text, (6, STRIP_PX - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (235, 235, 235), 1, cv2.LINE_AA)
    return np.concatenate([strip, *rows])


def main() -> None:
    """Parse the command line, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("replays", type=Path, help="folder that mode=replay has written for a folder of scenarios")
    parser.add_argument("out", type=Path, help="folder for the picture and the table")
    args = parser.parse_args()
    folders = sorted(path.parent for path in args.replays.glob("*/summary.json"))
    if not folders:
        raise ValueError(f"{args.replays}: no replay is there")
    args.out.mkdir(parents=True, exist_ok=True)
    write_png(args.out / "library.png", grid([row_of(folder) for folder in folders], columns=2))
    (args.out / "library.md").write_text((args.replays / "summary.md").read_text(encoding="utf-8"), encoding="utf-8")
    print(args.out / "library.png")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
