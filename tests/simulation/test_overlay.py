"""The way ahead on the road, tiles, and curves."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera, ground_points
from worldmodel.simulation.chart import COLOURS, Curve, line_chart
from worldmodel.simulation.overlay import TOLD, draw_way, project, tile, way_ahead
from worldmodel.types import EgoMotion

CAMERA = canonical_camera(128, 256, height_m=1.4)
STRAIGHT = EgoMotion(np.full(50, 10.0), np.zeros(50))


def test_projection_is_the_inverse_of_the_ground_seen_at_a_pixel():
    ground = ground_points(CAMERA)
    for row, column in ((127, 128), (100, 20), (80, 250), (64, 3)):
        np.testing.assert_allclose(project(ground[row, column][None], CAMERA)[0], (column, row), atol=1e-9)
    assert np.isnan(project(np.array([[-1.0, 0.0]]), CAMERA)).all()


def test_the_way_ahead_is_seen_from_the_ego_and_ends_where_motion_is_unknown():
    turning = EgoMotion(np.full(50, 10.0), np.full(50, 0.2))
    way = way_ahead(turning, 7, 0.1)
    assert way.shape == (31, 3)
    np.testing.assert_array_equal(way[0], 0)
    assert way[-1, 1] > 5, "left is positive"
    np.testing.assert_allclose(way, way_ahead(turning, 0, 0.1))
    unknown = EgoMotion(np.where(np.arange(50) == 12, np.nan, 10.0), np.zeros(50))
    assert len(way_ahead(unknown, 10, 0.1)) == 3
    assert len(way_ahead(unknown, 12, 0.1)) == 1


@pytest.mark.parametrize(("yaw", "side"), [(0.3, -1), (0.0, 0), (-0.3, 1)])
def test_the_way_is_painted_on_the_side_it_turns_to(yaw, side):
    grey = np.full((128, 256, 3), 90, dtype=np.uint8)
    painted = draw_way(grey, CAMERA, way_ahead(EgoMotion(np.full(40, 10.0), np.full(40, yaw)), 0, 0.1))
    rows, columns = np.nonzero((painted != grey).any(axis=-1))
    assert rows.min() > CAMERA.cy_px, "nothing above the horizon"
    far = columns[rows < 64].mean() - CAMERA.cx_px
    assert np.sign(round(far / 10)) == side
    assert painted[127, 128, 1] > painted[127, 128, 0], "at our feet it is green"
    assert (draw_way(grey, CAMERA, way_ahead(STRAIGHT, 50, 0.1)) == grey).all()


def test_a_tile_tells_motion_and_a_turn_to_the_left_points_left():
    frame = np.zeros((32, 64, 3), dtype=np.uint8)
    camera = canonical_camera(32, 64)

    def bar(yaw):
        told = EgoMotion(np.array(9.0), np.array(yaw))
        below = tile(frame, camera, "x", t_s=1.0, told=told)[-22:]
        columns = np.nonzero((below == TOLD).all(axis=-1))[1]
        return columns.mean() - 0.72 * below.shape[1] if len(columns) else 0.0

    assert bar(0.3) < -5
    assert bar(-0.3) > 5
    assert bar(np.nan) == 0.0
    assert tile(frame, camera, "x", t_s=0.0, told=EgoMotion.unknown()).shape == (192 + 44, 384, 3)


def test_a_curve_is_drawn_where_it_is_and_broken_where_nobody_knows():
    x = np.linspace(0, 10, 101)
    whole = line_chart([Curve("a", x, x)], title="t", y_label="m")
    broken = line_chart([Curve("a", x, np.where((x > 4) & (x < 6), np.nan, x))], title="t", y_label="m")

    def inked(picture):
        return np.nonzero((picture[30:260, 62:570] == COLOURS[0]).all(axis=-1))

    rows, columns = inked(whole)
    assert np.corrcoef(rows, columns)[0, 1] < -0.99, "larger is higher"
    assert 0.7 * len(rows) < len(inked(broken)[0]) < 0.9 * len(rows)
    nothing = line_chart([Curve("a", x, np.full(101, np.nan))], title="t", y_label="m", marks=[(5.0, "here")])
    assert not len(inked(nothing)[0])
