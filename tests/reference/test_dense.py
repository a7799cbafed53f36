"""Truth per pixel against a ray-cast of the same scene, and against motion worked out anew from the poses."""

import cv2
import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera, pixel_rays
from worldmodel.reference.dense import CLASSES, PERSON, PLANT, ROAD, SKY, VEHICLE
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.reference.simulation import Simulation
from worldmodel.types import EgoMotion

CAMERA = canonical_camera(64, 128, height_m=1.4)


def options(kind, seed=3):
    return draw_options(seed, road_kind=kind, traffic="dense", weather="clear", time_of_day="day", events=())


@pytest.fixture(scope="module", params=["country", "motorway", "town"])
def moments(request):
    """A simulation some way into a drive with a curve, its truth, and the moment after."""
    sim = Simulation(options(request.param), camera=CAMERA)
    motion = EgoMotion(np.array(12.0), np.array(0.04))
    for _ in range(6):
        sim.step(motion)
    now, shot = sim.look(), sim.shot()
    sim.step(motion)
    flow = sim.flow_since(now)
    return sim, now, shot, flow, sim.look(), sim.shot()


def camera_axes(points, shot, view):
    """World points in camera axes, from the definition of pose, mount and attitude."""
    cos, sin = np.cos(shot.pose[2]), np.sin(shot.pose[2])
    dx, dy = points[..., 0] - shot.pose[0], points[..., 1] - shot.pose[1]
    forward, left, up = cos * dx + sin * dy, -sin * dx + cos * dy, points[..., 2] - CAMERA.height_m
    return np.stack([-left, -up, forward], -1) @ view.rotation(shot.attitude).T


def ray_cast(sim, shot):
    """Depth and owner of the nearest face or ground along every pixel's ray, plants left out; and world points."""
    view, scene = sim._renderer.view, sim._renderer.scene
    rays = pixel_rays(CAMERA).reshape(-1, 3)
    down = (rays @ view.rotation(shot.attitude))[:, 1]
    with np.errstate(divide="ignore"):
        depth = np.where(down > 1e-9, CAMERA.height_m / down, np.inf)
    owner = np.zeros(len(rays), int)
    for batch in (scene.standing(shot), scene.moving(shot)):
        if batch is None:
            continue
        for corners, number in zip(camera_axes(batch.corners, shot, view), batch.owner):
            normal = np.cross(corners[2] - corners[0], corners[3] - corners[1])
            facing = rays @ normal
            with np.errstate(divide="ignore", invalid="ignore"):
                z = (corners[0] @ normal) / facing
            hit = rays * z[:, None]
            inside = (z > 0.25) & (facing < 0)
            for a, b in zip(corners, np.roll(corners, -1, axis=0)):
                inside &= (np.cross(b - a, hit - a) @ normal >= -1e-9) | (np.abs(b - a).sum() < 1e-9)
            nearer = inside & (z < depth)
            depth[nearer], owner[nearer] = z[nearer], number
    return depth.reshape(64, 128), owner.reshape(64, 128)


def test_depth_and_ids_agree_with_a_ray_cast(moments):
    sim, now, shot, *_ = moments
    restored = sim.snapshot()
    depth, owner = ray_cast(sim, shot)
    sim.restore(restored)
    seen = (now.classes != PLANT) & (depth < 300)
    close = np.abs(now.depth_m[seen] - depth[seen]) < 0.01 * depth[seen] + 0.02
    assert close.mean() > 0.985
    vehicles = owner[seen] > 0
    if vehicles.sum() > 20:
        assert (now.ids[seen] == owner[seen])[vehicles].mean() > 0.9


