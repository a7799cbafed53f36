"""Turn the Argoverse 2 sensor dataset into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.argoverse2 import Argoverse2


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds train, val, test, or logs")
    add_arguments(parser, "data/cache/argoverse2")
    arguments = parser.parse_args()
    return run(Argoverse2(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
