"""Turn any driving videos (dashcams, OpenDV) into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.dashcam import Dashcam


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds videos, up to three folders below")
    parser.add_argument("--hfov-deg", type=float, default=65.0, help="field of view of the camera")
    parser.add_argument("--horizon", type=float, default=0.5, help="row of the horizon over the height")
    parser.add_argument(
        "--skip-start-s", type=float, default=0.0, help="left out at the beginning of each (OpenDV: 90)"
    )
    parser.add_argument("--skip-end-s", type=float, default=0.0, help="left out at the end of each (OpenDV: 30)")
    add_arguments(parser, "data/cache/dashcam")
    arguments = parser.parse_args()
    view = arguments.hfov_deg, arguments.horizon, arguments.skip_start_s, arguments.skip_end_s
    return run(Dashcam(arguments.folder, *view), arguments)


if __name__ == "__main__":
    sys.exit(main())