def test_flow_carries_pixels_to_where_their_surface_goes(moments):
    sim, now, shot, flow, after, later = moments
    view = sim._renderer.view
    depth, owner = ray_cast(sim, shot)
    rays = pixel_rays(CAMERA) * np.where(np.isfinite(depth), depth, 1.0)[..., None]
    level = rays @ view.rotation(shot.attitude)
    cos, sin = np.cos(shot.pose[2]), np.sin(shot.pose[2])
    forward, left = level[..., 2], -level[..., 0]
    world = np.stack(
        [
            shot.pose[0] + cos * forward - sin * left,
            shot.pose[1] + sin * forward + cos * left,
            CAMERA.height_m - level[..., 1],
        ],
        -1,
    )
    before, then = ({v.number: v for v in s.seen} for s in (shot, later))
    for number, v in before.items():
        here = owner == number
        w, turn = then[number], then[number].heading_rad - v.heading_rad
        x, y = world[here, 0] - v.x_m, world[here, 1] - v.y_m
        world[here, 0] = w.x_m + np.cos(turn) * x - np.sin(turn) * y
        world[here, 1] = w.y_m + np.sin(turn) * x + np.cos(turn) * y
    moved = camera_axes(world, later, view)
    u, v = np.meshgrid(np.arange(128), np.arange(64))
    with np.errstate(invalid="ignore", divide="ignore"):
        target = np.stack(
            [
                CAMERA.fx_px * moved[..., 0] / moved[..., 2] + CAMERA.cx_px,
                CAMERA.fy_px * moved[..., 1] / moved[..., 2] + CAMERA.cy_px,
            ],
            -1,
        )
        error = np.hypot(*np.moveaxis(flow + np.stack([u, v], -1) - target, -1, 0))
    column, row = np.rint(np.nan_to_num(target[..., 0], nan=-9)), np.rint(np.nan_to_num(target[..., 1], nan=-9))
    inside = (column >= 0) & (column < 128) & (row >= 0) & (row < 64) & (moved[..., 2] > 0.3)
    arrived = after.depth_m[np.clip(row, 0, 63).astype(int), np.clip(column, 0, 127).astype(int)]
    visible = inside & (depth < 300) & (now.classes != PLANT) & (np.abs(arrived - moved[..., 2]) < 0.05 * moved[..., 2])
    assert visible.mean() > 0.2
    assert np.median(error[visible]) < 0.05
    assert (error[visible] < 0.25).mean() > 0.98


def test_frames_warped_by_flow_match():
    d = render_drive(options("country"), 6, camera=canonical_camera(128, 256, height_m=1.4), truth=True)
    u, v = np.meshgrid(np.arange(256, dtype=np.float32), np.arange(128, dtype=np.float32))
    for t in range(5):
        flow = d.dense.flow_px[t]
        to = u + flow[..., 0], v + flow[..., 1]
        warped = cv2.remap(d.frames[t + 1], *to, cv2.INTER_LINEAR)
        inside = (to[0] > 0) & (to[0] < 255) & (to[1] > 0) & (to[1] < 127)
        still = np.abs(d.frames[t + 1].astype(float) - d.frames[t])[inside].mean()
        assert np.abs(warped.astype(float) - d.frames[t])[inside].mean() < 0.65 * still


def test_the_sky_turns_and_does_not_move():
    sim = Simulation(draw_options(1, traffic="none", weather="clear", time_of_day="day"), camera=CAMERA)
    sim.step(EgoMotion(np.array(10.0), np.array(0.0)))
    now = sim.look()
    sim.step(EgoMotion(np.array(30.0), np.array(0.0)))
    sky = now.classes == SKY
    assert sky.any()
    # What is left is the pitch of accelerating, the same for all.
    flow = sim.flow_since(now)[sky]
    assert np.abs(flow[:, 0]).max() < 0.05
    assert np.ptp(flow[:, 1]) < 0.2


def test_boxes_hold_the_visible_pixels():
    d = render_drive(options("town"), 4, camera=CAMERA, truth=True)
    for t in range(4):
        for box in d.dense.boxes[t]:
            rows, columns = np.nonzero(d.dense.ids[t] == box.number)
            assert (box.left, box.right, box.top, box.bottom) == (columns.min(), columns.max(), rows.min(), rows.max())
            assert box.pixels == len(rows)
    assert any(d.dense.boxes)
    assert np.isnan(d.dense.flow_px[-1]).all()
    classes = d.dense.classes
    assert (classes == ROAD).mean() > 0.1
    assert ((classes == VEHICLE) | (classes == PERSON)).any()
    assert classes.max() < len(CLASSES)
