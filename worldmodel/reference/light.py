"""Light and weather as numbers: what the sun, the sky, the air and the ground do to colours.

One ``Light`` per drive, from weather, time of day and seed. Colours are display values 0..255 as float; brightness is
multiplied in display space. Knows nothing of shapes or of the road.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.streams import stream

ColourArray = NDArray[np.float32]


def colour(red: float, green: float, blue: float) -> ColourArray:
    """A ``(3,)`` float32 colour."""
    return np.array([red, green, blue], np.float32)


@dataclasses.dataclass(frozen=True)
class Light:
    """Light of one drive.

    Attributes:
        weather, time_of_day: as in the options.
        sun_direction: ``(3,)`` unit vector towards the sun (world axes).
        ambient, sun: ``(3,)`` multipliers of a surface's colour: from everywhere, and facing the sun.
        haze: ``(3,)`` colour the air fades to; haze_m: distance at which 63 % has faded.
        zenith, horizon: ``(3,)`` colours of the sky; cloud_lit, cloud_dark: of the clouds; cloud_cover: 0..1.
        headlight: brightness of the own headlights (0 by day).
        wet: 0..1 wetness of the road; snow: 0..1 white on the ground.
        shadow: how much light a cast shadow takes away, 0..1.
        street: brightness of street lamps on the ground.
        lamps: whether vehicles, windows and street lamps are lit.
    """

    weather: str
    time_of_day: str
    sun_direction: NDArray[np.float64]
    ambient: ColourArray
    sun: ColourArray
    haze: ColourArray
    haze_m: float
    zenith: ColourArray
    horizon: ColourArray
    cloud_lit: ColourArray
    cloud_dark: ColourArray
    cloud_cover: float
    headlight: float
    wet: float
    snow: float
    shadow: float
    lamps: bool
    street: float = 0.0

    @property
    def ground(self) -> ColourArray:
        """Multiplier of level ground in the open."""
        return (self.ambient + self.sun * max(0.0, float(self.sun_direction[2]))).astype(np.float32)


def light_of(seed: int, weather: str, time_of_day: str, road_kind: str = "country") -> Light:
    """The light a drive has; towns are lit at night."""
    light = _light_of(seed, weather, time_of_day)
    if road_kind != "town" or time_of_day == "day":
        return light
    street = 0.55 if time_of_day == "night" else 0.2
    ambient = light.ambient + street * 0.3 * colour(1.0, 0.86, 0.62)
    return dataclasses.replace(light, street=street, ambient=ambient.astype(np.float32))


def _light_of(seed: int, weather: str, time_of_day: str) -> Light:
    rng = stream(seed, "light")
    azimuth = rng.uniform(0, 2 * np.pi)
    height = rng.uniform(0.5, 1.0)
    cover = rng.uniform(0.2, 0.65)
    haze_clear_m = rng.uniform(900.0, 2200.0)
    warm = rng.uniform(0.0, 1.0)
    fog_m = rng.uniform(45.0, 130.0)
    if time_of_day == "dusk":
        height = rng.uniform(0.08, 0.2)
    sun = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    if time_of_day == "day":
        light = Light(
            weather, time_of_day, sun, colour(0.55, 0.58, 0.64), colour(0.62, 0.58, 0.5),
            colour(186, 203, 222), haze_clear_m, colour(58, 112, 196), colour(190, 213, 236),
            colour(250, 250, 250), colour(198, 205, 216), cover, 0.0, 0.0, 0.0, 0.5, False,
        )  # fmt: skip
    elif time_of_day == "dusk":
        light = Light(
            weather, time_of_day, sun, colour(0.44, 0.36, 0.42), colour(0.5, 0.28, 0.1),
            colour(168, 104, 86), haze_clear_m, colour(44, 48, 104), colour(246, 150, 82) * (0.9 + 0.1 * warm),
            colour(255, 164, 110), colour(86, 62, 96), cover, 0.5, 0.0, 0.0, 0.25, True,
        )  # fmt: skip
    else:
        light = Light(
            weather, time_of_day, sun * (1, 1, -1), colour(0.1, 0.11, 0.16), colour(0, 0, 0),
            colour(9, 11, 18), 500.0, colour(4, 6, 14), colour(16, 19, 30),
            colour(20, 22, 30), colour(10, 12, 18), cover, 1.0, 0.0, 0.0, 0.0, True,
        )  # fmt: skip
    if weather == "clear":
        return light
    day = {"day": 1.0, "dusk": 0.46, "night": 0.09}[time_of_day]
    tint = {"day": colour(1, 1, 1), "dusk": colour(0.94, 0.95, 1.08), "night": colour(0.95, 1, 1.15)}[time_of_day]
    flat = light.ambient.mean() + light.sun.mean() * 0.35
    grey = {"rain": 138.0, "fog": 196.0, "snow": 190.0}[weather] * day * tint
    overcast = {"rain": 0.72, "fog": 0.86, "snow": 0.86}[weather]
    return dataclasses.replace(
        light,
        ambient=(overcast * flat * tint).astype(np.float32),
        sun=colour(0, 0, 0),
        haze=grey.astype(np.float32),
        haze_m={"rain": 420.0 + 300 * warm, "fog": fog_m, "snow": 170.0 + 160 * warm}[weather],
        zenith=(grey * {"rain": 0.66, "fog": 1.0, "snow": 0.93}[weather]).astype(np.float32),
        horizon=grey.astype(np.float32),
        cloud_lit=(grey * 1.02).astype(np.float32),
        cloud_dark=(grey * 0.72).astype(np.float32),
        cloud_cover={"rain": 0.9, "fog": 0.0, "snow": 0.75}[weather],
        wet={"rain": 1.0, "fog": 0.25, "snow": 0.15}[weather],
        snow={"rain": 0.0, "fog": 0.0, "snow": 1.0}[weather],
        headlight={"day": 0.0, "dusk": 0.55, "night": 1.0}[time_of_day],
        shadow=0.0,
        lamps=True,
    )


def headlight_beam(
    right_m: NDArray[np.float32], ahead_m: NDArray[np.float32], down_m: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Brightness, about 1 at its best, of the own dipped headlights on a thing at camera-axes coordinates."""
    z = np.maximum(ahead_m, np.float32(1.0))
    side = (right_m - np.float32(0.02) * z) / (np.float32(1.8) + np.float32(0.3) * z)
    spread = np.exp(-side * side)
    reach = (
        np.float32(1)
        / (np.float32(1) + (z / np.float32(30)) ** 2)
        * np.clip((z - np.float32(1.0)) / np.float32(6.0), 0, 1)
    )
    # Dipped beams end at about the height of the lamps; above it there is only stray light.
    above = np.clip(-down_m / (np.float32(0.8) + np.float32(0.03) * z), 0, 1)
    return (spread * reach * (np.float32(1) - np.float32(0.72) * above)).astype(np.float32)
