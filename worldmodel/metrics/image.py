"""What single images are like, and how alike two are. Pure functions on uint8 RGB; nothing of drives or files.

Every function takes a mask ``(H, W)`` of the pixels that count (all, when it is None), so that what a camera never saw
weighs nothing.

Shapes: ``...`` any leading shape, such as frames of a drive; H, W pixels.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray, FrameArray

Mask = NDArray[np.bool_]
#: Rec. 601 luma.
_LUMA = np.array([0.299, 0.587, 0.114])
#: A pixel moves where its luma changes by more grey levels than the sensor's noise.
_MOVES_BY = 8.0


@dataclasses.dataclass(frozen=True)
class ColourStatistics:
    """Colour of images, in grey levels of 0 to 255.

    Attributes:
        mean: ``(..., 3)`` per channel.
        deviation: ``(..., 3)`` standard deviation per channel.
        colourfulness: ``(...)`` of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003).
    """

    mean: FloatArray
    deviation: FloatArray
    colourfulness: FloatArray


def psnr_db(image: FrameArray, other: FrameArray, mask: Mask | None = None) -> FloatArray:
    """``(...)`` peak signal-to-noise ratio of images ``(..., H, W, 3)``: 10 log10(255² / MSE); infinite when equal.

    Raises:
        ValueError: shapes that differ, or a mask that is empty or of another size.
    """
    _same(image, other)
    chosen = _mask(image, mask)
    # One image at a time: a drive in float64 is a gigabyte.
    error = _each(lambda a, b: np.mean((a[chosen].astype(np.float64) - b[chosen]) ** 2), image, other)
    with np.errstate(divide="ignore"):
        return 10 * np.log10(255.0**2 / error)


def ssim(image: FrameArray, other: FrameArray, mask: Mask | None = None) -> FloatArray:
    """``(...)`` structural similarity of the luma of images ``(..., H, W, 3)``, 1 when equal.

    Wang et al., "Image quality assessment: from error visibility to structural similarity" (2004): Gaussian window of
    11 pixels and sigma 1.5, K1 0.01, K2 0.03; the mean over pixels whose whole window counts, or over all that count
    where no window is whole.

    Raises:
        ValueError: shapes that differ, or a mask that is empty or of another size.
    """
    _same(image, other)
    chosen = _mask(image, mask)
    whole = cv2.erode(
        chosen.astype(np.uint8), np.ones((11, 11), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    chosen = whole.astype(bool) if whole.any() else chosen

    def one(a: FrameArray, b: FrameArray) -> float:
        x, y = _luma(a), _luma(b)
        mean_x, mean_y = _window(x), _window(y)
        var_x, var_y = _window(x * x) - mean_x**2, _window(y * y) - mean_y**2
        covariance = _window(x * y) - mean_x * mean_y
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))[chosen].mean())

    return _each(one, image, other)


def moving_mask(frame: FrameArray, before: FrameArray) -> Mask:
    """``(H, W)`` where a true frame ``(H, W, 3)`` is not what the frame before it was, and the pixels around those.

    Raises:
        ValueError: shapes that differ.
    """
    _same(frame, before)
    moves = np.abs(_luma(frame) - _luma(before)) > _MOVES_BY
    return cv2.dilate(moves.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)


def masked_error(image: FrameArray, other: FrameArray, mask: Mask) -> float:
    """Root-mean-square difference in grey levels of images ``(H, W, 3)`` where the mask is; NaN where nothing is.

    Raises:
        ValueError: shapes that differ.
    """
    _same(image, other)
    if not mask.any():
        return float("nan")
    return float(np.sqrt(np.mean((image[mask].astype(np.float64) - other[mask]) ** 2)))


def sharpness(image: FrameArray, mask: Mask | None = None) -> FloatArray:
    """``(...)`` mean strength of the luma's gradient in grey levels a pixel (Tenengrad, with central differences).

    Pixels beside a masked one are left out, since half of their gradient is the mask's edge.

    Raises:
        ValueError: not images ``(..., H, W, 3)``, or a mask that is empty or of another size.
    """
    chosen = _mask(image, mask)
    inner = cv2.erode(chosen.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    chosen = inner if inner.any() else chosen

    def one(a: FrameArray) -> float:
        down, right = np.gradient(_luma(a))
        return float(np.hypot(down, right)[chosen].mean())

    return _each(one, image)


def contrast(image: FrameArray, mask: Mask | None = None) -> FloatArray:
    """``(...)`` standard deviation of the luma in grey levels (root-mean-square contrast; Peli, 1990).

    Raises:
        ValueError: not images ``(..., H, W, 3)``, or a mask that is empty or of another size.
    """
    chosen = _mask(image, mask)
    return _each(lambda a: np.std(_luma(a)[chosen]), image)


def colour_statistics(image: FrameArray, mask: Mask | None = None) -> ColourStatistics:
    """Means, deviations and colourfulness of images ``(..., H, W, 3)``.

    Raises:
        ValueError: not images ``(..., H, W, 3)``, or a mask that is empty or of another size.
    """
    chosen = _mask(image, mask)

    def one(a: FrameArray) -> FloatArray:
        pixels = a[chosen].astype(np.float64)
        red_green = pixels[:, 0] - pixels[:, 1]
        yellow_blue = (pixels[:, 0] + pixels[:, 1]) / 2 - pixels[:, 2]
        spread = np.hypot(red_green.std(), yellow_blue.std())
        offset = np.hypot(red_green.mean(), yellow_blue.mean())
        return np.concatenate([pixels.mean(axis=0), pixels.std(axis=0), [spread + 0.3 * offset]])

    numbers = _each(one, image)
    return ColourStatistics(numbers[..., :3], numbers[..., 3:6], numbers[..., 6])


def _each(function, *images: FrameArray) -> FloatArray:
    """A function of single images over all leading indices."""
    leading = images[0].shape[:-3]
    flat = [image.reshape(-1, *image.shape[-3:]) for image in images]
    values = np.array([function(*group) for group in zip(*flat)], dtype=np.float64)
    return values.reshape((*leading, *values.shape[1:]))


def _luma(image: FrameArray) -> FloatArray:
    return np.asarray(image.astype(np.float64) @ _LUMA, dtype=np.float64)


def _window(values: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), dtype=np.float64)


def _same(image: FrameArray, other: FrameArray) -> None:
    if image.shape != other.shape:
        raise ValueError(f"other: expected the shape {image.shape} of image, got {other.shape}")


def _mask(image: FrameArray, mask: Mask | None) -> Mask:
    if image.ndim < 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: expected uint8 of shape (..., H, W, 3), got {image.dtype} {image.shape}")
    if mask is None:
        return np.ones(image.shape[-3:-1], dtype=bool)
    if mask.shape != image.shape[-3:-1]:
        raise ValueError(f"mask: expected shape {image.shape[-3:-1]}, got {mask.shape}")
    if not mask.any():
        raise ValueError("mask: no pixel counts")
    return mask.astype(bool)
