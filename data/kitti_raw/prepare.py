"""Turn KITTI raw drives into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.kitti_raw import KittiRaw


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds dates, a date, or a drive")
    parser.add_argument("--camera", default="", help="image_00 … image_03 (default: the first there, colour first)")
    add_arguments(parser, "data/cache/kitti_raw")
    arguments = parser.parse_args()
    return run(KittiRaw(arguments.folder, arguments.camera), arguments)


if __name__ == "__main__":
    sys.exit(main())
