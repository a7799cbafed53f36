"""Turn BDD100K videos into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.bdd100k import BDD100K


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds videos and info")
    add_arguments(parser, "data/cache/bdd100k")
    arguments = parser.parse_args()
    return run(BDD100K(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
