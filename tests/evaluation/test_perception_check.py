"""The check of perception: a reader that knows scores perfectly, one that does not look scores as the trivial one."""

import numpy as np
import pytest

from worldmodel.evaluation.control import any_drive
from worldmodel.evaluation.perception_check import moderate_changes, sample, scores_of, table
from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.network import TAGS
from worldmodel.perception.reader import Readings
from worldmodel.types import VOCABULARY, EgoMotion

CAMERA = canonical_camera(64, 128, height_m=1.4)


@pytest.fixture(scope="module")
def drives():
    options = {"traffic": "dense", "road_kind": "town", "events": (("hard_brake", 0.5),)}
    return [any_drive(CAMERA, 20, number=i, weather=w, **options) for i, w in enumerate(("clear", "rain", "fog"))]


class Knowing:
    """Reads the truth off the drive it is told of, ``wrong`` times its scale off."""

    def __init__(self, drive, *, wrong=0.0):
        self.drive, self.wrong, self.seen = drive, wrong, None

    def read(self, frames, t_s, camera):
        where = float(self.drive.info["distance_m"][-1])
        self.seen, count, rng = frames, len(t_s), np.random.default_rng(round(1000 * where))

        def near(column):
            return np.asarray(column, float) + self.wrong * rng.laplace(size=count)

        info, motion = self.drive.info, self.drive.motion
        names = ("lane_offset_m", "heading_error_rad", "curvature_ahead_1pm", "gap_m", "closing_speed_mps")
        numbers = {name: near(info[name]) for name in names}
        scale = np.full(count, max(self.wrong, 1e-9))
        tags = {}
        for name in TAGS:
            codes = self.drive.tags.channel(name)
            tags[name] = np.eye(len(VOCABULARY[name]))[codes]
        return Readings(
            EgoMotion(near(motion.speed_mps), near(motion.yaw_rate_radps)),
            EgoMotion(scale, scale),
            numbers,
            dict.fromkeys(names, scale),
            {name: np.asarray(info[name], float) for name in ("off_road", "collision")},
            tags,
            np.zeros((count, 2)),
        )


def test_a_reader_that_knows_scores_perfectly(drives):
    scores = scores_of([sample(Knowing(drive), drive) for drive in drives])
    assert scores["drives"] == 3
    for name, score in scores["numbers"].items():
        assert score["error"]["value"] == pytest.approx(0, abs=1e-9), name
    assert scores["numbers"]["speed"]["trivial"] > 0.5
    assert all(score["accuracy"]["value"] == 1 for score in scores["tags"].values())
    assert scores["tags"]["weather"]["trivial"] == pytest.approx(1 / 3)
    assert scores["tags"]["road_kind"]["trivial"] == 1


def test_errors_have_their_units_and_scales_are_checked(drives):
    scores = scores_of([sample(Knowing(drive, wrong=0.05), drive) for drive in drives])["numbers"]
    assert scores["lane offset"]["error"]["value"] == pytest.approx(0.05, rel=0.5)
    assert scores["heading"]["error"]["value"] == pytest.approx(0.05 * 180 / np.pi, rel=0.5)
    assert scores["speed"]["calibration"] < 0.15  # as large as it says
    lying = [Knowing(drive, wrong=0.05) for drive in drives]
    samples = []
    for reader, drive in zip(lying, drives):
        found = sample(reader, drive)
        truth, read, scale = found.numbers["speed"]
        samples.append(type(found)(found.numbers | {"speed": (truth, read, scale / 5)}, found.flags, found.tags))
    assert scores_of(samples)["numbers"]["speed"]["calibration"] > 0.25


def test_changes_reach_the_reader(drives):
    reader = Knowing(drives[0])
    true = np.stack(drives[0].frames).astype(float)
    for name, change in moderate_changes().items():
        sample(reader, drives[0], change=change)
        assert reader.seen.dtype == np.uint8
        assert 0.5 < np.abs(reader.seen - true).mean() < 40, name


def test_a_table_names_what_was_read(drives):
    scores = scores_of([sample(Knowing(drive), drive) for drive in drives])
    text = table({"one": scores, "other": scores})
    for words in ("speed, m/s", "gap inside 40 m", "off road, AUROC", "weather, right", "one", "other", "trivial"):
        assert words in text
