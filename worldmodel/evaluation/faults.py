"""Videos with a known fault: what instruments are for is to catch these, and to clear true video.

Each fault makes from a true drive, and from another one, frames that somebody might mistake for a world's. Knows pixels
alone.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from worldmodel.types import FrameArray

#: A fault: the true frames ``(T, H, W, 3)``, those of another drive, and of one that was trained on → the faulty ones.
Fault = Callable[[FrameArray, FrameArray, FrameArray], FrameArray]
_JPEG_QUALITY, _BLUR_PX = 85, 2.0


def reencoded(true: FrameArray, _other: FrameArray, _trained: FrameArray) -> FrameArray:
    """True video, compressed again: no fault, and to be cleared."""
    return np.stack([_again(frame) for frame in true])


def motion_ignored(_true: FrameArray, other: FrameArray, _trained: FrameArray) -> FrameArray:
    """Another drive's true video: looks right, goes its own way."""
    return other


def frozen(true: FrameArray, _other: FrameArray, _trained: FrameArray) -> FrameArray:
    """The first frame for ever."""
    return np.repeat(true[:1], len(true), axis=0)


def blurred(true: FrameArray, _other: FrameArray, _trained: FrameArray) -> FrameArray:
    """Sharp at first, a blur after a quarter of the drive."""
    sigma = _BLUR_PX * true.shape[1] / 128
    begun = len(true) // 4
    return np.stack([*true[:begun], *(cv2.GaussianBlur(frame, (0, 0), sigma) for frame in true[begun:])])


def replayed(_true: FrameArray, _other: FrameArray, trained: FrameArray) -> FrameArray:
    """A clip of the training set."""
    return trained


def one_frame_late(true: FrameArray, _other: FrameArray, _trained: FrameArray) -> FrameArray:
    """Every frame one step after its time."""
    return np.concatenate([true[:1], true[:-1]])


FAULTS: Mapping[str, Fault] = {
    "re-encoded": reencoded,
    "motion ignored": motion_ignored,
    "frozen": frozen,
    "blurred": blurred,
    "replayed": replayed,
    "one frame late": one_frame_late,
}


def _again(frame: FrameArray) -> FrameArray:
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
