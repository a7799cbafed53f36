"""Random streams: every part of the world draws from its own, so that parts can change without disturbing others.

A stream is keyed by the drive's seed and by names, never by time of call. Knows nothing of what is drawn.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that depends on ``seed`` and ``names`` alone, e.g. ``stream(3, "scenery", block)``."""
    keys = [zlib.crc32(n.encode()) if isinstance(n, str) else n & 0xFFFFFFFF for n in names]
    return np.random.default_rng(np.random.SeedSequence([seed & 0xFFFFFFFF, seed >> 32, *keys]))
