"""A drive is looked at from beside its way, at the moments at which it was looked at from its own."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import window
from worldmodel.reference.beside import beside, render_beside
from worldmodel.reference.drive import driven, render_drive, start_drive
from worldmodel.reference.options import draw_options
from worldmodel.reference.streams import stream

CAMERA = canonical_camera(32, 64, height_m=1.4)


def test_poses_lie_about_the_ego_and_not_far_off() -> None:
    random, pose = np.random.default_rng(0), np.array([10.0, -4.0, 2.0])
    others = np.array([beside(pose, random) for _ in range(2000)])
    ahead = (others[:, 0] - 10) * np.cos(2) + (others[:, 1] + 4) * np.sin(2)
    left = (others[:, 1] + 4) * np.cos(2) - (others[:, 0] - 10) * np.sin(2)
    np.testing.assert_allclose(ahead, 0, atol=1e-9)
    assert np.abs(left).max() <= 7
    assert 0.5 < np.median(np.abs(left)) < 1.0
    assert np.abs(others[:, 2] - 2).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("seed", [3, 11])
def test_what_is_seen_from_beside_is_the_same_moment_and_its_map_fits(seed: int) -> None:
    options = draw_options(seed)
    seen = render_beside(options, 12, camera=CAMERA, every=5, poses=2)
    again = render_beside(options, 12, camera=CAMERA, every=5, poses=2)
    np.testing.assert_array_equal(seen.frames, again.frames)
    assert seen.frames.shape == (6, 32, 64, 3)
    assert seen.road.shape[:2] == (6, 2)
    drive = render_drive(options, 12, camera=CAMERA, every=5)
    assert len(drive) == 3
    world, driver = start_drive(options, camera=CAMERA, dt_s=0.1)
    random, moment = stream(options.seed, "beside"), 0
    for index, _ in enumerate(driven(world, driver, 12)):
        if index % 5:
            continue
        np.testing.assert_array_equal(world.render(), drive.frames[moment])
        np.testing.assert_array_equal(world.render_from(world.pose), drive.frames[moment])
        for other in (2 * moment, 2 * moment + 1):
            pose = beside(world.pose, random)
            np.testing.assert_array_equal(seen.frames[other], world.render_from(pose))
            for edge, true in zip(seen.road[other], window(drive.road, pose)):
                near = (edge[:, 0] > 0) & (edge[:, 0] < 30)
                assert near.sum() > 5
                # A map's points lie elsewhere along the road, the edges between them do not.
                np.testing.assert_allclose(np.interp(edge[near, 0], *true.T), edge[near, 1], atol=0.05)
        moment += 1
    clip = seen.clip()
    assert not clip.motion.is_known.any()
    assert len(clip.frames) == len(clip.road if clip.road is not None else ())
