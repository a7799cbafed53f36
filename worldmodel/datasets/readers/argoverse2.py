"""Argoverse 2 sensor dataset: ``<split>/<log>/`` with the front camera's images, poses and calibration.

``sensors/cameras/ring_front_center/<timestamp_ns>.jpg`` (portrait, 1550x2048, 20 Hz), ``city_SE3_egovehicle.feather``
(poses of the rear axle), ``calibration/intrinsics.feather`` and ``calibration/egovehicle_SE3_sensor.feather``. Poses
are interpolated to the images' times where they are not given at them. As in the publisher's code, k1..k3 are not
used.

Format: https://github.com/argoverse/av2-api, src/av2/utils/io.py and src/av2/geometry/camera/pinhole_camera.py.

Shapes: N images of a log.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.files import number, numbers, read_columns
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.poses import interpolate_poses, motion_of_poses, mounted, rotation_of_quaternion
from worldmodel.datasets.source import Recording, assemble
from worldmodel.types import Camera, EgoMotion, FloatArray, Tags

CAMERA = "ring_front_center"
_POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
_INTRINSICS = ("fx_px", "fy_px", "cx_px", "cy_px", "width_px", "height_px")


@dataclasses.dataclass(frozen=True)
class Argoverse2:
    """The folder of ``train``, ``val``, ``test``, one of them, or a log; a ``source.Source``."""

    root: Path
    name: str = "argoverse2"

    def _logs(self) -> dict[str, Path]:
        root = Path(self.root)
        found = [p for depth in ("", "*/", "*/*/") for p in sorted(root.glob(f"{depth}city_SE3_egovehicle.feather"))]
        return {"/".join(p.parent.relative_to(root).parts) or root.resolve().name: p.parent for p in found}

    def drives(self) -> list[str]:
        """Logs as ``split/log``, sorted."""
        found = self._logs()
        if not found:
            raise ValueError(f"{self.root}: no <split>/<log>/city_SE3_egovehicle.feather in it")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one log; errors name the file."""
        log = self._logs()[drive_id]
        folder = log / "sensors" / "cameras" / CAMERA
        images = {int(p.stem): p for p in sorted(folder.glob("*.jpg")) if p.stem.isdigit() and len(p.stem) < 20}
        if len(images) < 2:
            raise ValueError(f"{folder}: {len(images)} images named by their time in nanoseconds")
        problems: list[str] = []
        stamps = np.array(sorted(images))
        frames = ImageFrames.of([images[int(stamp)] for stamp in stamps], problems, folder)
        camera, lever = _camera(log / "calibration", frames.shape)
        split = log.parent.name if log.parent.name in ("train", "val", "test") else ""
        return assemble(
            drive_id,
            t_s=(stamps - stamps[0]) / 1e9,
            motion=_motion(log / "city_SE3_egovehicle.feather", stamps, lever, problems),
            camera=camera,
            frames=frames,
            where=folder,
            pause_s=0.5,
            tags=Tags.named(road_kind="town"),
            licence="CC BY-NC-SA 4.0 (argoverse.org/about.html#terms-of-use)",
            split=split,
            problems=problems,
        )


def _camera(folder: Path, shape: tuple[int, ...]) -> tuple[Camera, tuple[float, float, float]]:
    path = folder / "intrinsics.feather"
    row = _row(path, _INTRINSICS)
    camera = Camera(shape[1], shape[0], row["fx_px"], row["fy_px"], row["cx_px"], row["cy_px"])
    if (row["height_px"], row["width_px"]) != shape[:2]:
        raise ValueError(f"{path}: {row['width_px']:g}x{row['height_px']:g}, but images are {shape[1]}x{shape[0]}")
    path = folder / "egovehicle_SE3_sensor.feather"
    pose = _row(path, _POSE)
    rotation = rotation_of_quaternion(np.array([pose[name] for name in _POSE[:4]]))
    # Poses are of the rear axle, 0.33 m above the ground (the publisher's guide, "Sensor Suite").
    height_m = pose["tz_m"] + 0.33
    try:
        return mounted(dataclasses.replace(camera, height_m=height_m), rotation), (
            pose["tx_m"],
            pose["ty_m"],
            pose["tz_m"],
        )
    except ValueError as error:
        raise ValueError(f"{path}: {CAMERA}: {error}") from error


def _row(path: Path, names: tuple[str, ...]) -> dict[str, float]:
    columns = read_columns(path, ("sensor_name", *names))
    if CAMERA not in columns["sensor_name"]:
        raise ValueError(f"{path}: no row of {CAMERA}")
    place = columns["sensor_name"].index(CAMERA)
    return {name: number(columns[name][place], f"{path}: {name}") for name in names}


def _motion(path: Path, stamps: Any, lever: tuple[float, float, float], problems: list[str]) -> EgoMotion:
    columns = read_columns(path, ("timestamp_ns", *_POSE))
    at_ns = numbers(columns["timestamp_ns"], f"{path}: timestamp_ns", (-1,))
    poses: FloatArray = np.stack([numbers(columns[name], f"{path}: {name}", (len(at_ns),)) for name in _POSE], axis=1)
    known = np.isfinite(at_ns) & np.isfinite(poses).all(axis=1)
    if not known.all():
        problems.append(f"{path}: {int((~known).sum())} rows without a time or pose")
    at_ns, first = np.unique(at_ns[known], return_index=True)
    poses = poses[known][first]
    if len(at_ns) < 2:
        raise ValueError(f"{path}: {len(at_ns)} usable poses")
    # Nanoseconds since 1970 need more digits than a double has; differences do not.
    origin = stamps[0]
    at_s = (at_ns - float(origin)) / 1e9
    t_s = (stamps - origin) / 1e9
    nearest = np.clip(np.searchsorted(at_s, t_s), 1, len(at_s) - 1)
    nearest = np.where(t_s - at_s[nearest - 1] < at_s[nearest] - t_s, nearest - 1, nearest)
    t_s = np.where(np.abs(at_s[nearest] - t_s) < 1e-6, at_s[nearest], t_s)  # rounded above, yet the same moment
    positions, rotations = interpolate_poses(at_s, poses[:, 4:], poses[:, :4], t_s)
    return motion_of_poses((stamps - origin) / 1e9, positions, rotations, lever)
