"""Turn recordings of Udacity's simulator (driving_log.csv beside IMG/) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.udacity_sim import UdacitySim


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds driving_log.csv, or folders that do")
    add_arguments(parser, "data/cache/udacity_sim")
    arguments = parser.parse_args()
    return run(UdacitySim(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
