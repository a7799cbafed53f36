"""Turn donkeycar tubs (version 2) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.donkeycar import HORIZON, HORIZONTAL_FOV_DEG, LEAD_S, Donkeycar


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds manifest.json and *.catalog, or folders that do")
    parser.add_argument("--lead-s", type=float, default=LEAD_S, help="by which the command leads the turn")
    parser.add_argument("--hfov-deg", type=float, default=HORIZONTAL_FOV_DEG, help="field of view of the camera")
    parser.add_argument("--horizon", type=float, default=HORIZON, help="row of the horizon over the height")
    add_arguments(parser, "data/cache/donkeycar")
    arguments = parser.parse_args()
    return run(Donkeycar(arguments.folder, arguments.lead_s, arguments.hfov_deg, arguments.horizon), arguments)


if __name__ == "__main__":
    sys.exit(main())
