import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worldmodel.metrics.calibration import area_under_roc, best_threshold, expected_calibration_error

scores = st.lists(st.floats(-5, 5, width=16), min_size=2, max_size=40)


def test_honest_scales_are_calibrated_and_others_are_not():
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 3.0, 20_000)
    errors = rng.laplace(0, scale)
    assert expected_calibration_error(errors, scale) < 0.01
    assert expected_calibration_error(errors, scale / 2) > 0.1
    assert expected_calibration_error(errors, scale * 2) > 0.1


def test_unknown_readings_are_left_out():
    errors, scale = np.array([0.1, np.nan, -0.4]), np.array([0.2, 0.2, 0.2])
    known = np.isfinite(errors)
    assert expected_calibration_error(errors, scale) == expected_calibration_error(errors[known], scale[known])
    assert np.isnan(expected_calibration_error(np.array([np.nan]), np.array([1.0])))
    assert area_under_roc(np.array([0.1, 0.9, 0.5]), np.array([0, 1, np.nan])) == 1.0


@given(scores, st.data())
def test_auroc_counts_pairs(values, data):
    truth = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))), float)
    values = np.array(values, float)
    yes, no = values[truth == 1], values[truth == 0]
    found = area_under_roc(values, truth)
    if not len(yes) or not len(no):
        assert np.isnan(found)
        return
    pairs = (yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean()
    assert found == pytest.approx(pairs)
    assert area_under_roc(-values, truth) == pytest.approx(1 - found)
    assert area_under_roc(np.exp(values), truth) == pytest.approx(found)


@pytest.mark.parametrize("function", [expected_calibration_error, area_under_roc])
def test_rows_of_different_lengths_are_refused(function):
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(2,\)"):
        function(np.zeros(3), np.zeros(2))


@given(arrays(np.float64, 7, elements=st.floats(0, 1)), arrays(np.float64, 5, elements=st.floats(0, 1)))
def test_no_threshold_keeps_yes_and_no_further_apart_than_the_best(yes, no):
    def apart(threshold):
        return (yes > threshold).mean() - (no > threshold).mean()

    best = best_threshold(yes, no)
    assert all(apart(best) >= apart(value) - 1e-9 for value in [*yes, *no])
    assert best_threshold(yes[::-1], no) == best
    assert best_threshold(np.array([0.9, 0.8]), np.array([0.1, 0.2])) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="expected finite values of both"):
        best_threshold(yes, np.array([]))
