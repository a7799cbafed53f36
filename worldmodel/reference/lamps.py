"""Where lamps are mirrored by a wet road. Knows nothing of how the mirrored light is drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light
from worldmodel.reference.scene import Shot
from worldmodel.reference.vehicles import SIZES_M
from worldmodel.reference.view import View

_LAMP_Z_M = 0.75
Streak = tuple[float, float, float, tuple[float, float, float]]


def reflections(view: View, light: Light, shot: Shot, street_lamps: NDArray[np.float64]) -> list[Streak]:
    """Streaks as (u, top row, length in rows, colour) of vehicles' lamps and of ``street_lamps (L, 3)``."""
    places: list[tuple[float, float, float]] = []
    tones: list[tuple[float, float, float]] = []
    for v in shot.seen:
        if v.kind == "pedestrian":
            continue
        length, width, _ = SIZES_M[v.kind]
        cos, sin = np.cos(v.heading_rad), np.sin(v.heading_rad)
        from_behind = cos * (v.x_m - shot.pose[0]) + sin * (v.y_m - shot.pose[1]) > 0
        x = length * (-0.5 if from_behind else 0.5)
        tone = ((220, 50, 34) if v.braking else (150, 26, 18)) if from_behind else (170, 165, 140)
        for y in (-0.4 * width, 0.4 * width):
            places.append((v.x_m + cos * x - sin * y, v.y_m + sin * x + cos * y, _LAMP_Z_M))
            tones.append(tone)
    places += [tuple(lamp) for lamp in street_lamps.tolist()]
    tones += [(90, 76, 48)] * len(street_lamps)
    if not places:
        return []
    points = np.array(places)
    ground = view.to_camera(points * (1, 1, 0), shot.pose, shot.attitude)
    mirrored = view.to_camera(points * (1, 1, -1), shot.pose, shot.attitude)
    result = []
    for g, m, tone in zip(ground, mirrored, tones):
        if 3 < g[2] < 160:
            (u, top), bottom = view.pixels(g), view.pixels(m)[1]
            share = float(np.exp(-g[2] / light.haze_m)) * light.wet * 0.75
            length = 2.2 * float(bottom - top) + 3
            result.append((float(u), float(top), length, (tone[0] * share, tone[1] * share, tone[2] * share)))
    return result
