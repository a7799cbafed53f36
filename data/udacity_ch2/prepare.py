"""Turn Udacity's self-driving car, challenge 2 into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.udacity_ch2 import UdacityCh2


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds interpolated.csv, or folders that do")
    add_arguments(parser, "data/cache/udacity_ch2")
    arguments = parser.parse_args()
    return run(UdacityCh2(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
