"""Pictures of a drive as a film to play and a sheet of some of them to look at. Knows pixels and files alone.

Shapes: H, W pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from worldmodel.datasets.video import StreamingVideoWriter
from worldmodel.simulation.sheet import write_png
from worldmodel.types import FrameArray


def write_film(path: Path, pictures: Iterable[FrameArray], *, fps: float, on_sheet: Collection[int]) -> None:
    """Write at least one picture ``(H, W, 3)``, all of a size, as an mp4, and ``sheet.png`` beside it.

    Args:
        path: of the mp4.
        pictures: in order; none is kept but those of the sheet.
        fps: pictures of a second.
        on_sheet: which of them, counted from 0, the sheet shows one below the other.
    """
    film: StreamingVideoWriter | None = None
    sheet = []
    for index, picture in enumerate(pictures):
        if film is None:
            film = StreamingVideoWriter(path, *picture.shape[:2], fps=fps)
        film.write(picture)
        if index in on_sheet:
            sheet.append(picture)
    assert film is not None
    film.finish()
    write_png(path.with_name("sheet.png"), np.concatenate(sheet))
