"""Boxes are found where maps say they are, each once, the surest first."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.boxes import AHEAD, CENTRE, LOG_DISTANCE, LOG_HEIGHT, LOG_WIDTH, MAPS, SUMMARY, find_boxes
from worldmodel.perception.boxes import summary as summary_of
from worldmodel.perception.gaps import NOSE_M
from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import Reader, load_perceiver, save_perceiver

ROWS, COLUMNS = 16, 32
CONFIG = PerceptionConfig(
    64, 128, widths=(8, 8, 8), matched=4, maps=2, hidden=16, context=4, row_maps=2, near=2, statistics=True, boxes=8
)
CAMERA = canonical_camera(64, 128, height_m=1.4)


def maps_of(cells):
    """Maps of one frame with a box of 2 by 2 cells at each given (row, column, logit, metres)."""
    maps = torch.zeros(1, len(MAPS), ROWS, COLUMNS)
    maps[:, CENTRE] = -9
    maps[:, [LOG_WIDTH, LOG_HEIGHT]] = np.log(2)
    for row, column, logit, metres in cells:
        maps[0, CENTRE, row, column] = logit
        maps[0, LOG_DISTANCE, row, column] = np.log(metres)
    return maps


@given(st.lists(st.integers(0, 31), max_size=9, unique=True), st.lists(st.floats(2, 80), min_size=9, max_size=9))
def test_every_box_is_found_once_and_the_surest_first(places, metres):
    cells = [(4 * (p // 8) + 1, 4 * (p % 8) + 1, 0.5 * i, metres[i]) for i, p in enumerate(places)]
    found = find_boxes(maps_of(cells))
    known = torch.isfinite(found.score[0])
    assert int(known.sum()) == len(cells)
    cells.sort(key=lambda cell: -cell[2])
    for i, (row, column, logit, metres) in enumerate(cells):
        assert found.edges[0, i].tolist() == pytest.approx(
            [4 * column - 2, 4 * row - 2, 4 * column + 6, 4 * row + 6], abs=1e-3
        )
        assert float(found.score[0, i]) == pytest.approx(float(torch.tensor(logit).sigmoid()), abs=1e-5)
        assert float(found.distance_m[0, i]) == pytest.approx(metres, rel=1e-4)
    assert (known == torch.isfinite(found.edges[0]).all(dim=1)).all()


def test_of_boxes_on_top_of_each_other_the_surest_stays():
    maps = maps_of([(8, 8, 3.0, 20.0), (8, 10, 2.0, 20.0), (8, 20, 1.0, 30.0)])
    maps[:, [LOG_WIDTH, LOG_HEIGHT]] = np.log(12)
    found = find_boxes(maps)
    assert torch.isfinite(found.score[0]).sum() == 2
    assert found.score[0, :2].tolist() == pytest.approx(torch.tensor([3.0, 1.0]).sigmoid().tolist())


def test_edges_stay_inside_the_picture():
    maps = maps_of([(0, 0, 3.0, 20.0), (15, 31, 3.0, 20.0)])
    maps[:, [LOG_WIDTH, LOG_HEIGHT]] = np.log(6)
    edges = find_boxes(maps).edges[0, :2]
    assert (edges >= 0).all()
    assert (edges[:, [0, 2]] <= 4 * COLUMNS).all()
    assert (edges[:, [1, 3]] <= 4 * ROWS).all()


def test_what_the_way_points_to_is_read_and_users_are_counted_by_distance():
    maps = maps_of([(8, 8, 9.0, 20.0), (8, 20, 9.0, 60.0), (4, 20, 9.0, 70.0)])
    maps[0, AHEAD, 8, 8] = 30
    places = torch.zeros(2, ROWS * COLUMNS)
    read = summary_of(maps, places)[0]
    assert len(read) == SUMMARY
    assert float(read[LOG_DISTANCE]) == pytest.approx(np.log(20), abs=1e-3)
    counts = 3 * read[-4:]
    assert counts[1] == pytest.approx(1, abs=0.3)
    assert counts[3] == pytest.approx(2, abs=0.6)


class Saying(Perceiver):
    """A perceiver whose head says fixed maps."""

    said = maps_of([(8, 16, 4.0, 12.0), (8, 26, 3.0, 9.0)])

    def look(self, x_BCHW):
        look = super().look(x_BCHW)
        return look._replace(boxes=self.said.expand(len(x_BCHW), -1, -1, -1))


def test_a_reader_gives_boxes_in_pixels_of_the_frames_and_the_gap_of_both():
    torch.manual_seed(0)
    small, large = (np.random.default_rng(0).integers(0, 256, (3, 64 * k, 128 * k, 3), dtype=np.uint8) for k in (1, 2))
    network = Saying(CONFIG)
    network.flags.bias.data[2] = 9  # somebody is ahead
    network.numbers.weight.data[1:3] = network.numbers.bias.data[1:3] = 0  # on a straight road
    readings = Reader(network).read(small, np.arange(3) * 0.1, CAMERA)
    boxes = readings.boxes
    assert boxes.edges_px[:, 0] == pytest.approx(np.tile([62.0, 30.0, 70.0, 38.0], (3, 1)), abs=1e-3)
    assert boxes.gap_m == pytest.approx(np.full(3, 12 - NOSE_M), rel=1e-4)
    assert np.isnan(boxes.score[:, 2:]).all()
    assert np.isfinite(readings.numbers["gap_m"]).all()
    doubled = Reader(network).read(large, np.arange(3) * 0.1, canonical_camera(128, 256, height_m=1.4)).boxes
    np.testing.assert_allclose(doubled.edges_px, 2 * boxes.edges_px)
    np.testing.assert_allclose(doubled.distance_m, boxes.distance_m)


def test_weights_from_before_boxes_are_still_read(tmp_path):
    network = Perceiver(dataclasses.replace(CONFIG, boxes=0))
    network.calibration[:] = torch.arange(1.0, 9.0)
    network.register_buffer("calibration", network.calibration[:-1].clone())
    save_perceiver(network, tmp_path, {})
    assert load_perceiver(tmp_path).calibration.tolist() == [1, 2, 3, 4, 5, 6, 7, 1]
    frames = np.zeros((2, 64, 128, 3), np.uint8)
    assert Reader.from_pretrained(tmp_path).read(frames, np.arange(2.0), CAMERA).boxes is None
