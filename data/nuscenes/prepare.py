"""Turn nuScenes (front camera, with sweeps) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.nuscenes import NuScenes


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the data root, with v1.0-* in it")
    add_arguments(parser, "data/cache/nuscenes")
    arguments = parser.parse_args()
    return run(NuScenes(arguments.folder), arguments)


if __name__ == "__main__":
    sys.exit(main())
