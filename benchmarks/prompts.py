"""How well prompts are read, and whether the world shows what they ask for.

    python benchmarks/prompts.py                                   # sentences alone, a minute
    python benchmarks/prompts.py --text-encoder folder/of/t5       # the same of a T5 or CLIP checkpoint
    python benchmarks/prompts.py --drives 24 --device cuda         # drives of 60 s from held-out sentences, judged
    python benchmarks/prompts.py --drives 24 --prompt-guidance 2

Drives go on where they were; scores are written to --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import torch
from tqdm import tqdm

from worldmodel.evaluation.prompted import (
    Look,
    asking_captions,
    drive_and_look,
    encoder_codes,
    keyword_codes,
    reading_scores,
    reported_captions,
    shown_scores,
    sureness,
    true_look,
)
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.model import WorldModel
from worldmodel.perception.reader import Reader
from worldmodel.reference.captions import KINDS
from worldmodel.simulation.documents import find_document
from worldmodel.simulation.keeping import plain
from worldmodel.simulation.policies.simple import Scripted
from worldmodel.simulation.profile import Profile
from worldmodel.simulation.prompting import open_encoder
from worldmodel.simulation.recorder import write_json
from worldmodel.simulation.session import Session
from worldmodel.text.reading import understand
from worldmodel.types import VOCABULARY, Tags

AT_S = (5.0, 10.0, 60.0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text-encoder", default="", help="empty for the bundled one")
    parser.add_argument("--captions", type=int, default=1000, help="of each kind")
    parser.add_argument("--drives", type=int, default=0, help="made from prompts, and as many from none")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--prompt-guidance", type=float, default=0.0, help="0 for the model's own")
    parser.add_argument("--at-s", type=float, nargs="+", default=list(AT_S), help="moments that are looked at")
    parser.add_argument("--out", type=Path, default=Path("outputs/prompts"))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(1)
    encoder = open_encoder(args.text_encoder)
    rows = {}
    for kind in KINDS:
        for misspelt in (False, True):
            captions = reported_captions(kind, args.captions, misspelt=misspelt)
            name = f"{kind}{', misspelt' if misspelt else ''}"
            rows[name] = {
                "encoder": reading_scores(encoder_codes(encoder, captions), captions),
                "keywords": reading_scores([keyword_codes(c.text) for c in captions], captions),
                "sureness": sureness(encoder, captions),
            }
    print(reading_table(rows))
    args.out.mkdir(parents=True, exist_ok=True)
    write_json(args.out / "reading.json", plain(rows))
    if args.drives:
        drives(args, encoder)


def reading_table(rows) -> str:
    columns = (*VOCABULARY, "all")
    lines = [f"{'read right, %':36}" + "".join(f"{c.replace('_', ' '):>12}" for c in columns) + f"{'ECE':>8}"]
    for name, row in rows.items():
        for who in ("encoder", "keywords"):
            cells = "".join(f"{100 * row[who][c]:12.1f}" for c in columns)
            error = f"{row['sureness']['error']:8.3f}" if who == "encoder" else ""
            lines.append(f"{f'{name}: {who}':36}{cells}{error}")
    return "\n".join(lines)


def drives(args, encoder) -> None:
    model, reader = WorldModel.from_pretrained(args.model, device=args.device), Reader.from_pretrained("judge")
    asked = {"prompt_guidance": args.prompt_guidance} if args.prompt_guidance else {}
    world = Session(model, sampler=dataclasses.replace(model.sampler, **asked), device=args.device, precision="auto")
    profile = Profile.load(find_document("profiles", "winding"))
    folder = args.out / f"{model.hashes()['dynamics'][:12]}_guidance_{world.sampler.prompt_guidance:g}"
    folder.mkdir(parents=True, exist_ok=True)
    captions, looks, free, true = asking_captions(args.drives), [], [], []
    # True frames are judged at the size of the model's, averaged down from those it was trained on.
    height, width = (max(128, size) for size in (model.camera().height_px, model.camera().width_px // 2))
    camera = canonical_camera(height, 2 * width, height_m=NOMINAL_HEIGHT_M)
    with tqdm(total=2 * args.drives * (round(max(args.at_s) / world.dt_s) + 1), unit="frame") as bar:
        for number, each in enumerate(captions):
            for prompted, kept in ((True, looks), (False, free)):
                path = folder / f"{'prompted' if prompted else 'free'}_{number:03d}_{max(args.at_s):g}_s.json"
                if not path.is_file():
                    tags = understand(each.text, encoder).tags if prompted else Tags.unknown()
                    policy = Scripted(profile)
                    look = drive_and_look(
                        world, tags, policy, reader, seed=number, at_s=args.at_s, tags=tags, progress=bar.update
                    )
                    write_json(path, plain(dataclasses.asdict(look) | {"prompt": each.text}))
                kept.append(look_from(json.loads(path.read_text(encoding="utf-8"))))
            true.append(true_look(camera, each, reader, number=number))
    scores = shown_scores(captions, looks, true, args.at_s)
    for name in ("speed_error_mps", "yaw_error_radps"):
        means = [sum(getattr(look, name) for look in some) / len(some) for some in (looks, free)]
        scores[name] = {"prompted": means[0], "unprompted": means[1]}
    write_json(folder / "scores.json", plain(scores))
    for name, score in scores.items():
        shown = {k: v["value"] if isinstance(v, dict) else v for k, v in score.items()}
        print(f"{name:18}" + "  ".join(f"{k} {v:.3f}" for k, v in shown.items()))


def look_from(kept) -> Look:
    codes = {float(moment): row for moment, row in kept["codes"].items()}
    return Look(codes, kept["speed_error_mps"], kept["yaw_error_radps"])


if __name__ == "__main__":
    main()
