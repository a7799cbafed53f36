"""KITTI odometry: ``sequences/NN/`` with ``image_0`` … ``image_3``, ``calib.txt``, ``times.txt``, and ``poses/NN.txt``.

A pose is the left camera's, 3x4 row by row, in axes right, down, forwards; pose n belongs to image n, and there may be
more poses than images. ``calib.txt`` holds the projections ``P0:`` … ``P3:``, in excerpts without names. Also read:
a sequence alone, its ``poses.txt`` beside its images, its folders called ``image_l`` and ``image_r``. Times that are
missing are taken as one frame every 0.1037 s, and that is told.

Format: https://www.cvlibs.net/datasets/kitti/eval_odometry.php, its devkit's readme.

Shapes: N images of a sequence.
"""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worldmodel.datasets.files import numbers, read_lines
from worldmodel.datasets.frames import ImageFrames
from worldmodel.datasets.poses import BODY_OF_CAMERA, checked_rotation, motion_of_poses
from worldmodel.datasets.source import Recording, assemble
from worldmodel.types import Camera, EgoMotion, FloatArray, Tags

FRAME_S = 0.1037
#: The rectified cameras look this much up, measured by the direction of travel; their height is the set-up page's.
PITCH_RAD, HEIGHT_M = math.radians(0.44), 1.65
LICENCE = "CC BY-NC-SA 3.0 (cvlibs.net)"
TAGS = Tags.named(weather="clear", time_of_day="day")
#: Folders of images, the colour camera that most use first; and the number of each camera.
CAMERAS = {"image_2": 2, "image_3": 3, "image_0": 0, "image_1": 1, "image_l": 0, "image_r": 1}
#: Focal length and centre of the rectified images by their width, where no calibration is there: days of recording.
NOMINAL = {
    1241: (718.856, 607.1928, 185.2157),
    1242: (721.5377, 609.5593, 172.854),
    1226: (707.0912, 601.8873, 183.1104),
}


@dataclasses.dataclass(frozen=True)
class KittiOdometry:
    """A folder with ``sequences/``, or with the images of one sequence; a ``source.Source``.

    Attributes:
        root: the folder.
        camera: name of the folder of images to read; the first that is there when empty.
    """

    root: Path
    camera: str = ""
    name: str = "kitti_odometry"

    def _sequences(self) -> dict[str, Path]:
        root = Path(self.root)
        wanted = [self.camera] if self.camera else list(CAMERAS)
        found: dict[str, Path] = {}
        for folder in [root, *sorted(root.glob("sequences/*/")), *sorted(root.glob("dataset/sequences/*/"))]:
            for camera in wanted:
                if (folder / camera).is_dir():
                    found.setdefault(folder.resolve().name if folder == root else folder.name, folder / camera)
        return found

    def drives(self) -> list[str]:
        """Numbers of the sequences, sorted."""
        found = self._sequences()
        if not found:
            raise ValueError(f"{self.root}: no sequences/NN/image_2 in it, nor {', '.join(CAMERAS)} beside a poses.txt")
        return sorted(found)

    def open(self, drive_id: str) -> Recording:
        """Open one sequence; errors name the file."""
        folder = self._sequences()[drive_id]
        images = numbered_images(folder)
        problems: list[str] = []
        index = np.array(list(images))
        frames = ImageFrames.of(list(images.values()), problems, folder)
        camera, baseline_m = _calibration(folder, frames.shape, problems)
        t_s = _times(folder.parent / "times.txt", index, problems)
        return assemble(
            drive_id,
            t_s=t_s,
            motion=_motion(folder.parent, index, t_s, baseline_m, problems),
            camera=camera,
            frames=frames,
            breaks=np.concatenate([[True], np.diff(index) != 1]),
            where=folder,
            tags=TAGS,
            licence=LICENCE,
            problems=problems,
        )


def numbered_images(folder: Path) -> dict[int, Path]:
    """Images of a folder by the number that is their name, in order.

    Raises:
        ValueError: there is none.
    """
    found = {int(path.stem): path for path in folder.iterdir() if re.fullmatch(r"\d{1,18}\.(png|jpe?g)", path.name)}
    if not found:
        raise ValueError(f"{folder}: no image named by a number, as 000000.png")
    return dict(sorted(found.items()))


