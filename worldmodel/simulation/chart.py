"""Line charts with OpenCV alone, so that a run's curves need no plotting library. Knows numbers, not what they mean.

Shapes: T points of a curve.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.types import FloatArray, FrameArray

#: Colours of curves, in order; legible on white, and apart for the colour-blind (Okabe and Ito).
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0), (90, 90, 90))
_HEIGHT_PX, _WIDTH_PX = 300, 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 190, 30, 40


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line with a name; a dashed one is something to compare with.

    Attributes:
        name: in the legend.
        x, y: ``(T,)``; the line is broken where y is not finite.
        is_dashed: see above.
    """

    name: str
    x: FloatArray
    y: FloatArray
    is_dashed: bool = False


def line_chart(
    curves: Sequence[Curve], *, title: str, y_label: str, marks: Sequence[tuple[float, str]] = ()
) -> FrameArray:
    """A chart over seconds, ``(300, 760, 3)``.

    Args:
        curves: at least one.
        title: above it.
        y_label: what y is, with its unit.
        marks: upright lines at times, with a word.
    """
    picture = np.full((_HEIGHT_PX, _WIDTH_PX, 3), 255, dtype=np.uint8)
    x_low, x_high = _range(np.concatenate([curve.x for curve in curves]), margin=0.0)
    y_low, y_high = _range(np.concatenate([curve.y for curve in curves]), margin=0.05)

    def place(x: float, y: float) -> tuple[int, int]:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH_PX - _LEFT - _RIGHT)
        return round(across), round(_HEIGHT_PX - _BOTTOM - (y - y_low) / (y_high - y_low) * _room())

    for tick in _ticks(y_low, y_high):
        at = place(x_low, tick)
        cv2.line(picture, at, (_WIDTH_PX - _RIGHT, at[1]), (225, 225, 225), 1)
        _text(picture, f"{tick:g}", (_LEFT - 8 - 7 * len(f"{tick:g}"), at[1] + 4))
    for tick in _ticks(x_low, x_high):
        at = place(tick, y_low)
        cv2.line(picture, (at[0], at[1]), (at[0], at[1] + 4), (120, 120, 120), 1)
        _text(picture, f"{tick:g}", (at[0] - 4, at[1] + 18))
    cv2.rectangle(picture, place(x_low, y_high), place(x_high, y_low), (120, 120, 120), 1)
    for x, word in marks:
        if x_low <= x <= x_high:
            top, bottom = place(x, y_high), place(x, y_low)
            cv2.line(picture, top, bottom, (160, 0, 0), 1)
            _text(picture, word, (top[0] + 3, top[1] + 12))
    for index, curve in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        _draw(picture, [place(x, y) if math.isfinite(y) else None for x, y in zip(curve.x, curve.y)], colour, curve)
        at = (_WIDTH_PX - _RIGHT + 12, _TOP + 14 + 18 * index)
        _draw(picture, [(at[0] + 3 * i, at[1]) for i in range(8)], colour, curve)
        _text(picture, curve.name[:20], (at[0] + 28, at[1] + 4))
    _text(picture, title, (_LEFT, 18), 0.5)
    _text(picture, y_label, (_WIDTH_PX - _RIGHT + 12, 18))
    _text(picture, "s", (_WIDTH_PX - _RIGHT + 6, _HEIGHT_PX - _BOTTOM + 18))
    return picture


def _draw(picture: NDArray[np.uint8], points: Sequence[tuple[int, int] | None], colour, curve: Curve) -> None:
    for index, (one, other) in enumerate(itertools.pairwise(points)):
        if one is not None and other is not None and not (curve.is_dashed and index % 2):
            cv2.line(picture, one, other, colour, 1 if curve.is_dashed else 2, cv2.LINE_AA)


def _range(values: FloatArray, *, margin: float) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not len(known):
        return 0.0, 1.0
    low, high = float(known.min()), float(known.max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    more = margin * (high - low)
    return low - more, high + more


def _ticks(low: float, high: float) -> FloatArray:
    """Round numbers, four to nine of them, from low to high."""
    step = 10.0 ** math.floor(math.log10((high - low) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= 8)
    whole = np.arange(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1, dtype=np.float64)
    return np.round(whole * step, 10)


def _text(picture: NDArray[np.uint8], text: str, place: tuple[int, int], size: float = 0.4) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, (40, 40, 40), 1, cv2.LINE_AA)


def _room() -> int:
    return _HEIGHT_PX - _TOP - _BOTTOM
