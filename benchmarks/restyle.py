"""How well drives are drawn anew, on pairs of true drives; and which level suits best.

    python benchmarks/restyle.py                                       # test drives, the mode's own level
    python benchmarks/restyle.py --sweep --levels 0.2 0.3 0.4 0.5 0.6  # other drives, to choose a level by
    python benchmarks/restyle.py --sweep --guidances 1 2 3 --colours 0 1 --relits 0 0.8

Every setting writes its drives' scores and a sheet of pictures (given, drawn, recoloured, true) under --out as they are
made, and goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from worldmodel.evaluation.driving import reconstruct
from worldmodel.evaluation.restyling import change_of, read_change, said_right, scores_of, table, wanted_tags
from worldmodel.metrics.recolour import recoloured
from worldmodel.model import WorldModel
from worldmodel.perception.reader import Reader
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.prompting import read_prompt
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.restyle import RestyleConfig
from worldmodel.simulation.restyling import Restyling, restyled
from worldmodel.simulation.sheet import grid, labelled, write_png

#: Drives to choose settings by begin here; test drives at 0.
SWEEP_FROM = 1000


def arguments() -> argparse.Namespace:
    default = RestyleConfig()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sweep", action="store_true", help="drives to choose settings by, not those of the test")
    parser.add_argument("--drives", type=int, default=8)
    parser.add_argument("--length-s", type=float, default=20.0)
    parser.add_argument("--levels", type=float, nargs="+", default=[default.level])
    parser.add_argument("--guidances", type=float, nargs="+", default=[0.0], help="of prompts; 0 for the model's own")
    parser.add_argument("--settle", type=int, nargs="+", default=[default.settle])
    parser.add_argument("--colours", type=int, nargs="+", default=[int(default.colours)], choices=(0, 1))
    parser.add_argument("--steps", type=int, nargs="+", default=[0], help="denoising steps; 0 for the model's own")
    parser.add_argument("--relits", type=float, nargs="+", help="shares of what a look lacks; else the model's own")
    parser.add_argument("--out", type=Path, default=Path("outputs/restyling"))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    model, reader = WorldModel.from_pretrained(args.model, device=args.device), Reader.from_pretrained("judge")
    model_hash = model.hashes()["dynamics"][:12]
    frames = round(args.length_s / model.dt_s) + 1
    numbers = range(SWEEP_FROM, SWEEP_FROM + args.drives) if args.sweep else range(args.drives)
    relits = [model.sampler.relit] if args.relits is None else args.relits
    settings = list(itertools.product(args.levels, args.guidances, args.settle, args.colours, args.steps, relits))
    found: dict[str, list] = {}
    with tqdm(total=len(settings) * len(numbers) * frames, unit="frame") as bar:
        for number in numbers:
            change = None
            for level, guidance, settle, colours, steps, relit in settings:
                name = f"level_{level:g}_guidance_{guidance:g}_settle_{settle}_colours_{colours}_steps_{steps}"
                name += f"_relit_{relit:g}"
                place = args.out / model_hash / name / f"drive_{number:04d}_{frames}.json"
                if not place.is_file():
                    change = change or change_of(number, model.camera(), frames)
                    asked = {"steps": steps, "prompt_guidance": guidance}
                    sampler = dataclasses.replace(model.sampler, relit=relit, **{k: v for k, v in asked.items() if v})
                    world = Restyling(model, level=level, sampler=sampler, device=args.device, precision="auto")
                    said, _ = read_prompt(change.prompt)
                    given = change.moments(wanted_tags(change, said))
                    drawn = []
                    for frame in restyled(world, given, seed=number, settle=settle, colours=bool(colours)):
                        drawn.append(frame)
                        bar.update()
                    place.parent.mkdir(parents=True, exist_ok=True)
                    write_png(place.with_suffix(".png"), sheet(change, np.stack(drawn)))
                    kept = reconstruct(model, np.stack([np.asarray(frame) for frame in change.wanted.frames]))
                    scores = read_change(change, np.stack(drawn), kept, reader)
                    write_json(
                        place, plain({"prompt": change.prompt, "said": said_right(change, said), "ways": scores})
                    )
                else:
                    bar.update(frames)
                found.setdefault(name, []).append(json.loads(place.read_text(encoding="utf-8")))
    for name, drives in found.items():
        ways = [{way: dict(zip(s, map(as_number, s.values()))) for way, s in d["ways"].items()} for d in drives]
        scores = scores_of(ways)
        print(f"\n{name.replace('_', ' ')}: {len(drives)} drives of {args.length_s:g} s; prompts read as meant: "
              f"{sum(d['said'] for d in drives)}\n{table(scores)}")  # fmt: skip
        write_json(args.out / model_hash / name / "scores.json", plain(scores))


def as_number(value: float | None) -> float:
    return float("nan") if value is None else value


def sheet(change, drawn):
    """Moments below each other: given, drawn, recoloured, true."""
    tiles = []
    for t in np.linspace(0, len(drawn) - 1, 4).round().astype(int):
        given = np.asarray(change.given.frames[t])
        tiles += [
            labelled(given, f"{change.given.t_s[t]:.1f} s   given"),
            labelled(drawn[t], "drawn: " + change.prompt),
            labelled(recoloured(given, change.palette), "recoloured"),
            labelled(np.asarray(change.wanted.frames[t]), "true"),
        ]
    return grid(tiles, columns=4)


if __name__ == "__main__":
    main()
