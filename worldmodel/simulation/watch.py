"""A cheap watch over a running drive: does it still look, and move, as true video does?

Once a second it looks at two frames: sharpness, contrast and colour, markings, and by plane geometry how far the motion
between them is from what was told. The drive is then held against the band that nearly all true drives of its tags and
length stay inside (``metrics.tagged_band``), made beforehand by ``benchmarks/bands.py`` and kept by frame size. Knows
pixels, told motion and tags, nothing of worlds or of trained perception.

Shapes: B rows; W seconds of a drive; R readings of a moment; S statistics; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldmodel.metrics.image import colour_statistics, contrast, sharpness
from worldmodel.metrics.tagged_band import TaggedBand
from worldmodel.nn.component import BUNDLED_DIR
from worldmodel.perception.lanes import fit_lanes
from worldmodel.perception.plane import read_motion
from worldmodel.types import Camera, EgoMotion, FloatArray, FrameArray, Tags

#: What is read of a moment, in order.
READINGS = ("sharpness", "contrast", "red", "green", "blue", "lanes", "speed_mps", "yaw_rate_radps")
#: Of these, what is also held against the drive's own first second.
_LOOKS = READINGS[:5]
STATISTICS = (*_LOOKS, *(f"change of {name}" for name in _LOOKS), "lanes", "speed error", "yaw error")
#: Markings and errors of a single moment say little: the last so many seconds together do. Of errors the smallest
#: counts: plane geometry fails for seconds now and then (in fog and snow), who goes his own way is wrong in all.
_SMOOTHED_S = 5


@dataclasses.dataclass(frozen=True)
class Left:
    """Where a drive left the band: the second, the statistic furthest out, its value, and the band's bounds there."""

    second: int
    statistic: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        bounds = f"true drives are between {self.low:.3g} and {self.high:.3g}"
        return f"after {self.second} s it no longer looks like true video: {self.statistic} {self.value:.3g}, {bounds}"


class Watch:
    """Watches the rows of a batch.

    Args:
        band: of true drives of this frame size.
        camera: of the frames.
        dt_s: between two frames.
        tags: one a row, of shape ().
        steps: of the whole drive.
    """

    def __init__(self, band: TaggedBand, *, camera: Camera, dt_s: float, tags: Sequence[Tags], steps: int) -> None:
        self._band, self._camera, self._dt_s = band, camera, dt_s
        self._has = [band.words_of(row.names()) for row in tags]
        self._windows = max(1, round(steps * dt_s))
        #: Of each row the first second's readings, and of the newest few seconds readings and what was told.
        self._first: list[FloatArray] = []
        self._recent: list[list[tuple[FloatArray, EgoMotion]]] = [[] for _ in tags]
        self._second = -1
        self._before: tuple[FrameArray, EgoMotion] | None = None
        #: ``(B,)`` how far out the newest second is, in half widths; above 1 is outside. NaN before the first.
        self.deviation = np.full(len(tags), np.nan)
        #: Where each row left the band; ``None`` while it has not.
        self.left: list[Left | None] = [None] * len(tags)

    def see(self, frames: FrameArray, motion: EgoMotion, step: int) -> list[tuple[int, Left]]:
        """Take note of the frames ``(B, H, W, 3)`` of a step and of the motion ``(B,)`` to the next.

        Returns:
            rows that have just left the band, and where.
        """
        if self._before is None:
            if is_moment(step, self._dt_s):
                self._before = frames, motion
            return []
        before, told = self._before
        self._before, self._second = None, self._second + 1
        for row, recent in enumerate(self._recent):
            reading = read_moment(np.stack([before[row], frames[row]]), self._camera, self._dt_s)
            if self._second == 0:
                self._first.append(reading)
            recent.append((reading, told[row]))
            del recent[:-_SMOOTHED_S]
        return self._judge()

    def _judge(self) -> list[tuple[int, Left]]:
        news = []
        for row, has in enumerate(self._has):
            readings, told = zip(*self._recent[row])
            statistics = statistics_of(np.stack(readings), _joined(told), first=self._first[row])
            outside = self._band.deviation(statistics[-1:], has, windows=self._windows)[0]
            self.deviation[row] = outside.max()
            if outside.max() > 1 and self.left[row] is None:
                worst = int(outside.argmax())
                middle, width = self._band.middle(has)[worst], self._band.half_width(has, self._windows)[worst]
                value, low, high = (float(x) for x in (statistics[-1, worst], middle - width, middle + width))
                left = Left(self._second, STATISTICS[worst], value, low, high)
                self.left[row] = left
                news.append((row, left))
        return news


def is_moment(step: int, dt_s: float) -> bool:
    """Whether a frame is the first of a second; it and the next are looked at."""
    return int((step + 1e-6) * dt_s) > int((step - 1 + 1e-6) * dt_s) or step == 0


def moments_of(count: int, dt_s: float) -> list[int]:
    """Of so many frames, those that are the first of a second and have one after them."""
    return [step for step in range(count - 1) if is_moment(step, dt_s)]


def read_moment(pair: FrameArray, camera: Camera, dt_s: float) -> FloatArray:
    """``(R,)`` readings of two neighbouring frames ``(2, H, W, 3)``; the motion is NaN where it cannot be read."""
    frame = pair[1]
    mean = colour_statistics(frame).mean
    fitted = fit_lanes(pair[1:], camera).fitted[0]
    moved = read_motion(pair, np.array([0.0, dt_s]), camera)
    looks = (float(sharpness(frame)), float(contrast(frame)), *mean, float(fitted))
    return np.array([*looks, moved.speed_mps[0], moved.yaw_rate_radps[0]])


def statistics_of(readings: FloatArray, told: EgoMotion, *, first: FloatArray | None = None) -> FloatArray:
    """``(W, S)`` statistics of a drive from readings ``(W, R)`` of its seconds and what it was told ``(W,)`` there.

    ``first`` is the reading ``(R,)`` of the drive's first second, where the readings do not begin with it.
    """
    looks = readings[:, : len(_LOOKS)]
    errors = np.abs(readings[:, -2:] - np.stack([told.speed_mps, told.yaw_rate_radps], axis=1))
    rest = np.column_stack([readings[:, len(_LOOKS)], errors])
    smoothed = np.empty_like(rest)
    for w in range(len(rest)):
        recent = rest[max(0, w - _SMOOTHED_S + 1) : w + 1]
        smoothed[w, 0] = recent[:, 0].mean()
        smoothed[w, 1:] = [c[np.isfinite(c)].min() if np.isfinite(c).any() else np.nan for c in recent[:, 1:].T]
    began = looks[0] if first is None else first[: len(_LOOKS)]
    return np.concatenate([looks, looks - began, smoothed], axis=1)


def band_for(camera: Camera, folder: Path = BUNDLED_DIR / "bands") -> TaggedBand | None:
    """The band of true drives at a camera's frame size; ``None`` where none was made, or the height is unknown."""
    path = folder / f"{camera.height_px}x{camera.width_px}.json"
    if not path.is_file() or np.isnan(camera.height_m):
        return None
    band = TaggedBand.from_plain(json.loads(path.read_text(encoding="utf-8")))
    assert band.statistics == STATISTICS, f"{path}: made for other statistics; make it again"
    return band


def _joined(told: Sequence[EgoMotion]) -> EgoMotion:
    return EgoMotion(np.array([m.speed_mps for m in told]), np.array([m.yaw_rate_radps for m in told]))
