"""Simulated seconds per second of this machine, with many worlds in a batch.

    python benchmarks/closed_loop_speed.py [--model nano] [--device auto] [--worlds 1,8,64] [--seconds 5] [--threads 1]
        [--policy idm-normal] [--workers 1] [--steps-per-frame N] [--json FILE]

Of the learned world: alone (every step decoded), undecoded, and in the whole closed loop, with a policy that sees by
trained perception and the judge that watches. Of the true world: the whole loop, drawn by so many processes. A figure
of 2 with one world is twice real time; with 8 worlds each of them runs at an eighth of it. Nothing here fails by time.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from worldmodel.perception.streaming import StreamingReader
from worldmodel.simulation.closed_loop import drive_trials
from worldmodel.simulation.policies.library import Tools, open_policy
from worldmodel.simulation.session import Session
from worldmodel.simulation.trials import Arena, LearnedArena, Trial, TrueArena, make_trial, name_scenarios
from worldmodel.simulation.true_processes import TrueProcesses
from worldmodel.simulation.worlds import WorldConfig, open_world
from worldmodel.types import EgoMotion


class Enough(Exception):
    """Measured for long enough."""


TAGS = "weather=clear,time_of_day=day,road_kind=country"


def stepped(session: Session, trial: Trial, worlds: int, seconds: float, *, decode: bool) -> float:
    """Simulated seconds per second of steps alone."""
    session.start([trial.context] * worlds, batch=worlds)
    motion = EgoMotion(np.full(worlds, 12.0), np.zeros(worlds))
    for _ in range(2):
        session.step(motion, decode=decode)
    begin, steps = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds or steps < 3:
        session.step(motion, decode=decode)
        steps += 1
    if session.device.type == "cuda":
        torch.cuda.synchronize()
    return worlds * steps * session.dt_s / (time.perf_counter() - begin)


def closed(arena: Arena, trial: Trial, tools: Tools, policy: str, worlds: int, seconds: float) -> float:
    """Simulated seconds per second of the whole loop, its beginning left out."""
    judge = StreamingReader.from_pretrained("judge", device=tools.device)
    moments: list[float] = []

    def tick(rows: int) -> None:
        moments.append(time.perf_counter())
        if len(moments) > 4 and moments[-1] - moments[1] > seconds:
            raise Enough

    drives = drive_trials(
        arena, lambda: open_policy(policy, tools), [trial] * worlds, judge, batch=worlds, progress=tick
    )
    try:
        for _ in drives:
            break
    except Enough:
        pass
    return worlds * (len(moments) - 2) * arena.dt_s / (moments[-1] - moments[1])


def line(name: str, of: Callable[[int], float], worlds: list[int], found: dict[str, list[float]]) -> None:
    found[name] = [of(count) for count in worlds]
    print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in found[name]) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--worlds", default="1,8,64")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--policy", default="idm-normal")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the true world")
    parser.add_argument("--steps-per-frame", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    config = WorldConfig(
        model=given.model, device=given.device, precision=given.precision, compile=given.compile, threads=given.threads,
        steps_per_frame=given.steps_per_frame,
    )  # fmt: skip
    session, about = open_world(config)
    assert isinstance(session, Session)
    tools, worlds = Tools(str(about["device"]), given.model), [int(n) for n in given.worlds.split(",")]
    (name, scenario), *_ = name_scenarios("drawn", count=1, length_s=600.0, tags=TAGS).items()
    trial = make_trial(name, scenario, session.camera, dt_s=session.dt_s)
    where = torch.cuda.get_device_name() if tools.device == "cuda" else f"{platform.machine()}, {given.threads} threads"
    size = f"{session.camera.height_px}x{session.camera.width_px}"
    print(f"{given.model} at {size}, {session.sampler.steps} steps, guidance {session.sampler.guidance:g}; {where}\n")
    print("| simulated s per s | " + " | ".join(f"{n} worlds" for n in worlds) + " |\n|" + "---|" * (len(worlds) + 1))
    found: dict[str, list[float]] = {}
    line("learned world, decoded", lambda n: stepped(session, trial, n, given.seconds, decode=True), worlds, found)
    line("learned world, undecoded", lambda n: stepped(session, trial, n, given.seconds, decode=False), worlds, found)

    def loop(arena: Callable[[], Arena]) -> Callable[[int], float]:
        return lambda n: closed(arena(), trial, tools, given.policy, n, given.seconds)

    line(f"learned world, {given.policy} and judge", loop(lambda: LearnedArena(session)), worlds, found)
    camera, dt_s = session.camera, session.dt_s
    true = TrueArena(camera, dt_s=dt_s) if given.workers == 1 else None
    spread = true or TrueProcesses(camera, dt_s=dt_s, workers=given.workers)
    few = [n for n in worlds if n <= max(8, 2 * given.workers)]
    line(f"true world, {given.policy} and judge, {given.workers} processes", loop(lambda: spread), few, found)
    if given.json:
        given.json.write_text(json.dumps({"worlds": worlds, "machine": where, "found": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
