"""The ground, shaded pixel by pixel: asphalt, markings, verge, snow and light, exactly filtered.

Every ground pixel is projected into road coordinates (s, d) and its footprint on the ground is known, so the cover of
each material comes from prefix sums over d (solid lines) and s (dashes) and needs no supersampling: lines thin out
towards the horizon instead of flickering. Grain comes from an atlas filtered for the same footprint.

Shapes: G = (rows below the horizon, W) ground pixels; M materials of ``road``, U of them used.
"""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from worldmodel.reference import road as road_module
from worldmodel.reference import textures
from worldmodel.reference.centreline import BEGIN_M, STEP_M, Centreline
from worldmodel.reference.light import Light, colour
from worldmodel.reference.road import COVER_HALF_M, COVER_STEP_M, Road
from worldmodel.reference.streams import stream
from worldmodel.reference.view import Rays
from worldmodel.types import FloatArray

_BEHIND_M, _AHEAD_M = 80.0, 900.0
_F = np.float32


@dataclasses.dataclass(frozen=True)
class RoadPixels:
    """Road coordinates of the ground pixels, each ``G``: s relative to ``s0_m``, d, and their footprints.

    ``coarse`` holds s and d of every fourth column alone.
    """

    s0_m: float
    s_m: NDArray[np.float32]
    d_m: NDArray[np.float32]
    span_s_m: NDArray[np.float32]
    span_d_m: NDArray[np.float32]
    coarse: tuple[NDArray[np.float32], NDArray[np.float32]]
    rays: Rays


