"""nuScenes: JSON tables in ``v1.0-*/``, the front camera's images in ``samples/CAM_FRONT`` and ``sweeps/CAM_FRONT``.

A scene is a chain of ``sample_data`` rows of CAM_FRONT, each with its own ``ego_pose`` (of the middle of the rear axle)
and ``calibrated_sensor``. With the sweeps it has 12 frames a second; the key frames alone have 2, which is too slow,
and such a set is refused by that name. With the CAN bus expansion (``can_bus/<scene>_pose.json``) speed and turn are
those of the car's own sensors, at 50 Hz; without, they come from the localised poses, good to centimetres.
Descriptions of scenes are the captions; they also give rain and night. No devkit is used.

Format: https://github.com/nutonomy/nuscenes-devkit, docs/schema_nuscenes.md and python-sdk/nuscenes/can_bus/README.md.

Shapes: N frames of a scene.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import numpy as np

from worldmodel.datasets.files import field, number, numbers, read_json
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.poses import motion_of_poses, mounted, rotation_of_quaternion
from worldmodel.datasets.source import Recording, assemble
from worldmodel.datasets.timing import mean_between
from worldmodel.types import Camera, EgoMotion, FloatArray, Tags

CHANNEL = "CAM_FRONT"
#: The devkit's official scenes of v1.0-mini's validation; those of v1.0-trainval are read from ``splits.json``.
_MINI_VAL = ("scene-0103", "scene-0916")
_TABLES = ("scene", "sample", "sample_data", "ego_pose", "calibrated_sensor", "sensor", "log")


@dataclasses.dataclass(frozen=True)
class NuScenes:
    """The data root, with ``v1.0-mini``, ``v1.0-trainval`` or ``v1.0-test`` in it; a ``source.Source``."""

    root: Path
    name: str = "nuscenes"

    def _versions(self) -> list[Path]:
        return sorted(p.parent for p in Path(self.root).glob("v1.0-*/sample_data.json"))

    def drives(self) -> list[str]:
        """Scenes as ``version/scene-0001``, sorted."""
        found = [f"{v.name}/{scene}" for v in self._versions() for scene in _Version.of(v).scenes]
        if not found:
            raise ValueError(f"{self.root}: no v1.0-*/sample_data.json in it; name the data root of nuScenes")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one scene; errors name the file."""
        version_name, scene_name = drive_id.split("/", 1)
        folder = Path(self.root) / version_name
        version = _Version.of(folder)
        scene, rows = version.scenes[scene_name], version.frames.get(version.scenes[scene_name]["token"], [])
        where = f"{folder}: {scene_name}"
        if len(rows) < 2:
            raise ValueError(f"{where}: {len(rows)} frames of {CHANNEL}")
        rows = sorted(rows, key=lambda row: row["timestamp"])
        problems: list[str] = []
        paths = [p if (p := Path(self.root) / row["filename"]).is_file() else None for row in rows]
        keys = [row["is_key_frame"] for row in rows]
        if all(path is None or key for path, key in zip(paths, keys)):
            raise ValueError(
                f"{where}: only key frames are there (2 a second), too slow to learn from; "
                f"fetch the sweeps of {CHANNEL} too (sweeps/{CHANNEL})"
            )
        if None in paths:
            first = rows[paths.index(None)]["filename"]
            problems.append(f"{where}: {paths.count(None)} images missing, first {first}")
        t_s = numbers([row["timestamp"] for row in rows], where) / 1e6
        frames = ImageFrames.of(paths, problems, where)
        camera, lever = version.camera(rows[0]["calibrated_sensor_token"], frames.shape, folder)
        description = str(scene.get("description", ""))
        return assemble(
            drive_id,
            place_id=version.location(scene),
            t_s=t_s - t_s[0],
            motion=self._motion(version, scene_name, rows, t_s, lever, problems),
            camera=camera,
            frames=frames,
            where=where,
            usable=np.array([path is not None for path in paths]),
            pause_s=0.5,
            tags=tags_of(description),
            caption=description,
            licence="CC BY-NC-SA 4.0 (nuscenes.org/terms-of-use)",
            split=self._split(folder, scene_name),
            problems=problems,
        )

    def _motion(
        self, version: _Version, scene: str, rows: list[dict], t_s: FloatArray, lever: Any, problems: list[str]
    ) -> EgoMotion:
        path = Path(self.root) / "can_bus" / f"{scene}_pose.json"
        if path.exists():
            try:
                messages = read_json(path, list)
                at_s = numbers([field(m, "utime", path) for m in messages], f"{path}: utime", (-1,)) / 1e6
                velocity = numbers([field(m, "vel", path) for m in messages], f"{path}: vel", (len(at_s), 3))
                rate = numbers(
                    [field(m, "rotation_rate", path) for m in messages], f"{path}: rotation_rate", (len(at_s), 3)
                )
            except ValueError as error:
                problems.append(f"{error}; the localised poses are taken")
            else:
                ahead = mean_between(at_s, velocity[:, 0], t_s, max_gap_s=0.2)
                yaw_rate = mean_between(at_s, rate[:, 2], t_s, max_gap_s=0.2)
                ahead = ahead - yaw_rate * lever[1]  # of the camera
                speed = np.where(ahead < 0, -1.0, 1.0) * np.hypot(ahead, yaw_rate * lever[0])
                return EgoMotion(speed, yaw_rate)
        poses = [version.poses.get(row["ego_pose_token"], ([np.nan] * 3, [np.nan] * 4)) for row in rows]
        where = f"{version.folder}/ego_pose.json"
        positions = numbers([p[0] for p in poses], f"{where}: translation", (len(rows), 3))
        quaternions = numbers([p[1] for p in poses], f"{where}: rotation", (len(rows), 4))
        if not np.isfinite(positions).all():
            problems.append(f"{where}: {int((~np.isfinite(positions[:, 0])).sum())} frames without a pose")
        return motion_of_poses(t_s, positions, rotation_of_quaternion(quaternions), lever)

    def _split(self, folder: Path, scene: str) -> str:
        if folder.name == "v1.0-test":
            return "test"
        if folder.name == "v1.0-mini":
            return "val" if scene in _MINI_VAL else "train"
        path = folder / "splits.json"  # {"val": [...]}; the devkit keeps the 850 names in its code alone
        return "" if not path.exists() else "val" if scene in field(read_json(path), "val", path) else "train"


