"""``rollout.py mode=reference``: a drive in the reference world, filmed with its depth and its flow beside it.

Knows the reference world's dense truth, the engine and the recorder; nothing of the learned world.

Shapes: H, W pixels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from worldmodel.datasets.video import StreamingVideoWriter
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M, canonical_camera
from worldmodel.reference.world import World
from worldmodel.simulation.colours import depth_colours, flow_colours
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.policies.library import open_policy
from worldmodel.simulation.recorder import DriveRecorder
from worldmodel.simulation.rollout import Moment, begin, rollout
from worldmodel.simulation.sheet import STRIP_PX, contact_sheet, grid, labelled, write_png
from worldmodel.simulation.starting import parse_tags
from worldmodel.simulation.worlds import surroundings
from worldmodel.types import FrameArray

FILM = "film.mp4"


@dataclasses.dataclass(frozen=True)
class FilmConfig:
    """A filmed drive in the reference world.

    Attributes:
        out: folder; empty for ``outputs/reference``, numbered where that is taken.
        overwrite: replace a complete drive at ``out``.
        length_s: seconds.
        seed: of the road, the traffic and whatever tags leave open.
        tags: e.g. ``weather=fog,road_kind=motorway,event=cut_in``.
        policy: who drives.
        height_px, width_px: of the canonical camera.
        camera_height_m: above the ground.
        sensor: pass the pictures through the sensor model.
    """

    out: str = ""
    overwrite: bool = False
    length_s: float = 20.0
    seed: int = 0
    tags: str = ""
    policy: str = "oracle-keeper"
    height_px: int = 128
    width_px: int = 256
    camera_height_m: float = NOMINAL_HEIGHT_M
    sensor: bool = False

    def __post_init__(self) -> None:
        if not self.length_s > 0:
            raise ValueError(f"length_s: expected a number of seconds above 0, got {self.length_s}")
        if self.seed < 0:
            raise ValueError(f"seed: expected a number from 0, got {self.seed}")
        for name in ("height_px", "width_px"):
            if getattr(self, name) < 16 or getattr(self, name) % 2:
                raise ValueError(f"{name}: expected an even number from 16, got {getattr(self, name)}")


def run(config: FilmConfig) -> Path:
    """Drive, film and return the folder.

    Raises:
        ValueError: tags or a policy that do not exist, or a folder that must not be overwritten.
    """
    camera = canonical_camera(config.height_px, config.width_px, height_m=config.camera_height_m)
    world, policy, tags = (
        World(camera=camera, sensor=config.sensor),
        open_policy(config.policy),
        parse_tags(config.tags),
    )
    provenance = {"world": "reference", **surroundings(), "seed": config.seed, "dt_s": world.dt_s}
    provenance["options"] = dataclasses.asdict(config)
    steps = max(1, round(config.length_s / world.dt_s))
    with landing(config.out, default="outputs/reference", overwrite=config.overwrite) as (partial, final):
        carry = begin(world, tags, policy, seed=config.seed)
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            recorder = stack.enter_context(
                DriveRecorder(partial, camera=camera, dt_s=world.dt_s, provenance=provenance)
            )
            size = STRIP_PX + config.height_px, 3 * config.width_px
            film = StreamingVideoWriter(partial / FILM, *size, fps=1 / world.dt_s)
            stack.enter_context(film)
            simulation = world.simulation(0)
            look = simulation.look()
            for moment in tqdm(rollout(world, policy, carry, steps=steps), "filming", total=steps + 1, unit="frame"):
                # The world is at the next frame already, except at the last, which has none.
                is_last = moment.t_s > (steps - 0.5) * world.dt_s
                flow = np.full((*look.depth_m.shape, 2), np.nan) if is_last else simulation.flow_since(look)
                film.write(panels(moment, look.depth_m, flow))
                recorder.write(
                    moment.frames[0],
                    t_s=moment.t_s,
                    motion=moment.motion[0],
                    controls=None if moment.controls is None else moment.controls[0],
                    tags=world.tags()[0],
                    info={name: column[0] for name, column in moment.info.items()},
                )
                look = look if is_last else simulation.look()
            wall_s = time.perf_counter() - began
            recorder.finish({"wall_s": round(wall_s, 2), "frames_per_s": round((steps + 1) / wall_s, 2)})
        times = [share * steps * world.dt_s for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
        write_png(partial / "sheet.png", contact_sheet(load_drive(partial), times))
    print(f"{final / FILM}: {steps * world.dt_s:.0f} s of driving, made at {(steps + 1) / wall_s:.1f} frames/s")
    return final


def panels(moment: Moment, depth_m: NDArray[np.floating], flow_px: NDArray[np.floating]) -> FrameArray:
    """Picture, depth ``(H, W)`` and flow ``(H, W, 2)`` of the first row side by side, labelled."""
    speed = f"{moment.t_s:5.1f} s   {moment.motion.speed_mps[0]:4.1f} m/s" if moment.motion.is_known[0] else "end"
    tiles = [
        labelled(moment.frames[0], speed),
        labelled(depth_colours(np.asarray(depth_m, dtype=np.float64)), "depth: 3 m red, 200 m blue"),
        labelled(flow_colours(np.asarray(flow_px, dtype=np.float64)), "flow to the next frame: hue = direction"),
    ]
    return grid(tiles, columns=3)
