"""What vehicles and people look like: templates of flat faces with lamps, and how a moment's traffic becomes faces.

Templates lie around the origin, front along +x, wheels on the ground. Paint is filled in per vehicle, lamps per moment.
Knows nothing of how vehicles move. Shapes: F faces, V vehicles.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from worldmodel.reference.light import Light, colour
from worldmodel.types import FloatArray

#: Length, width and height in metres of every kind.
SIZES_M = {
    "sedan": (4.7, 1.84, 1.46),
    "hatchback": (4.1, 1.78, 1.5),
    "suv": (4.7, 1.92, 1.72),
    "van": (5.4, 2.02, 2.35),
    "truck": (8.6, 2.5, 3.45),
    "semi": (14.0, 2.55, 3.95),
    "bus": (11.0, 2.55, 3.1),
    "motorcycle": (2.2, 0.8, 1.6),
    "pedestrian": (0.4, 0.55, 1.75),
}
KINDS = tuple(SIZES_M)
PAINTS = np.array(
    [[226, 228, 230], [172, 176, 182], [96, 100, 106], [34, 36, 40], [150, 28, 30], [34, 62, 128], [46, 92, 64],
     [196, 160, 60], [96, 60, 46], [202, 96, 34]], np.float32,
)  # fmt: skip
PLAIN, TAIL, FRONT, LEFT, RIGHT = range(5)
_GLASS, _TYRE, _TRIM = colour(42, 52, 64), colour(26, 26, 28), colour(30, 31, 34)


@dataclasses.dataclass(frozen=True)
class Template:
    """Faces of one kind.

    Attributes:
        corners: ``(F, 4, 3)``, anticlockwise from the front of the face.
        tone: ``(F, 3)``; where ``painted`` it multiplies the vehicle's paint instead.
        painted: ``(F,)`` bool.
        lamp: ``(F,)`` PLAIN, TAIL, FRONT, LEFT or RIGHT.
        detail_m: ``(F,)``.
        normal: ``(F, 3)``.
    """

    corners: FloatArray
    tone: NDArray[np.float32]
    painted: NDArray[np.bool_]
    lamp: NDArray[np.int64]
    detail_m: NDArray[np.float32]
    normal: FloatArray


class _Modeller:
    def __init__(self) -> None:
        self.rows: list[tuple] = []

    def face(self, corners, tone=None, *, lamp: int = PLAIN, detail_m: float = 0.0) -> None:
        local = np.asarray(corners, dtype=np.float64)
        if len(local) == 3:
            local = np.concatenate([local, local[2:]])
        normal = np.cross(local[1] - local[0], local[2] - local[0])
        painted = tone is None or np.isscalar(tone)
        shade = np.full(3, 1.0 if tone is None else tone) if painted else tone
        self.rows.append((local, shade, painted, lamp, detail_m, normal / np.linalg.norm(normal)))

    def prism(self, low, high, tone=None, *, top=None, roof: bool = True, rear: bool = True) -> None:
        """Sides between a lower and an upper rectangle, each (x0, x1, half width, z), and the roof."""
        (a0, a1, aw, az), (b0, b1, bw, bz) = low, high
        lower = [(a1, -aw, az), (a1, aw, az), (a0, aw, az), (a0, -aw, az)]
        upper = [(b1, -bw, bz), (b1, bw, bz), (b0, bw, bz), (b0, -bw, bz)]
        for i in (0, 1, 2, 3) if rear else (0, 1, 3):
            j = (i + 1) % 4
            self.face([lower[i], lower[j], upper[j], upper[i]], tone)
        if roof:
            self.face([upper[3], upper[0], upper[1], upper[2]], tone if top is None else top)

    def end(self, x: float, front: bool, y: tuple[float, float], z: tuple[float, float], tone, **kw) -> None:
        """A decal on the front or the rear."""
        (y0, y1), (z0, z1) = y, z
        corners = [(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)]
        self.face(corners if front else [corners[1], corners[0], corners[3], corners[2]], tone, **kw)

    def side(self, half: float, x: tuple[float, float], z: tuple[float, float], tone, **kw) -> None:
        """A decal on both sides."""
        (x0, x1), (z0, z1) = x, z
        self.face([(x1, half, z0), (x0, half, z0), (x0, half, z1), (x1, half, z1)], tone, **kw)
        self.face([(x0, -half, z0), (x1, -half, z0), (x1, -half, z1), (x0, -half, z1)], tone, **kw)

    def wheel(self, x: float, half: float, radius: float) -> None:
        angle = np.pi / 8 + np.arange(8) * np.pi / 4
        for r, tone, lift, detail in ((radius, _TYRE, 0.005, 0.0), (0.58 * radius, colour(120, 122, 126), 0.01, 0.25)):
            ring = [(x + r * np.cos(a), radius + r * np.sin(a)) for a in angle]
            for quad in ((0, 1, 2, 3), (0, 3, 4, 7), (4, 5, 6, 7)):
                right = [(ring[q][0], -half - lift, ring[q][1]) for q in quad]
                self.face(right, tone, detail_m=detail)
                self.face([(px, half + lift, pz) for px, _, pz in right[::-1]], tone, detail_m=detail)

    def lamps(self, front_x: float, rear_x: float, half: float, front_z: tuple, rear_z: tuple, width: float) -> None:
        for side in (-1, 1):
            blinker = LEFT if side > 0 else RIGHT
            inner, outer = side * (half - width), side * half
            y = (min(inner, outer), max(inner, outer))
            edge = side * (half - 0.12), side * half
            blink = (min(edge), max(edge))
            self.end(front_x, True, y, front_z, colour(214, 218, 220), lamp=FRONT)
            self.end(rear_x, False, y, rear_z, colour(124, 20, 20), lamp=TAIL)
            z0 = rear_z[0]
            self.end(rear_x - 0.004, False, blink, (z0 - 0.09, z0), colour(150, 92, 40), lamp=blinker, detail_m=0.16)
            z0 = front_z[0]
            self.end(front_x + 0.004, True, blink, (z0 - 0.08, z0), colour(170, 110, 60), lamp=blinker, detail_m=0.16)

    def build(self) -> Template:
        r = self.rows
        return Template(
            np.array([x[0] for x in r]), np.array([x[1] for x in r], np.float32), np.array([x[2] for x in r]),
            np.array([x[3] for x in r]), np.array([x[4] for x in r], np.float32), np.array([x[5] for x in r]),
        )  # fmt: skip


def _car(kind: str) -> Template:
    length, width, height = SIZES_M[kind]
    m = _Modeller()
    x, w = length / 2, width / 2
    belt = {"sedan": 0.9, "hatchback": 0.93, "suv": 1.06}[kind]
    base = 0.24 if kind != "suv" else 0.34
    m.prism((-x + 0.06, x - 0.08, w - 0.03, base), (-x, x - 0.04, w, 0.55 * belt + 0.1), 0.92, roof=False)
    m.prism((-x, x - 0.04, w, 0.55 * belt + 0.1), (-x + 0.06, x - 0.2, w - 0.06, belt))
    m.side(w + 0.002, (-x + 0.2, x - 0.25), (base, base + 0.09), _TRIM)
    radius = 0.33 if kind != "suv" else 0.37
    m.wheel(x - 0.86, w, radius)
    m.wheel(-x + 0.84, w, radius)
    m.end(x - 0.03, True, (-0.5, 0.5), (base + 0.08, base + 0.3), _TRIM)
    m.end(x - 0.02, True, (-0.26, 0.26), (base + 0.12, base + 0.22), colour(220, 220, 214), detail_m=0.3)
    m.end(-x - 0.01, False, (-w + 0.08, w - 0.08), (base, base + 0.14), _TRIM)
    m.end(-x - 0.02, False, (-0.26, 0.26), (0.55 * belt + 0.0, 0.55 * belt + 0.11), colour(220, 220, 214), detail_m=0.3)
    m.lamps(x - 0.01, -x - 0.015, w - 0.05, (0.6 * belt, 0.6 * belt + 0.16), (0.66 * belt, 0.66 * belt + 0.19), 0.38)
    rear = {"sedan": -x + 0.62, "hatchback": -x + 0.14, "suv": -x + 0.16}[kind]
    back = {"sedan": 0.62, "hatchback": 0.3, "suv": 0.22}[kind]
    front, rake = x - 1.25, 0.72
    top = w - 0.24
    m.prism((rear, front, w - 0.08, belt - 0.02), (rear + back, front - rake, top, height), _GLASS, top=1.02)
    # Pillars: painted strips over the glass, so that the cabin does not look like one window.
    for side in (-1, 1):
        low, high = side * (w - 0.075), side * (top + 0.005)
        for xl, xh, wide in (
            (rear, rear + back, 0.2),
            ((rear + front) / 2, (rear + back + front - rake) / 2, 0.07),
            (front - 0.1, front - rake - 0.06, 0.08),
        ):
            quad = [(xl, low, belt), (xl + wide, low, belt), (xh + wide, high, height), (xh, high, height)]
            m.face(quad if side < 0 else quad[::-1], 0.96, detail_m=0.12)
    return m.build()


def _box_vehicle(kind: str) -> Template:
    length, width, height = SIZES_M[kind]
    m = _Modeller()
    x, w = length / 2, width / 2
    if kind == "van":
        m.prism((-x, x - 0.1, w, 0.3), (-x, x, w, 1.15), roof=False)
        m.prism((-x, x, w, 1.15), (-x + 0.06, x - 1.15, w - 0.1, height))
        nose = np.array([x, x - 1.15])
        half = np.array([w, w - 0.1])
        lo, hi = 0.12, 0.66
        xs, ws, zs = (
            nose[0] + np.array([lo, hi]) * (nose[1] - nose[0]),
            half[0] - np.array([lo, hi]) * 0.1,
            1.15 + np.array([lo, hi]) * (height - 1.15),
        )
        m.face(
            [
                (xs[0] + 0.01, -ws[0] + 0.08, zs[0]),
                (xs[0] + 0.01, ws[0] - 0.08, zs[0]),
                (xs[1] + 0.01, ws[1] - 0.08, zs[1]),
                (xs[1] + 0.01, -ws[1] + 0.08, zs[1]),
            ],
            _GLASS,
        )
        m.side(w - 0.02, (x - 1.7, x - 0.85), (1.22, 1.72), _GLASS)
        m.end(-x - 0.005, False, (-w + 0.2, -0.06), (1.2, 1.85), _GLASS)
        m.end(-x - 0.005, False, (0.06, w - 0.2), (1.2, 1.85), _GLASS)
        wheels, radius, lamp = (x - 0.95, -x + 1.0), 0.36, ((0.72, 0.96), (0.8, 1.2))
    elif kind == "bus":
        m.prism((-x, x, w, 0.35), (-x, x, w, height))
        m.side(w + 0.005, (-x + 0.3, x - 0.4), (1.35, 2.45), _GLASS)
        for px in np.arange(-x + 1.7, x - 1.0, 1.7):
            m.side(w + 0.008, (px, px + 0.12), (1.35, 2.45), 1.0, detail_m=0.3)
        m.end(x + 0.005, True, (-w + 0.12, w - 0.12), (1.15, 2.55), _GLASS)
        m.end(-x - 0.005, False, (-w + 0.3, w - 0.3), (1.7, 2.5), _GLASS)
        m.end(x + 0.008, True, (-0.9, 0.9), (2.65, 2.95), colour(230, 190, 60), detail_m=0.4)
        wheels, radius, lamp = (x - 2.6, -x + 2.9), 0.48, ((0.7, 0.95), (0.85, 1.3))
    else:
        cab = 1.9 if kind == "truck" else 2.2
        bed = x - cab - 0.25
        cargo = colour(214, 214, 208)
        m.prism((-x + 0.2, x - 0.2, w - 0.25, 0.5), (-x + 0.2, x - 0.2, w - 0.25, 0.95), _TRIM)
        m.prism((-x, bed, w, 0.95), (-x, bed, w, height), cargo)
        m.side(w + 0.004, (-x, bed), (1.6, 1.95), 1.0, detail_m=0.5)
        m.end(-x - 0.004, False, (-0.03, 0.03), (1.05, height - 0.1), _TRIM, detail_m=0.3)
        m.end(-x - 0.004, False, (-w + 0.05, w - 0.05), (0.55, 0.78), _TRIM)
        m.prism((x - cab, x, w - 0.04, 0.45), (x - cab, x - 0.02, w - 0.06, 1.6), roof=False, rear=False)
        m.prism((x - cab, x - 0.02, w - 0.06, 1.6), (x - cab, x - 0.3, w - 0.12, min(height - 0.35, 3.0)), rear=False)
        m.face(
            [
                (x + 0.0, -w + 0.18, 1.66),
                (x + 0.0, w - 0.18, 1.66),
                (x - 0.2, w - 0.24, 2.5),
                (x - 0.2, -w + 0.24, 2.5),
            ],
            _GLASS,
        )
        m.side(w - 0.03, (x - 1.2, x - 0.25), (1.66, 2.4), _GLASS)
        m.end(x + 0.01, True, (-w + 0.2, w - 0.2), (0.95, 1.35), _TRIM)
        wheels = (x - 1.2, -x + 1.7, -x + 2.8) if kind == "semi" else (x - 1.2, -x + 2.0)
        radius, lamp = 0.5, ((0.62, 0.86), (0.6, 0.74))
    for wheel in wheels:
        m.wheel(wheel, w - 0.01, radius)
    m.lamps(x + 0.012, -x - 0.01, w - 0.08, lamp[0], lamp[1], 0.34)
    m.end(-x - 0.015, False, (-0.26, 0.26), (0.55, 0.67), colour(220, 220, 214), detail_m=0.3)
    return m.build()


def _motorcycle() -> Template:
    m = _Modeller()
    m.wheel(0.72, 0.06, 0.31)
    m.wheel(-0.72, 0.06, 0.31)
    m.prism((-0.75, 0.6, 0.14, 0.42), (-0.9, 0.5, 0.16, 0.84))
    m.prism((-0.35, 0.05, 0.24, 0.8), (-0.15, 0.22, 0.2, 1.35), colour(46, 48, 54))
    m.prism((0.45, 0.62, 0.36, 0.98), (0.42, 0.56, 0.36, 1.04), _TRIM)
    m.prism((-0.12, 0.2, 0.13, 1.36), (-0.1, 0.18, 0.12, 1.6), 1.0)
    m.end(0.68, True, (-0.11, 0.11), (0.78, 0.98), colour(220, 222, 220), lamp=FRONT)
    m.end(-0.94, False, (-0.1, 0.1), (0.72, 0.84), colour(124, 20, 20), lamp=TAIL)
    m.end(-0.95, False, (-0.08, 0.08), (0.5, 0.62), colour(220, 220, 214), detail_m=0.2)
    return m.build()


def _pedestrian() -> Template:
    m = _Modeller()
    for y0, y1, x in ((-0.17, -0.02, 0.12), (0.02, 0.17, -0.12)):
        m.face([(x + 0.08, y0, 0.0), (x + 0.08, y1, 0.0), (0.08, y1, 0.85), (0.08, y0, 0.85)], colour(40, 44, 60))
        m.face([(x - 0.08, y1, 0.0), (x - 0.08, y0, 0.0), (-0.08, y0, 0.85), (-0.08, y1, 0.85)], colour(40, 44, 60))
        m.face([(x - 0.08, y0, 0.0), (x + 0.08, y0, 0.0), (0.08, y0, 0.85), (-0.08, y0, 0.85)], colour(36, 40, 54))
        m.face([(x + 0.08, y1, 0.0), (x - 0.08, y1, 0.0), (-0.08, y1, 0.85), (0.08, y1, 0.85)], colour(36, 40, 54))
    m.prism((-0.12, 0.12, 0.22, 0.82), (-0.13, 0.13, 0.26, 1.46))
    m.prism((-0.1, 0.1, 0.1, 1.5), (-0.1, 0.1, 0.1, 1.75), colour(196, 150, 122), top=colour(70, 48, 34))
    return m.build()


@functools.cache
def template(kind: str, plain: bool = False) -> Template:
    """The faces of one kind of ``SIZES_M``; ``plain`` leaves out details other than lamps."""
    if plain:
        whole = template(kind)
        kept = np.flatnonzero((whole.detail_m == 0) | (whole.lamp != PLAIN))
        return Template(*(getattr(whole, field.name)[kept] for field in dataclasses.fields(Template)))
    if kind in ("sedan", "hatchback", "suv"):
        return _car(kind)
    if kind == "motorcycle":
        return _motorcycle()
    if kind == "pedestrian":
        return _pedestrian()
    return _box_vehicle(kind)


@dataclasses.dataclass(frozen=True)
class Seen:
    """One vehicle or person at one moment, as far as pictures go.

    Attributes:
        number: stable identity. kind: of ``SIZES_M``. paint: index into ``PAINTS``.
        x_m, y_m, heading_rad: of its middle.
        braking, left, right: lamps that are lit now.
        speed_mps: along its heading.
    """

    number: int
    kind: str
    paint: int
    x_m: float
    y_m: float
    heading_rad: float
    braking: bool = False
    left: bool = False
    right: bool = False
    speed_mps: float = 0.0

    @property
    def footprint(self) -> FloatArray:
        """``(4, 2)`` corners of its outline on the ground, anticlockwise from the front right."""
        length, width, _ = SIZES_M[self.kind]
        return rectangle(self.x_m, self.y_m, self.heading_rad, length, width)


def rectangle(x_m: float, y_m: float, heading_rad: float, length_m: float, width_m: float) -> FloatArray:
    """``(4, 2)`` corners of a rectangle around its middle, anticlockwise from the front right."""
    cos, sin = np.cos(heading_rad), np.sin(heading_rad)
    local = np.array([[0.5, -0.5], [0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]]) * (length_m, width_m)
    return local @ np.array([[cos, sin], [-sin, cos]]) + (x_m, y_m)


@dataclasses.dataclass(frozen=True)
class TrafficFaces:
    """Faces of the vehicles of a moment, as ``shapes.Faces`` names them; ``owner`` indexes the vehicles."""

    corners: FloatArray
    colour: NDArray[np.float32]
    glow: NDArray[np.float32]
    detail_m: NDArray[np.float32]
    owner: NDArray[np.int64]


def traffic_faces(seen: list[Seen], light: Light, plain: list[bool] | None = None) -> TrafficFaces:
    """All faces of ``seen``, placed, lit and with their lamps as they are; without details where ``plain``."""
    corners, colours, glows, details, owners = [], [], [], [], []
    for index, vehicle in enumerate(seen):
        t = template(vehicle.kind, plain is not None and plain[index])
        cos, sin = np.cos(vehicle.heading_rad), np.sin(vehicle.heading_rad)
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        corners.append(t.corners @ turn + (vehicle.x_m, vehicle.y_m, 0.0))
        normal = t.normal @ turn
        tone = np.where(t.painted[:, None], t.tone * PAINTS[vehicle.paint], t.tone)
        facing = np.maximum(normal @ light.sun_direction, 0.0)[:, None]
        lit = tone * (light.ambient * (0.82 + 0.18 * normal[:, 2:]) + light.sun * facing)
        lamp = t.lamp
        lamps = {
            TAIL: (255, 70, 46) if vehicle.braking else (196, 28, 22) if light.lamps else None,
            FRONT: (255, 250, 226) if light.lamps else None,
            LEFT: (255, 172, 44) if vehicle.left else None,
            RIGHT: (255, 172, 44) if vehicle.right else None,
        }
        glow = np.zeros(len(lamp), np.float32)
        for kind, shine in lamps.items():
            if shine is not None:
                lit[lamp == kind] = shine
                glow[lamp == kind] = 1
        colours.append(lit)
        glows.append(glow)
        details.append(np.where(glow > 0, 0, t.detail_m))
        owners.append(np.full(len(lamp), index))
    return TrafficFaces(
        np.concatenate(corners),
        np.concatenate(colours).astype(np.float32),
        np.concatenate(glows),
        np.concatenate(details).astype(np.float32),
        np.concatenate(owners),
    )
