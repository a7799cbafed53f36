"""Shapes made of flat faces: boxes, houses, signs, and the builder that collects them.

A face is a convex outline of up to four corners seen from its front, where it runs clockwise on the screen; the painter
drops faces seen from behind. Details (windows, bands) lie in the plane of a face and follow it in order. Shapes know
nothing of cameras. Shape letters: F faces, O objects.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import ColourArray, Light, colour

WOOD, STEEL, DARK = colour(92, 70, 52), colour(150, 154, 158), colour(36, 38, 42)


@dataclasses.dataclass(frozen=True)
class Faces:
    """Faces in world coordinates, ready to be projected.

    Attributes:
        corners: ``(F, 4, 3)``.
        colour: ``(F, 3)`` lit by sun and sky; far_colour: what a detail fades to when it gets too small to draw.
        glow: ``(F,)`` 1 where the face shines by itself.
        detail_m: ``(F,)`` size of a detail; 0 for faces that are always drawn.
        normal: ``(F, 3)`` pointing out of the front.
        owner: ``(F,)`` index of the object each face belongs to.
        centre: ``(O, 3)`` of the objects; radius_m ``(O,)``.
    """

    corners: NDArray[np.float64]
    colour: NDArray[np.float32]
    far_colour: NDArray[np.float32]
    glow: NDArray[np.float32]
    detail_m: NDArray[np.float32]
    normal: NDArray[np.float64]
    owner: NDArray[np.int64]
    centre: NDArray[np.float64]
    radius_m: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: list[Faces]) -> Faces:
        """Many as one, owners renumbered."""
        counts = np.cumsum([0, *(len(p.centre) for p in parts)])
        fields = {
            field.name: np.concatenate([getattr(p, field.name) for p in parts])
            for field in dataclasses.fields(cls)
            if field.name != "owner"
        }
        return cls(owner=np.concatenate([p.owner + n for p, n in zip(parts, counts)]), **fields)


class Builder:
    """Collects faces object by object, in local axes x forwards, y left, z up, placed by ``place``."""

    def __init__(self, light: Light) -> None:
        self._light = light
        self._rows: list[tuple] = []
        self._centres: list[NDArray[np.float64]] = []
        self._radii: list[float] = []
        self._pose = (0.0, 0.0, 1.0, 0.0)

    def place(
        self, x_m: float, y_m: float, heading_rad: float, *, centre_z_m: float = 1.0, radius_m: float = 2.0
    ) -> None:
        """Begin an object at a ground position; faces that follow are in its axes."""
        self._pose = (x_m, y_m, float(np.cos(heading_rad)), float(np.sin(heading_rad)))
        self._centres.append(np.array([x_m, y_m, centre_z_m]))
        self._radii.append(radius_m)

    def face(
        self,
        corners: list[tuple[float, float, float]],
        tone: ColourArray,
        *,
        glow: float = 0.0,
        detail_m: float = 0.0,
        under: ColourArray | None = None,
    ) -> None:
        """Add one face of three or four corners, anticlockwise seen from its front."""
        if len(corners) == 3:
            corners = [*corners, corners[2]]
        self._rows.append(
            (corners, tone, tone if under is None else under, glow, detail_m, self._pose, len(self._centres) - 1)
        )

    def box(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        z: tuple[float, float],
        tone: ColourArray,
        *,
        top: ColourArray | None = None,
        detail_m: float = 0.0,
    ) -> None:
        """A box of five faces (no bottom); ``top`` colours the upper one."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        for a, b in (((x1, y0), (x1, y1)), ((x1, y1), (x0, y1)), ((x0, y1), (x0, y0)), ((x0, y0), (x1, y0))):
            self.face([(*a, z0), (*b, z0), (*b, z1), (*a, z1)], tone, detail_m=detail_m)
        if z1 < 3.0:
            roof = tone if top is None else top
            self.face([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)], roof, detail_m=detail_m)

    def build(self) -> Faces:
        """All that was added."""
        rows = self._rows
        n, o = len(rows), len(self._centres)
        local = np.array([r[0] for r in rows], dtype=np.float64).reshape(n, 4, 3)
        x, y, cos, sin = np.array([r[5] for r in rows], dtype=np.float64).reshape(n, 4, 1).transpose(1, 0, 2)
        world = np.stack(
            [
                x + cos * local[..., 0] - sin * local[..., 1],
                y + sin * local[..., 0] + cos * local[..., 1],
                local[..., 2],
            ],
            axis=-1,
        )
        # Crossed diagonals: right for flat faces of three corners too, whose last corner is given twice.
        normal = np.cross(world[:, 2] - world[:, 0], world[:, 3] - world[:, 1])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        tone = np.array([(r[1], r[2]) for r in rows], np.float32).reshape(n, 2, 3)
        glow = np.array([r[3] for r in rows], np.float32)
        light = self._light
        if light.snow:
            share = np.where(normal[:, 2] > 0.3, 0.85 * light.snow, 0.0)[:, None, None]
            tone = tone + (colour(228, 232, 240) - tone) * share
        up, facing = normal[:, 2:], np.maximum(normal @ light.sun_direction, 0.0)[:, None]
        shine = (light.ambient * (0.86 + 0.14 * up) + light.sun * facing)[:, None]
        lit = np.where((glow > 0)[:, None, None] & (np.arange(2) == 0)[:, None], tone, tone * shine).astype(np.float32)
        return Faces(
            corners=world,
            colour=lit[:, 0],
            far_colour=lit[:, 1],
            glow=glow,
            detail_m=np.array([r[4] for r in rows], np.float32),
            normal=normal,
            owner=np.array([r[6] for r in rows], np.int64),
            centre=np.array(self._centres).reshape(o, 3),
            radius_m=np.array(self._radii, dtype=np.float64),
        )


