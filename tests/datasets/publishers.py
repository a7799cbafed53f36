"""Small drives in the layouts of their publishers, written from the published schemas and not by way of the readers.

One path is driven in all of them: speed and yaw rate change with time, and are integrated here, so that a reader that
is a row off, takes a central difference or another sign does not agree. Frame i is painted in a grey that says i.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

from worldmodel.datasets.video import VideoWriter

COUNT = 30
_FINE = np.arange(0, 20, 0.001)
_SPEED = 9 + 2 * np.sin(_FINE * 1.7)
_RATE = 0.25 * np.sin(_FINE * 2.3 + 0.4)
_HEADING = 0.3 + np.concatenate([[0], np.cumsum((_RATE[1:] + _RATE[:-1]) / 2 * 0.001)])
_X = np.concatenate([[0], np.cumsum((_SPEED * np.cos(_HEADING))[:-1] * 0.001)])
_Y = np.concatenate([[0], np.cumsum((_SPEED * np.sin(_HEADING))[:-1] * 0.001)])


def at(t_s, values):
    return np.interp(t_s, _FINE, values)


def speed(t_s):
    return at(t_s, _SPEED)


def rate(t_s):
    return at(t_s, _RATE)


def heading(t_s):
    return at(t_s, _HEADING)


def place(t_s):
    return np.stack([at(t_s, _X), at(t_s, _Y), np.zeros(np.shape(t_s))], axis=-1)


def truth(t_s, lever_m=(0.0, 0.0)):
    """Speed and yaw rate ``(N - 1,)`` from each time to the next, of a point before and left of the driven one."""
    h = heading(t_s)
    ahead, left = np.stack([np.cos(h), np.sin(h)], axis=1), np.stack([-np.sin(h), np.cos(h)], axis=1)
    points = place(t_s)[:, :2] + lever_m[0] * ahead + lever_m[1] * left
    dt = np.diff(t_s)
    return np.linalg.norm(np.diff(points, axis=0), axis=1) / dt, np.diff(h) / dt


def grey(index):
    return 8 * index + 4


def index_of(frame):
    return round((float(np.median(frame)) - 4) / 8)


def picture(index, height=32, width=64):
    return np.full((height, width, 3), grey(index), np.uint8)


def write_image(path, index, height=32, width=64, as_grey=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture(index, height, width)
    assert cv2.imwrite(str(path), image[..., 0] if as_grey else image)


def encoded(index, height=32, width=64):
    return cv2.imencode(".jpg", picture(index, height, width))[1].tobytes()


def write_mp4(path, count, fps, height=32, width=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, height, width, fps=fps) as writer:
        writer.write_all(picture(i, height, width) for i in range(count))
    return path


def hevc(count, height=48, width=64):
    """A raw HEVC stream, as an EON writes it."""
    codec = av.CodecContext.create("libx265", "w")
    codec.width, codec.height, codec.pix_fmt, codec.framerate = width, height, "yuv420p", 20
    codec.time_base = 1 / codec.framerate
    codec.options = {"x265-params": "log-level=none:pools=none:frame-threads=1:bframes=0:keyint=15", "crf": "10"}
    packets = []
    for index in range(count):
        frame = av.VideoFrame.from_ndarray(picture(index, height, width), format="rgb24")
        frame.pts = index
        packets += codec.encode(frame)
    return b"".join(bytes(p) for p in [*packets, *codec.encode(None)])


def quaternion(angle_rad, axis=2):
    """wxyz of a turn about one axis."""
    q = np.zeros((*np.shape(angle_rad), 4))
    q[..., 0], q[..., 1 + axis] = np.cos(np.asarray(angle_rad) / 2), np.sin(np.asarray(angle_rad) / 2)
    return q


#: wxyz of a camera (right, down, forwards) that looks straight ahead from a body (forwards, left, up).
AHEAD = np.array([0.5, -0.5, 0.5, -0.5])
#: Where it is in the car.
LEVER = (1.5, 0.1, 1.6)


@dataclasses.dataclass
class Layout:
    """What was written: ``t_s`` of every frame, and the truth where the layout tells motion."""

    root: Path
    t_s: np.ndarray
    lever_m: tuple[float, float] = (0.0, 0.0)
    drive: str | None = None


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.save(file, array)


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def table(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def feather(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.feather.write_feather(pa.table(columns), path)


def kitti_odometry(root):
    t = np.arange(COUNT) * 0.1037
    for i in range(COUNT):
        write_image(root / "sequences/07/image_0" / f"{i:06d}.png", i, as_grey=True)
    k = "30 0 31 {} 0 30 15 0 0 0 1 0"
    (root / "sequences/07/calib.txt").write_text(f"P0: {k.format(0)}\nP1: {k.format(-16)}")
    (root / "sequences/07/times.txt").write_text("\n".join(f"{x:e}" for x in t))
    h, p = heading(np.append(t, t[-1] + 0.1)), place(np.append(t, t[-1] + 0.1))  # one pose more than images
    # Camera axes: right is -y, down -z, forwards x. Turning left by h takes forwards (0, 0, 1) to (-sin h, 0, cos h).
    rows = [[np.cos(a), 0, -np.sin(a), -y, 0, 1, 0, 0, np.sin(a), 0, np.cos(a), x] for a, (x, y, _) in zip(h, p)]
    (root / "poses").mkdir()
    (root / "poses/07.txt").write_text("\n".join(" ".join(f"{v:.9e}" for v in row) for row in rows))
    return Layout(root, t)


def _stamps(t):
    return "\n".join(f"2011-09-26 13:02:{25 + x:012.9f}" for x in t)


def kitti_raw(root):
    t = np.arange(COUNT) * 0.1036 + 0.004
    drive = root / "2011_09_26/2011_09_26_drive_0001_sync"
    for i in range(COUNT):
        write_image(drive / "image_02/data" / f"{i:010d}.png", i)
    (drive / "image_02/timestamps.txt").write_text(_stamps(t))
    (root / "2011_09_26/calib_cam_to_cam.txt").write_text(
        "calib_time: 09-Jan-2012 13:57:47\nP_rect_02: 30 0 31 1 0 30 15 0 0 0 1 0\n"
    )
    at_s = np.arange(COUNT) * 0.1036  # the inertial system is a little before the pictures
    (drive / "oxts/data").mkdir(parents=True)
    (drive / "oxts/timestamps.txt").write_text(_stamps(at_s))
    for i, x in enumerate(at_s):
        state = np.zeros(30)
        state[[5, 8, 22]] = (heading(x) + np.pi) % (2 * np.pi) - np.pi, speed(x), rate(x)
        (drive / "oxts/data" / f"{i:010d}.txt").write_text(" ".join(f"{v:.10g}" for v in state))
    return Layout(root, t, lever_m=(1.08, 0.0))


def _comma_logs(write, t):
    """Global poses in an earth frame far from the equator, in the device's axes: forwards, right, down."""
    h, p = heading(t), place(t)
    north = np.array([[0.2, 0.5, 0.8], [0.9, -0.4, 0.0], [0.3, 0.75, -0.55]])
    earth = np.linalg.qr(north)[0]
    earth = earth * np.sign(np.linalg.det(earth))
    write("global_pose/frame_times", 1000 + t)
    write("global_pose/frame_positions", p @ earth.T + [-2.7e6, -4.3e6, 3.8e6])
    cos, sin, zero, one = np.cos(h), np.sin(h), np.zeros(len(h)), np.ones(len(h))
    body = np.moveaxis(np.array([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]]), -1, 0)
    device = earth @ body @ np.diag([1.0, -1, -1])
    w = np.sqrt(np.maximum(0, 1 + device[:, 0, 0] + device[:, 1, 1] + device[:, 2, 2])) / 2
    assert (w > 0.05).all()
    parts = [device[:, 2, 1] - device[:, 1, 2], device[:, 0, 2] - device[:, 2, 0], device[:, 1, 0] - device[:, 0, 1]]
    write("global_pose/frame_orientations", np.stack([w, *(x / (4 * w) for x in parts)], axis=1))
    fine = np.arange(0, t[-1], 0.01)
    write("processed_log/CAN/speed/t", 1000 + fine)
    write("processed_log/CAN/speed/value", speed(fine)[:, None])
    write("processed_log/IMU/gyro/t", 1000 + fine)
    write("processed_log/IMU/gyro/value", np.stack([0 * fine, 0 * fine, -rate(fine)], axis=1))


