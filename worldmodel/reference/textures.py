"""Tileable noise that gives surfaces their grain, filtered in advance for every distance.

A pixel far away covers much road lengthwise and little of it crosswise; so each level of the atlas is blurred for the
footprint a dashcam has at some distance, and the renderer picks the level. Textures differ by variant, not by drive,
and are made once per process. Knows nothing of roads. Shapes: V rows (across, 16 m), U columns (along, 64 m).
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

TEXEL_M = 0.0625
ROWS, COLUMNS = 256, 1024
LEVELS = 8
#: Footprint along the road of level 0; each level doubles it.
FIRST_FOOTPRINT_M = 0.08
PITCH_ROWS = ROWS + 4


def tile_noise(rng: np.random.Generator, rows: int, columns: int, cell: int) -> NDArray[np.float32]:
    """``(rows, columns)`` smooth noise of unit spread that wraps round, its blobs about ``cell`` texels wide."""
    coarse = rng.standard_normal((max(1, rows // cell), max(1, columns // cell))).astype(np.float32)
    wrapped = np.pad(coarse, 2, mode="wrap")
    scale = rows // coarse.shape[0]
    fine = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    fine = np.asarray(fine)[2 * scale : 2 * scale + rows, 2 * scale : 2 * scale + columns]
    return (fine / fine.std()).astype(np.float32)


def _asphalt(rng: np.random.Generator) -> NDArray[np.float32]:
    layers = [(1, 0.7), (2, 0.6), (4, 0.4), (8, 0.25), (16, 0.2), (64, 0.12)]
    tone = sum(weight * tile_noise(rng, ROWS, COLUMNS, cell) for cell, weight in layers)
    tone = np.asarray(tone, dtype=np.float32) / 1.1
    canvas = np.zeros((3 * ROWS, 3 * COLUMNS), np.float32)
    for _ in range(14):  # patches of newer and older asphalt
        u, v = int(rng.integers(0, COLUMNS)), int(rng.integers(0, ROWS))
        w, h = int(rng.integers(12, 110)), int(rng.integers(8, 40))
        cv2.rectangle(canvas, (COLUMNS + u, ROWS + v), (COLUMNS + u + w, ROWS + v + h), rng.uniform(-1.4, 0.9), -1)
    for _ in range(26):  # cracks and their tar
        along = rng.random() < 0.5
        length = rng.integers(5, 14)
        steps = rng.normal(0, 1, (length, 2)) * (3, 3) + ((9, 0) if along else (0, 7))
        start = np.array([COLUMNS + rng.integers(0, COLUMNS), ROWS + rng.integers(0, ROWS)])
        path = np.cumsum(steps, axis=0) + start
        cv2.polylines(canvas, [path.astype(np.int32)], False, float(rng.uniform(-2.8, -1.6)), int(rng.integers(1, 3)))
    folded = canvas.reshape(3, ROWS, 3, COLUMNS)
    extreme = np.where(np.abs(folded.min((0, 2))) > folded.max((0, 2)), folded.min((0, 2)), folded.max((0, 2)))
    return tone + extreme.astype(np.float32)


def _verge(rng: np.random.Generator) -> NDArray[np.float32]:
    layers = [(1, 0.35), (2, 0.5), (4, 0.6), (8, 0.6), (32, 0.6), (64, 0.5)]
    tone = sum(weight * tile_noise(rng, ROWS, COLUMNS, cell) for cell, weight in layers)
    return np.asarray(tone, dtype=np.float32) / 1.1


def _blur(tone: NDArray[np.float32], along_m: float, across_m: float) -> NDArray[np.float32]:
    sigma_u, sigma_v = (max(0.0, f / TEXEL_M / np.sqrt(12)) for f in (along_m, across_m))
    u, v = np.fft.rfftfreq(COLUMNS), np.fft.fftfreq(ROWS)
    gain = np.exp(-2 * np.pi**2 * ((sigma_u * u[None]) ** 2 + (sigma_v * v[:, None]) ** 2))
    return np.fft.irfft2(np.fft.rfft2(tone) * gain, s=tone.shape).astype(np.float32)


@functools.lru_cache(maxsize=4)
def atlas(variant: int) -> NDArray[np.uint8]:
    """``(LEVELS * PITCH_ROWS, U, 3)`` grain around 128 of asphalt and verge, and paint wear; levels stacked downwards.

    Every level has four rows repeated, so that bilinear look-ups wrap across the road.
    """
    rng = np.random.default_rng(1000 + variant)
    wear = tile_noise(rng, ROWS, COLUMNS, 2) * 0.7 + tile_noise(rng, ROWS, COLUMNS, 8) * 0.8
    channels = [_asphalt(rng), _verge(rng), wear]
    levels = []
    for level in range(LEVELS):
        along_m = FIRST_FOOTPRINT_M * 2**level
        across_m = np.sqrt(along_m * 1.4 / 200)
        planes = [np.clip(128 + 36 * _blur(c, along_m, across_m), 0, 255) for c in channels]
        plane = np.stack(planes, axis=-1).astype(np.uint8)
        levels.append(np.concatenate([plane, plane[: PITCH_ROWS - ROWS]]))
    return np.concatenate(levels)


@functools.lru_cache(maxsize=4)
def broad(variant: int) -> NDArray[np.uint8]:
    """``(512, 1024, 3)`` broad patches (1 texel = 1 m) around 128: of the asphalt, of the verge's tone and its hue."""
    rng = np.random.default_rng(2000 + variant)
    planes = []
    for cells in ((8, 32), (8, 32, 128), (16, 64)):
        tone = np.sum([tile_noise(rng, 512, 1024, cell) for cell in cells], axis=0) / np.sqrt(len(cells))
        planes.append(np.clip(128 + 40 * tone, 0, 255))
    planes[0] = np.clip(128 + 24 * tile_noise(rng, 512, 1024, 8) + 14 * tile_noise(rng, 512, 1024, 4), 0, 255)
    return np.stack(planes, axis=-1).astype(np.uint8)
