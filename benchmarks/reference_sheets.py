"""Contact sheets of the reference world for docs/reference.md: ``python benchmarks/reference_sheets.py``."""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import VehicleState, drive
from worldmodel.reference.drive import render_drive, start_drive
from worldmodel.reference.options import EGO_SHARES, EVENT_KINDS, DriveOptions
from worldmodel.types import VOCABULARY

CAMERA = canonical_camera(128, 256, height_m=1.4)
WEATHER, TIMES, ROADS = ("clear", "rain", "fog", "snow"), ("day", "dusk", "night"), ("country", "motorway", "town")


def moment(options: DriveOptions, frame: int) -> np.ndarray:
    """One picture of a drive, ``frame`` steps after its start; only that one is rendered."""
    world, driver = start_drive(options, camera=CAMERA, dt_s=0.1)
    state = VehicleState(np.array(world.situation().speed_mps), world.line.curvature_at(0.0))
    for _ in range(frame):
        state, motion = drive(state, driver.controls(world.situation(), 0.1), 0.1)
        world.step(motion)
    return world.render()


def grid(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def weather_sheet(road: str, seed: int) -> np.ndarray:
    """Rows: day, dusk, night; columns: clear, rain, fog, snow. Every column is one drive under three lights."""
    return grid(
        [
            [moment(DriveOptions(seed + i, w, t, road, "dense", "brisk"), 30 + 5 * i) for i, w in enumerate(WEATHER)]
            for t in TIMES
        ]
    )


def driver_sheet(seed: int) -> np.ndarray:
    """Each row one way of driving, a frame every two seconds."""
    rows = []
    for i, ego in enumerate(("weaving", "swerving", "hard_braking", "off_lane", "off_road", "crashing")):
        assert ego in EGO_SHARES
        frames = render_drive(
            DriveOptions(seed + i, road_kind="country", traffic="dense", ego=ego), 140, camera=CAMERA
        ).frames
        rows.append(list(frames[60::20]))
    return grid(rows)


def event_sheet(seed: int) -> np.ndarray:
    """Each row one event, from before it to its end."""
    rows = []
    for kind in EVENT_KINDS:
        d = render_drive(
            DriveOptions(seed, road_kind="town", traffic="light", events=((kind, 3.0),)), 260, camera=CAMERA
        )
        on = np.flatnonzero(d.tags.channel("event") == VOCABULARY["event"].index(kind))
        first, last = (int(on[0]), int(on[-1])) if len(on) else (100, 200)
        rows.append([d.frames[int(t)] for t in np.linspace(max(first - 10, 0), min(last, first + 110, 259), 4)])
    return grid(rows)


def truth_sheet(seed: int) -> np.ndarray:
    """Picture, depth, flow (hue: direction, brightness: length), classes."""
    rows = []
    for i, road in enumerate(ROADS):
        d = render_drive(
            DriveOptions(seed + i, road_kind=road, traffic="dense", ego="brisk"), 30, camera=CAMERA, truth=True
        )
        assert d.dense is not None
        depth, flow, classes = d.dense.depth_m[28], d.dense.flow_px[28], d.dense.classes[28]
        near = np.clip(255 * np.sqrt(5 / np.maximum(depth, 5)), 0, 255).astype(np.uint8)
        length, angle = np.hypot(flow[..., 0], flow[..., 1]), np.arctan2(flow[..., 1], flow[..., 0])
        hsv = np.stack([(angle + np.pi) * 89 / np.pi, np.full_like(angle, 255), 255 * (1 - np.exp(-length / 5))], -1)
        colours = cv2.applyColorMap((classes * 36).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
        shown = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
        rows.append([d.frames[28], cv2.applyColorMap(near, cv2.COLORMAP_INFERNO)[..., ::-1], shown, colours])
    return grid(rows)


def sensor_sheet(seed: int) -> np.ndarray:
    """Without and with the sensor model."""
    pairs = [
        ("rain", "dusk", "town"),
        ("clear", "night", "country"),
        ("rain", "day", "motorway"),
        ("snow", "dusk", "town"),
    ]
    return grid(
        [
            [moment(DriveOptions(seed + i, w, t, r, "dense", sensor=sensor), 30) for i, (w, t, r) in enumerate(pairs)]
            for sensor in (False, True)
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/reference"))
    parser.add_argument("--seed", type=int, default=300)
    parser.add_argument("--only", default="", help="part of a sheet's name")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    seed = arguments.seed
    sheets = {road: lambda road=road: weather_sheet(road, seed) for road in ROADS}
    sheets |= {"drivers": lambda: driver_sheet(seed), "events": lambda: event_sheet(31)}
    sheets |= {"truth": lambda: truth_sheet(seed), "sensor": lambda: sensor_sheet(seed)}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, make in tqdm([(n, m) for n, m in sheets.items() if arguments.only in n]):
        cv2.imwrite(str(arguments.out / f"{name}.png"), make()[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
