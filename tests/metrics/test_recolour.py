"""Colours given to pictures, and flicker under a known motion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.metrics.recolour import flicker, lab_statistics, recoloured


def picture(seed, low=60, high=180):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(low, high, (6, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((6, 6, 1), np.uint8))


@settings(deadline=None)
@given(st.integers(0, 50))
def test_a_picture_keeps_its_own_colours_and_takes_on_others(seed):
    one, other = picture(seed), picture(seed + 100, 90, 150)
    assert np.abs(recoloured(one, lab_statistics(one)).astype(int) - one).max() <= 2
    taken = lab_statistics(recoloured(one, lab_statistics(other)))
    np.testing.assert_allclose(taken[0], lab_statistics(other)[0], atol=2.5)
    np.testing.assert_allclose(taken[1], lab_statistics(other)[1], rtol=0.25, atol=1)


def test_what_moves_as_told_does_not_flicker_and_noise_does():
    rng = np.random.default_rng(0)
    wide = picture(1)
    frames = np.stack([wide[:, t : t + 30] for t in range(6)])
    flow = np.zeros((6, *frames.shape[1:3], 2))
    flow[..., 0] = -1.0
    assert flicker(frames, flow) == pytest.approx(0.0)
    assert (flicker(frames, np.zeros_like(flow)) > 0).all()
    shaken = (frames + rng.integers(0, 20, (6, 1, 1, 1))).astype(np.uint8)
    noisy = (frames + rng.integers(0, 20, frames.shape)).astype(np.uint8)
    assert flicker(noisy, flow).mean() > 3
    assert flicker(shaken, flow).mean() > 1
    flow[0, :10] = np.nan  # where nobody knows the flow, nobody looks
    assert flicker(frames, flow)[0] == pytest.approx(0.0)