class Ground:
    """Shades the ground of one drive."""

    def __init__(self, seed: int, centreline: Centreline, road: Road, light: Light) -> None:
        rng = stream(seed, "ground", road.kind)
        self._line, self._road, self._light = centreline, road, light
        table = road.cover_table(light.snow)
        # Only materials that this road has are looked up; dashes come last.
        self._used = np.flatnonzero(table[:, -1].any(0)).tolist()
        self._dashes = sum(m >= road_module.DASH_WHITE for m in self._used)
        self._cover = np.ascontiguousarray(table.reshape(-1, table.shape[-1])[:, self._used].T)
        self._row_length = table.shape[1]
        self._atlas = textures.atlas(int(rng.integers(0, 3)))
        self._broad = textures.broad(int(rng.integers(0, 3)))
        self._seed = seed
        tone = rng.uniform(72, 118)
        grass = colour(*(np.array([90, 110, 52]) + rng.uniform(-1, 1, 3) * (15, 10, 10)))
        palette = np.zeros((road_module.MATERIALS, 3), np.float32)
        palette[road_module.SNOW] = colour(228, 232, 240)
        palette[road_module.ASPHALT] = tone * colour(1.0, 1.0, 1.02)
        palette[road_module.VERGE] = grass
        palette[road_module.GRAVEL] = colour(146, 134, 112)
        palette[road_module.PAVING] = colour(150, 147, 140) * rng.uniform(0.85, 1.1)
        palette[[road_module.WHITE, road_module.DASH_WHITE]] = colour(232, 232, 226)
        palette[[road_module.YELLOW, road_module.DASH_YELLOW]] = colour(236, 184, 42)
        if light.wet:
            palette[road_module.ASPHALT] *= 1 - 0.34 * light.wet
            palette[[road_module.GRAVEL, road_module.PAVING]] *= 1 - 0.25 * light.wet
        # Paint throws headlights back.
        palette[road_module.WHITE :] *= 1 + 0.35 * light.headlight
        self._palette = palette
        self._grain = rng.uniform(0.1, 0.16) / 36
        self._hue = colour(0.5, 0.12, -0.1) * _F(rng.uniform(0.4, 1.0) / 128)
        self._extra: tuple[float, NDArray[np.float32]] | None = None
        #: Share of asphalt and paint of the last picture, kept where a wet road mirrors.
        self.paved: NDArray[np.float32] | None = None
        self._variants: dict[int, NDArray[np.int32]] = {}
        self._level_cache: tuple[int, NDArray[np.float32]] | None = None

    def locate(self, rays: Rays, pose: FloatArray, s_ego_m: float) -> RoadPixels:
        """Project every ground pixel into road coordinates, for an ego at ``pose`` whose own s is ``s_ego_m``."""
        line = self._line
        first = int((s_ego_m - _BEHIND_M - BEGIN_M) / STEP_M)
        last = int((s_ego_m + _AHEAD_M - BEGIN_M) / STEP_M)
        first = max(first, 0)
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        table = line.table
        rx, ry = table.x_m[first:last] - pose[0], table.y_m[first:last] - pose[1]
        lx, ly = (cos * rx + sin * ry).astype(_F), (-sin * rx + cos * ry).astype(_F)
        turn = table.heading_rad[first:last] - pose[2]
        lc, ls = np.cos(turn).astype(_F), np.sin(turn).astype(_F)
        lk = table.curvature_1pm[first:last].astype(_F)
        s0 = BEGIN_M + STEP_M * first
        x, y = rays.x_m, rays.y_m
        column = ((_F(cos) * x - _F(sin) * y) + _F(pose[0] - line.guess_x0_m)) * _F(1 / 8)
        column = np.clip(column, 0, len(line.guess) - 1).astype(np.int32)
        cell = ((_F(sin) * x + _F(cos) * y) + _F(pose[1]) - line.guess_y0_m[column]) * _F(1 / 8)
        cell = np.clip(cell, 0, line.guess.shape[1] - 1).astype(np.int32)
        s = line.guess.ravel()[column * line.guess.shape[1] + cell] - _F(s0)
        top = len(lx) - 1
        i = np.clip(s * _F(1 / STEP_M), 0, top).astype(np.int32)
        along = lat = c = n = x
        for attempt in range(3):
            c, n = lc[i], ls[i]
            dx, dy = x - lx[i], y - ly[i]
            along, lat = dx * c + dy * n, dy * c - dx * n
            along = along / np.maximum(1 - lk[i] * lat, _F(0.25))
            if attempt < 2:
                i = np.clip(np.rint(along * _F(1 / STEP_M)) + i, 0, top).astype(np.int32)
        d = (lat - _F(0.5) * lk[i] * along * along).astype(_F)
        s = (i.astype(_F) * _F(STEP_M) + along).astype(_F)
        # The pixel's parallelogram: one side across the view (0, -across), one along the ray (x, y) * stretch.
        ax, ay = x * rays.stretch, y * rays.stretch
        across = rays.across_m
        us, vs = across * n, ax * c + ay * n
        ud, vd = across * c, ay * c - ax * n
        spans = np.sqrt(us * us + vs * vs), np.sqrt(ud * ud + vd * vd)
        wide = [rays.spread(values) for values in (s, d, *spans)]
        return RoadPixels(s0, wide[0], wide[1], wide[2], wide[3], (s, d), rays)

    def _variant_rows(self, at: RoadPixels) -> NDArray[np.int32]:
        """Offset into the cover table of every ground pixel."""
        base = int(at.s0_m // 80.0)
        count = int((_AHEAD_M + _BEHIND_M) // 80.0) + 3
        key = base
        if key not in self._variants:
            s = 80.0 * (base + np.arange(count, dtype=np.float64)) + 40.0
            rows = self._road.variant_at(s, self._line.curvature_at(s)).astype(np.int32)
            self._variants = {key: rows * self._row_length}
        rows = self._variants[key]
        index = ((at.s_m + _F(at.s0_m - 80.0 * base)) * _F(1 / 80.0)).astype(np.int32)
        return rows[np.clip(index, 0, count - 1)]

    def cover(self, at: RoadPixels) -> NDArray[np.float32]:
        """``(U, G)`` mean cover of every used material over every pixel's footprint, dashes included."""
        half = at.span_d_m * _F(0.5 / COVER_STEP_M)
        rows = self._variant_rows(at)
        d = at.d_m
        if self._road.has_extra:
            d, rows = self._with_extra(at, rows)
        middle = d * _F(1 / COVER_STEP_M) + _F(COVER_HALF_M / COVER_STEP_M)
        top = self._row_length - 2
        low = np.clip(middle - half, 0, top).astype(np.int32)
        high = np.minimum(np.maximum(np.clip(middle + half, 0, top).astype(np.int32), low) + 1, top + 1)
        high += rows
        low += rows
        cover = np.take(self._cover, high, axis=1)
        cover -= np.take(self._cover, low, axis=1)
        cover *= _F(1) / (high - low)
        first = len(cover) - self._dashes
        where = np.flatnonzero(cover[first:].sum(0).ravel() > 1e-4) if self._dashes else ()
        if len(where):
            flat = cover.reshape(len(cover), -1)
            dashes = flat[first:, where] * self._dash_share(at, np.asarray(where))
            flat[first:, where] = dashes
            under = sum(m < road_module.WHITE for m in self._used)
            flat[:under, where] *= 1 - dashes.sum(0)
        return cover

    def paved_of(self, cover: NDArray[np.float32]) -> NDArray[np.float32]:
        """``G`` how much of every pixel is asphalt or paint, from ``cover (U, G)``."""
        paint = sum(m >= road_module.WHITE for m in self._used)
        return cover[0] + cover[len(cover) - paint :].sum(0)

    def _with_extra(self, at: RoadPixels, rows: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Offsets and rows to look up where the further lane is open: beyond its left line, all is moved outwards."""
        step = 4.0
        base = math.floor(at.s0_m / step) * step
        if self._extra is None or self._extra[0] != base:
            s = base + step * np.arange(int((_AHEAD_M + _BEHIND_M) / step) + 4)
            self._extra = (base, self._road.extra_at(s).astype(_F))
        opened = self._extra[1]
        if not opened.any():
            return at.d_m, rows
        place = np.clip((at.s_m + _F(at.s0_m - base)) * _F(1 / step), 0, len(opened) - 2)
        index = place.astype(np.int32)
        share = opened[index] + (opened[index + 1] - opened[index]) * (place - index)
        # While it is narrower than a line is wide, the outer line just bends outwards; then the row with one more lane.
        wide = share > 0.07
        edge, width = _F(self._road.edge_m), _F(self._road.lane_width_m)
        shift = np.where(wide, (share - 1) * (at.d_m < -edge - _F(0.12)), share * (at.d_m < -edge + _F(0.5)))
        rows = np.where(wide & (at.d_m < 0), 3 * self._row_length, rows).astype(np.int32)
        return np.where(share > 0, at.d_m + shift * width, at.d_m), rows

    def _dash_share(self, at: RoadPixels, where: NDArray[np.int64]) -> NDArray[np.float32]:
        period, length = self._road.dash_period_m, self._road.dash_m
        offset = at.s0_m - math.floor(at.s0_m / period) * period
        s = (at.s_m.ravel()[where] + _F(offset)) * _F(1 / period)
        half = np.maximum(at.span_s_m.ravel()[where], _F(0.02)) * _F(0.5 / period)

        def prefix(phase: NDArray[np.float32]) -> NDArray[np.float32]:
            whole = np.floor(phase)
            return whole * _F(length / period) + np.minimum(phase - whole, _F(length / period))

        return (prefix(s + half) - prefix(s - half)) / (2 * half)

    def _grain_at(self, at: RoadPixels) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """Fine grain and broad patches around 0, three planes ``G`` each."""
        rows, columns = textures.ROWS, textures.COLUMNS
        level = _rough_log2(at.span_s_m * _F(1 / textures.FIRST_FOOTPRINT_M))
        level += self._dither(level.shape)
        level = np.clip(level, 0, textures.LEVELS - 1).astype(np.int32)
        offset = at.s0_m % (textures.TEXEL_M * columns)
        u = _wrap((at.s_m + _F(offset)) * _F(1 / textures.TEXEL_M), columns)
        v = _wrap(at.d_m * _F(1 / textures.TEXEL_M), rows) + (level * textures.PITCH_ROWS).astype(_F)
        grain = cv2.remap(self._atlas, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        offset = at.s0_m % 1024.0
        bu, bv = _wrap(at.coarse[0] + _F(offset), 1024), _wrap(at.coarse[1], 512)
        broad = cv2.remap(self._broad, bu, bv, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        tones = np.asarray(broad, dtype=_F).transpose(2, 0, 1) - _F(128)
        planes = [np.asarray(plane, dtype=_F) - _F(128) for plane in cv2.split(grain)]
        return planes, at.rays.spread(tones)

    def _dither(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        if self._level_cache is None or self._level_cache[1].shape != shape:
            noise = np.random.default_rng(5).random(shape).astype(_F)
            self._level_cache = (0, noise)
        return self._level_cache[1]

    def colours(self, at: RoadPixels) -> NDArray[np.float32]:
        """``(3, G)`` colours of the bare ground, before light and air."""
        cover = self.cover(at)
        fine, wide = self._grain_at(at)
        asphalt = fine[0] * _F(self._grain) + wide[0] * _F(0.0022) + _F(1)
        verge = fine[1] * _F(0.0072) + wide[1] * _F(0.0028) + _F(1)
        wear = np.clip(fine[2] * _F(0.006) + _F(0.93), _F(0.35), _F(1.02))
        for row, material in zip(cover, self._used):
            if material == road_module.ASPHALT:
                row *= asphalt
            elif material in (road_module.VERGE, road_module.GRAVEL):
                row *= verge
            elif material == road_module.PAVING:
                row *= asphalt * _F(0.4) + _F(0.6)
            elif material == road_module.SNOW:
                row *= asphalt * _F(0.3) + verge * _F(0.25) + _F(0.39)
            else:
                row *= wear
        rgb = (self._palette[self._used].T @ cover.reshape(len(cover), -1)).reshape(3, *cover.shape[1:])
        if road_module.VERGE in self._used:
            # Grass drifts between greens over tens of metres.
            drift = cover[self._used.index(road_module.VERGE)] * wide[2]
            for channel, share in zip(rgb, (self._hue * _F(34)).tolist()):
                channel += drift * _F(share)
        self.paved = self.paved_of(cover) if self._light.wet > 0.5 else None
        return rgb

    def lamp_light(self, at: RoadPixels) -> NDArray[np.float32]:
        """Light of street lamps ``(...)`` on the ground, about 1 right under one."""
        period = 40.0
        total = np.zeros_like(at.s_m)
        for side, start in ((-1, 8.0), (1, 28.0)):
            offset = (at.s0_m - start) % period
            ds = np.mod(at.s_m + _F(offset + period / 2), _F(period)) - _F(period / 2)
            dd = at.d_m - _F(side * (self._road.paved_m - 1.1))
            total += np.exp(-(ds * ds) * _F(1 / 90.0) - dd * dd * _F(1 / 30.0))
        return total


def _wrap(values: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """``values`` modulo ``period``; several times faster than ``np.mod``."""
    return values - np.floor(values * _F(1 / period)) * _F(period)


def _rough_log2(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Base-2 logarithm of positive values to within 0.09, read off the bits of the numbers."""
    return values.astype(_F).view(np.int32) * _F(2.0**-23) - _F(127)
