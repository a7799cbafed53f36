"""CamVid: images named by sequence and frame number, ``0016E5_07959.png``, of a video of 30 frames a second.

Nothing but pictures: motion is unknown. The labelled set as published has a frame a second, which is too slow and is
refused; sequence 0016E5 is also published at 15 Hz, and the raw videos can be unpacked at any rate into this naming.

Format: http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/.

Shapes: N images of a sequence.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.source import Recording, assemble
from worldmodel.geometry.camera import nominal_camera
from worldmodel.types import Tags

FPS = 30.0
#: By eye; the publisher's calibration is not part of what people download.
HORIZONTAL_FOV_DEG, HORIZON = 50.0, 0.47
_NAME = re.compile(r"(?P<sequence>0001TP|0006R0|0016E5|Seq05VD)_f?(?P<frame>\d{1,9})\.(?:png|jpe?g)")


@dataclasses.dataclass(frozen=True)
class CamVid:
    """A folder of images, or one with folders of images (``701_StillsRaw_full``); a ``source.Source``."""

    root: Path
    name: str = "camvid"

    def _sequences(self) -> dict[str, dict[int, Path]]:
        found: dict[str, dict[int, Path]] = {}
        for path in sorted(p for depth in ("", "*/") for p in Path(self.root).glob(f"{depth}*_*")):
            name = _NAME.fullmatch(path.name)
            if name:
                found.setdefault(name["sequence"], {}).setdefault(int(name["frame"]), path)
        return found

    def drives(self) -> list[str]:
        """Sequences, sorted."""
        found = self._sequences()
        if not found:
            raise ValueError(f"{self.root}: no image named as 0016E5_07959.png in it, nor in its folders")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one sequence; errors name the file."""
        images = dict(sorted(self._sequences()[drive_id].items()))
        problems: list[str] = []
        frames = ImageFrames.of(list(images.values()), problems, f"{self.root}: {drive_id}")
        return assemble(
            drive_id,
            t_s=np.array(list(images)) / FPS,
            camera=nominal_camera(frames.shape[1], frames.shape[0], HORIZONTAL_FOV_DEG, horizon=HORIZON),
            frames=frames,
            where=self.root,
            tags=Tags.named(time_of_day="dusk" if drive_id == "0001TP" else "day", road_kind="town"),
            licence="free for research with citation (Brostow et al., Cambridge)",
            problems=problems,
        )
