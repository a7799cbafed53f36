"""How well is it said what a frame lacks to look as it is told? Drives of the reference world in two looks.

    python benchmarks/relighting.py nano --drives 40 --picture outputs/relighting.png

Frames of seeds nothing else uses, in their own look and in another weather or at another time of day. Of latents with a
share of the other look, told their own: how much of what they lack is left once all that is said (``dynamics.look``)
has been added, once and ten times over (mean squares; 1 is what who says nothing leaves, 0 is the own look). And of
frames that lack nothing: how much is said all the same, as a share of the variance of latents. The picture shows frames
in their own look, the same in the other, and that told to be the first, ten times over: what is left to dynamics.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldmodel.model import WorldModel, decoded
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.simulation.keeping import markdown
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.training.sources import looking_otherwise

FIRST_SEED = 8_200_000
FRAMES, EVERY = 8, 20
SHARES = (0.15, 0.4, 1.0)
TIMES = 10


def in_two_looks(model: WorldModel, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised latents ``(2 F, V, N, C)`` of a drive's frames in one look and in another, told so, and the tags."""
    own = draw_options(seed)
    drives = [
        render_drive(o, FRAMES * EVERY, camera=model.camera(), every=EVERY) for o in (own, looking_otherwise(own))
    ]
    clips = [drive.clip() for drive in drives]
    z = [
        model.dynamics.normalise(model.tokenizer.encode(to_network(torch.from_numpy(c.frames))))[:, None] for c in clips
    ]
    return torch.cat(z), torch.cat(z[::-1]), torch.from_numpy(np.concatenate([c.tags.codes for c in clips]))


def picture(model: WorldModel, own: Tensor, other: Tensor, tags: Tensor) -> np.ndarray:
    """Rows of three frames, see above."""
    look = model.dynamics.look
    assert look is not None
    relit = other
    for _ in range(TIMES):
        relit = relit + look(relit, tags)
    shown = [to_frames(decoded(model.tokenizer, model.dynamics, z)[:, 0]).numpy() for z in (own, other, relit)]
    return np.vstack([np.hstack(frames) for frames in zip(*shown)])


def main() -> None:
    """Render, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nano"], help="that have learned it")
    parser.add_argument("--drives", type=int, default=40)
    parser.add_argument("--picture", type=Path, help="PNG to write, of the last model")
    args = parser.parse_args()
    rows = []
    for name in args.models:
        model = WorldModel.from_pretrained(name)
        look = model.dynamics.look
        if look is None:
            parser.error(f"{name}: has not learned what frames lack; see dynamics.look_width")
        seeds = tqdm(range(FIRST_SEED, FIRST_SEED + args.drives), unit="drive")
        own, other, tags = (torch.cat(parts) for parts in zip(*(in_two_looks(model, seed) for seed in seeds)))
        said = {}
        for share in (0.0, *SHARES):
            lacks, left = share * (own - other), share * (own - other)
            for k in range(TIMES):
                left = left - look(own - left, tags)
                if k in (0, TIMES - 1):
                    column = f"other look {share:g}, {'once' if k == 0 else f'{TIMES} times'}"
                    over = lacks.square().mean() if share else own.var()
                    said[column] = f"{left.square().mean() / over:.{2 if share else 4}f}"
        rows.append({"model": name, **said})
        if args.picture:
            args.picture.parent.mkdir(parents=True, exist_ok=True)
            some = slice(0, len(own), 2 * FRAMES)
            image = picture(model, own[some][:8], other[some][:8], tags[some][:8])
            cv2.imwrite(str(args.picture), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    print(markdown(rows, {key: key for key in rows[0]}))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    main()
