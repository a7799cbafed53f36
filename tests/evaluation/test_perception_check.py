"""The check of perception: a reader that knows scores perfectly, one that does not look scores as the trivial one."""

import dataclasses

import numpy as np
import pytest

from worldmodel.evaluation.control import any_drive
from worldmodel.evaluation.perception_check import moderate_changes, sample, scores_of, table
from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.gaps import BoxReadings
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
            self.boxes(near(info["gap_m"]), scale),
        )

    def boxes(self, gap_m, scale):
        true = np.asarray(self.drive.info["boxes"], float)
        known, distance_m = np.isfinite(true[..., 0]), true[..., 4]
        edges = true[..., :4] + (1.2 if self.wrong else 0)
        return BoxReadings(edges, np.where(known, 0.9, np.nan), distance_m, np.where(known, 0.1, np.nan), gap_m, scale)


def test_a_reader_that_knows_scores_perfectly(drives):
    scores = scores_of([sample(Knowing(drive), drive) for drive in drives])
    assert scores["drives"] == 3
    for name, score in scores["numbers"].items():
        assert score["error"]["value"] == pytest.approx(0, abs=1e-9), name
    assert scores["numbers"]["speed"]["trivial"] > 0.5
    assert all(score["accuracy"]["value"] == 1 for score in scores["tags"].values())
    assert scores["tags"]["weather"]["trivial"] == pytest.approx(1 / 3)
    assert scores["tags"]["road_kind"]["trivial"] == 1
    assert scores["boxes"]["all"]["count"] > 50
    for name, score in scores["boxes"].items():
        if score["count"]:
            assert score["precision"]["value"] == pytest.approx(1), name
            assert score["trivial"] < 0.9
    parts = [scores["boxes"][name]["count"] for name in ("nearer than 20 m", "20 to 45 m", "beyond 45 m")]
    assert sum(parts) == scores["boxes"]["all"]["count"]


def test_boxes_off_their_place_are_wrong_where_they_are_small(drives):
    boxes = scores_of([sample(Knowing(drive, wrong=0.01), drive) for drive in drives])["boxes"]
    assert boxes["lower than 6 px"]["precision"]["value"] < 0.3
    assert boxes["16 px and more"]["precision"]["value"] > 0.8


def test_a_reader_without_boxes_has_no_score_of_them(drives):
    class Blind(Knowing):
        def boxes(self, gap_m, scale):
            return None

    scores = scores_of([sample(Blind(drive), drive) for drive in drives])
    assert scores["boxes"] == {}
    assert scores["numbers"]["gap inside 40 m, boxes alone"]["error"]["value"] is None
    both = table({"blind": scores})
    assert "boxes, all" not in both


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
        samples.append(dataclasses.replace(found, numbers=found.numbers | {"speed": (truth, read, scale / 5)}))
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
    for words in (
        "speed, m/s",
        "gap inside 40 m",
        "boxes, all",
        "off road, AUROC",
        "weather, right",
        "one",
        "other",
        "trivial",
    ):
        assert words in text
