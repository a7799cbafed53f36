"""Turn the Waymo Open Dataset (perception, version 2) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.waymo import Waymo


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds camera_image, or training, validation, testing")
    add_arguments(parser, "data/cache/waymo")
    arguments = parser.parse_args()
    return run(Waymo(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
