"""Trees and bushes: flat pictures with an outline, always square to the camera, drawn by rule from seeded noise.

Leaves are many small shaded blobs. Each plant is kept at halving sizes so that it can be drawn at any distance.
Knows nothing of where plants stand. Shapes: h, w of a picture; alpha says where the plant is.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light, colour

_SIZE = 192
KINDS = ("broad", "broad", "broad", "conifer", "conifer", "bush", "bush", "birch")


@dataclasses.dataclass(frozen=True)
class Plant:
    """One plant's picture at halving sizes.

    Attributes:
        pictures: ``(h, w, 4)`` uint8 RGB and alpha, the largest first.
        aspect: width over height.
    """

    pictures: tuple[NDArray[np.uint8], ...]
    aspect: float


@functools.lru_cache(maxsize=2)
def _albedo(season: str) -> tuple[NDArray[np.float32], ...]:
    """``(h, w, 4)`` float pictures of every kind, before light; the green's shade is baked in."""
    return tuple(_grow(np.random.default_rng(70 + i), kind, season) for i, kind in enumerate(KINDS))


def _grow(rng: np.random.Generator, kind: str, season: str) -> NDArray[np.float32]:
    image = np.zeros((_SIZE, _SIZE, 4), np.float32)
    trunk = colour(206, 204, 196) if kind == "birch" else colour(86, 64, 46)
    middle = _SIZE // 2
    if kind == "conifer":
        image = _trunk(image, middle, 0.9, 5, trunk)
        for tier in range(26):
            t = tier / 25
            y = int(_SIZE * (0.9 - 0.86 * t))
            half = (_SIZE * 0.27) * (1 - t) ** 0.9 + 3
            for _ in range(16):
                offset = rng.uniform(-1, 1)
                tone = colour(38, 74, 44) * (0.78 + 0.4 * rng.random() - 0.16 * offset)
                x = middle + offset * half
                pts = np.array([[x, y - 14], [x - 8, y + 7 + 8 * abs(offset)], [x + 8, y + 7 + 8 * abs(offset)]])
                if season == "snow":
                    tone = tone + (colour(236, 240, 246) - tone) * (0.65 if rng.random() < 0.55 else 0.12)
                cv2.fillConvexPoly(image, pts.astype(np.int32), (*map(float, tone), 255.0))
        return image
    if kind == "bush":
        centres = [(middle + rng.normal(0, 34), _SIZE - rng.uniform(16, 88), rng.uniform(14, 34)) for _ in range(26)]
        base = colour(70, 102, 46)
    else:
        spread, top = (40, 0.36) if kind == "broad" else (25, 0.38)
        image = _trunk(image, middle, 0.99, 8 if kind == "broad" else 5, trunk)
        centres = []
        for _ in range(46):
            a, r = rng.uniform(0, 2 * np.pi), np.sqrt(rng.random())
            y_scale = 44 if kind == "broad" else 60
            centres.append(
                (middle + r * np.cos(a) * spread * 1.35, _SIZE * top + r * np.sin(a) * y_scale, rng.uniform(13, 25))
            )
        base = colour(62, 102, 40) if kind == "broad" else colour(106, 132, 56)
        if season == "snow":
            return _bare(rng, image, centres, middle)
    base = base * rng.uniform(0.85, 1.15, 3).astype(np.float32)
    if season == "snow":
        base = colour(206, 212, 220)
    centres.sort(key=lambda c: -c[1])
    ys = np.array([c[1] for c in centres])
    for x, y, radius in centres:
        height = (ys.max() - y) / (np.ptp(ys) + 1)
        tone = base * (0.55 + 0.55 * height)
        for _ in range(int(radius * 2.2)):
            a, r = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.random())
            lx, ly = x + r * np.cos(a), y + r * np.sin(a)
            side = (np.cos(a) * -0.4 - np.sin(a) * 0.8) * r / radius
            leaf = tone * (0.9 + 0.22 * side + rng.uniform(-0.16, 0.16))
            cv2.circle(image, (int(lx), int(ly)), int(rng.integers(3, 7)), (*map(float, leaf), 255.0), -1)
    return image


def _trunk(image, middle: int, bottom: float, width: int, tone) -> NDArray[np.float32]:
    for offset in range(-width, width + 1):
        shade = 1.0 - 0.32 * offset / width
        x = middle + offset
        cv2.line(image, (x, int(_SIZE * 0.4)), (x, _SIZE - 1), (*map(float, tone * np.float32(shade)), 255.0), 1)
    return image


def _bare(rng, image, centres, middle: int) -> NDArray[np.float32]:
    """A leafless crown: branches from the trunk to where the leaves would be."""
    for x, y, radius in centres:
        tone = colour(92, 80, 72) * rng.uniform(0.8, 1.2)
        start = (middle + int(rng.normal(0, 4)), int(_SIZE * rng.uniform(0.45, 0.7)))
        bend = (int((start[0] + x) / 2 + rng.normal(0, 5)), int((start[1] + y) / 2 + 4))
        points = np.array([start, bend, (int(x), int(y))], np.int32)
        cv2.polylines(image, [points], False, (*map(float, tone), 255.0), 2)
        for _ in range(5):
            tip = (int(x + rng.normal(0, radius)), int(y + rng.normal(0, radius) - 4))
            cv2.line(image, (int(x), int(y)), tip, (*map(float, tone * 1.15), 255.0), 1)
            if rng.random() < 0.6:
                cv2.circle(image, tip, 3, (222.0, 228.0, 236.0, 255.0), -1)
    return image


def plants(light: Light) -> tuple[Plant, ...]:
    """All kinds of plants as lit by ``light``."""
    tone = light.ambient * 0.92 + light.sun * 0.55
    return _lit("snow" if light.snow else "green", tuple(tone.tolist()))


@functools.lru_cache(maxsize=8)
def _lit(season: str, tone: tuple[float, ...]) -> tuple[Plant, ...]:
    result = []
    for albedo in _albedo(season):
        columns = np.flatnonzero(albedo[..., 3].any(0))
        rows = np.flatnonzero(albedo[..., 3].any(1))
        half = min(_SIZE // 2, int(max(_SIZE // 2 - columns[0], columns[-1] - _SIZE // 2)) + 2)
        cut = albedo[rows[0] :, _SIZE // 2 - half : _SIZE // 2 + half].copy()
        cut[..., :3] = np.clip(cut[..., :3] * np.array(tone, np.float32), 0, 255)
        pictures = []
        while min(cut.shape[:2]) >= 3:  # ``cut`` is premultiplied by its alpha
            pictures.append(_straight(cut.astype(np.float32)))
            h, w = cut.shape[:2]
            cut = np.asarray(cv2.resize(cut, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA))
        result.append(Plant(tuple(pictures), 2 * half / (_SIZE - rows[0])))
    return tuple(result)


def _straight(premultiplied: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Undo the premultiplication, letting leaf colours run over the outline so that edges do not darken."""
    wide = np.asarray(cv2.GaussianBlur(premultiplied, (0, 0), 2.5))
    alpha = premultiplied[..., 3:]
    near = premultiplied[..., :3] / np.maximum(alpha / 255, 1e-3)
    far = wide[..., :3] / np.maximum(wide[..., 3:] / 255, 1e-3)
    rgb = np.where(alpha > 8, near, far)
    return np.concatenate([rgb, alpha], -1).clip(0, 255).astype(np.uint8)
