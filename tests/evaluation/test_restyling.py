"""Scores of drives drawn anew, on true drives whose other look is known."""

import numpy as np
import pytest

from worldmodel.evaluation import restyling
from worldmodel.evaluation.restyling import CHANGES, WAYS, change_of, read_change, said_right, scores_of, wanted_tags
from worldmodel.geometry.camera import canonical_camera
from worldmodel.metrics.recolour import lab_statistics
from worldmodel.perception.reader import Reader
from worldmodel.reference.options import DriveOptions
from worldmodel.types import Tags


@pytest.fixture(scope="module")
def change():
    return change_of(1, canonical_camera(64, 128, height_m=1.4), 6)


def frames_of(drive):
    return np.stack([np.asarray(frame) for frame in drive.frames])


@pytest.mark.slow
def test_a_pair_differs_in_its_look_alone(change):
    given, wanted = change.given, change.wanted
    np.testing.assert_array_equal(given.motion.speed_mps, wanted.motion.speed_mps)
    np.testing.assert_array_equal(given.info["lane_offset_m"], wanted.info["lane_offset_m"])
    assert frames_of(given).shape == (6, 64, 128, 3)
    assert frames_of(given).mean() > frames_of(wanted).mean() + 20  # from day to night
    assert change.flow_px.shape == (6, 64, 128, 2)
    assert np.abs(lab_statistics(frames_of(wanted)) - change.palette)[0, 0] < 25
    incoming = [motion for _, motion, _ in change.moments(given.tags)]
    assert np.isnan(incoming[0].speed_mps)
    assert incoming[3].speed_mps == given.motion.speed_mps[2]


@pytest.mark.slow
def test_the_true_render_is_the_floor_and_the_given_drive_is_far_from_it(change):
    reader = Reader.from_pretrained("judge")
    kept = np.repeat(frames_of(change.wanted).mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    perfect = read_change(change, frames_of(change.wanted), kept, reader)
    assert tuple(perfect) == WAYS
    np.testing.assert_equal(perfect["restyled"], perfect["true"])
    assert perfect["true"]["psnr_db"] == 60
    assert perfect["true"]["features_apart"] == 0
    assert 10 < perfect["kept"]["psnr_db"] < 60
    lazy = read_change(change, frames_of(change.given), kept, reader)
    np.testing.assert_equal(lazy["restyled"], lazy["untouched"])
    assert lazy["restyled"]["psnr_db"] < lazy["recoloured"]["psnr_db"] < 60
    shaken = frames_of(change.wanted).copy()
    shaken[::2] = shaken[::2] // 2
    assert read_change(change, shaken, kept, reader)["restyled"]["flicker"] > 2 * perfect["true"]["flicker"]
    scores = scores_of([perfect, lazy])
    assert scores["psnr_db"]["n"] == 2
    assert scores["psnr_db"]["floor"] == 60
    assert set(scores["flicker"]["controls"]) == {"untouched", "recoloured", "kept"}
    assert "look_right" in restyling.table(scores)


@pytest.mark.slow
def test_tags_that_are_told_are_those_of_the_drive_but_for_what_is_said(change):
    said = Tags.named(weather="clear", time_of_day="night")
    told = wanted_tags(change, said)
    assert told.shape == (6,)
    np.testing.assert_array_equal(told.channel("road_kind"), change.given.tags.channel("road_kind"))
    assert said_right(change, said)
    assert not said_right(change, Tags.named(weather="clear")), "it would stay day"
    assert said_right(change, Tags.named(time_of_day="night")), "it is clear already"


def test_changes_are_of_looks_that_there_are():
    for look, other, prompt in CHANGES:
        assert look != other
        assert prompt
        for each in (look, other):
            DriveOptions(0, **each).validate()
