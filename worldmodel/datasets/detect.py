"""Which reader reads a folder: whichever finds drives there. So a folder of many datasets is prepared by one command.

Knows readers, no publisher: a reader's ``drives()`` says by a ``ValueError`` that nothing of its layout is there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from worldmodel.datasets.readers.argoverse2 import Argoverse2
from worldmodel.datasets.readers.bdd100k import BDD100K
from worldmodel.datasets.readers.camvid import CamVid
from worldmodel.datasets.readers.cityscapes import Cityscapes
from worldmodel.datasets.readers.comma2k19 import Comma2k19
from worldmodel.datasets.readers.commavq import CommaVQ
from worldmodel.datasets.readers.dashcam import Dashcam
from worldmodel.datasets.readers.donkeycar import Donkeycar
from worldmodel.datasets.readers.kitti_odometry import KittiOdometry
from worldmodel.datasets.readers.kitti_raw import KittiRaw
from worldmodel.datasets.readers.lerobot import LeRobot
from worldmodel.datasets.readers.nuscenes import NuScenes
from worldmodel.datasets.readers.nvidia import PhysicalAI
from worldmodel.datasets.readers.recordings import Recordings
from worldmodel.datasets.readers.sullychen import SullyChen
from worldmodel.datasets.readers.udacity_ch2 import UdacityCh2
from worldmodel.datasets.readers.udacity_sim import UdacitySim
from worldmodel.datasets.readers.waymo import Waymo
from worldmodel.datasets.source import Source

#: Readers of one publisher's layout.
SPECIFIC: tuple[Any, ...] = (
    *(NuScenes, Waymo, Argoverse2, PhysicalAI, LeRobot, BDD100K, Cityscapes, Comma2k19, CommaVQ, KittiOdometry),
    *(KittiRaw, UdacityCh2, UdacitySim, Donkeycar, SullyChen, CamVid),
)
#: Readers of videos in general, asked only where no other knows the folder.
GENERAL: tuple[Any, ...] = (Recordings, Dashcam)


@dataclasses.dataclass(frozen=True)
class Found:
    """A folder, and the source that reads it."""

    folder: Path
    source: Source


def find_sources(
    folder: Path, options: Mapping[str, Mapping[str, Any]] | None = None, *, depth: int = 3
) -> list[Found]:
    """The datasets in a folder: the folder itself, or, where what lies in it is of different kinds, what lies in it.

    Folders that this project prepared are passed over.

    Args:
        folder: to look at.
        options: further arguments of readers, by the name of their class.
        depth: how many folders below a collection may hold a dataset.
    """
    if (folder / ".prepare").is_dir():
        return []
    kinds = _kinds(folder, min(depth, 2))
    own = _recognise(folder, SPECIFIC)
    if own is None and not kinds:
        own = _recognise(folder, GENERAL)
    if own is not None and len(kinds | {own}) == 1:
        return [Found(folder, own(folder, **(options or {}).get(own.__name__, {})))]
    found = []
    if depth > 0:
        for child in _folders(folder):
            found += find_sources(child, options, depth=depth - 1)
    return found


def _kinds(folder: Path, depth: int) -> set[Any]:
    """Specific readers that know folders below, down to a depth."""
    found: set[Any] = set()
    for child in _folders(folder) if depth > 0 else []:
        own = _recognise(child, SPECIFIC)
        found |= ({own} if own is not None else set()) | _kinds(child, depth - 1)
    return found


def _recognise(folder: Path, readers: Sequence[Any]) -> Any:
    for reader in readers:
        try:
            if reader(folder).drives():
                return reader
        except ValueError:
            continue
    return None


def _folders(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and not (p / ".prepare").is_dir()
    )