def _wall(
    builder: Builder,
    a: tuple[float, float],
    b: tuple[float, float],
    height_m: float,
    floors: int,
    wall: ColourArray,
    rng: np.random.Generator,
    *,
    lit_share: float,
    shop: bool = False,
) -> None:
    """A wall with windows from ground point a to b; its front is on the right of one who walks from a to b."""
    builder.face([(*a, 0.0), (*b, 0.0), (*b, height_m), (*a, height_m)], wall)
    length = float(np.hypot(b[0] - a[0], b[1] - a[1]))
    along = np.array([(b[0] - a[0]) / length, (b[1] - a[1]) / length])
    count = max(1, int(length // 3.0))
    step = length / count
    storey = height_m / floors
    start = np.array(a)

    def panel(u0: float, u1: float, z0: float, z1: float, tone: ColourArray, glow: float, size: float) -> None:
        p, q = start + along * u0, start + along * u1
        builder.face([(*p, z0), (*q, z0), (*q, z1), (*p, z1)], tone, glow=glow, detail_m=size, under=wall)

    for floor in range(floors):
        z0 = floor * storey
        if floor == 0 and shop:
            lit = rng.random() < lit_share * 1.6
            tone = colour(250, 226, 170) * rng.uniform(0.7, 1.0) if lit else colour(52, 60, 70)
            panel(0.06 * length, 0.94 * length, 0.35, 0.78 * storey, tone, float(lit), 2.2)
            panel(0.03 * length, 0.97 * length, 0.8 * storey, 0.98 * storey, colour(*rng.uniform(50, 190, 3)), 0, 0.9)
            continue
        for i in range(count):
            lit = rng.random() < lit_share
            tone = colour(255, 222, 140) * rng.uniform(0.62, 1.0) if lit else colour(58, 70, 84)
            u = (i + 0.5) * step
            panel(u - 0.5, u + 0.5, z0 + 0.32 * storey, z0 + 0.8 * storey, tone, float(lit), 1.0)


def house(builder: Builder, rng: np.random.Generator, width_m: float, depth_m: float, floors: int, lit: float) -> None:
    """A house with a gable roof, its ridge along x; local origin in the middle of its ground plan."""
    tones = [(226, 214, 190), (214, 190, 150), (196, 150, 118), (232, 230, 224), (178, 96, 74), (200, 204, 190)]
    wall = colour(*tones[rng.integers(len(tones))]) * np.float32(rng.uniform(0.85, 1.05))
    roof = colour(*[(150, 74, 54), (112, 66, 54), (84, 80, 84), (120, 58, 44)][rng.integers(4)])
    x, y, z = width_m / 2, depth_m / 2, 2.9 * floors
    peak = z + 0.38 * depth_m
    corners = [(x, -y), (x, y), (-x, y), (-x, -y)]
    for i in range(4):
        _wall(builder, corners[i], corners[(i + 1) % 4], z, floors, wall, rng, lit_share=lit)
    builder.face([(x, -y, z), (x, y, z), (x, 0, peak)], wall)
    builder.face([(-x, y, z), (-x, -y, z), (-x, 0, peak)], wall)
    e = 0.4
    builder.face([(x + e, y + e, z - e), (-x - e, y + e, z - e), (-x - e, 0, peak), (x + e, 0, peak)], roof)
    builder.face([(-x - e, -y - e, z - e), (x + e, -y - e, z - e), (x + e, 0, peak), (-x - e, 0, peak)], roof)


def block_house(
    builder: Builder, rng: np.random.Generator, width_m: float, depth_m: float, floors: int, lit: float
) -> None:
    """A town building with a flat roof and a shop front."""
    tones = [(196, 178, 140), (170, 150, 120), (188, 186, 180), (150, 110, 92), (206, 196, 160), (140, 146, 150)]
    wall = colour(*tones[rng.integers(len(tones))]) * np.float32(rng.uniform(0.85, 1.1))
    x, y, z = width_m / 2, depth_m / 2, 3.1 * floors
    corners = [(x, -y), (x, y), (-x, y), (-x, -y)]
    shop = bool(rng.random() < 0.6)
    for i in range(4):
        _wall(builder, corners[i], corners[(i + 1) % 4], z, floors, wall, rng, lit_share=lit, shop=shop)


def post(builder: Builder, lamps: bool) -> None:
    """A delineator post: white, a dark band, a red reflector."""
    builder.box((-0.06, 0.06), (-0.06, 0.06), (0.0, 1.0), colour(236, 236, 232))
    for x, sign in ((0.062, 1), (-0.062, -1)):
        builder.face(
            [(x, -0.06 * sign, 0.72), (x, 0.06 * sign, 0.72), (x, 0.06 * sign, 0.9), (x, -0.06 * sign, 0.9)],
            colour(206, 44, 30) if not lamps else colour(232, 60, 30),
        )


def pole(builder: Builder, height_m: float, width_m: float, tone: ColourArray) -> None:
    """A square pole."""
    w = width_m / 2
    builder.box((-w, w), (-w, w), (0.0, height_m), tone)


def board(
    builder: Builder,
    y: tuple[float, float],
    z: tuple[float, float],
    tone: ColourArray,
    back: ColourArray,
    x: float = -0.08,
) -> None:
    """A flat sign that faces traffic coming along +x, with its grey back."""
    (y0, y1), (z0, z1) = y, z
    builder.face([(x, y1, z0), (x, y0, z0), (x, y0, z1), (x, y1, z1)], tone)
    builder.face([(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)], back)
