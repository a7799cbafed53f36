"""What stands beside the road: plants, houses, posts, signs, lamps, rails; made block by block from the seed.

A block is ``BLOCK_M`` of road. What a block holds depends on the seed and its number alone, so scenery is the same
whenever and from wherever it is seen; weather and time change its colours, never its places. Knows nothing of cameras.
Shapes: P plants of a block.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference import shapes
from worldmodel.reference.centreline import Centreline
from worldmodel.reference.light import Light, colour
from worldmodel.reference.road import Road
from worldmodel.reference.shapes import Builder, Faces
from worldmodel.reference.sprites import KINDS
from worldmodel.reference.streams import stream
from worldmodel.reference.vehicles import rectangle

BLOCK_M = 40.0
#: Scenery is drawn from this far behind the ego to this far ahead.
BEHIND_M, AHEAD_M = 30.0, 460.0


@dataclasses.dataclass(frozen=True)
class Block:
    """The scenery of one stretch.

    Attributes:
        faces: solid things.
        plant_xy: ``(P, 2)`` feet; plant_height_m, plant_kind, plant_mirrored: ``(P,)``.
        lamps: ``(L, 3)`` street lamps' positions.
        solid_xy: ``(N, 4, 2)`` ground plans of what a car would hit: houses, trunks, poles, rails.
        box_xy: ``(B, 4, 2)`` ground plans of houses; box_height_m: ``(B,)``.
    """

    faces: Faces
    plant_xy: NDArray[np.float64]
    plant_height_m: NDArray[np.float64]
    plant_kind: NDArray[np.int64]
    plant_mirrored: NDArray[np.bool_]
    lamps: NDArray[np.float64]
    solid_xy: NDArray[np.float64]
    box_xy: NDArray[np.float64]
    box_height_m: NDArray[np.float64]


class Scenery:
    """Makes and keeps the blocks of one drive."""

    def __init__(self, seed: int, line: Centreline, road: Road, light: Light) -> None:
        self._seed, self._line, self._road, self._light = seed, line, road, light
        self._kept: dict[int, Block] = {}
        rng = stream(seed, "scenery", road.kind)
        self._wooded = rng.uniform(0.15, 0.9)
        self._dense = rng.uniform(0.55, 0.98)
        self._rail_right = rng.random() < 0.5
        self._lit = {"day": 0.02, "dusk": 0.35, "night": 0.3}[light.time_of_day] if light.lamps else 0.0

    def blocks(self, s_m: float) -> list[Block]:
        """Blocks seen from road distance ``s_m``, nearest first."""
        first = int((s_m - BEHIND_M) // BLOCK_M)
        last = int((s_m + AHEAD_M) // BLOCK_M)
        for index in [i for i in self._kept if i < first - 2 or i > last + 2]:
            del self._kept[index]
        for index in range(first, last + 1):
            if index not in self._kept:
                self._kept[index] = self._make(index)
        return [self._kept[i] for i in range(first, last + 1)]

    def solids(self, s_m: float) -> NDArray[np.float64]:
        """``(N, 4, 2)`` ground plans of solid things near road distance ``s_m``."""
        first, last = int((s_m - 20.0) // BLOCK_M), int((s_m + 20.0) // BLOCK_M)
        self.blocks(s_m)
        return np.concatenate([self._kept[i].solid_xy for i in range(first, last + 1)])

    def _make(self, index: int) -> Block:
        builder = Builder(self._light)
        self._boxes: list[tuple[NDArray[np.float64], float]] = []
        self._solids: list[NDArray[np.float64]] = []
        plants: list[tuple[float, float, float, int, bool]] = []
        lamps: list[NDArray[np.float64]] = []
        rng = stream(self._seed, "block", self._road.kind, index + 1_000_000)
        start = index * BLOCK_M
        if self._road.kind == "town":
            self._town(builder, rng, start, plants, lamps)
        elif self._road.kind == "country":
            self._country(builder, rng, start, index, plants)
        else:
            self._motorway(builder, rng, start, index, plants)
        table = np.array(plants, dtype=np.float64).reshape(-1, 5)
        return Block(
            faces=builder.build(),
            plant_xy=table[:, :2],
            plant_height_m=table[:, 2],
            plant_kind=table[:, 3].astype(np.int64),
            plant_mirrored=table[:, 4] > 0,
            lamps=np.array(lamps, dtype=np.float64).reshape(-1, 3),
            solid_xy=np.array([b[0] for b in self._boxes] + self._solids, dtype=np.float64).reshape(-1, 4, 2),
            box_xy=np.array([b[0] for b in self._boxes], dtype=np.float64).reshape(-1, 4, 2),
            box_height_m=np.array([b[1] for b in self._boxes], dtype=np.float64),
        )

    def _clear_of_road(self, x: float, y: float, margin_m: float) -> bool:
        return abs(self._line.nearest(x, y)[1]) > margin_m

    def _plant(
        self, rng: np.random.Generator, plants: list, s: float, d: float, kinds: tuple[int, ...], scale: float
    ) -> None:
        x, y, _ = self._line.point(s, d)
        kind = int(rng.choice(kinds))
        size = {"bush": (0.9, 2.2), "conifer": (6.0, 13.0), "birch": (6.0, 10.0), "broad": (6.0, 12.0)}[KINDS[kind]]
        height = rng.uniform(*size) * scale
        mirrored = bool(rng.random() < 0.5)
        if self._clear_of_road(x, y, self._road.paved_m + 1.2):
            plants.append((x, y, height, kind, mirrored))
            if KINDS[kind] != "bush":
                self._solids.append(rectangle(x, y, 0.0, 0.4, 0.4))

    def _posts(self, builder: Builder, start: float, offset_m: float, step_m: float) -> None:
        for s in np.arange(start, start + BLOCK_M - 1e-6, step_m):
            for side in (-1, 1):
                extra = float(self._road.extra_at(s)) * self._road.lane_width_m * (side < 0)
                x, y, heading = self._line.point(s, side * (offset_m + extra))
                builder.place(x, y, heading, centre_z_m=0.5, radius_m=0.6)
                shapes.post(builder, self._light.lamps)

    def _country(self, builder: Builder, rng: np.random.Generator, start: float, index: int, plants: list) -> None:
        road = self._road
        self._posts(builder, start, road.paved_m + 1.0, 20.0)
        woods = stream(self._seed, "woods", index // 5 + 1000).random(2) < self._wooded
        for side, wooded in zip((-1, 1), woods):
            count = rng.integers(8, 13) if wooded else rng.integers(0, 4)
            for _ in range(count):
                reach = rng.uniform(0, 26) ** 1.0 if wooded else rng.uniform(0, 46)
                d = side * (road.paved_m + 3.2 + reach)
                self._plant(rng, plants, start + rng.uniform(0, BLOCK_M), d, (0, 1, 2, 3, 4, 7), 1.0)
            for _ in range(rng.integers(0, 4)):
                d = side * (road.paved_m + rng.uniform(2.0, 9.0))
                self._plant(rng, plants, start + rng.uniform(0, BLOCK_M), d, (5, 6), 1.0)
            if not wooded and rng.random() < 0.3:
                s, d = start + 20.0, side * (road.paved_m + rng.uniform(12, 26))
                x, y, heading = self._line.point(s, d)
                w, depth = rng.uniform(9, 14), rng.uniform(7, 10)
                if self._clear_of_road(x, y, road.paved_m + w):
                    turn = heading + rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.1)
                    builder.place(x, y, turn, centre_z_m=3.0, radius_m=w)
                    floors = int(rng.integers(1, 3))
                    shapes.house(builder, rng, w, depth, floors, self._lit)
                    self._boxes.append((rectangle(x, y, turn, w, depth), 2.9 * floors + 1.5))
        self._signs(builder, rng, start)
        if self._seed % 3 == 0:
            x, y, heading = self._line.point(start + 5, road.paved_m + 4.5)
            builder.place(x, y, heading, centre_z_m=3.5, radius_m=4.0)
            shapes.pole(builder, 8.0, 0.22, shapes.WOOD)
            self._solids.append(rectangle(x, y, heading, 0.24, 0.24))
            builder.box((-0.08, 0.08), (-1.0, 1.0), (7.3, 7.45), shapes.WOOD)
        self._chevrons(builder, start)

    def _chevrons(self, builder: Builder, start: float) -> None:
        for s in (start + 8.0, start + 28.0):
            curvature = float(self._line.curvature_at(s))
            if abs(curvature) > 1 / 130:
                x, y, heading = self._line.point(s, -np.sign(curvature) * (self._road.paved_m + 2.0))
                builder.place(x, y, heading + np.sign(curvature) * 0.25, centre_z_m=1.2, radius_m=1.0)
                shapes.pole(builder, 1.0, 0.08, shapes.STEEL)
                shapes.board(builder, (-0.45, 0.45), (0.9, 1.7), colour(214, 40, 36), shapes.STEEL)
                tip, red, white = 0.22 * np.sign(curvature), colour(214, 40, 36), colour(240, 240, 240)
                for shift in (-0.2, 0.2):
                    for z0, z1, lower, upper in ((0.98, 1.3, 0.0, tip), (1.3, 1.62, tip, 0.0)):
                        left, right = shift + 0.08, shift - 0.08
                        stroke = [(left + lower, z0), (right + lower, z0), (right + upper, z1), (left + upper, z1)]
                        builder.face([(-0.09, y, z) for y, z in stroke], white, detail_m=0.3, under=red)

    def _signs(self, builder: Builder, rng: np.random.Generator, start: float) -> None:
        if rng.random() > 0.22:
            return
        x, y, heading = self._line.point(start + rng.uniform(4, 36), -(self._road.paved_m + 1.8))
        builder.place(x, y, heading, centre_z_m=1.8, radius_m=1.5)
        shapes.pole(builder, 2.6, 0.09, shapes.STEEL)
        kind = rng.integers(3)
        if kind == 0:  # warning triangle
            builder.face([(-0.08, 0.55, 1.9), (-0.08, -0.55, 1.9), (-0.08, 0.0, 2.85)], colour(214, 40, 36))
            builder.face([(-0.09, 0.36, 2.0), (-0.09, -0.36, 2.0), (-0.09, 0.0, 2.64)], colour(244, 244, 240))
        elif kind == 1:  # speed limit: two octagons
            for radius, depth, tone in ((0.42, -0.08, colour(214, 40, 36)), (0.3, -0.09, colour(244, 244, 240))):
                octagon(builder, depth, 2.35, radius, tone)
        else:
            shapes.board(builder, (-0.6, 0.9), (1.7, 2.6), colour(30, 76, 160), shapes.STEEL)
            for z in (1.95, 2.25):
                builder.face(
                    [(-0.09, 0.7, z), (-0.09, -0.3, z), (-0.09, -0.3, z + 0.12), (-0.09, 0.7, z + 0.12)],
                    colour(236, 238, 240), detail_m=0.2, under=colour(30, 76, 160),
                )  # fmt: skip

    def _motorway(self, builder: Builder, rng: np.random.Generator, start: float, index: int, plants: list) -> None:
        road = self._road
        for side in (-1, 1):
            self._rail(builder, start, side * 0.5, outer=False)
        if self._rail_right or stream(self._seed, "rail", index // 6 + 1000).random() < 0.55:
            self._rail(builder, start, -(road.paved_m + 0.7), outer=True)
        beside = {-1: road.paved_m + road.lane_width_m * road.has_extra, 1: road.paved_m}
        self._posts(builder, start, road.paved_m + 1.2, 40.0)
        woods = stream(self._seed, "woods", index // 6 + 1000).random(2) < self._wooded
        for side, wooded in zip((-1, 1), woods):
            for _ in range(rng.integers(7, 12) if wooded else rng.integers(0, 3)):
                d = side * (beside[side] + rng.uniform(6, 34))
                self._plant(rng, plants, start + rng.uniform(0, BLOCK_M), d, (0, 1, 2, 3, 4, 7), 1.1)
            for _ in range(rng.integers(0, 5)):
                d = side * (beside[side] + rng.uniform(3, 9))
                self._plant(rng, plants, start + rng.uniform(0, BLOCK_M), d, (5, 6), 1.0)
        if index % 12 == 5:
            self._gantry(builder, rng, start)
        elif rng.random() < 0.12:
            x, y, heading = self._line.point(start + 10, -(beside[-1] + 2.6))
            builder.place(x, y, heading, centre_z_m=3.0, radius_m=3.0)
            for y_post in (-1.3, 1.3):
                builder.box((-0.08, 0.08), (y_post - 0.08, y_post + 0.08), (0.0, 4.6), shapes.STEEL)
            self._panel(builder, (-1.9, 1.9), (2.2, 4.6), colour(24, 84, 160), rng)

    def _panel(self, builder: Builder, y: tuple[float, float], z: tuple[float, float], tone, rng) -> None:
        shapes.board(builder, y, z, tone, shapes.STEEL, x=-0.12)
        for row in range(3):
            z0 = z[1] - (row + 0.8) * (z[1] - z[0]) / 3.3
            width = (y[1] - y[0]) * rng.uniform(0.4, 0.75)
            y1 = y[1] - 0.25
            builder.face(
                [(-0.13, y1, z0), (-0.13, y1 - width, z0), (-0.13, y1 - width, z0 + 0.32), (-0.13, y1, z0 + 0.32)],
                colour(236, 240, 242), detail_m=0.35, under=tone,
            )  # fmt: skip

    def _gantry(self, builder: Builder, rng: np.random.Generator, start: float) -> None:
        road = self._road
        x, y, heading = self._line.point(start + 20.0, 0.0)
        builder.place(x, y, heading, centre_z_m=5.0, radius_m=14.0)
        right = -(road.paved_m + road.lane_width_m * road.has_extra + 1.6)
        for d in (right, 0.0):
            foot = self._line.point(start + 20.0, d)
            self._solids.append(rectangle(foot[0], foot[1], heading, 0.4, 0.4))
        builder.box((-0.2, 0.2), (right - 0.2, right + 0.2), (0.0, 7.2), shapes.STEEL)
        builder.box((-0.2, 0.2), (-0.2, 0.2), (0.0, 7.2), shapes.STEEL)
        builder.box((-0.15, 0.15), (right, 0.0), (6.5, 6.9), shapes.STEEL)
        for lane in range(road.lanes):
            d = road.lane_centre_m(lane)
            self._panel(builder, (d - 1.5, d + 1.5), (5.4, 7.4), colour(24, 84, 160), rng)

    def _rail(self, builder: Builder, start: float, d: float, *, outer: bool) -> None:
        light_steel, dark_steel = colour(176, 180, 184), colour(122, 126, 132)
        for s in np.arange(start, start + BLOCK_M - 1e-6, 8.0):
            d0, d1 = (d - outer * self._road.lane_width_m * float(self._road.extra_at(p)) for p in (s, s + 8.0))
            x0, y0, _ = self._line.point(s, d0)
            x1, y1, _ = self._line.point(s + 8.0, d1)
            turn = float(np.arctan2(y1 - y0, x1 - x0))
            length = float(np.hypot(x1 - x0, y1 - y0))
            builder.place((x0 + x1) / 2, (y0 + y1) / 2, turn, centre_z_m=0.6, radius_m=4.2)
            self._solids.append(rectangle((x0 + x1) / 2, (y0 + y1) / 2, turn, length, 0.16))
            h = length / 2
            for x in (-h / 2, h / 2):
                builder.box((x - 0.07, x + 0.07), (-0.06, 0.06), (0.0, 0.62), dark_steel, detail_m=0.25)
            for z0, z1, tone in ((0.46, 0.6, dark_steel), (0.6, 0.76, light_steel)):
                near, far = [(-h, 0.08), (h, 0.08)], [(h, -0.08), (-h, -0.08)]
                for (xa, ya), (xb, yb) in (near, far):
                    builder.face([(xb, yb, z0), (xa, ya, z0), (xa, ya, z1), (xb, yb, z1)], tone)

    def _town(self, builder: Builder, rng: np.random.Generator, start: float, plants: list, lamps: list) -> None:
        road = self._road
        walk = road.paved_m + road.sidewalk_m
        for side in (-1, 1):
            if rng.random() < self._dense:
                widths = rng.dirichlet(np.full(int(rng.integers(2, 4)), 6.0)) * BLOCK_M
                s = start
                for width in widths:
                    self._building(builder, rng, s + width / 2, side, width, walk)
                    s += width
            else:
                for _ in range(rng.integers(2, 6)):
                    d = side * (walk + rng.uniform(2, 22))
                    self._plant(rng, plants, start + rng.uniform(0, BLOCK_M), d, (0, 1, 2, 7), 0.8)
            if rng.random() < 0.6:
                self._plant(rng, plants, start + 10, side * (road.paved_m + 1.4), (0, 7), 0.55)
            lamp_s = start + (8.0 if side < 0 else 28.0)
            x, y, heading = self._line.point(lamp_s, side * (road.paved_m + 0.5))
            turn = heading if side < 0 else heading + np.pi
            builder.place(x, y, turn, centre_z_m=3.5, radius_m=4.5)
            self._lamp(builder)
            self._solids.append(rectangle(x, y, turn, 0.2, 0.2))
            lamps.append(np.array([x - np.sin(turn) * 1.6, y + np.cos(turn) * 1.6, 6.6]))
        self._signs(builder, rng, start)

    def _lamp(self, builder: Builder) -> None:
        tone = colour(70, 74, 80)
        shapes.pole(builder, 6.6, 0.16, tone)
        builder.box((-0.06, 0.06), (0.0, 1.7), (6.55, 6.68), tone)
        glow = float(self._light.lamps and self._light.time_of_day != "day")
        lamp = colour(255, 226, 168) if glow else colour(210, 210, 200)
        builder.face([(-0.14, 1.3, 6.52), (-0.14, 2.0, 6.52), (0.14, 2.0, 6.52), (0.14, 1.3, 6.52)], lamp, glow=glow)
        for x, sign in ((-0.15, -1), (0.15, 1)):
            builder.face([(x, 1.3, 6.5), (x, 2.0, 6.5), (x, 2.0, 6.68), (x, 1.3, 6.68)][::sign], lamp, glow=glow)

    def _building(
        self, builder: Builder, rng: np.random.Generator, s: float, side: int, width: float, walk: float
    ) -> None:
        depth = rng.uniform(9, 13)
        floors = int(rng.integers(2, 6))
        gap, setback = rng.uniform(0.0, 2.5), rng.uniform(0.0, 1.0) * (rng.random() < 0.4) * 5
        d = side * (walk + 0.6 + setback + depth / 2)
        x, y, heading = self._line.point(s, d)
        scale = 1 - float(self._line.curvature_at(s)) * (d - side * depth / 2)
        width = min(width, width * scale) - gap
        builder.place(x, y, heading, centre_z_m=1.5 * floors, radius_m=0.6 * max(width, depth))
        self._boxes.append((rectangle(x, y, heading, width, depth), 3.1 * floors))
        if floors <= 2 and rng.random() < 0.7:
            shapes.house(builder, rng, width, depth, floors, self._lit)
        else:
            shapes.block_house(builder, rng, width, depth, floors, self._lit)


def octagon(builder: Builder, x: float, z: float, radius: float, tone: NDArray[np.float32]) -> None:
    """A disc facing -x, as three four-cornered faces."""
    angle = np.pi / 8 + np.arange(8) * np.pi / 4
    ring = [(x, float(radius * np.cos(a)), z + float(radius * np.sin(a))) for a in -angle]
    for a, b, c, e in ((0, 1, 2, 3), (0, 3, 4, 7), (4, 5, 6, 7)):
        builder.face([ring[a], ring[b], ring[c], ring[e]], tone)
