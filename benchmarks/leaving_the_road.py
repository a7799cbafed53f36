"""Does the road stay where it is, whoever drives? An ego that lets go of the wheel leaves it, in a true world.

    python benchmarks/leaving_the_road.py nano --scenarios 16 --seconds 5 --out outputs/leaving_the_road

Drawn scenarios, of seeds that no training and no other benchmark uses. In each the ego goes straight on at its speed
whatever the road does (``constant``), and as the scenario's own driver went on (``recorded``), in the learned world and
in the true one, watched by the judge. A learned world that has seen nothing but drivers who follow their road bends it
to whoever drives: then nobody leaves it, and bad policies are worth as much as good ones. Two numbers say how much:

- the slope of the judge's reading of heading and offset against the lane in the learned world over that in the true
  one, of the ``constant`` drives while they are on the road: 1 where the road stays, 0 where it turns with the ego;
- the share of drives that have left the road: of ``constant`` as many as in the true world, of ``recorded`` none.

Beside them the same of the true world as the model's tokenizer keeps it, which is all that the dynamics can reach.
Writes leaving.md and leaving.png, pairs of true and learned frames of the drives that leave. Drives are kept as they
end: interrupt it, and the same command goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.datasets.video import VideoReader
from worldmodel.evaluation.keeping_drives import HOLD_S, KeptDrive
from worldmodel.evaluation.policy_drives import Job, PolicyRun, PolicyRunConfig
from worldmodel.metrics.driving import moving_mean
from worldmodel.simulation.keeping import markdown
from worldmodel.simulation.sheet import write_png
from worldmodel.simulation.trials import DRAWN, Arena, Kind, Trial, name_scenarios
from worldmodel.tokenizer.tokenizer import Tokenizer, to_frames, to_network
from worldmodel.types import Clip, EgoMotion, FrameArray

FIRST = 100_000
POLICIES = ("constant", "recorded")
WORLDS = ("true", "kept", "learned")
NUMBERS = {"heading_error_rad": "heading", "lane_offset_m": "offset"}
#: Readings are compared at these times; later even a slow departure has left the lane, and none is read.
SLOPES_S = (0.5, 1.0, 1.5, 2.0)
SHOWN_S = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
Drives = dict[tuple[str, str], list[KeptDrive]]


class KeptArena:
    """The true world as a tokenizer keeps it."""

    kind: Kind = "true"

    def __init__(self, true: Arena, tokenizer: Tokenizer) -> None:
        self._true, self._tokenizer, self.camera, self.dt_s = true, tokenizer, true.camera, true.dt_s

    def _kept(self, frames: FrameArray) -> FrameArray:
        device = next(self._tokenizer.parameters()).device
        pixels = to_network(torch.from_numpy(np.ascontiguousarray(frames))).to(device)
        return to_frames(self._tokenizer.decode(self._tokenizer.encode(pixels))).cpu().numpy()

    def begin(self, trials: Sequence[Trial]) -> FrameArray:
        """As of the true world, like all the rest."""
        return self._kept(self._true.begin(trials))

    def renew(self, row: int, trial: Trial) -> FrameArray:
        """A row anew."""
        return self._kept(self._true.renew(row, trial)[None])[0]

    def step(self, motion: EgoMotion, tags: Tags, is_driven: NDArray[np.bool_]) -> FrameArray:
        """All rows on."""
        return self._kept(self._true.step(motion, tags, is_driven))

    def truth(self) -> dict[str, NDArray[Any]]:
        """Of every row."""
        return self._true.truth()


class Leaving(PolicyRun):
    """Drives of scenarios of its own, maybe in the true world as the tokenizer keeps it, maybe without their maps."""

    def __init__(
        self, config: PolicyRunConfig, out: Path, *, kept: bool = False, mapless: bool = False, first: int = FIRST
    ) -> None:
        super().__init__(config, out, count=1, length_s=None)
        count, length_s = config.scenarios or 1, config.length_s
        self.scenarios = name_scenarios(DRAWN, count=count, length_s=length_s, first=first)
        self._is_kept, self._is_mapless = kept, mapless

    def _arena(self, kind: Kind) -> Arena:
        arena = super()._arena(kind)
        return KeptArena(arena, self.learned.model.tokenizer) if self._is_kept and kind == "true" else arena

    def _trial(self, name: str) -> Trial:
        trial = super()._trial(name)
        if self._is_mapless and isinstance(trial.context, Clip):
            return dataclasses.replace(trial, context=dataclasses.replace(trial.context, road=None))
        return trial


def main() -> None:
    """Drive, read and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="nano")
    parser.add_argument("--scenarios", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--mapless", action="store_true", help="the learned world is not told where the road lies")
    parser.add_argument(
        "--righted", type=float, help="share of how far its road went astray that each frame puts right"
    )
    parser.add_argument("--relaid", type=float, help="share of what the ground lacks that is added to each frame")
    parser.add_argument("--first", type=int, default=FIRST, help="seed of the first scenario")
    parser.add_argument("--out", type=Path, default=Path("outputs/leaving_the_road"), help="goes on where it was")
    args = parser.parse_args()
    config = PolicyRunConfig(
        model=args.model, threads=args.threads, compile=args.compile, righted=args.righted, relaid=args.relaid,
        batch=args.batch, scenarios=args.scenarios, length_s=args.seconds,
    )  # fmt: skip
    learned = Leaving(
        config, args.out / ("mapless" if args.mapless else "told"), mapless=args.mapless, first=args.first
    )
    true = Leaving(config, args.out / "true", first=args.first)
    kept = Leaving(config, args.out / "kept", kept=True, first=args.first)
    drives: Drives = {}
    for name, run, kind in (("true", true, "true"), ("kept", kept, "true"), ("learned", learned, "learned")):
        jobs = [Job(policy, kind) for policy in POLICIES]
        run.run(jobs, done=lambda *_: None)
        drives |= {(job.policy, name): run.drives(job) for job in jobs}
    report(drives, args.seconds, learned.dt_s, args.out)
    pairs = list(zip(*(drives["constant", world] for world in ("true", "learned"))))
    left = [pair for pair in pairs if pair[0].columns["truth.off_road"].any()]
    show(left[:8] or pairs[:8], learned.dt_s, args.out / "leaving.png")


def report(drives: Drives, seconds: float, dt_s: float, out: Path) -> None:
    """Both numbers, as ``leaving.md`` and printed."""
    lines = [
        "Share of drives that have left the road.\n", departures(drives, seconds, dt_s),
        "Told to go straight on: slope of what the judge reads over what it reads in the true world.\n",
        slopes(drives, dt_s),
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    (out / "leaving.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def departures(drives: Drives, seconds: float, dt_s: float) -> str:
    """A table: who has left the road, by the truth and by the judge."""
    times = range(1, int(seconds) + 1)
    views = {"truth": "true", **{f"{world}, judged": world for world in WORLDS}}
    rows = []
    for policy in POLICIES:
        for view, world in views.items():
            row: dict[str, Any] = {"what": f"{policy}: {view}"}
            for t in times:
                flags = [is_off(d, dt_s, by_truth=view == "truth") for d in drives[policy, world]]
                row[f"{t}"] = float(np.mean([has_been(flag, t, dt_s) for flag in flags]))
            rows.append(row)
    return markdown(rows, {"what": "", **{f"{t}": f"{t} s" for t in times}})


def slopes(drives: Drives, dt_s: float) -> str:
    """A table of slopes through 0, of the drives that are still on the road."""
    rows = []
    for name, label in NUMBERS.items():
        for world in WORLDS[1:]:
            row: dict[str, Any] = {"what": f"{label}: {world}"}
            for t in SLOPES_S:
                at = round(t / dt_s)
                pairs = [
                    (true.columns[f"judge.{name}"][at], other.columns[f"judge.{name}"][at])
                    for true, other in zip(drives["constant", "true"], drives["constant", world])
                    if len(true.columns["t_s"]) > at < len(other.columns["t_s"])
                    and not has_been(is_off(true, dt_s, by_truth=True), t, dt_s)
                ]
                if pairs:  # with few scenarios, or none on the road any more, it is not known
                    x, y = np.array(pairs).T
                    row[f"{t}"] = float((x * y).sum() / (x**2).sum())
            rows.append(row)
    return markdown(rows, {"what": "", **{f"{t}": f"{t} s" for t in SLOPES_S}})


def is_off(driven: KeptDrive, dt_s: float, *, by_truth: bool = False) -> NDArray[np.bool_]:
    """``(T,)`` whether the ego is off the road, by the truth, or the judge is surer than not that it is."""
    if by_truth:
        return driven.columns["truth.off_road"] > 0.5
    return moving_mean(driven.columns["judge.off_road"], dt_s, hold_s=HOLD_S["off_road"]) > 0.5


def has_been(flag: NDArray[np.bool_], t_s: float, dt_s: float) -> bool:
    """Whether something has been so until a time; a drive that ended keeps what it was."""
    return bool(flag[: round(t_s / dt_s) + 1].any())


def show(pairs: Sequence[tuple[KeptDrive, ...]], dt_s: float, path: Path) -> None:
    """Rows of true and learned frames of ``constant``, half as large."""
    rows = []
    for drive in (drive for pair in pairs for drive in pair):
        with VideoReader(drive.path.with_suffix(".mp4")) as film:
            frames = film.read([min(round(t / dt_s), len(film) - 1) for t in SHOWN_S])
        rows.append(
            np.hstack([cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for frame in frames])
        )
    write_png(path, np.vstack(rows))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
