"""Told to brake behind somebody: does the gap grow, in the learned world as in the true one?

    python benchmarks/braking_gaps.py nano --scenarios 12 --out outputs/braking_gaps

Roads of the reference world on a clear day, of seeds that no training uses, each with a car ahead that is to brake when
the drive is over (that brings it there): the first in which it is 8 to 28 m ahead at 8 m/s or more when the context
ends, and the judge sees that in the last frames of the context as the model keeps them. Nothing of what comes after is
chosen by. Each goes on unedited and with ``--edit``, ``--samples`` times in the learned world and once in the true one:
what ``mode=whatif`` does, many roads at once. The gap of a moment is the median of the half second up to it, where more
than half of its frames show somebody; how far the gaps of two samples of the unedited branch are apart says how much is
chance. *In place* is a gap within a factor of 1.4 of the true one. Writes growth.md, growth.png and what was driven;
run again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.metrics.intervals import bootstrap_interval
from worldmodel.model import WorldModel
from worldmodel.perception.reader import Reader
from worldmodel.simulation.beginning import begin_reference
from worldmodel.simulation.courses import Course, lay_out
from worldmodel.simulation.edits import open_edits
from worldmodel.simulation.keeping import markdown
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.rollout import advance, info_of
from worldmodel.simulation.scenario import ScenarioFile
from worldmodel.simulation.session import Session
from worldmodel.simulation.sheet import write_png
from worldmodel.tokenizer.tokenizer import to_frames, to_network
from worldmodel.types import Clip, EgoMotion, Tags

FIRST_SEED = 8_200_000_000
ROADS = ("town", "country")
NEAREST_M, FARTHEST_M, SLOWEST_MPS = 8.0, 28.0, 8.0
#: The judge sees who is followed when its gap is within this factor of the true one.
SEEN_WITHIN = 1.4
CONTEXT_S, SETTLE_S, OVER_S = 1.6, 6.0, 0.5
#: Roads that are driven together: more at once is faster, and more is lost when the run is stopped.
TOGETHER = 4
WORLDS = ("truth", "true frames, judged", "learned frames, judged")


@dataclasses.dataclass(frozen=True)
class Road:
    """A scenario whose true world has been driven; ``true`` frames ``(2, S + 1, H, W, 3)`` and gaps ``(2, S + 1)``."""

    name: str
    context: Clip
    tags: Tags
    courses: list[Course]
    true: NDArray[np.uint8]
    gap_m: NDArray[np.float64]


def try_road(number: int, session: Session, judge: Reader, edit: str, seconds: float) -> Road | None:
    """The road of a number where it is one in which somebody is followed, and seen."""
    kind = ROADS[number % len(ROADS)]
    road = {"seed": FIRST_SEED + number, "road_kind": kind, "traffic": "light", "lanes": 1, "settle_s": SETTLE_S}
    context = {"reference": road, "length_s": CONTEXT_S}
    car_ahead = [{"kind": "hard_brake", "t_s": seconds}]
    about = {"context": context, "length_s": seconds, "events": car_ahead, "seed": number}
    scenario = ScenarioFile.parse(about)
    dt_s, driver = session.dt_s, open_policy("oracle-keeper")
    begun = begin_reference(scenario, session.camera, dt_s=dt_s, policy=driver)
    world, carry, steps = begun.world, begun.carry, round(seconds / dt_s)
    gap_m, clip = float(info_of(world)["gap_m"][0]), begun.clip()
    print(f"{kind} {number}: {gap_m:.0f} m at {carry.vehicle.speed_mps[0]:.0f} m/s", end="", flush=True)
    if not NEAREST_M <= gap_m <= FARTHEST_M or carry.vehicle.speed_mps[0] < SLOWEST_MPS:
        return None
    kept = as_kept(session, clip.frames[-4:])
    seen_m = judge.read(kept, clip.t_s[-4:], world.camera).numbers["gap_m"][-1]
    print(f", seen at {seen_m:.0f} m", end="")
    if not gap_m / SEEN_WITHIN <= seen_m <= gap_m * SEEN_WITHIN:
        return None
    snapshot, start, world.is_dark, motions = world.snapshot(), carry, True, []
    for _ in range(steps):
        carry, moment = advance(world, driver, carry)
        motions.append(moment.motion)
    base = EgoMotion(*(np.array([getattr(m, n)[0] for m in motions]) for n in ("speed_mps", "yaw_rate_radps")))
    # Beyond the end the motion goes on as it was: a slower branch does not get there.
    courses = lay_out(open_edits(edit).branches, base, steps, dt_s)
    assert len(courses) == 2, "one edit at a time"
    frames, gaps = [], []
    for course in courses:
        world.restore(snapshot)
        world.is_dark, shown, told = False, [start.frames[0]], [gap_m]
        for step in range(steps):
            frame = world.step(course.motion[[step]])
            assert frame is not None
            shown.append(frame[0])
            told.append(float(info_of(world)["gap_m"][0]))
        frames.append(shown)
        gaps.append(told)
    tags = scenario.tags_along(clip.tags[-1], steps, dt_s)
    return Road(f"{kind} {number}", clip, tags, courses, np.array(frames), np.array(gaps))


@torch.no_grad()
def as_kept(session: Session, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames ``(T, H, W, 3)`` through the tokenizer and back."""
    tokenizer = session.model.tokenizer
    return to_frames(tokenizer.decode(tokenizer.encode(to_network(torch.from_numpy(frames))))).numpy()


