"""How much of the next frame does its motion explain? The last frame moved by it, beside the last frame as it is.

Errors are mean squares of normalised latents (1 is as far as unrelated frames lie from the mean) over drives of the
reference world that were not trained on, of its own mixture or (``--followed``) behind somebody in a single lane; no
dynamics is involved. ``street`` moves the frame as if the world were a flat road between far walls, ``depth`` with the
depth the tokenizer reads in one picture, ``depth and drift`` with what it reads in the last two; each from the true
frame and from its reconstruction, which is what a rollout has. ``reconstruction`` is the floor of all that pass through
the decoder. Columns: all tokens; those in which a road user is; of those, where the last frame as it is foretells the
next better than the street does (who drives along), and where not.

    python benchmarks/moved_picture.py
    python benchmarks/moved_picture.py --model outputs/train/nano --drives 12 --followed
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodel.dynamics.conditioning import between
from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import WorldModel
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.drift import STEPS_AGO, Earlier, look_ahead
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.keeping import tokens_with_users

FIRST_SEED = 7_000_000
FRAMES = 60
FOLLOWED = {"lanes": 1, "traffic": "light", "ego": "brisk", "events": (("slow_truck", 0.0),)}
COLUMNS = ("everywhere", "road users", "along", "against")


@torch.no_grad()
def errors(model: WorldModel, seed: int, fixed: dict[str, Any]) -> dict[str, Tensor]:
    """Of one drive: who foretells the next latents how badly, ``(T, N)``, and where road users are."""
    tokenizer, normalise, camera = model.tokenizer, model.dynamics.normalise, model.camera()
    large = canonical_camera(128, 256, height_m=camera.height_m)
    drive = render_drive(draw_options(seed, **fixed), FRAMES, camera=large)
    scale = 128 // camera.height_px
    x = to_network(torch.from_numpy(drive.frames))
    x = torch.nn.functional.avg_pool2d(x, scale) if scale > 1 else x
    boxes = torch.from_numpy(drive.boxes).float()[None]
    boxes[..., :4] /= scale
    users = tokens_with_users(boxes, tokenizer.config)[0, 1 + STEPS_AGO :]
    displacement_m, turn_rad = (
        torch.from_numpy(rate[:-1] * model.dt_s).float()
        for rate in (drive.motion.speed_mps, drive.motion.yaw_rate_radps)
    )
    steps = torch.arange(len(turn_rad) - STEPS_AGO)
    outgoing = torch.stack([displacement_m, turn_rad], dim=-1).expand(len(steps), -1, -1)
    since_m, since_rad = between(outgoing, steps, torch.full_like(steps, STEPS_AGO))
    displacement_m, turn_rad = displacement_m[STEPS_AGO:], turn_rad[STEPS_AGO:]
    height_m = torch.full_like(turn_rad, camera.height_m)
    latents = tokenizer.encode(x)
    again = tokenizer.decode(latents).clamp(-1, 1)
    truth = normalise(latents)[1 + STEPS_AGO :]

    def off(frames: Tensor) -> Tensor:
        return (normalise(tokenizer.encode(frames.clamp(-1, 1))) - truth).square().mean(dim=-1)

    found = {"users": users, "copy": off(x[STEPS_AGO:-1]), "reconstruction": off(again[1 + STEPS_AGO :])}
    for source, frames in (("true frame", x), ("reconstruction", again)):
        before = Earlier(frames[: -1 - STEPS_AGO], since_m, since_rad, torch.full_like(since_m, STEPS_AGO))
        ways = [("street", None, None), ("depth", tokenizer.depth, None), ("depth and drift", tokenizer.depth, before)]
        for name, depth, earlier in ways[: 1 + (tokenizer.depth is not None) + (tokenizer.drift is not None)]:
            now = (frames[STEPS_AGO:-1], displacement_m, turn_rad, height_m, camera)
            found[f"{name}, from the {source}"] = off(look_ahead(depth, tokenizer.drift, *now, earlier=earlier))
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--drives", type=int, default=12)
    parser.add_argument("--followed", action="store_true")
    given = parser.parse_args()
    model = WorldModel.from_pretrained(given.model)
    fixed = FOLLOWED if given.followed else {}
    roads = ("country", "town") if given.followed else ("country", "motorway", "town")
    some = [
        errors(model, FIRST_SEED + i, fixed | {"road_kind": roads[i % len(roads)], "weather": "clear"})
        for i in range(given.drives)
    ]
    of = {name: torch.cat([drive[name] for drive in some]) for name in some[0]}
    users = of.pop("users") > 0
    along = of["copy"] < of["street, from the true frame"]
    where = (torch.ones_like(users), users, users & along, users & ~along)
    print(f"{'':40s}" + "".join(f"{name:>12s}" for name in COLUMNS))
    print(f"{'tokens':40s}" + "".join(f"{int(mask.sum()):12d}" for mask in where))
    for name, error in of.items():
        print(f"{name:40s}" + "".join(f"{np.nan if not m.any() else error[m].mean().item():12.3f}" for m in where))


if __name__ == "__main__":
    sys.exit(main())
