"""Do two drives from one beginning part the way they were told to? Their headings, told and read, moment by moment.

The plainest proof that motion is obeyed, and one that needs no ground: turning shows in the far scenery too. Knows
nothing of worlds.
Shapes: T frames of each drive.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from worldmodel.metrics.leaving import first_lasting
from worldmodel.types import EgoMotion, FloatArray

#: Headings have parted when they are further apart than this.
PARTED_RAD = math.radians(3)


@dataclasses.dataclass(frozen=True)
class Parting:
    """How two drives part.

    Attributes:
        told_rad, read_rad: ``(T,)`` heading of the first minus that of the second, left positive.
        told_s, read_s: when they have parted by ``PARTED_RAD`` for good, since the beginning; infinite if never.
        agrees: whether the reading has parted to the side that was told; ``None`` where either never parts.
    """

    told_rad: FloatArray
    read_rad: FloatArray
    told_s: float
    read_s: float
    agrees: bool | None


def parting(told: tuple[EgoMotion, EgoMotion], read: tuple[EgoMotion, EgoMotion], t_s: FloatArray) -> Parting:
    """Compare two drives; steps whose turn was not read count as no turn.

    Args:
        told, read: motion ``(T,)`` of the first and the second drive.
        t_s: ``(T,)`` seconds, of both.

    Raises:
        ValueError: lengths that differ.
    """
    for motion in (*told, *read):
        if motion.shape != t_s.shape:
            raise ValueError(f"parting: expected motion of shape {t_s.shape}, got {motion.shape}")
    dt_s = np.append(np.diff(t_s), 0.0)

    def difference(pair: tuple[EgoMotion, EgoMotion]) -> FloatArray:
        turns = [np.nan_to_num(motion.yaw_rate_radps) * dt_s for motion in pair]
        return np.concatenate([[0.0], np.cumsum(turns[0] - turns[1])[:-1]])

    told_rad, read_rad = difference(told), difference(read)
    told_s, read_s = (first_lasting(np.abs(heading) > PARTED_RAD, t_s) for heading in (told_rad, read_rad))
    agrees = None
    if math.isfinite(told_s) and math.isfinite(read_s):
        sides = [np.sign(heading[t_s == at][0]) for heading, at in ((told_rad, told_s), (read_rad, read_s))]
        agrees = bool(sides[0] == sides[1])
    return Parting(told_rad, read_rad, told_s - float(t_s[0]), read_s - float(t_s[0]), agrees)


def parting_table(result: Parting, t_s: FloatArray, at_s: tuple[float, ...] = (1, 2, 3, 5, 10, 15, 20, 30, 60)) -> str:
    """The result as a few lines of text: heading apart, told and read, at some moments."""
    lines = [f"{'after, s':>10}{'told apart, deg':>18}{'read apart, deg':>18}"]
    for moment in at_s:
        index = int(np.abs(t_s - t_s[0] - moment).argmin())
        if abs(t_s[index] - t_s[0] - moment) > 0.1:
            continue
        told, read = (math.degrees(x[index]) for x in (result.told_rad, result.read_rad))
        lines.append(f"{moment:10g}{told:18.1f}{read:18.1f}")
    side = {None: "no side to tell", True: "to the side they were told", False: "to the WRONG side"}[result.agrees]
    when = f"told after {result.told_s:.1f} s, read after {result.read_s:.1f} s"
    lines.append(f"parted by {math.degrees(PARTED_RAD):.0f} deg: {when}, {side}")
    return "\n".join(lines)
