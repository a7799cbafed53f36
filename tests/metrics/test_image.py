"""Scores of images: against themselves, against known numbers, and under a mask."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel.metrics.image import colour_statistics, contrast, psnr_db, sharpness, ssim


def picture(seed, *leading):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (*leading, 24, 32, 3), dtype=np.uint8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_an_image_equals_itself(seed):
    image = picture(seed)
    assert psnr_db(image, image) == np.inf
    assert ssim(image, image) == pytest.approx(1)
    assert ssim(image, picture(seed + 1)) == pytest.approx(ssim(picture(seed + 1), image))


def test_psnr_of_a_known_error():
    image = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(image, image + 10) == pytest.approx(10 * np.log10(255**2 / 100))


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(4)))
def test_images_of_a_batch_do_not_see_each_other(order):
    images, others = picture(0, 4), picture(1, 4)
    for score in (psnr_db, ssim):
        np.testing.assert_array_equal(score(images[order], others[order]), score(images, others)[order])
    for look in (sharpness, contrast):
        np.testing.assert_array_equal(look(images[order]), look(images)[order])
    np.testing.assert_array_equal(colour_statistics(images[order]).mean, colour_statistics(images).mean[order])


def test_what_is_masked_weighs_nothing():
    image, other = picture(0), picture(0)
    mask = np.ones(image.shape[:2], bool)
    mask[:, :6] = False
    changed = other.copy()
    changed[:, :6] = 255 - changed[:, :6]
    assert psnr_db(image, changed, mask) == np.inf
    assert ssim(image, changed, mask) == pytest.approx(1)
    for look in (sharpness, contrast):
        assert look(image, mask) == look(changed, mask)
    np.testing.assert_array_equal(colour_statistics(image, mask).mean, colour_statistics(changed, mask).mean)


def test_blur_takes_sharpness_and_contrast():
    image = picture(3)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 2))
    assert sharpness(blurred) < 0.5 * sharpness(image)
    assert contrast(blurred) < contrast(image)
    assert ssim(image, blurred) < 0.5


def test_a_ramp_is_as_sharp_as_it_is_steep():
    ramp = np.repeat((3 * np.arange(32, dtype=np.uint8))[None, :, None], 24, axis=0).repeat(3, axis=2)
    assert sharpness(ramp) == pytest.approx(3)


def test_colour():
    red = np.zeros((2, 8, 8, 3), np.uint8)
    red[0, ..., 0] = 200
    statistics = colour_statistics(red)
    np.testing.assert_array_equal(statistics.mean, [[200, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(statistics.deviation, 0)
    # Opponent axes of plain red: 200 and 100; 0.3 of their length.
    assert statistics.colourfulness == pytest.approx([0.3 * np.hypot(200, 100), 0])


def test_what_is_no_image_is_refused():
    image = picture(0)
    with pytest.raises(ValueError, match="other"):
        psnr_db(image, image[1:])
    with pytest.raises(ValueError, match="image"):
        contrast(image.astype(np.float64))
    with pytest.raises(ValueError, match="mask"):
        ssim(image, image, np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="no pixel"):
        sharpness(image, np.zeros(image.shape[:2], bool))
