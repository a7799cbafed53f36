"""Turn KITTI odometry (sequences/, or the images of one sequence) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.kitti_odometry import KittiOdometry


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds sequences/, or image_2 beside poses.txt")
    parser.add_argument("--camera", default="", help="image_0 … image_3 (default: the first there, colour first)")
    add_arguments(parser, "data/cache/kitti_odometry")
    arguments = parser.parse_args()
    return run(KittiOdometry(arguments.folder, arguments.camera), arguments)


if __name__ == "__main__":
    sys.exit(main())
