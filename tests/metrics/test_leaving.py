"""When a continuation leaves its recording."""

import numpy as np
import pytest

from worldmodel.metrics.leaving import first_lasting, parting_of_looks, parting_of_ways

T_S = np.arange(60) * 0.1


def test_looks_part_when_half_of_the_likeness_is_lost():
    similarity = np.interp(T_S, [0, 1, 3, 6], [0.9, 0.9, 0.3, 0.3])
    # Half way between 0.9 and 0.4 is 0.65, which the line crosses at 1 + 2 * 0.25 / 0.6 s.
    assert parting_of_looks(similarity, 0.4, T_S) == pytest.approx(1.9)
    assert parting_of_looks(np.full(60, 0.9), 0.4, T_S) == np.inf


def test_it_cannot_be_told_where_the_recording_does_not_change():
    assert np.isnan(parting_of_looks(np.full(60, 0.9), 0.95, T_S))
    assert np.isnan(parting_of_looks(np.full(60, 0.9), np.nan, T_S))


def test_a_moment_that_comes_back_is_no_parting():
    similarity = np.full(60, 0.9)
    similarity[10:13] = 0.1
    assert parting_of_looks(similarity, 0.2, T_S) == np.inf
    similarity[40:] = 0.1
    assert parting_of_looks(similarity, 0.2, T_S) == pytest.approx(4.0)


def test_at_the_very_end_a_parting_need_not_last():
    apart = np.zeros(60, dtype=bool)
    apart[-2:] = True
    assert first_lasting(apart, T_S) == pytest.approx(5.8)


def test_ways_part_further_out_the_further_one_has_come():
    travelled = 20 * T_S
    on_the_way = 0.9 + 0.05 * travelled
    assert parting_of_ways(on_the_way, travelled, T_S) == np.inf
    assert parting_of_ways(np.where(T_S >= 2.95, 20.0, on_the_way), travelled, T_S) == pytest.approx(3.0)
    assert np.isnan(parting_of_ways(np.full(60, np.nan), travelled, T_S))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(60,\) of t_s"):
        parting_of_looks(np.zeros(3), 0.1, T_S)
