"""Agreement of two worlds over policies: perfect is perfect, order and scale do not matter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from worldmodel.metrics.ranks import agreement, mean_maximum_rank_violation, pearson, rank_violations, spearman

DISTINCT = st.lists(st.integers(-1000, 1000), min_size=3, max_size=12, unique=True).map(np.array)
ROWS = arrays(np.float64, 6, elements=st.integers(-50, 50).map(float))


@given(DISTINCT)
def test_a_world_agrees_with_itself_and_with_any_growing_function_of_itself(scores):
    assert pearson(scores, 3 * scores + 7) == pytest.approx(1)
    assert pearson(scores, -scores) == pytest.approx(-1)
    assert spearman(scores, np.arctan(scores / 300)) == pytest.approx(1)
    assert mean_maximum_rank_violation(np.arctan(scores / 300), scores) == 0


@given(ROWS, ROWS, st.permutations(range(6)))
def test_the_order_of_policies_does_not_matter(scores, truth, order):
    for of in (pearson, spearman, mean_maximum_rank_violation):
        np.testing.assert_allclose(of(scores, truth), of(scores[order], truth[order]), equal_nan=True, atol=1e-12)


def test_known_values_by_hand():
    truth, scores = np.array([0.0, 1.0, 3.0]), np.array([1.0, 0.0, 2.0])
    # Policies 0 and 1 are inverted, at a true gap of 1; policy 2 is not part of an inversion.
    assert rank_violations(scores, truth).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert mean_maximum_rank_violation(scores, truth) == pytest.approx(2 / 3)
    assert spearman(scores, truth) == pytest.approx(0.5)
    assert spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(np.sqrt(3) / 2)  # a tie shares rank 1.5


def test_scores_that_do_not_vary_have_no_correlation():
    assert np.isnan(pearson([1, 1, 1], [1, 2, 3]))
    with pytest.raises(ValueError, match="three policies"):
        pearson([1, 2], [1, 2])
    with pytest.raises(ValueError, match="finite"):
        spearman([1, 2, np.nan], [1, 2, 3])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_hold_the_value_and_widen_with_noise(seed):
    rng = np.random.default_rng(seed)
    truth = np.arange(10.0)[:, None] + rng.normal(0, 0.5, (10, 32))
    widths = []
    for noise in (0.1, 20.0):
        result = agreement(truth + rng.normal(0, noise, truth.shape), truth, draws=200)
        assert result.policies == 10
        for interval in (result.pearson, result.spearman, result.mmrv):
            assert interval.low <= interval.high
            assert noise > 1 or interval.low - 0.05 <= interval.value <= interval.high + 0.05
        widths.append(result.pearson.high - result.pearson.low)
    assert widths[0] < widths[1]
