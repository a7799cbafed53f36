"""NVIDIA Physical AI Autonomous Vehicles: clips of 20 s, in zips per chunk, with ego motion and calibration.

``camera/camera_front_wide_120fov/*.zip`` holds ``<clip>.camera_front_wide_120fov.mp4`` and ``….timestamps.parquet``;
``labels/egomotion/*.zip`` holds ``<clip>.egomotion.parquet`` (``timestamp`` in microseconds, ``qx qy qz qw x y z`` of
the rear axle's ground point); ``calibration/camera_intrinsics/*.parquet`` an f-theta lens per clip, and
``calibration/sensor_extrinsics/*.parquet`` where it is. Zips are read where they lie; unpacked files are read too.

The lens is fitted by a pinhole with radial distortion as far as the canonical view needs it.

Format: https://github.com/NVlabs/physical_ai_av (src/physical_ai_av/dataset.py and its wiki),
https://huggingface.co/datasets/nvidia/PhysicalAI-Autonomous-Vehicles.

Shapes: N frames of a clip.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from pathlib import Path

import numpy as np

from worldmodel.datasets.files import Tree, number, numbers, read_columns
from worldmodel.datasets.poses import (
    interpolate_poses,
    motion_of_poses,
    mounted,
    radial_camera,
    rotation_of_quaternion,
)
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.stream import StreamFrames
from worldmodel.types import Camera, EgoMotion, FloatArray

CAMERA = "camera_front_wide_120fov"
_POLYNOMIAL = tuple(f"fw_poly_{i}" for i in range(5))
_POSE = ("qw", "qx", "qy", "qz", "x", "y", "z")
#: The canonical view reaches 38 degrees from its axis; a lens that looks up or down a little more.
FITTED_RAD = math.radians(50)


@dataclasses.dataclass(frozen=True)
class PhysicalAI:
    """The folder with ``camera``, ``labels`` and ``calibration``; a ``source.Source``."""

    root: Path
    name: str = "nvidia"

    def drives(self) -> list[str]:
        """Ids of the clips, sorted."""
        found = _find(Path(self.root), "camera", f".{CAMERA}.mp4")
        if not found:
            raise ValueError(
                f"{self.root}: no camera/{CAMERA}/*.zip with *.{CAMERA}.mp4 in it, nor such files unpacked"
            )
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one clip; errors name the file."""
        root = Path(self.root)
        tree, video = _find(root, "camera", f".{CAMERA}.mp4")[drive_id]
        problems: list[str] = []
        name = video.removesuffix(".mp4") + ".timestamps.parquet"
        stamps = read_columns(tree.read(name), ("timestamp",), tree.where(name))["timestamp"]
        at_us = numbers(stamps, f"{tree.where(name)}: timestamp", (-1,))
        if not len(at_us):
            raise ValueError(f"{tree.where(name)}: no timestamps")
        chunk = re.search(r"chunk_\d+", tree.root.name)
        camera, lever = _camera(root, drive_id, chunk[0] if chunk else "")
        return assemble(
            drive_id,
            t_s=(at_us - at_us[0]) / 1e6,
            motion=_motion(root, drive_id, at_us, lever, problems),
            camera=camera,
            frames=StreamFrames(tree, video, None, problems),
            where=tree.where(video),
            licence="NVIDIA Autonomous Vehicle Dataset License Agreement",
            split=_splits(root).get(drive_id, ""),
            problems=problems,
        )


@functools.lru_cache(maxsize=8)
def _find(root: Path, folder: str, ending: str) -> dict[str, tuple[Tree, str]]:
    """Where every clip's file is: in a zip below a folder, or unpacked there."""
    found: dict[str, tuple[Tree, str]] = {}
    trees = [Tree(p) for p in sorted(root.glob(f"{folder}/**/*.zip"))]
    trees += [Tree(p) for p in [root / folder, *sorted(root.glob(f"{folder}/**/"))] if p.is_dir()]
    for tree in trees:
        for name in tree.names(f"*{ending}"):
            found.setdefault(Path(name).name.removesuffix(ending), (tree, name))
    return found


def _motion(
    root: Path, clip: str, at_us: FloatArray, lever: tuple[float, float, float], problems: list[str]
) -> EgoMotion | None:
    place = _find(root, "labels", ".egomotion.parquet").get(clip)
    if place is None:
        problems.append(f"{root}/labels: no {clip}.egomotion.parquet, motion unknown")
        return None
    tree, name = place
    where = tree.where(name)
    columns = read_columns(tree.read(name), ("timestamp", *_POSE), where)
    at = numbers(columns["timestamp"], f"{where}: timestamp", (-1,))
    poses = np.stack([numbers(columns[c], f"{where}: {c}", (len(at),)) for c in _POSE], axis=1)
    known = np.isfinite(at) & np.isfinite(poses).all(axis=1)
    at, first = np.unique(at[known], return_index=True)
    poses = poses[known][first]
    if len(at) < 2:
        raise ValueError(f"{where}: {len(at)} usable poses")
    positions, rotations = interpolate_poses(at / 1e6, poses[:, 4:], poses[:, :4], at_us / 1e6)
    return motion_of_poses(at_us / 1e6, positions, rotations, lever)


def _camera(root: Path, clip: str, chunk: str) -> tuple[Camera, tuple[float, float, float]]:
    names = ("width", "height", "cx", "cy", *_POLYNOMIAL)
    lens = _calibration(root, clip, chunk, "camera_intrinsics", "camera_name", names)
    place = _calibration(root, clip, chunk, "sensor_extrinsics", "sensor_name", _POSE)
    angles = np.linspace(0, FITTED_RAD, 51, dtype=np.float64)[1:]
    radii = np.polyval([lens[name] for name in reversed(_POLYNOMIAL)], angles).astype(np.float64)
    where = f"{root}/calibration: {clip} {CAMERA}"
    try:
        camera = radial_camera(int(lens["width"]), int(lens["height"]), (lens["cx"], lens["cy"]), angles, radii)
        rotation = rotation_of_quaternion(np.array([place[name] for name in _POSE[:4]]))
        camera = mounted(dataclasses.replace(camera, height_m=place["z"]), rotation)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise ValueError(f"{where}: {error}") from error
    return camera, (place["x"], place["y"], place["z"])


def _calibration(root: Path, clip: str, chunk: str, kind: str, key: str, names: tuple[str, ...]) -> dict[str, float]:
    """One clip's values of the front camera, from the table that has it; that of its chunk is looked at first."""
    tables = sorted(root.glob(f"calibration/{kind}/**/*.parquet"), key=lambda path: chunk not in path.name)
    for path in tables:
        columns = _read_table(path, ("clip_id", key, *names))
        for row, (owner, sensor) in enumerate(zip(columns["clip_id"], columns[key])):
            if owner == clip and sensor == CAMERA:
                return {name: number(columns[name][row], f"{path}: {clip}: {name}") for name in names}
    raise ValueError(f"{root}/calibration/{kind}: none of {len(tables)} tables has {CAMERA} of clip {clip}")


@functools.lru_cache(maxsize=16)
def _read_table(path: Path, names: tuple[str, ...]) -> dict[str, list]:
    return read_columns(path, names)


@functools.lru_cache(maxsize=2)
def _splits(root: Path) -> dict[str, str]:
    """The split of every clip, where ``clip_index.parquet`` tells one."""
    path = root / "clip_index.parquet"
    if not path.exists():
        return {}
    try:
        columns = read_columns(path, ("clip_id", "split"))
    except ValueError:
        return {}
    return {c: s for c, s in zip(columns["clip_id"], columns["split"]) if s in ("train", "val", "test")}
