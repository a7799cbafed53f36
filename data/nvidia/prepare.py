"""Turn NVIDIA Physical AI Autonomous Vehicles (front wide camera) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.nvidia import PhysicalAI


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds camera, labels and calibration")
    add_arguments(parser, "data/cache/nvidia")
    arguments = parser.parse_args()
    return run(PhysicalAI(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
