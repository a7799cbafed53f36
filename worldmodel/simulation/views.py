"""A run for the viewers people already use: Rerun (``.rrd``) and Foxglove (``.mcap``), on one timeline in seconds.

Frames, the path on the ground, motion and any scalars. Both need the ``viz`` extra, which is imported when a view is
written. Entities: ``camera/<name>``, ``path``, ``motion/speed_mps``, ``motion/yaw_rate_radps``, and scalars by their
names (what was read from the frames of a camera: ``read/<name>/gap_m`` and so on). Knows the two formats, nothing of
what the numbers mean.

Shapes: T frames; H, W pixels.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldmodel.geometry.motion import dead_reckon
from worldmodel.types import EgoMotion, FloatArray, FrameArray

#: View to the module its extra brings.
VIEWS = {"rrd": "rerun", "mcap": "mcap"}
_JPEG_QUALITY = 90
_FOXGLOVE = "https://docs.foxglove.dev/docs/sdk/schemas"


def parse_views(text: str) -> tuple[str, ...]:
    """The views of ``rrd,mcap``, checked to be known and installed.

    Raises:
        ValueError: a view that is unknown, or whose package is not there.
    """
    views = tuple(filter(None, (part.strip() for part in text.split(","))))
    for view in views:
        if view not in VIEWS:
            raise ValueError(f"views: {view!r} is not one of {', '.join(VIEWS)}")
        try:
            importlib.import_module(VIEWS[view])
        except ImportError as error:
            raise ValueError(f"views={view}: needs the viz extra: pip install 'worldmodel[viz]'") from error
    return views


def write_views(
    view: str,
    path: Path,
    t_s: FloatArray,
    pictures: Mapping[str, FrameArray],
    motion: EgoMotion,
    scalars: Mapping[str, FloatArray],
) -> Path:
    """Write one view; under a temporary name, then renamed.

    Args:
        view: of ``VIEWS``.
        path: of the file.
        t_s: ``(T,)``.
        pictures: ``(T, H, W, 3)`` by name.
        motion: ``(T,)``; the path is dead-reckoned from it as far as it is known.
        scalars: ``(T,)`` by name; NaN is left out.
    """
    known = motion.is_known
    count = int(np.argmin(known)) if not known.all() else len(known)
    path_T3 = dead_reckon(motion[: count + 1], t_s[: count + 1])
    scalars = {"motion/speed_mps": motion.speed_mps, "motion/yaw_rate_radps": motion.yaw_rate_radps, **scalars}
    temporary = path.with_name(f"{path.stem}.tmp{path.suffix}")
    write = {"rrd": _write_rrd, "mcap": _write_mcap}[view]
    write(temporary, t_s, pictures, path_T3, scalars)
    os.replace(temporary, path)
    return path


def _write_rrd(
    path: Path,
    t_s: FloatArray,
    pictures: Mapping[str, FrameArray],
    path_T3: FloatArray,
    scalars: Mapping[str, FloatArray],
) -> None:
    rr: Any = importlib.import_module("rerun")
    stream = rr.RecordingStream("worldmodel")
    stream.save(path)
    line = np.concatenate([path_T3[:, :2], np.zeros((len(path_T3), 1))], axis=1)
    stream.log("path", rr.LineStrips3D([line]), static=True)
    for index, time_s in enumerate(t_s):
        stream.set_time("time", duration=float(time_s))
        for name, frames in pictures.items():
            stream.log(f"camera/{name}", rr.EncodedImage(contents=_jpeg(frames[index]), media_type="image/jpeg"))
        if index < len(line):
            stream.log("ego", rr.Points3D([line[index]], radii=0.5))
        for name, values in scalars.items():
            if np.isfinite(values[index]):
                stream.log(name, rr.Scalars(float(values[index])))
    stream.flush()
    stream.disconnect()


def _write_mcap(
    path: Path,
    t_s: FloatArray,
    pictures: Mapping[str, FrameArray],
    path_T3: FloatArray,
    scalars: Mapping[str, FloatArray],
) -> None:
    writing: Any = importlib.import_module("mcap.writer")
    with path.open("wb") as file:
        writer = writing.Writer(file)
        writer.start(profile="", library="worldmodel")
        channels: dict[str, int] = {}
        for schema, topics in (
            ("foxglove.CompressedImage", [f"/camera/{name}" for name in pictures]),
            ("foxglove.PosesInFrame", ["/path"]),
            ("worldmodel.Scalar", [f"/{name}" for name in scalars]),
        ):
            described = json.dumps(_SCHEMAS[schema]).encode()
            schema_id = writer.register_schema(name=schema, encoding="jsonschema", data=described)
            for topic in topics:
                channels[topic] = writer.register_channel(topic=topic, message_encoding="json", schema_id=schema_id)

        def say(topic: str, time_s: float, message: Mapping[str, Any]) -> None:
            stamp = round(time_s * 1e9)
            writer.add_message(channels[topic], log_time=stamp, publish_time=stamp, data=json.dumps(message).encode())

        for index, time_s in enumerate(t_s):
            stamp = {"sec": int(time_s), "nsec": round((float(time_s) - int(time_s)) * 1e9)}
            for name, frames in pictures.items():
                data = base64.b64encode(_jpeg(frames[index])).decode()
                image = {"timestamp": stamp, "frame_id": "camera", "format": "jpeg", "data": data}
                say(f"/camera/{name}", time_s, image)
            if index < len(path_T3):
                poses = [_pose(pose) for pose in path_T3[index:]]
                say("/path", time_s, {"timestamp": stamp, "frame_id": "road", "poses": poses})
            for name, values in scalars.items():
                if np.isfinite(values[index]):
                    say(f"/{name}", time_s, {"value": float(values[index])})
        writer.finish()


def _jpeg(frame: FrameArray) -> bytes:
    done, coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    return coded.tobytes()


def _pose(pose: FloatArray) -> dict[str, Any]:
    half = float(pose[2]) / 2
    return {
        "position": {"x": float(pose[0]), "y": float(pose[1]), "z": 0.0},
        "orientation": {"x": 0.0, "y": 0.0, "z": float(np.sin(half)), "w": float(np.cos(half))},
    }


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "$comment": _FOXGLOVE, "type": "object", "properties": properties}


_NUMBER, _TEXT, _WHOLE = {"type": "number"}, {"type": "string"}, {"type": "integer"}
_TIME = _object("time", sec=_WHOLE, nsec=_WHOLE)
_VECTOR, _QUATERNION = {"x": _NUMBER, "y": _NUMBER, "z": _NUMBER}, dict.fromkeys("xyzw", _NUMBER)
_POSE = _object(
    "foxglove.Pose",
    position=_object("foxglove.Vector3", **_VECTOR),
    orientation=_object("foxglove.Quaternion", **_QUATERNION),
)
_SCHEMAS = {
    "foxglove.CompressedImage": _object(
        "foxglove.CompressedImage",
        timestamp=_TIME,
        frame_id=_TEXT,
        data={"type": "string", "contentEncoding": "base64"},
        format=_TEXT,
    ),
    "foxglove.PosesInFrame": _object(
        "foxglove.PosesInFrame", timestamp=_TIME, frame_id=_TEXT, poses={"type": "array", "items": _POSE}
    ),
    "worldmodel.Scalar": _object("worldmodel.Scalar", value=_NUMBER),
}
