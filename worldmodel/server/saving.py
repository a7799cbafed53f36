"""A drive from the browser on disk, as any other drive; and driven again, to the same frames.

    <out>/drive_3/   drive.mp4  drive.parquet  provenance.json  sheet.png  context.safetensors

``context.safetensors`` is what the drive began from. The columns ``info.driver`` (who drove) and ``info.crc32`` (of the
frame's own bytes, which no video keeps) go with every frame; the tags of a row are those that were told with the step
from its frame to the next. Knows drives on disk, nothing of people.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from worldmodel.server.openings import Opening, open_scenario
from worldmodel.server.place import Place
from worldmodel.server.rows import LearnedRows, ReferenceRows, Rows
from worldmodel.server.trace import Row, Spool, crc32_of
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.outputs import landing
from worldmodel.simulation.recorder import DriveRecorder
from worldmodel.simulation.session import Session
from worldmodel.simulation.sheet import contact_sheet, write_png
from worldmodel.simulation.worlds import WorldConfig, open_world
from worldmodel.types import Camera, Clip, Controls, EgoMotion, FrameArray, Tags

CONTEXT = "context.safetensors"
#: Drives one server saves; then somebody has to look after the disk.
MOST_SAVED = 500


@dataclasses.dataclass(frozen=True)
class Recording:
    """A drive up to some moment, which no later step changes."""

    opening: Opening
    rows: tuple[Row, ...]
    spool: Spool
    camera: Camera
    dt_s: float

    @classmethod
    def of(cls, place: Place) -> Recording:
        """What has been driven in a place.

        Raises:
            ValueError: nothing has.
        """
        if not place.trace:
            raise ValueError("there is nothing to save yet: drive first")
        nothing = Controls(np.array(np.nan), np.array(np.nan))
        last = Row(place.image, crc32_of(place.frame), place.tags(), EgoMotion.unknown(), nothing, "")
        return cls(place.opening, (*place.trace, last), place.spool, place.rows.camera, place.rows.dt_s)


class Keeper:
    """Saves drives. One thread at a time.

    Args:
        out: drives are numbered folders in it.
        about: of the world, for the provenance; enough for ``replay`` to open it anew.
    """

    def __init__(self, out: str | Path, about: Mapping[str, Any]) -> None:
        self._out, self._about = Path(out), dict(about)
        self._saved: dict[str, Path] = {}

    def folder(self, name: str) -> Path | None:
        """Where a drive of that name was saved by this keeper."""
        return self._saved.get(name)

    def save(self, recording: Recording) -> tuple[str, Path]:
        """Write a drive; returns its name and its folder, which is there when the drive is complete.

        Raises:
            ValueError: too many have been saved.
        """
        if len(self._saved) >= MOST_SAVED:
            raise ValueError(f"this server has saved {MOST_SAVED} drives and saves no more")
        opening = recording.opening
        provenance = {
            **self._about,
            "opening": dict(opening.about),
            "driver": {"motion": "policy", "policy": "see the column info.driver"},
            "seed": opening.seed,
            "dt_s": recording.dt_s,
        }
        with landing("", default=str(self._out / "drive")) as (partial, final):
            save_context(partial / CONTEXT, opening.context)
            with DriveRecorder(
                partial, camera=recording.camera, dt_s=recording.dt_s, provenance=provenance
            ) as recorder:
                for index, row in enumerate(recording.rows):
                    recorder.write(
                        _decoded(recording.spool.read(row.image)),
                        t_s=index * recording.dt_s,
                        motion=row.motion,
                        controls=row.controls,
                        tags=row.tags,
                        info={"driver": row.driver, "crc32": row.crc32},
                    )
                recorder.finish()
            write_png(partial / "sheet.png", contact_sheet(load_drive(partial)))
        self._saved[final.name] = final
        return final.name, final


def replay(folder: str | Path) -> Iterator[tuple[FrameArray, bool]]:
    """Drive a saved drive again: each frame ``(H, W, 3)``, and whether it is the one that was seen, to the byte.

    A drive that shared its batch with others, or was made on another device or with other threads, comes close (1e-4 in
    latents, see ``types.World``) without being equal.

    Raises:
        ValueError: no such drive, or its model or scenario is not there.
    """
    drive = load_drive(folder)
    about = drive.provenance
    if "opening" not in about:
        raise ValueError(f"{folder}: was not saved by mode=serve")
    rows: Rows
    if about["world"] == "reference":
        rows = ReferenceRows(drive.camera, about["dt_s"])
        opened = about["opening"]
        if "scenario" in opened:
            state = open_scenario(rows, Path(opened["scenario"])).state
        else:
            state, _ = rows.open(Tags.named(**opened["start"]["context"]), about["seed"])
        frame = None
    else:
        session = _session(about)
        rows = LearnedRows(session)
        state, frame = rows.open(load_context(Path(folder) / CONTEXT), about["seed"])
    rows.put(1, state)
    crc32 = drive.info["crc32"]
    if frame is not None:
        yield frame, crc32_of(frame) == crc32[0]
    for t in range(len(drive) - 1):
        frame = rows.step([1], drive.motion[t : t + 1], drive.tags[t : t + 1])[0]
        yield frame, crc32_of(frame) == crc32[t + 1]


def _session(about: Mapping[str, Any]) -> Session:
    sampler = dict(about["sampler"])
    # Of a drive's first frame, which is not asked for otherwise than the model has it.
    sampler.pop("first_steps", None)
    config = WorldConfig(
        model=about["model"],
        steps_per_frame=sampler.pop("steps"),
        **sampler,
        device=about["device"],
        precision=about["precision"],
        compile=about.get("compiled", False),
        threads=about["threads"],
    )
    world, opened = open_world(config)
    assert isinstance(world, Session)
    if opened["components"] != about["components"]:
        raise ValueError(f"model {about['model']!r} is not the one that made the drive: its weights have changed")
    world.dt_s = about["dt_s"]
    return world


def save_context(path: Path, context: Clip | Tags) -> None:
    """Write what a drive began from; frames only where there were any."""
    tags = context.tags if isinstance(context, Clip) else context
    arrays: dict[str, np.ndarray] = {"tags": np.ascontiguousarray(tags.codes)}
    about = {"caption": tags.caption}
    if isinstance(context, Clip):
        arrays |= {
            "frames": np.ascontiguousarray(context.frames),
            "t_s": context.t_s,
            "speed_mps": context.motion.speed_mps,
            "yaw_rate_radps": context.motion.yaw_rate_radps,
            "valid_mask": context.valid_mask,
        }
        arrays |= {} if context.road is None else {"road": np.ascontiguousarray(context.road)}
        about["camera"] = json.dumps(dataclasses.asdict(context.camera))
    save_file(arrays, path, about)


def load_context(path: Path) -> Clip | Tags:
    """Read what ``save_context`` wrote."""
    with safe_open(path, "np") as file:
        about = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tags = Tags(arrays["tags"], about["caption"])
    if "frames" not in arrays:
        return tags
    camera = json.loads(about["camera"])
    return Clip(
        frames=arrays["frames"],
        t_s=arrays["t_s"],
        motion=EgoMotion(arrays["speed_mps"], arrays["yaw_rate_radps"]),
        tags=tags,
        camera=Camera(**{**camera, "distortion": tuple(camera["distortion"])}),
        valid_mask=arrays["valid_mask"],
        road=arrays.get("road"),
    ).validate()


def _decoded(image: bytes) -> FrameArray:
    decoded = cv2.imdecode(np.frombuffer(image, dtype=np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1]).astype(np.uint8)
