"""Every reader beside the small drive that ``publishers`` writes for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import publishers as p
import publishers_more as more

from worldmodel.datasets import detect
from worldmodel.datasets.readers.commavq import CommaVQ
from worldmodel.datasets.readers.lerobot import LeRobot

WRITERS: dict[str, Callable[[Path], p.Layout]] = {
    "kitti_odometry": p.kitti_odometry,
    "kitti_raw": p.kitti_raw,
    "comma2k19": p.comma2k19,
    "comma2k19_zip": p.comma2k19_zip,
    "commavq": p.commavq,
    "donkeycar": p.donkeycar,
    "sullychen": p.sullychen,
    "camvid": p.camvid,
    "cityscapes": p.cityscapes,
    "udacity_ch2": p.udacity_ch2,
    "udacity_sim": p.udacity_sim,
    "recordings": p.recordings,
    "dashcam": p.dashcam,
    "nuscenes": more.nuscenes,
    "nuscenes_can_bus": lambda root: more.nuscenes(root, can_bus=True),
    "bdd100k": more.bdd100k,
    "argoverse2": more.argoverse2,
    "waymo": more.waymo,
    "lerobot_v21": more.lerobot_v21,
    "lerobot_v3": more.lerobot_v3,
    "nvidia": more.nvidia,
}
_CLASSES = {
    "KittiOdometry": "kitti_odometry",
    "KittiRaw": "kitti_raw",
    "UdacityCh2": "udacity_ch2",
    "UdacitySim": "udacity_sim",
    "PhysicalAI": "nvidia",
    "LeRobot": "lerobot",
}
READERS: dict[str, Any] = {_CLASSES.get(c.__name__, c.__name__.lower()): c for c in detect.SPECIFIC + detect.GENERAL}


def reader_of(name: str, root: Path) -> Any:
    """The reader of a layout, with what its user would say."""
    if name == "commavq":
        return CommaVQ(root, root / "decoder.pt", "rates")
    if name.startswith("lerobot"):
        return LeRobot(root, more.MAPPING)
    base = name.removesuffix("_zip").removesuffix("_can_bus")
    return READERS[base](root)
