"""Turn every dataset found in some folders into episodes, each into a folder of its own. See README.md."""

import argparse
import json
import sys
from pathlib import Path

from worldmodel.datasets.check import MotionCheck
from worldmodel.datasets.detect import Found, find_sources
from worldmodel.datasets.files import read_json
from worldmodel.datasets.prepare import add_arguments, run


def main() -> int:
    """Parse the command line, look, prepare one after the other, and say what became of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="datasets, or folders of them")
    parser.add_argument("--decoder", type=Path, help="of commaVQ's tokens: decoder.onnx, or TorchScript (.pt)")
    parser.add_argument("--mapping", type=Path, help="of LeRobot datasets, as data/lerobot/l2d.json")
    add_arguments(parser, "data/cache")
    arguments = parser.parse_args()
    options: dict[str, dict] = {"CommaVQ": {"decoder": arguments.decoder}}
    try:
        profiles = Path(__file__).parents[1] / "recordings" / "profiles.json"
        options["Recordings"] = {"profiles": json.loads(profiles.read_text())}
        if arguments.mapping:
            options["LeRobot"] = {"mapping": read_json(arguments.mapping)}
        found = [f for folder in arguments.folders for f in _look(folder, options)]
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    results, out = [], arguments.out
    for each in found:
        arguments.out = out / "_".join([each.source.name, *each.folder.resolve().parts[-2:]])
        print(f"\n{each.folder}: {type(each.source).__name__}")
        failed = run(each.source, arguments)
        checked = "" if failed or arguments.dry_run else str(MotionCheck.read(arguments.out))
        results.append(f"{each.folder}: {'nothing usable, see above' if failed else checked or 'usable'}")
    print("\n" + "\n".join(results))
    return 0 if results else 1


def _look(folder: Path, options: dict[str, dict]) -> list[Found]:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = find_sources(folder, options)
    if not found:
        print(f"{folder}: no dataset that any reader knows", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