def tags_of(description: str) -> Tags:
    """Tags from a scene's description: the publisher writes "Rain" and "Night" where it is so, and nothing by day."""
    words = set(re.findall(r"[a-z]+", description.lower()))
    weather = "rain" if words & {"rain", "raining", "rainy"} else "clear"
    return Tags.named(weather=weather, time_of_day="night" if "night" in words else "day", road_kind="town")


@dataclasses.dataclass(frozen=True)
class _Version:
    """The tables of one version, reduced to the front camera. Rows are kept as few as a scene needs."""

    folder: Path
    scenes: dict[str, dict[str, Any]]
    frames: dict[str, list[dict[str, Any]]]
    poses: dict[str, tuple[Any, Any]]
    sensors: dict[str, dict[str, Any]]
    logs: dict[str, dict[str, Any]]

    @staticmethod
    @functools.lru_cache(maxsize=2)
    def of(folder: Path) -> _Version:
        """Read the tables of a version; they are kept, since every scene is in the same ones."""
        tables = {}
        for name in _TABLES:
            path = folder / f"{name}.json"
            rows = read_json(path, list)
            for row in rows:
                field(row, "token", path)
            tables[name] = rows
        front = {
            s["token"]
            for s in tables["calibrated_sensor"]
            if s.get("sensor_token") in {x["token"] for x in tables["sensor"] if x.get("channel") == CHANNEL}
        }
        scene_of = {s["token"]: s.get("scene_token") for s in tables["sample"]}
        frames: dict[str, list[dict[str, Any]]] = {}
        path = folder / "sample_data.json"
        for row in tables["sample_data"]:
            if row.get("calibrated_sensor_token") in front:
                for name in ("sample_token", "ego_pose_token", "filename", "timestamp", "is_key_frame"):
                    field(row, name, f"{path}: {row['token']}")
                number(row["timestamp"], f"{path}: {row['token']}: timestamp")
                if not isinstance(row["filename"], str) or "\0" in row["filename"]:
                    raise ValueError(f"{path}: {row['token']}: 'filename' is no file name")
                frames.setdefault(str(scene_of.get(row["sample_token"])), []).append(row)
        used = {row["ego_pose_token"] for rows in frames.values() for row in rows}
        poses = {
            p["token"]: (p.get("translation"), p.get("rotation")) for p in tables["ego_pose"] if p["token"] in used
        }
        scenes = {str(field(s, "name", folder / "scene.json")): s for s in tables["scene"]}
        sensors = {s["token"]: s for s in tables["calibrated_sensor"] if s["token"] in front}
        return _Version(folder, scenes, frames, poses, sensors, {log["token"]: log for log in tables["log"]})

    def camera(self, token: str, shape: tuple[int, ...], folder: Path) -> tuple[Camera, tuple[float, float, float]]:
        """The calibrated camera, and where it is in the car."""
        where = f"{folder}/calibrated_sensor.json: {token}"
        row = self.sensors[token]
        k = numbers(field(row, "camera_intrinsic", where), f"{where}: camera_intrinsic", (3, 3))
        place = numbers(field(row, "translation", where), f"{where}: translation", (3,))
        rotation = rotation_of_quaternion(numbers(field(row, "rotation", where), f"{where}: rotation", (4,)))
        camera = Camera(shape[1], shape[0], float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]))
        try:
            return mounted(dataclasses.replace(camera, height_m=float(place[2])), rotation), tuple(place.tolist())
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error

    def location(self, scene: dict[str, Any]) -> str:
        """Where the scene was driven: splits by place are by the log, of which several scenes are cut."""
        log = self.logs.get(str(scene.get("log_token")), {})
        return str(log.get("logfile") or scene["token"])
