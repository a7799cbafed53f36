"""Boxes from bodies against boxes of the pixels that are really theirs."""

import numpy as np
import pytest

from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.boxes import COLUMNS, FAR_M
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.training.config import DataConfig, TrainConfig
from worldmodel.training.corpus import Made, read_stretch, write_stretch


def overlap(a, b):
    """Intersection over union of boxes given by their edges."""
    inside = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return inside / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside)


@pytest.fixture(scope="module")
def drives():
    return [
        render_drive(draw_options(seed, road_kind=kind, traffic="dense", weather="clear", events=()), 8, truth=True)
        for seed, kind in ((2, "town"), (3, "motorway"), (5, "country"))
    ]


def test_boxes_are_those_of_the_pixels(drives):
    overlaps, missing, count = [], 0, 0
    for drive in drives:
        for rows, dense in zip(drive.boxes, drive.dense.boxes):
            seen = {b.number: np.array([b.left, b.top, b.right + 1, b.bottom + 1], float) for b in dense}
            large = {b.number for b in dense if b.pixels > 60}
            mine = {int(row[5]): row[:4].astype(float) for row in rows if np.isfinite(row[0])}
            overlaps += [overlap(mine[n], seen[n]) for n in mine if n in seen]
            missing += len(large - set(mine))
            count += len(large)
            # Nobody is made up, but for who stands behind a house or a tree.
            assert len(set(mine) - set(seen)) <= 1
    assert len(overlaps) > 30
    assert np.median(overlaps) > 0.8
    assert np.mean(np.array(overlaps) > 0.5) > 0.97
    # Who shows many pixels has a box, but for the largest vehicles beyond reach.
    assert missing <= 0.05 * count


def test_distance_is_that_of_the_nearest_pixel(drives):
    compared = 0
    for drive in drives:
        for t, rows in enumerate(drive.boxes):
            for row in rows[np.isfinite(rows[:, 0])]:
                here = drive.dense.ids[t] == int(row[5])
                if here.sum() < 60:
                    continue
                nearest_m = drive.dense.depth_m[t][here].min()
                assert nearest_m > row[4] - 0.1
                # What is hidden or outside the picture may be nearer than what is seen.
                at_border = row[0] <= 1 or row[1] <= 1 or row[2] >= 255 or row[3] >= 127
                if not at_border and here.sum() > 0.7 * (row[2] - row[0]) * (row[3] - row[1]):
                    assert nearest_m == pytest.approx(row[4], rel=0.05, abs=0.5)
                    compared += 1
    assert compared > 10


def test_rows_are_in_order_inside_the_picture_and_agree_with_the_gap(drives):
    for drive in drives:
        assert drive.boxes.shape[2] == len(COLUMNS)
        for rows, gap_m in zip(drive.boxes, drive.columns["gap_m"]):
            known = np.isfinite(rows[:, 0])
            assert (known == np.isfinite(rows).all(axis=1)).all()
            assert (np.diff(known.astype(int)) <= 0).all()
            rows = rows[known]
            assert (np.diff(rows[:, 4]) >= 0).all()
            assert (rows[:, 4] <= FAR_M).all()
            assert (rows[:, :2] >= 0).all()
            assert (rows[:, 2] <= 256).all()
            assert (rows[:, 3] <= 128).all()
            ahead = rows[rows[:, 7] == 1]
            assert len(ahead) <= 1
            for row in ahead:
                # From the camera to the bumper, and from the ego's bumper: about two metres.
                assert row[4] - gap_m == pytest.approx(1.9, abs=1.0 + 0.05 * gap_m)


def test_a_larger_picture_has_the_same_boxes_larger():
    options = draw_options(2, road_kind="town", traffic="dense", weather="clear", events=())
    small, large = (
        render_drive(options, 2, camera=canonical_camera(64 * k, 128 * k, height_m=1.4)).boxes for k in (1, 2)
    )
    np.testing.assert_allclose(large[..., :4], 2 * small[..., :4], atol=0.01)
    np.testing.assert_array_equal(large[..., 4:], small[..., 4:])


def test_boxes_travel_through_a_corpus(tmp_path, drives):
    drive = drives[0]
    write_stretch(tmp_path, "one", Made("one", "one", drive.clip(), {**drive.columns, "boxes": drive.boxes}))
    np.testing.assert_array_equal(read_stretch(tmp_path, "one").truth["boxes"], drive.boxes)


def test_drives_rendered_for_training_have_boxes_in_pixels_of_their_frames():
    from worldmodel.training.sources import _reference_drive

    data = DataConfig(drive_s=0.3, options={"traffic": "dense", "road_kind": "town"})
    height_m = TrainConfig().camera_height_m
    once, shrunk = (
        _reference_drive(
            "drive_000002",
            data=DataConfig(**{**vars(data), "render_scale": scale}),
            size=(64, 128),
            camera_height_m=height_m,
        ).truth["boxes"]
        for scale in (1, 2)
    )
    assert np.isfinite(once).any()
    np.testing.assert_allclose(once, shrunk, atol=0.01)
