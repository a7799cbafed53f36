"""How well is it said what the ground lacks to show the road where its map has it? Moments seen from several poses.

    python benchmarks/laying.py nano --drives 40 --picture outputs/laying.png

Frames of seeds nothing else uses, from two poses beside the ego's way each. Of latents with a share of the other view,
told the map of their own: how much of what their ground lacks is left once all that is said (``dynamics.laying``) has
been added, once, and a fifth of it ten times over (mean squares; 1 is what who says nothing leaves, 0 is the own view).
And of frames that lack nothing: how much is said all the same, as a share of the variance of latents. The picture shows
frames, the same moments from beside, and those told the map of the first, half of it added ten times over: what is left
to dynamics.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldmodel.dynamics.laying import on_the_map
from worldmodel.dynamics.road import road_features
from worldmodel.model import WorldModel, decoded
from worldmodel.reference.beside import render_beside
from worldmodel.reference.options import draw_options
from worldmodel.simulation.keeping import markdown
from worldmodel.simulation.sheet import write_png
from worldmodel.tokenizer.tokenizer import to_frames, to_network

FIRST_SEED = 8_300_000
FRAMES, EVERY = 6, 25
SHARES = (0.3, 1.0)
#: How often, and how much of it each time.
ADDED = ((1, 1.0), (10, 0.2))


def from_beside(model: WorldModel, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised latents ``(F, V, N, C)`` of a drive's moments from one pose and from another, and the first's road."""
    seen = render_beside(draw_options(seed), FRAMES * EVERY, camera=model.camera(), every=EVERY, poses=2)
    z = model.dynamics.normalise(model.tokenizer.encode(to_network(torch.from_numpy(seen.frames))))[:, None]
    height = torch.full((len(z),), model.camera_height_m)
    road = road_features(torch.from_numpy(seen.road), height, model.camera(), model.tokenizer.config.latent_grid)
    return z[::2], z[1::2], road[::2]


def laid(model: WorldModel, z: Tensor, road: Tensor, times: int, share: float) -> Tensor:
    """Latents to which a share of what their ground lacks has been added so many times."""
    assert model.dynamics.laying is not None
    for _ in range(times):
        z = z + share * model.dynamics.laying(z, road)
    return z


def main() -> None:
    """Render, say and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="nano", help="one that has learned it")
    parser.add_argument("--drives", type=int, default=40)
    parser.add_argument("--picture", type=Path, help="PNG file")
    args = parser.parse_args()
    model = WorldModel.from_pretrained(args.model)
    if model.dynamics.laying is None:
        raise SystemExit(f"{args.model} has not learned what the ground lacks; train it with dynamics.laying_width=64")
    drives = [from_beside(model, FIRST_SEED + k) for k in tqdm(range(args.drives), unit="drive")]
    own, other, road = (torch.cat(parts) for parts in zip(*drives))
    counts = on_the_map(road)[:, None].expand_as(own)
    rows = []
    for times, share in ADDED:
        row = {"what": f"{share:g} of it, {times} times"}
        row["0"] = float((own - laid(model, own, road, times, share))[counts].square().mean() / own[counts].var())
        for of_other in SHARES:
            seen = torch.lerp(own, other, of_other)
            left, lacked = own - laid(model, seen, road, times, share), own - seen
            row[f"{of_other:g}"] = float(left[counts].square().mean() / lacked[counts].square().mean())
        rows.append(row)
    print(markdown(rows, {"what": "share of the other view", "0": "0", **{f"{s:g}": f"{s:g}" for s in SHARES}}))
    if args.picture:
        some = slice(None, None, max(1, len(own) // 6))
        shown = (own[some], other[some], laid(model, other[some], road[some], 10, 0.5))
        columns = [to_frames(decoded(model.tokenizer, model.dynamics, z)[:, 0]).numpy() for z in shown]
        args.picture.parent.mkdir(parents=True, exist_ok=True)
        write_png(args.picture, np.vstack([np.hstack(frames) for frames in list(zip(*columns))[:6]]))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
