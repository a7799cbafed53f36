"""Pictures: pinned bytes, motion read back from pixels, and what must be seen in them."""

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference import WORLD_VERSION
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions
from worldmodel.reference.simulation import Simulation
from worldmodel.types import EgoMotion

PINNED = Path(__file__).parent / "pinned.npz"
PAIRS = [
    ("clear", "day", "country"),
    ("rain", "night", "motorway"),
    ("fog", "dusk", "town"),
    ("snow", "day", "country"),
]
CAMERA = canonical_camera(128, 256, height_m=1.4)


def pinned_frames():
    """Frames that are pinned; ``python tests/reference/pin.py`` writes them anew."""
    return {
        f"{weather}-{time}-{road}": render_drive(
            DriveOptions(7, weather, time, road, "dense", sensor=weather == "snow"),
            6,
            camera=canonical_camera(64, 128, height_m=1.4),
        ).frames[[0, 5]]
        for weather, time, road in PAIRS
    }


def test_frames_are_pinned():
    with np.load(PINNED) as kept:
        assert kept["version"] == WORLD_VERSION
        for name, frames in pinned_frames().items():
            off = np.abs(frames.astype(int) - kept[name]).max(-1)
            assert (off <= 1).mean() >= 0.999, name
            if os.environ.get("CI"):
                assert (off == 0).all(), name


def straight(seed=3, **options):
    """A simulation of a wide road on a clear day."""
    sim = Simulation(DriveOptions(seed, road_kind="motorway", traffic="none", **options), camera=CAMERA)
    for _ in range(15):  # let the body come to rest
        sim.step(EgoMotion(np.array(20.0), np.array(0.0)))
    return sim


def read_yaw_rate(before, after):
    """Yaw rate from two frames: flow near the horizon, less the expansion that driving forwards makes of it."""
    gray = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in (before, after)]
    flow = cv2.calcOpticalFlowFarneback(*gray, None, 0.5, 3, 11, 5, 5, 1.1, 0)[30:54, 96:160, 0]
    textured = np.abs(cv2.Sobel(gray[0], cv2.CV_32F, 1, 0))[30:54, 96:160] > 30
    aside = np.broadcast_to(np.arange(96, 160) - CAMERA.cx_px, flow.shape)[textured]
    terms, weight = np.stack([np.ones_like(aside), aside], 1), np.ones(textured.sum())
    fit = np.zeros(2)
    for _ in range(8):
        fit = np.linalg.lstsq(terms * weight[:, None], flow[textured] * weight, rcond=None)[0]
        weight = 1 / np.maximum(np.abs(flow[textured] - terms @ fit), 0.05)
    return fit[0] / CAMERA.fx_px / 0.1


def test_yaw_rate_can_be_read_from_the_pixels_near_the_horizon():
    errors = []
    for seed in (1, 4, 5):
        sim = straight(seed)
        for yaw in (-0.06, -0.02, 0.0, 0.03, 0.06):
            for _ in range(6):
                sim.step(EgoMotion(np.array(18.0), np.array(yaw)))
            before = sim.render()
            sim.step(EgoMotion(np.array(18.0), np.array(yaw)))
            errors.append(abs(read_yaw_rate(before, sim.render()) - yaw))
    assert np.mean(errors) < 0.01


@pytest.mark.parametrize("speed", [8.0, 15.0, 24.0])
def test_speed_can_be_read_from_the_ground(speed):
    sim = straight()
    motion = EgoMotion(np.array(speed), np.array(0.0))
    for _ in range(15):
        sim.step(motion)
    reads = []
    for _ in range(5):
        before = cv2.cvtColor(sim.render(), cv2.COLOR_RGB2GRAY).astype(np.float32)
        sim.step(motion)
        after = cv2.cvtColor(sim.render(), cv2.COLOR_RGB2GRAY).astype(np.float32)
        rows, columns = np.meshgrid(np.arange(72, 104), np.arange(48, 208), indexing="ij")
        x = CAMERA.height_m * CAMERA.fy_px / (rows - CAMERA.cy_px)
        y = -(columns - CAMERA.cx_px) / CAMERA.fx_px * x

        def error(v, before=before, after=after, rows=rows, columns=columns, x=x, y=y):
            moved = x - v * 0.1
            u = (CAMERA.cx_px - CAMERA.fx_px * y / moved).astype(np.float32)
            w = (CAMERA.cy_px + CAMERA.fy_px * CAMERA.height_m / moved).astype(np.float32)
            inside = (w < 127) & (u > 0) & (u < 255)
            if inside.mean() < 0.3:
                return np.inf
            warped = cv2.remap(after, u, w, cv2.INTER_LINEAR)[inside]
            return 1 - np.corrcoef(warped, before[rows, columns][inside])[0, 1]

        candidates = np.arange(4, 32, 0.1)
        reads.append(candidates[np.argmin([error(v) for v in candidates])])
    assert np.median(reads) == pytest.approx(speed, abs=0.4)


def test_paint_thins_out_towards_the_horizon_instead_of_flickering():
    sim = straight()
    means = []
    for _ in range(12):
        sim.step(EgoMotion(np.array(20.0), np.array(0.0)))
        means.append(sim.render()[54:60, 100:156].mean())
    assert np.std(means) < 2.5


def test_brake_lights_and_indicators_are_seen():
    def red(braking):
        sim = Simulation(DriveOptions(1, time_of_day="day", traffic="light"), camera=CAMERA)
        sim.traffic.road.vehicles[1:] = []
        leader = sim.traffic.enter(sim.traffic.ego.side, sim.traffic.ego.lane_index[2], 14.0, "sedan", 10.0, 10.0)
        leader.paint = 0
        leader.action["acceleration"] = -3.0 if braking else 0.0
        shot = sim.shot()
        assert shot.seen[0].braking == braking
        frame = sim.render().astype(int)
        return ((frame[..., 0] > 200) & (frame[..., 1] < 110)).sum()

    assert red(True) > red(False) + 4


def test_the_nose_dives_on_braking_and_the_body_rolls_in_curves():
    sim = straight()
    level = sim.shot().attitude
    for v in (19.4, 18.8, 18.2, 17.6):
        sim.step(EgoMotion(np.array(v), np.array(0.0)))
    assert sim.shot().attitude[0] < level[0] - 0.008
    for _ in range(6):
        sim.step(EgoMotion(np.array(17.6), np.array(0.15)))
    assert sim.shot().attitude[1] > level[1] + 0.004


def test_night_is_lit_by_the_headlights_and_fog_hides_what_is_far():
    options = DriveOptions(5, road_kind="country", traffic="none")
    night = render_drive(dataclasses.replace(options, time_of_day="night"), 1, camera=CAMERA).frames[0].astype(float)
    assert night[85:100, 100:156].mean() > 2 * night[85:100, 235:].mean()
    fog = render_drive(dataclasses.replace(options, weather="fog"), 1, camera=CAMERA).frames[0].astype(float)
    clear = render_drive(options, 1, camera=CAMERA).frames[0].astype(float)
    assert np.abs(np.diff(fog[30:54], axis=1)).mean() < 0.6 * np.abs(np.diff(clear[30:54], axis=1)).mean()