def drive(session: Session, roads: list[Road], samples: int) -> NDArray[np.uint8]:
    """Frames ``(2, S + 1, roads, samples, H, W, 3)`` of both branches in the learned world."""
    rows = [road for road in roads for _ in range(samples)]
    steps = rows[0].courses[0].motion.shape[0]
    codes = np.stack([road.tags.codes for road in rows], axis=1)
    first = min(road.courses[1].first_step for road in rows)

    def on(begin: int, end: int, branch: int) -> list[NDArray[np.uint8]]:
        seen = []
        for step in range(begin, end):
            parts = [road.courses[branch].motion[step] for road in rows]
            motion = EgoMotion(*(np.array([getattr(m, n) for m in parts]) for n in ("speed_mps", "yaw_rate_radps")))
            frame = session.step(motion, tags=Tags(codes[step + 1]))
            assert frame is not None
            seen.append(frame)
        return seen

    seeds = [sample for _ in roads for sample in range(samples)]
    shared = [session.start([road.context for road in rows], batch=len(rows), seed=seeds), *on(0, first, 0)]
    snapshot = session.snapshot()
    unedited = on(first, steps, 0)
    session.restore(snapshot)
    both = np.array([[*shared, *unedited], [*shared, *on(first, steps, 1)]])
    return both.reshape(2, steps + 1, len(roads), samples, *both.shape[3:])


def read(judge: Reader, frames: NDArray[np.uint8], dt_s: float, session: Session) -> NDArray[np.float64]:
    """Gaps ``(T,)`` of a drive, NaN where nobody is seen."""
    return judge.read(frames, dt_s * np.arange(len(frames), dtype=np.float64), session.camera).numbers["gap_m"]


def at(gap_m: NDArray[np.float64], second: float, dt_s: float) -> NDArray[np.float64]:
    """Gaps ``(...)`` at a moment, of gaps ``(..., T)``."""
    end = round(second / dt_s) + 1
    last = gap_m[..., end - round(OVER_S / dt_s) : end]
    enough = np.isfinite(last).mean(axis=-1) > 0.5
    return np.where(enough, np.nanmedian(np.where(enough[..., None], last, 0.0), axis=-1), np.nan)


