"""Turn a folder of recordings (mp4, with or without a table beside each) into episodes. See README.md."""

import argparse
import json
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.recordings import Recordings


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds <name>.mp4 and, optionally, <name>.parquet, .csv, .json")
    parser.add_argument(
        "--profiles", type=Path, default=Path(__file__).with_name("profiles.json"), help="cameras and vehicles by name"
    )
    add_arguments(parser, "data/cache/recordings")
    arguments = parser.parse_args()
    try:
        profiles = json.loads(arguments.profiles.read_text())
    except (OSError, ValueError) as error:
        print(f"{arguments.profiles}: cannot be read: {error}", file=sys.stderr)
        return 1
    return run(Recordings(arguments.folder, profiles), arguments)


if __name__ == "__main__":
    sys.exit(main())
