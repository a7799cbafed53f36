"""How much of the next frame does its motion explain? The last frame moved by it, beside the last frame as it is.

Errors are mean squares of normalised latents (1 is as far as unrelated frames lie from the mean) over drives of the
reference world that were not trained on; no dynamics is involved. ``street`` moves the frame as if the world were a
flat road between far walls, ``depth`` with the depth the tokenizer reads; each from the true frame and from its
reconstruction, which is what a rollout has. ``reconstruction`` is the floor of all that pass through the decoder.

    python benchmarks/moved_picture.py
    python benchmarks/moved_picture.py --model outputs/train/nano --drives 12
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch

from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import WorldModel
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.depth import look_ahead
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.corpus import shrink

FIRST_SEED = 7_000_000
FRAMES = 60


@torch.no_grad()
def errors(model: WorldModel, seed: int) -> dict[str, float]:
    """Of one drive: who foretells the next latents how badly."""
    tokenizer, normalise, camera = model.tokenizer, model.dynamics.normalise, model.camera()
    road = ("country", "motorway")[seed % 2]
    options = draw_options(seed, weather="clear", time_of_day="day", road_kind=road, traffic="none", ego="good")
    large = canonical_camera(2 * camera.height_px, 2 * camera.width_px, height_m=camera.height_m)
    clip = shrink(render_drive(options, FRAMES, camera=large).clip(), 2)
    x = to_network(torch.from_numpy(clip.frames))
    distance, turn = (
        torch.from_numpy(rate[:-1] * model.dt_s).float() for rate in (clip.motion.speed_mps, clip.motion.yaw_rate_radps)
    )
    height = torch.full_like(turn, camera.height_m)
    latents = tokenizer.encode(x)
    again = tokenizer.decode(latents).clamp(-1, 1)
    truth = normalise(latents)[1:]

    def off(frames: torch.Tensor) -> float:
        return (normalise(tokenizer.encode(frames.clamp(-1, 1))) - truth).square().mean().item()

    found = {"copy": off(x[:-1]), "reconstruction": off(again[1:])}
    for name, depth in (("street", None), ("depth", tokenizer.depth)):
        for source, frames in (("true frame", x), ("reconstruction", again)):
            if name == "street" or depth is not None:
                moved, _ = look_ahead(depth, frames[:-1], distance, turn, height, camera)
                found[f"{name}, from the {source}"] = off(moved)
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--drives", type=int, default=6)
    arguments = parser.parse_args()
    model = WorldModel.from_pretrained(arguments.model)
    rows = [errors(model, FIRST_SEED + i) for i in range(arguments.drives)]
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"{name:32s} {np.mean(values):6.3f}   ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    sys.exit(main())
