"""Turn a LeRobot dataset (versions 2.1 and 3.0), through a mapping into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.files import read_json
from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.lerobot import LeRobot


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds meta/info.json")
    parser.add_argument("--mapping", type=Path, required=True, help="says which columns are motion, as l2d.json")
    add_arguments(parser, "data/cache/lerobot")
    arguments = parser.parse_args()
    try:
        source = LeRobot(arguments.folder, read_json(arguments.mapping))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return run(source, arguments)


if __name__ == "__main__":
    sys.exit(main())
