"""Turn SullyChen's driving dataset (2017 and 2018) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.sullychen import SullyChen


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds data.txt, or folders that do")
    add_arguments(parser, "data/cache/sullychen")
    arguments = parser.parse_args()
    return run(SullyChen(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
