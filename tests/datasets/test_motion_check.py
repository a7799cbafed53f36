"""The check of every prepared set: what fits is said to fit, what does not is flagged with what would."""

import dataclasses

import numpy as np
import pytest
from test_alignment_of_motion import smooth_signal, turning_view

from worldmodel.datasets.check import MotionCheck, check_motion, judge
from worldmodel.datasets.prepare import Settings, prepare, summary
from worldmodel.datasets.source import assemble
from worldmodel.types import EgoMotion

TURNS = 0.01 * smooth_signal(140, seed=3)


def noisy(count, lag=0.0):
    noise = np.random.default_rng(1).normal(size=count) * 0.2
    return smooth_signal(count + 40)[:count] + noise, smooth_signal(count + 40, lag)[:count]


@pytest.mark.parametrize("lag", [-2.3, -0.4, 0.0, 0.2, 1.0, 1.7])
def test_lags_are_told_to_a_tenth_and_flagged_from_half_a_frame(lag):
    found = judge(*noisy(600, lag))
    assert found.lag_frames == pytest.approx(lag, abs=0.1)
    assert abs(found.lag_frames - lag) < 4 * found.lag_error_frames + 0.02
    assert found.verdict == ("fits" if abs(lag) < 0.5 else "FLAGGED")
    if found.verdict == "FLAGGED":
        direction = "earlier" if lag > 0 else "later"
        assert f"labels {abs(round(found.lag_frames, 1))} frames {direction} would fit" in str(found)


def test_a_wrong_sign_is_flagged_with_the_right_one():
    image, label = noisy(600)
    found = judge(image, -label)
    assert found.verdict == "FLAGGED"
    assert "the other sign would fit" in found.reason
    both = judge(image[2:], -label[:-2])
    assert "the other sign and labels 2.0 frames earlier would fit" in both.reason


def test_labels_of_another_drive_are_flagged():
    found = judge(noisy(600)[0], smooth_signal(640, seed=9)[:600])
    assert found.verdict == "FLAGGED"
    assert "at no lag and sign" in found.reason


def test_a_long_even_bend_tells_no_lag():
    bend = 0.04 + 0.0001 * np.arange(40)
    image = bend + np.random.default_rng(0).normal(size=40) * 0.0005
    found = judge(np.roll(image, 1), bend)
    assert found.lag_error_frames > 0.3
    assert found.verdict != "FLAGGED"


@dataclasses.dataclass(frozen=True)
class Turning:
    """A camera that turns on the spot, labelled right, a row late, or with the other sign."""

    late: int = 0
    sign: float = 1.0
    name: str = "turning"
    columns: bool = False

    def drives(self):
        return ["a"]

    def open(self, drive_id):
        frames, camera = turning_view(TURNS)
        rate = self.sign * np.append(np.roll(TURNS, self.late), np.nan) / 0.1
        count = len(frames)
        motion = EgoMotion.unknown((count,)) if self.columns else EgoMotion(np.ones(count), rate)
        return assemble(
            drive_id,
            t_s=np.arange(count) * 0.1,
            motion=motion,
            camera=camera,
            frames=lambda rows: iter(frames[list(rows)]),
            where="here",
            columns={"steering": rate} if self.columns else {},
        )


@pytest.mark.parametrize(
    ("source", "verdict", "told"),
    [
        (Turning(), "fits", "yaw_rate at a lag of"),
        (Turning(late=2), "FLAGGED", "frames earlier would fit"),
        (Turning(sign=-1.0), "FLAGGED", "the other sign would fit"),
        (Turning(columns=True), "fits", "steering at a lag of"),
        (Turning(columns=True, late=-2), "FLAGGED", "frames later would fit"),
    ],
)
def test_preparing_ends_with_the_check(source, verdict, told, tmp_path):
    prepare(source, tmp_path, Settings(128, 256), workers=0, progress=False)
    found = MotionCheck.read(tmp_path)
    assert found.verdict == verdict, found
    assert told in str(found)
    if source.late:
        assert found.lag_frames == pytest.approx(source.late, abs=0.15)


def test_a_set_without_labels_is_not_judged(tmp_path):
    reports = prepare(Turning(sign=np.nan), tmp_path, Settings(128, 256), workers=0, progress=False)
    assert check_motion(tmp_path).verdict == "not told"
    assert "mean 1.0, top 1.0 m/s" in summary(reports)
    with pytest.raises(ValueError, match=r"motion_check\.json: missing"):
        MotionCheck.read(tmp_path / "elsewhere")
