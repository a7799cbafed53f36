"""Two drives from one beginning: headings part when and where they were told to."""

import math

import numpy as np
import pytest

from worldmodel.evaluation.parting import PARTED_RAD, parting, parting_table
from worldmodel.types import EgoMotion

T_S = np.arange(100) / 10


def turning(rate_radps: float, start_s: float) -> EgoMotion:
    return EgoMotion(np.full(100, 10.0), np.where(start_s - 1e-9 <= T_S, rate_radps, 0.0))


def test_mirrored_drives_part_twice_as_fast_as_each_turns() -> None:
    left, right = turning(0.1, 2.0), turning(-0.1, 2.0)
    result = parting((left, right), (left, right), T_S)
    assert result.agrees is True
    assert result.told_s == result.read_s == pytest.approx(2.0 + PARTED_RAD / 0.2, abs=0.1)
    assert math.isclose(result.told_rad[-1], 0.2 * (T_S[-1] - 2.0))
    assert "to the side they were told" in parting_table(result, T_S)


def test_a_drive_that_turns_the_wrong_way_or_not_at_all_is_told() -> None:
    left, right, straight = turning(0.1, 0.0), turning(-0.1, 0.0), turning(0.0, 0.0)
    assert parting((left, right), (right, left), T_S).agrees is False
    unmoved = parting((left, right), (straight, straight), T_S)
    assert unmoved.agrees is None
    assert math.isinf(unmoved.read_s)
    # A reading that lags parts later; one with holes still parts.
    late = parting((left, right), (turning(0.1, 1.0), turning(-0.1, 1.0)), T_S)
    assert late.read_s - late.told_s == pytest.approx(1.0, abs=0.11)
    holes = EgoMotion(left.speed_mps, np.where(np.arange(100) % 3, left.yaw_rate_radps, np.nan))
    assert parting((left, right), (holes, right), T_S).agrees is True


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        parting((turning(0, 0), turning(0, 0)), (turning(0, 0), turning(0, 0)[:50]), T_S)
