"""Turn Cityscapes sequences into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.cityscapes import Cityscapes


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds leftImg8bit_sequence")
    add_arguments(parser, "data/cache/cityscapes", min_frames=8)
    arguments = parser.parse_args()
    return run(Cityscapes(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
