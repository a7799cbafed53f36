"""How well is it read how far a road has gone astray from its map? Pictures and maps moved by known amounts.

Held-out drives of the reference world's own mixture, one frame a second, as they are and through the tokenizer. Rows
are how far the road lies beside its map, as standard deviations of an offset, a heading and a curvature (metres at the
ego, at 30 m, at 30 m); columns how far ahead. Each number is by how much the road is still astray once all that was
read is put right, over how far it was: 0 is read to the millimetre, 1 is what a reader reaches that says nothing.
``map`` moves the map and leaves the picture as it is; ``picture`` moves the road in the picture, as training does
(``training.straying``). Last, of true frames with their own map: how far the road is said to be astray though it is
not, and the slope of the heading that is said over the way the road itself bends.

    python benchmarks/astray_roads.py
    python benchmarks/astray_roads.py --model outputs/train/nano --drives 60
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from torch import Tensor

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.geometry.road import window
from worldmodel.model import WorldModel
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.astray import UNIT_M, astray, lead_astray
from worldmodel.tokenizer.depth import inverse_depth
from worldmodel.tokenizer.tokenizer import to_network

FIRST_SEED = 7_100_000
FRAMES, EVERY = 40, 10
AHEAD_M = (7.0, 12.0, 20.0, 35.0, 60.0)
OFF_M = torch.tensor([0.4, 0.8, 0.2])
CAMERA = canonical_camera(128, 256, height_m=NOMINAL_HEIGHT_M)


def metres(coefficients_B3: Tensor, ahead_m: Tensor) -> Tensor:
    """Metres to the left at distances ``(..., D)``, of coefficients that broadcast against them."""
    share = ahead_m / UNIT_M
    return sum((coefficients_B3[..., i, None] * share**i for i in range(3)), torch.zeros_like(share))


def frames_and_maps(seed: int) -> tuple[Tensor, Tensor]:
    """Some frames of a drive in [-1, 1] ``(B, C, H, W)``, and windows of the map about them ``(B, E, K, 2)``."""
    drive = render_drive(draw_options(seed), FRAMES, camera=CAMERA)
    maps = np.stack([window(drive.road, pose) for pose in drive.poses[::EVERY]])
    return to_network(torch.from_numpy(drive.frames[::EVERY].copy())), torch.from_numpy(maps).float()


@torch.no_grad()
def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--drives", type=int, default=40)
    given = parser.parse_args()
    tokenizer = WorldModel.from_pretrained(given.model).tokenizer.eval()
    reader = tokenizer.astray
    if reader is None:
        sys.exit(f"{given.model}: its tokenizer does not read how far roads go astray (tokenizer.astray_width)")
    some = [frames_and_maps(FIRST_SEED + i) for i in range(given.drives)]
    frames, maps = torch.cat([f for f, _ in some]), torch.cat([m for _, m in some])
    height_m, still = torch.full((len(frames),), NOMINAL_HEIGHT_M), torch.zeros(len(frames))
    depth = torch.cat(
        [inverse_depth(tokenizer.depth, x, still[: len(x)], still[: len(x)], height_m[: len(x)], CAMERA)
         for x in frames.split(32)]
    )  # fmt: skip

    def through(x: Tensor) -> Tensor:
        return torch.cat([tokenizer.decode(tokenizer.encode(part)).clamp(-1, 1) for part in x.split(32)])

    def said(x: Tensor, road: Tensor) -> Tensor:
        return astray(reader, x, road, height_m, CAMERA).coefficients_B3

    ahead_m = torch.tensor(AHEAD_M)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(frames), 3, generator=generator) * OFF_M
    pictures = {"": frames, ", through the tokenizer": through(frames)}
    print(f"{len(frames)} frames of {given.drives} drives{'':20s}" + "".join(f"{m:>8.0f} m" for m in AHEAD_M))
    for share in (2.0, 1.0, 0.5, 0.25):
        off = share * drawn
        moved = maps.clone()
        moved[..., 1] -= metres(off, maps[..., 0].flatten(1)).view(maps.shape[:-1])
        led = lead_astray(frames, off, maps, depth, CAMERA)
        found = {f"map{name}": said(x, moved) for name, x in pictures.items()}
        found |= {"picture": said(led, maps), "picture, through the tokenizer": said(through(led), maps)}
        for name, coefficients in found.items():
            left, was = metres(coefficients - off, ahead_m), metres(off, ahead_m)
            ratio = (left.square().mean(0) / was.square().mean(0)).sqrt()
            what = "; ".join(f"{share * m:.2g}" for m in OFF_M.tolist())
            print(f"{what + ' m, ' + name:48s}" + "".join(f"{r:10.2f}" for r in ratio.tolist()))
    for name, x in pictures.items():
        coefficients = said(x, maps)
        says = metres(coefficients, ahead_m).square().mean(0).sqrt()
        print(f"{'not astray' + name + ', said, m':48s}" + "".join(f"{m:10.2f}" for m in says.tolist()))
        at = (maps[..., 0] - UNIT_M).abs().argmin(dim=-1, keepdim=True)
        bends = maps[..., 1].gather(-1, at)[..., 0].mean(dim=1)
        seen = bends.isfinite() & (bends.abs() < 10)
        slope = (coefficients[seen, 1] * bends[seen]).sum() / bends[seen].square().sum()
        print(f"slope of the heading that is said over how far left the road lies at {UNIT_M:.0f} m: {slope:.3f}")


if __name__ == "__main__":
    main()
