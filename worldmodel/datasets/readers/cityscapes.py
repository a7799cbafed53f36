"""Cityscapes sequences: ``leftImg8bit_sequence/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png``, 17 Hz.

Snippets of 30 frames (1.8 s). ``vehicle_sequence`` beside it holds a JSON per frame (``speed`` in m/s, ``yawRate`` in
rad/s, left positive), ``timestamp_sequence`` a text per frame (nanoseconds), ``camera`` a JSON per snippet. What is
missing is told: times are then 17 Hz, motion unknown, the camera that of the cars (focal length 2262 px of 2048).

Format: https://github.com/mcordts/cityscapesScripts (README, "Dataset Structure"; docs/csCalibration.pdf).

Shapes: N frames of a snippet.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.files import field, number, read_json, read_lines
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Problems, Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.types import Camera, EgoMotion, FloatArray, Tags

FPS = 17.0
#: Of the publisher's own cars: fx, fy, u0, v0 at 2048x1024, pitch (nose down) and height.
NOMINAL = {"fx": 2262.52, "fy": 2265.30, "u0": 1096.98, "v0": 513.14, "pitch": 0.05, "z": 1.22}
_NAME = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})_leftImg8bit\.png")


@dataclasses.dataclass(frozen=True)
class Cityscapes:
    """The folder that holds ``leftImg8bit_sequence``; a ``source.Source``."""

    root: Path
    name: str = "cityscapes"

    def _cities(self) -> list[Path]:
        return sorted(Path(self.root).glob("leftImg8bit_sequence/*/*/"))

    def _snippet(self, drive_id: str) -> tuple[Path, dict[int, Path]]:
        split, city, snippet = drive_id.split("/")
        folder = Path(self.root) / "leftImg8bit_sequence" / split / city
        return folder, self._snippets(folder)[snippet]

    @staticmethod
    def _snippets(folder: Path) -> dict[str, dict[int, Path]]:
        """Images of every snippet by number: a snippet ends where a frame number is missing."""
        found: dict[str, dict[int, Path]] = {}
        current, last = "", ("", "", -2)
        for path in sorted(folder.glob("*_leftImg8bit.png")):
            name = _NAME.fullmatch(path.name)
            if name:
                here = (name["city"], name["sequence"], int(name["frame"]))
                if here[:2] != last[:2] or here[2] != last[2] + 1:
                    current = f"{name['sequence']}_{name['frame']}"
                found.setdefault(current, {})[here[2]] = path
                last = here
        return found

    def drives(self) -> list[str]:
        """Snippets as ``split/city/sequence_frame``, sorted."""
        found = [f"{c.parent.name}/{c.name}/{snippet}" for c in self._cities() for snippet in self._snippets(c)]
        if not found:
            raise ValueError(f"{self.root}: no leftImg8bit_sequence/<split>/<city>/*_leftImg8bit.png in it")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one snippet; errors name the file."""
        folder, images = self._snippet(drive_id)
        problems = Problems(f"{folder}: {drive_id}")
        paths = list(images.values())
        t_s = self._times(folder, images, problems)
        motion = self._motion(folder, paths, t_s, problems)
        lines = problems.lines()
        frames = ImageFrames.of(paths, lines, folder)
        split = drive_id.split("/")[0]
        return assemble(
            drive_id,
            place_id=f"{split}/{folder.name}",
            t_s=t_s,
            motion=motion,
            camera=self._camera(folder, paths[0], frames.shape, lines),
            frames=frames,
            where=folder,
            tags=Tags.named(time_of_day="day", road_kind="town"),
            licence="Cityscapes licence: non-commercial, no redistribution (cityscapes-dataset.com/license)",
            split=split if split in ("train", "val", "test") else "",
            problems=lines,
        )

    def _beside(self, folder: Path, kind: str, image: Path, ending: str) -> Path:
        name = image.name.replace("_leftImg8bit.png", f"_{ending}")
        return Path(self.root) / kind / folder.parent.name / folder.name / name

    def _times(self, folder: Path, images: dict[int, Path], problems: Problems) -> FloatArray:
        nanoseconds = []
        for path in images.values():
            beside = self._beside(folder, "timestamp_sequence", path, "timestamp.txt")
            if not beside.exists():
                problems.add(f"no timestamp_sequence; {FPS:g} frames a second are assumed", len(images))
                return np.array(list(images)) / FPS
            nanoseconds.append(number(read_lines(beside)[0], beside))
        return (np.array(nanoseconds) - nanoseconds[0]) / 1e9

    def _motion(self, folder: Path, paths: list[Path], t_s: FloatArray, problems: Problems) -> EgoMotion | None:
        readings = np.full((len(paths), 2), np.nan)
        for row, path in enumerate(paths):
            beside = self._beside(folder, "vehicle_sequence", path, "vehicle.json")
            if not beside.exists():
                problems.add("no vehicle_sequence, motion unknown", beside.name)
                continue
            try:
                state = read_json(beside)
                readings[row] = [
                    number(field(state, name, beside), f"{beside}: {name}") for name in ("speed", "yawRate")
                ]
            except ValueError as error:
                problems.add(f"{error}; motion unknown there", path.name)
        speed, yaw_rate = (mean_between(t_s, column, t_s, max_gap_s=0.2) for column in readings.T)
        return EgoMotion(speed, yaw_rate)

    def _camera(self, folder: Path, image: Path, shape: tuple[int, ...], problems: list[str]) -> Camera:
        frame = _NAME.fullmatch(image.name)
        assert frame is not None
        # One calibration per snippet, named after its labelled frame, the 20th of 30.
        places = sorted((Path(self.root) / "camera" / folder.parent.name / folder.name).glob("*_camera.json"))
        near = [p for p in places if p.name.startswith(f"{frame['city']}_{frame['sequence']}_")]
        path = next((p for p in near if 0 <= _frame_of(p) - int(frame["frame"]) < 30), near[0] if near else None)
        values: dict[str, Any] = dict(NOMINAL)
        if path is None:
            problems.append(
                f"{folder}: no camera/{folder.parent.name}/{folder.name}/*_camera.json; nominal values taken"
            )
        else:
            calibration = read_json(path)
            for group, names in (("intrinsic", ("fx", "fy", "u0", "v0")), ("extrinsic", ("pitch", "z"))):
                values |= {n: number(field(field(calibration, group, path), n, path), f"{path}: {n}") for n in names}
        scale = shape[1] / 2048
        fx, fy, cx, cy = (values[name] * scale for name in ("fx", "fy", "u0", "v0"))
        if not (0.3 * shape[1] < fx < 4 * shape[1] and 0.9 < fy / fx < 1.1 and abs(values["pitch"]) < math.pi / 4):
            raise ValueError(f"{path}: focal length {fx:g}, {fy:g} or pitch {values['pitch']:g} is impossible")
        return Camera(shape[1], shape[0], fx, fy, cx, cy, height_m=values["z"], pitch_rad=-values["pitch"]).validate()


def _frame_of(path: Path) -> int:
    digits = path.name.split("_")[-2]
    return int(digits) if digits.isdigit() else -1