def comma2k19(root):
    t = np.arange(COUNT) * 0.05
    folder = root / "b0c9d2329ad1606b|2018-08-02--08-34-47/40"
    _comma_logs(lambda name, array: save(folder / name, array), t)
    (folder / "video.hevc").write_bytes(hevc(COUNT))
    return Layout(root, t)


def comma2k19_zip(root):
    unpacked = comma2k19(root / "unpacked")
    with zipfile.ZipFile(root / "Chunk_1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((root / "unpacked").rglob("*")):
            if path.is_file():
                archive.write(path, f"Chunk_1/{path.relative_to(root / 'unpacked')}")
                path.unlink()
    return Layout(root, unpacked.t_s)


def commavq(root):
    import torch

    tokens = np.tile(np.arange(COUNT)[:, None, None], (1, 8, 16)).astype(np.int16)
    save(root / "a.token.npy", tokens)
    t = np.arange(COUNT) / 20
    save(root / "a.pose.npy", np.stack([speed(t), 0 * t, 0 * t, 0 * t, 0 * t, -rate(t)], axis=1))

    class Painter(torch.nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return (8.0 * tokens[:, :1, None, None] + 4.0).expand(1, 3, 128, 256).contiguous()

    torch.jit.script(Painter()).save(str(root / "decoder.pt"))
    return Layout(root, t)


def donkeycar(root):
    lines = []
    for i in range(COUNT):
        write_image(root / "images" / f"{100 + i}_cam_image_array_.jpg", i)
        record = {"_index": 100 + i, "_session_id": "23-01-12_0", "_timestamp_ms": 1673520463666 + 50 * i}
        record |= {"cam/image_array": f"{100 + i}_cam_image_array_.jpg", "user/angle": float(np.sin(i / 4))}
        lines.append(json.dumps(record | {"user/mode": "user", "user/throttle": 0.4}))
    (root / "catalog_4.catalog").write_text("\n".join(lines) + "\n")
    about = {"paths": ["catalog_4.catalog"], "current_index": 130, "max_len": 1000, "deleted_indexes": []}
    head = ['["cam/image_array", "user/angle"]', '["image_array", "float"]', "{}", '{"created_at": 1.0}']
    (root / "manifest.json").write_text("\n".join([*head, json.dumps(about)]) + "\n")
    return Layout(root, np.arange(COUNT) * 0.05)


def sullychen(root):
    lines = []
    for i in range(COUNT):
        write_image(root / "data" / f"{i}.jpg", i)
        ms = 44912 + 33 * i
        lines.append(f"{i}.jpg {10 * np.sin(i / 4):.6f},2018-07-01 17:09:{ms // 1000}:{ms % 1000}")
    (root / "data.txt").write_text("\n".join(lines))
    return Layout(root, np.arange(COUNT) * 0.033)


def camvid(root):
    for i in range(COUNT):
        write_image(root / f"0016E5_{7959 + 2 * i:05d}.png", i)
    return Layout(root, np.arange(COUNT) / 15)


def cityscapes(root):
    t = np.arange(COUNT) / 17
    for i in range(COUNT):
        stem = f"train/aachen/aachen_000000_{i:06d}"
        write_image(root / "leftImg8bit_sequence" / f"{stem}_leftImg8bit.png", i)
        vehicle = {"gpsHeading": 1.0, "gpsLatitude": 50.0, "gpsLongitude": 6.0, "outsideTemperature": 20.0}
        vehicle |= {"speed": float(speed(t[i])), "yawRate": float(rate(t[i]))}
        dump(root / "vehicle_sequence" / f"{stem}_vehicle.json", vehicle)
        (root / "timestamp_sequence" / stem).parent.mkdir(parents=True, exist_ok=True)
        (root / "timestamp_sequence" / f"{stem}_timestamp.txt").write_text(str(1_000_000_000 + round(t[i] * 1e9)))
    extrinsic = {"baseline": 0.21, "pitch": 0.04, "roll": 0.0, "x": 1.7, "y": 0.1, "yaw": -0.02, "z": 1.22}
    camera = {"extrinsic": extrinsic, "intrinsic": {"fx": 2268.36, "fy": 2225.54, "u0": 1048.64, "v0": 519.28}}
    dump(root / "camera/train/aachen/aachen_000000_000019_camera.json", camera)
    return Layout(root, t)


def udacity_ch2(root):
    t = np.arange(COUNT) * 0.05
    rows = []
    for i, x in enumerate(t):
        ns = 1479424215880976321 + round(x * 1e9)
        wheel = 14.8 * np.arctan(2.85 * rate(x) / speed(x))
        write_image(root / "center" / f"{ns}.jpg", i)
        for camera, off in (("left", -5), ("right", 3), ("center", 0)):
            name = f"{camera}/{ns + off}.jpg"
            rows.append(f"d,{ns + off},640,480,{camera}_camera,{name},{wheel:.9f},0.3,{speed(x):.9f},37.5,-122.3,8.1")
    head = "index,timestamp,width,height,frame_id,filename,angle,torque,speed,lat,long,alt"
    order = np.random.default_rng(0).permutation(len(rows))
    (root / "interpolated.csv").write_text("\n".join([head, *(rows[i] for i in order)]) + "\n")
    return Layout(root, t)


def dashcam(root):
    write_mp4(root / "mine/one.mp4", COUNT, 10)
    return Layout(root, np.arange(COUNT) * 0.1)


def udacity_sim(root):
    lines = []
    for i in range(COUNT):
        ms = 27011 + 100 * i
        name = f"center_2019_05_31_15_27_{ms // 1000}_{ms % 1000}.jpg"
        write_image(root / "IMG" / name, i)
        lines.append(f"C:\\IMG\\{name}, left.jpg, right.jpg, {np.sin(i / 4):.6f}, 0.5, 0, 20.0")
    (root / "driving_log.csv").write_text("\n".join(lines))
    return Layout(root, np.arange(COUNT) * 0.1)


def recordings(root):
    t = np.arange(COUNT) * 0.1
    write_mp4(root / "mine.mp4", COUNT, 10)
    v, w = truth(np.append(t, t[-1] + 0.1))
    rows = [f"{a:.4f},{b:.9f},{c:.9f}" for a, b, c in zip(t, v, w)]
    (root / "mine.csv").write_text("\n".join(["t,speed_mps,yaw_rate", *rows]))
    return Layout(root, t)