def report(done: list[dict[str, Any]], dt_s: float, seconds: list[float]) -> str:
    """By how much gaps have grown at some moments, and a row per road at the last of them."""
    lines = [
        "| after, s | | in place: unedited, edited | grown in | by, m (95 %) | median | two samples apart, m |",
        "|" + "---|" * 7,
    ]
    for second in seconds:
        for which, words in enumerate(WORLDS):
            gaps = [at(road["gaps"][which], second, dt_s) for road in done]
            each = np.concatenate([gap[1] - gap[0] for gap in gaps])
            known, mean = each[np.isfinite(each)], bootstrap_interval(np.array([_mean(g[1] - g[0]) for g in gaps]))
            apart = [np.abs(np.diff(gap[0])) for gap in gaps if gap.shape[1] > 1]
            chance = f"{np.nanmedian(np.concatenate(apart)):.1f}" if apart else ""
            by = (
                f"{mean.value:+.1f} ({mean.low:+.1f} to {mean.high:+.1f}) | {np.median(known):+.1f}"
                if len(known)
                else "– | –"
            )
            true = [at(road["gaps"][0], second, dt_s) for road in done]
            placed = np.concatenate(
                [np.abs(np.log(gap / is_so)) <= np.log(SEEN_WITHIN) for gap, is_so in zip(gaps, true)], 1
            )
            place = ", ".join(f"{count} of {len(each)}" for count in placed.sum(axis=1))
            lines.append(f"| {second:g} | {words} | {place} | {(known > 0).sum()} of {len(known)} | {by} | {chance} |")
    rows = []
    for road in done:
        row: dict[str, Any] = {"road": road["name"]}
        for which, words in enumerate(WORLDS):
            gap = at(road["gaps"][which], seconds[-1], dt_s)
            row[words] = ", ".join(f"{a:.0f} → {b:.0f}" for a, b in gap.T)
        rows.append(row)
    headings = {"road": f"gap after {seconds[-1]:g} s, unedited → edited, m", **{words: words for words in WORLDS}}
    return "\n".join(lines) + "\n\n" + markdown(rows, headings)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def picture(done: list[dict[str, Any]], dt_s: float) -> NDArray[np.uint8]:
    """The first two roads, second by second: the true world unedited, edited, the learned one unedited, edited."""
    columns = []
    for road in done[:2]:
        for index in range(0, road["true"].shape[1], round(1 / dt_s)):
            frames = [road[world][branch, index] for world in ("true", "learned") for branch in (0, 1)]
            columns.append([cv2.resize(frame, (96, 48), interpolation=cv2.INTER_AREA) for frame in frames])
    return np.concatenate([np.concatenate(column) for column in columns], axis=1).astype(np.uint8)


def main() -> None:
    """Choose roads, drive them and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--scenarios", type=int, default=12)
    parser.add_argument("--first", type=int, default=0, help="number of the first road; choose settings on others")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--edit", default="brake decel_mps2=3 from_s=0.5 for_s=2")
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("outputs/braking_gaps"))
    for name, kind in (("guidance", float), ("past_tau", float), ("moved_tau", float), ("steps", int)):
        parser.add_argument(f"--{name}", type=kind)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = WorldModel.from_pretrained(given.model), Reader.from_pretrained("judge")
    asked = {n: getattr(given, n) for n in ("guidance", "past_tau", "moved_tau", "steps")}
    sampler: SamplerConfig = dataclasses.replace(model.sampler, **{n: v for n, v in asked.items() if v is not None})
    session = Session(model, sampler=sampler, precision="auto")
    given.out.mkdir(parents=True, exist_ok=True)
    done: list[dict[str, Any]] = []
    for path in sorted(given.out.glob("road_*.npz")):
        with np.load(path) as kept:
            gaps = [kept[f"gaps_{which}"] for which in range(len(WORLDS))]
            done.append({"name": str(kept["name"]), "gaps": gaps, "true": kept["true"], "learned": kept["learned"]})
    number = max([given.first, *(int(road["name"].split()[1]) + 1 for road in done)])
    waiting: list[Road] = []
    while len(done) < given.scenarios:
        road, number = try_road(number, session, judge, given.edit, given.seconds), number + 1
        waiting += [road] if road else []
        print(": taken" if road else ": left", flush=True)
        if len(waiting) < min(TOGETHER, given.scenarios - len(done)):
            continue
        frames = drive(session, waiting, given.samples)
        for index, road in enumerate(waiting):
            each = frames[:, :, index]
            judged = np.array(
                [[read(judge, each[b, :, s], session.dt_s, session) for s in range(given.samples)] for b in (0, 1)]
            )
            judged_true = np.array([[read(judge, road.true[b], session.dt_s, session)] for b in (0, 1)])
            gaps = [road.gap_m[:, None], judged_true, judged]
            done.append({"name": road.name, "gaps": gaps, "true": road.true, "learned": each[:, :, 0]})
            kept: dict[str, Any] = {f"gaps_{which}": gap for which, gap in enumerate(gaps)}
            path = given.out / f"road_{int(road.name.split()[1]):05d}.npz"
            np.savez_compressed(path, name=road.name, true=road.true, learned=each[:, :, 0], **kept)
        waiting = []
    moments = np.arange(1.5, given.seconds + 0.01, 0.5).tolist()
    text = f"sampler: {sampler}\n\nedit: {given.edit}; roads {given.first} to {number - 1}\n\n" + report(
        done, session.dt_s, moments
    )
    (given.out / "growth.md").write_text(text, encoding="utf-8")
    write_png(given.out / "growth.png", picture(done, session.dt_s))
    print(text)


if __name__ == "__main__":
    main()
