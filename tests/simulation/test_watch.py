"""The watch says when a drive stops looking like true video, by what, and nothing while it does look like it."""

import dataclasses
import json

import numpy as np
import pytest

from worldmodel.evaluation.control import own_drive
from worldmodel.geometry.camera import canonical_camera
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.nn.component import BUNDLED_DIR
from worldmodel.simulation import make_drive as making
from worldmodel.simulation import watch as watching
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.make_drive import DriveConfig
from worldmodel.simulation.watch import STATISTICS, Watch, band_for, is_moment, moments_of, read_moment, statistics_of
from worldmodel.types import Tags

CAMERA = canonical_camera(64, 128, height_m=1.4)


@pytest.fixture(scope="module")
def true():
    return own_drive(CAMERA, 32, seed=4)


@pytest.fixture(scope="module")
def band(true):
    """Around one true drive, as wide as it wanders and half again."""
    at = np.array(moments_of(len(true), 0.1))
    frames = np.stack([np.asarray(frame) for frame in true.frames])
    readings = np.stack([read_moment(frames[i : i + 2], CAMERA, 0.1) for i in at])
    statistics = statistics_of(readings, true.motion[at])
    middle, stray = statistics.mean(axis=0), np.maximum(np.ptp(statistics, axis=0), [*[3] * 10, 1, 0.5, 0.03])
    return TaggedBand(STATISTICS, (), middle[None], np.log(stray)[None], np.full((1, 60), 1.5), 0.95)


def watched(band, frames, told):
    watch = Watch(band, camera=CAMERA, dt_s=0.1, tags=[Tags.unknown()], steps=len(frames) - 1)
    news = [news for t in range(len(frames)) for news in watch.see(frames[t][None], told[t : t + 1], t)]
    return watch, news


def test_true_video_is_cleared_and_each_fault_is_named_when_it_comes(true, band):
    frames = np.stack([np.asarray(frame) for frame in true.frames])
    watch, news = watched(band, frames, true.motion)
    assert (news, watch.left) == ([], [None])
    assert 0 <= watch.deviation[0] < 1
    grey = frames.copy()
    grey[15:] = 128 + (grey[15:].astype(int) - 128) // 8
    watch, news = watched(band, grey, true.motion)
    assert [row for row, _ in news] == [0]
    assert watch.left[0].second == 2  # the first that begins after it
    assert watch.left[0].statistic in ("sharpness", "contrast", "change of sharpness", "change of contrast")
    assert not watch.left[0].low <= watch.left[0].value <= watch.left[0].high
    assert watch.deviation[0] > 1
    faster = dataclasses.replace(true.motion, speed_mps=true.motion.speed_mps * 1.5)
    _, news = watched(band, frames, faster)
    assert "speed error" in str(news[0][1])


def test_a_running_drive_and_one_that_is_over_are_judged_alike(true, band):
    frames = np.stack([np.asarray(frame) for frame in true.frames])
    at = np.array(moments_of(len(true), 0.1))
    readings = np.stack([read_moment(frames[i : i + 2], CAMERA, 0.1) for i in at])
    whole = band.deviation(statistics_of(readings, true.motion[at]), np.zeros(0, bool), windows=3)
    watch = Watch(band, camera=CAMERA, dt_s=0.1, tags=[Tags.unknown()], steps=30)
    live = []
    for t in range(len(frames)):
        watch.see(frames[t][None], true.motion[t : t + 1], t)
        live.append(watch.deviation[0])
    np.testing.assert_allclose([live[i + 1] for i in at], whole.max(axis=1))
    assert np.isnan(live[0])


@pytest.mark.parametrize("dt_s", [0.08, 0.083, 0.1, 0.104, 0.15])
def test_there_is_one_moment_a_second(dt_s):
    steps = [step for step in range(round(60 / dt_s)) if is_moment(step, dt_s)]
    assert len(steps) == 60
    np.testing.assert_array_equal(np.floor(np.array(steps) * dt_s + 1e-6), np.arange(60))


def test_a_drive_tells_when_it_left(tmp_path, make_fake_world, monkeypatch, capsys):
    readings = {0: 10.0, 1: 10.0, 2: 3.0}

    def reading(pair, camera, dt_s):
        second = len(seen)
        seen.append(second)
        return np.array([readings.get(second, 10.0), 40, 90, 90, 90, 1, np.nan, np.nan])

    seen = []
    middle = np.array([10.0, 40, 90, 90, 90, 0, 0, 0, 0, 0, 1, 0, 0])
    made = TaggedBand(STATISTICS, (), middle[None], np.zeros((1, 13)), np.full((1, 60), 2.0), 0.95)
    monkeypatch.setattr(watching, "read_moment", reading)
    monkeypatch.setattr(making, "band_for", lambda camera: made)
    folder = making.make_drive(
        DriveConfig(out=str(tmp_path / "drive"), context="weather=rain", length_s=4.0), make_fake_world(), {}
    )
    loaded = load_drive(folder)
    outside = np.flatnonzero(np.nan_to_num(loaded.info["band_deviation"]) > 1)
    assert outside.tolist() == list(range(21, 31))
    left = json.loads((folder / "provenance.json").read_text())["left_true_video"]
    assert (left["second"], left["statistic"], left["value"]) == (2, "sharpness", 3.0)
    said = capsys.readouterr().out
    assert "after 2 s it no longer looks like true video: sharpness 3, true drives are between 8 and 12" in said
    assert "0 of 1 to the end" in said


def test_without_a_band_nobody_watches(tmp_path, make_fake_world):
    assert band_for(canonical_camera(32, 64, height_m=1.4)) is None
    assert band_for(canonical_camera(128, 256)) is None  # of unknown height
    folder = making.make_drive(
        DriveConfig(out=str(tmp_path / "drive"), context="weather=rain", length_s=0.5), make_fake_world(), {}
    )
    assert "band_deviation" not in load_drive(folder).info


@pytest.mark.parametrize("path", sorted((BUNDLED_DIR / "bands").glob("*.json")), ids=lambda path: path.stem)
def test_the_bands_that_ship_can_be_used(path):
    height, width = map(int, path.stem.split("x"))
    band = band_for(canonical_camera(height, width, height_m=1.4))
    has = band.words_of({"weather": "fog", "time_of_day": "night", "road_kind": "town", "traffic": "none"})
    assert has.sum() == 4
    assert np.isfinite(band.half_width(has, 60)).all()
    assert (np.diff(band.widths, axis=1) >= 0).all()
    clear = band.words_of({"weather": "clear", "time_of_day": "day"})
    assert band.middle(clear)[0] > band.middle(has)[0]  # there is less to be seen in fog by night
