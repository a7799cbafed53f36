"""Turn commaVQ tokens into episodes. See README.md."""

import argparse
import sys
from pathlib import Path

from worldmodel.datasets.prepare import add_arguments, run
from worldmodel.datasets.readers.commavq import CommaVQ


def main() -> int:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="holds *token*.npy")
    parser.add_argument("--decoder", type=Path, help="the published decoder: decoder.onnx, or TorchScript (.pt)")
    parser.add_argument("--poses", choices=("", "rates", "steps"), default="", help="what the numbers of a pose are")
    add_arguments(parser, "data/cache/commavq")
    arguments = parser.parse_args()
    return run(CommaVQ(arguments.folder, arguments.decoder, arguments.poses), arguments)


if __name__ == "__main__":
    sys.exit(main())