def rectified_camera(projection: FloatArray, shape: tuple[int, ...], where: object) -> Camera:
    """The camera of a 3x4 projection of rectified images.

    Raises:
        ValueError: a focal length or centre that no camera with such images has.
    """
    fx, fy, cx, cy = (float(projection[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    height_px, width_px = shape[:2]
    if not (0.2 * width_px < fx < 5 * width_px and 0.9 < fy / fx < 1.1 and 0 < cx < width_px and 0 < cy < height_px):
        raise ValueError(f"{where}: focal length {fx:g} and centre {cx:g}, {cy:g} do not fit {width_px}x{height_px}")
    return Camera(width_px, height_px, fx, fy, cx, cy, height_m=HEIGHT_M, pitch_rad=PITCH_RAD).validate()


def nominal_projection(shape: tuple[int, ...]) -> FloatArray:
    """The projection of a day whose rectified images have that width, or of the nearest, scaled."""
    width = min(NOMINAL, key=lambda w: abs(w - shape[1]))
    focal, cx, cy = np.array(NOMINAL[width]) * (1.0 if abs(width - shape[1]) < 30 else shape[1] / width)
    return np.array([[focal, 0, cx, 0], [0, focal, cy, 0], [0, 0, 1, 0]])


def _calibration(folder: Path, shape: tuple[int, ...], problems: list[str]) -> tuple[Camera, float]:
    """The camera, and how far it is to the right of the left grey one, in metres."""
    path, camera = folder.parent / "calib.txt", CAMERAS[folder.name]
    if not path.exists():
        problems.append(f"{path}: missing; the nominal calibration of images {shape[1]} wide is taken")
        return rectified_camera(nominal_projection(shape), shape, folder), 0.0
    projections = {}
    for place, line in enumerate(read_lines(path)):
        name, _, values = line.rpartition(":")
        if name.strip() in ("", f"P{camera}") and values.strip():
            projections[name.strip() or f"P{place}"] = values
    if f"P{camera}" not in projections:
        raise ValueError(f"{path}: projection 'P{camera}' is missing")
    p = numbers(projections[f"P{camera}"].split(), f"{path}: P{camera}", (12,)).reshape(3, 4)
    return rectified_camera(p, shape, f"{path}: P{camera}"), float(-p[0, 3] / p[0, 0])


def _times(path: Path, index: NDArray[np.int64], problems: list[str]) -> FloatArray:
    if not path.exists():
        problems.append(f"{path}: missing; a frame every {FRAME_S} s is assumed")
        return np.multiply(index, FRAME_S, dtype=np.float64)
    times = numbers([line for line in read_lines(path) if line.strip()], path)
    if len(times) <= index[-1]:
        raise ValueError(f"{path}: {len(times)} times, but there is an image {index[-1]}")
    return increasing(times, path)[index]


def increasing(times: FloatArray, path: Path) -> FloatArray:
    """The given times; where a line is lost or doubled all that follow belong to other images.

    Raises:
        ValueError: they do not increase.
    """
    if not (np.diff(times) > 0).all():
        line = int(np.argmin(np.diff(times) > 0)) + 2
        raise ValueError(f"{path}: line {line}: time does not go on; the file is damaged, fetch it anew")
    return times


def _motion(
    folder: Path, index: NDArray[np.int64], t_s: FloatArray, baseline_m: float, problems: list[str]
) -> EgoMotion | None:
    places = folder / "poses.txt", folder.parents[1] / "poses" / f"{folder.name}.txt"
    path = next((p for p in places if p.exists()), None)
    if path is None:
        problems.append(f"{places[0]}: missing, nor {places[1]}; motion unknown")
        return None
    lines = [line for line in read_lines(path) if line.strip()]
    poses, whole = np.full((len(lines), 3, 4), np.nan), len(lines)
    for row, line in enumerate(lines):
        try:
            poses[row] = numbers(line.split(), f"{path}: line {row + 1}", (12,)).reshape(3, 4)
            if np.isnan(checked_rotation(poses[row, :, :3])).any():
                raise ValueError(f"{path}: line {row + 1}: no rotation")
        except ValueError as error:
            # Poses are told apart by their line alone: where one is damaged, those below may have moved up or down.
            problems.append(f"{error}; poses from there on are not used")
            poses[row:], whole = np.nan, row
            break
    if whole <= index[-1]:
        problems.append(f"{path}: {whole} poses for images up to {index[-1]}; motion of the others is unknown")
    padded = np.concatenate([poses, np.full((max(0, index[-1] + 1 - len(lines)), 3, 4), np.nan)])[index]
    rotations = BODY_OF_CAMERA @ padded[:, :, :3] @ BODY_OF_CAMERA.T
    return motion_of_poses(t_s, padded[:, :, 3] @ BODY_OF_CAMERA.T, rotations, (0.0, -baseline_m, 0.0))
