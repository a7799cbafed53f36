"""Is the weather and light that a world is told heard, once it sees its past? True drives whose past has another look.

    python benchmarks/heard.py nano docs/gpu/nano_base --drives 24

Clips of 16 frames of the reference world, of seeds nothing else uses, are rendered twice, the second time in another
weather or at another time of day (``training.looks``). Their latents are mixed, so that the past and the moved
frame before have a share of the other look, at the levels of a rollout. What does the network take the last frame to
be? How much of the other look is left in it, over how much the past has: 1 where it goes on as the past was, 0 where it
is as it is told. Told the clip's own tags, none, and the other look's: where all three agree, tags are not heard.
Ordinary true clips teach that, as in them the past has always been as it is told. What else is wrong with the frame
counts too, the more the smaller the share, so compare the three. In the second half of the rows all frames are of one
level, the last among them: what the teacher of the last stage sees of a drive that has gone astray
(``dynamics.matching``).
"""

from __future__ import annotations

import argparse
import dataclasses

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.objective import blend, moved_at
from worldmodel.dynamics.sampler import FINEST
from worldmodel.geometry.road import window
from worldmodel.model import WorldModel
from worldmodel.nn.component import content_hash
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions, draw_options
from worldmodel.simulation.keeping import markdown
from worldmodel.training.config import TrainConfig
from worldmodel.training.latents import latents_of
from worldmodel.training.looks import mixed
from worldmodel.training.sources import looking_otherwise
from worldmodel.training.stages import as_tensors, prepare_clips
from worldmodel.training.with_boxes import BoxedBatch, WithBoxes

FIRST_SEED = 8_100_000
FRAMES = 16
SHARES = (0.15, 0.4, 1.0)
TAUS = (0.0, 0.5)
TOGETHER_TAUS = (0.25, 0.5, 0.75)


def rendered(model: WorldModel, options: DriveOptions, name: str) -> MemoryEpisode:
    """A clip and the latents of its frames."""
    drive = render_drive(options, FRAMES, camera=model.camera())
    truth = {"road": np.stack([window(drive.road, pose) for pose in drive.poses]), "boxes": drive.boxes}
    stretch = MemoryEpisode.of(drive.clip(), drive_id=name, truth=truth)
    config = TrainConfig(tokenizer=model.tokenizer.config, dynamics=model.dynamics.config, device="cpu")
    return dataclasses.replace(stretch, frames=latents_of(config, model.tokenizer, stretch).numpy())


def told_and_clean(model: WorldModel, clips: list[MemoryEpisode]) -> tuple[Told, Tensor]:
    """All clips as one batch, in their order."""
    batch = WithBoxes(ClipWindows(clips, length=FRAMES, batch_size=1)).at([(i, 0) for i in range(len(clips))])
    return prepare_clips(BoxedBatch(*as_tensors(batch)), model.dynamics, model.tokenizer.config)


def left(
    model: WorldModel,
    own: list[MemoryEpisode],
    other: list[MemoryEpisode],
    share: float,
    tau: float,
    *,
    together: bool = False,
) -> dict[str, float]:
    """Share of the other look in the last frame over that in the past: told its own tags, none, the other look's.

    The past is at the levels of a rollout, or ``together`` with the last frame at ``tau``.
    """
    network, sampler = model.dynamics, model.sampler
    share_1T = torch.full((1, FRAMES), share)
    pairs = [(a, *(torch.from_numpy(clip.frames)[None] for clip in (a, b))) for a, b in zip(own, other)]
    some = [dataclasses.replace(a, frames=mixed(x, y, share_1T)[0].numpy()) for a, x, y in pairs]
    told, clean = told_and_clean(model, some)
    (_, begin), (others, end) = told_and_clean(model, own), told_and_clean(model, other)
    way = (end - begin)[:, -1]
    rng = torch.Generator().manual_seed(0)
    past, moved = (tau, tau) if together else (sampler.past_tau, sampler.moved_tau)
    tau_BT = torch.full(clean.shape[:2], past)
    tau_BT[:, -1] = tau
    noisy = blend(clean, torch.randn(clean.shape, generator=rng), tau_BT)
    if told.moved is not None:
        noise = torch.randn(told.moved.shape, generator=rng)
        told = moved_at(told, torch.full(clean.shape[:2], moved), noise)
    found, untold = {}, told.without_tags()
    for name, says in (("own", told), ("none", untold), ("other", dataclasses.replace(told, tags=others.tags))):
        said = network(noisy, tau_BT, torch.full_like(tau_BT, 1 / FINEST), says)[:, -1]
        along = ((said - begin[:, -1]) * way).sum(dim=(1, 2, 3)) / way.square().sum(dim=(1, 2, 3))
        found[name] = float(along.mean()) / share
    return found


def main() -> None:
    """Render, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nano"], help="of one tokenizer")
    parser.add_argument("--drives", type=int, default=24)
    args = parser.parse_args()
    models = {name: WorldModel.from_pretrained(name) for name in args.models}
    first = next(iter(models.values()))
    for name, model in models.items():
        if content_hash(model.tokenizer) != content_hash(first.tokenizer):
            parser.error(f"{name}: its tokenizer is not that of {args.models[0]}; ask it in a run of its own")
    own, other = [], []
    for number in tqdm(range(args.drives), unit="drive"):
        options = draw_options(FIRST_SEED + number, ego="good", events=(), sensor=False)
        own.append(rendered(first, options, f"own_{number:04d}"))
        other.append(rendered(first, looking_otherwise(options), f"other_{number:04d}"))
    rows = [
        {"model": name, "past": past, "share": share, "tau": tau, **left(model, own, other, share, tau, together=t)}
        for t, past, taus in ((False, "nearly clean", TAUS), (True, "of that level too", TOGETHER_TAUS))
        for name, model in models.items()
        for share in SHARES
        for tau in taus
    ]
    shown = {"past": "past", "share": "other look in it", "tau": "signal level", "own": "left: told its own"}
    print(markdown(rows, {"model": "", **shown, "none": "told none", "other": "told the other's"}))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    main()
