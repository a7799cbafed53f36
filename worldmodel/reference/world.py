"""The reference world as a ``World``: rows of simulations behind the protocol the learned world obeys too.

It starts from tags, not from frames: what a clip shows cannot be built anew. Rows are simulations of their own, so a
row's neighbours cannot change it. Knows nothing of policies or of files. Shapes: B rows; H, W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.reference.drive import start_drive
from worldmodel.reference.options import DriveOptions, options_from_tags
from worldmodel.reference.simulation import Simulation, as_columns
from worldmodel.types import Camera, Clip, EgoMotion, Tags

Context = Clip | Tags | DriveOptions


class World:
    """Any number of drives at once, moved by given motion.

    Args:
        camera: a pinhole with a height; by default the canonical one of 128×256, 1.4 m high.
        dt_s: seconds per step.
        sensor: whether pictures pass through the sensor model.
    """

    def __init__(self, *, camera: Camera | None = None, dt_s: float = 0.1, sensor: bool = False) -> None:
        self.camera = canonical_camera(128, 256, height_m=NOMINAL_HEIGHT_M) if camera is None else camera
        self.dt_s = dt_s
        self._sensor = sensor
        self._rows: list[Simulation] = []
        self._seed = 0

    def start(self, context: Context | Sequence[Context], *, batch: int = 1, seed: int = 0) -> NDArray[np.uint8]:
        """Begin ``batch`` drives; what tags leave unknown is drawn from the row's seed.

        Args:
            context: tags or ``DriveOptions`` for all rows, or a list of one each.
            batch: number of rows.
            seed: row i starts as ``seed + i`` does alone; added to the seed of ``DriveOptions``.

        Returns:
            the first frames ``(B, H, W, 3)``.

        Raises:
            ValueError: a clip as context, impossible tags, or a list of another length than the batch.
        """
        contexts = [context] * batch if isinstance(context, Clip | Tags | DriveOptions) else list(context)
        if len(contexts) != batch:
            raise ValueError(f"World.start: batch={batch}, but {len(contexts)} contexts were given")
        self._seed = seed
        self._rows = [self._begin(c, seed + i) for i, c in enumerate(contexts)]
        return self.decode()

    def _begin(self, context: Context, seed: int) -> Simulation:
        if isinstance(context, Clip):
            raise ValueError("World.start: the reference world starts from tags, got a Clip; give it clip.tags[-1]")
        if isinstance(context, Tags):
            options = options_from_tags(context.validate(), seed)
        else:
            options = dataclasses.replace(context, seed=context.seed + seed)
        if self._sensor:
            options = dataclasses.replace(options, sensor=True)
        world, _ = start_drive(options, camera=self.camera, dt_s=self.dt_s)
        return world

    def step(self, motion: EgoMotion, *, tags: Tags | None = None, decode: bool = True) -> NDArray[np.uint8] | None:
        """Move every row by ``motion`` (B,) or () and return the next frames ``(B, H, W, 3)``, or None undecoded.

        ``tags`` (B,) or () may change weather, time of day and traffic on the way and ask for an event.

        Raises:
            ValueError: unknown motion, a wrong number of rows, or tags of another kind of road.
        """
        batch = len(self._rows)
        if motion.shape not in ((), (batch,)):
            raise ValueError(f"World.step: expected motion of shape () or ({batch},), got {motion.shape}")
        if tags is not None and tags.shape not in ((), (batch,)):
            raise ValueError(f"World.step: expected tags of shape () or ({batch},), got {tags.shape}")
        for i, row in enumerate(self._rows):
            if tags is not None:
                row.change(tags if tags.shape == () else tags[i])
            row.step(motion if motion.shape == () else motion[i])
        return self.decode() if decode else None

    def info(self) -> dict[str, NDArray[Any]]:
        """Truth of the newest frames, ``(B,)`` by name: the columns of a drive and the ego's ``speed_mps``."""
        rows = [{**row.truth(), "speed_mps": row.situation().speed_mps} for row in self._rows]
        return as_columns(rows)

    def tags(self) -> Tags:
        """Tags ``(B,)`` of the newest frames, as far as the options say them."""
        return Tags(np.stack([row.options.tags.codes for row in self._rows]))

    def simulation(self, row: int) -> Simulation:
        """The simulation behind a row, for its dense truth."""
        return self._rows[row]

    def snapshot(self) -> Any:
        """The whole state, to be given back to ``restore``."""
        return [(row, row.snapshot()) for row in self._rows]

    def restore(self, snapshot: Any) -> None:
        """Return to a snapshot: what follows is what followed then, to the bit."""
        self._rows = [row for row, _ in snapshot]
        for row, state in snapshot:
            row.restore(state)

    def reset(self, row: int, context: Clip | Tags, *, seed: int | None = None) -> None:
        """Start one row anew, with its own seed by default, leaving the others as they are."""
        self._rows[row] = self._begin(context, self._seed + row if seed is None else seed)

    def decode(self) -> NDArray[np.uint8]:
        """The newest frames ``(B, H, W, 3)``, drawn anew."""
        return np.stack([row.render() for row in self._rows])
