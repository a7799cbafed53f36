"""Turn CamVid images into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.camvid import CamVid


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds images named as 0016E5_07959.png")
    add_arguments(parser, "data/cache/camvid")
    arguments = parser.parse_args()
    return run(CamVid(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
