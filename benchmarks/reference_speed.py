"""Frames per second of the reference world on one core: ``python benchmarks/reference_speed.py``.

CPU time of the process is measured, not the clock on the wall, so that other work on the machine counts less. Making
the world (sky, textures, scenery around the start) is left out and reported by itself.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.reference.drive import start_drive
from worldmodel.reference.options import DriveOptions

CASES = [
    ("country, clear day", {}),
    ("motorway, clear day", {"road_kind": "motorway"}),
    ("town, clear day", {"road_kind": "town"}),
    ("country, clear night", {"time_of_day": "night"}),
    ("motorway, rain, night", {"road_kind": "motorway", "weather": "rain", "time_of_day": "night"}),
    ("town, snow, dusk", {"road_kind": "town", "weather": "snow", "time_of_day": "dusk"}),
    ("country, fog", {"weather": "fog"}),
    ("country, clear day, no traffic", {"traffic": "none"}),
    ("country, clear day, sensor", {"sensor": True}),
    ("country, clear day, depth flow ids", {"truth": True}),
]


def run(
    options: dict, size: tuple[int, int], frames: int, vehicles: int
) -> tuple[list[float], float, dict[str, float]]:
    """Seconds of every frame, milliseconds to make the world, and milliseconds per frame of the parts."""
    options = dict(options)
    truth = options.pop("truth", False)
    wanted = {"road_kind": "country", "traffic": "dense", "ego": "good"} | options
    begun = time.process_time()
    world, driver = start_drive(DriveOptions(5, **wanted), camera=canonical_camera(*size, height_m=1.4), dt_s=0.1)
    if world.traffic is not None:
        world.traffic._wanted = (vehicles - vehicles // 3, vehicles // 3)
        del world.traffic.road.vehicles[1 + vehicles :]
    world.render()
    made_s = time.process_time() - begun
    state = VehicleState(np.array(world.situation().speed_mps), world.line.curvature_at(0.0))
    parts = {"move": 0.0, "picture": 0.0, "dense": 0.0}
    before, every = None, []
    for _ in range(frames):
        t0 = time.process_time()
        world.render()
        world.truth()
        t1 = time.process_time()
        if truth:
            if before is not None:
                world.flow_since(before)
            before = world.look()
        t2 = time.process_time()
        state, motion = drive(state, driver.controls(world.situation(), 0.1), 0.1)
        world.step(motion)
        parts["picture"] += t1 - t0
        parts["dense"] += t2 - t1
        t3 = time.process_time()
        parts["move"] += t3 - t2
        every.append(t3 - t0)
    return every, 1e3 * made_s, {k: 1e3 * v / frames for k, v in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--vehicles", type=int, default=12)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    print("| case | size | frames/s: mean | median | fastest tenth | move ms | picture ms | dense ms | start ms |")
    print("|" + "---|" * 9)
    for size in ((128, 256), (64, 128)):
        run({}, size, 5, arguments.vehicles)
        for name, options in CASES if size[0] == 128 else CASES[:3]:
            every, made, parts = run(options, size, arguments.frames, arguments.vehicles)
            row = f"{parts['move']:.1f} | {parts['picture']:.1f} | {parts['dense']:.1f} | {made:.0f}"
            fps = f"{1 / np.mean(every):.0f} | {1 / np.median(every):.0f} | {1 / np.percentile(every, 10):.0f}"
            print(f"| {name} | {size[0]}×{size[1]} | {fps} | {row} |", flush=True)


if __name__ == "__main__":
    main()
