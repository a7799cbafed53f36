"""Turn comma2k19 (chunk zips, read where they lie, or unpacked) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.comma2k19 import Comma2k19


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds Chunk_*.zip, or routes")
    add_arguments(parser, "data/cache/comma2k19")
    arguments = parser.parse_args()
    return run(Comma2k19(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
