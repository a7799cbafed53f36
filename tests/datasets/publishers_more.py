"""More of ``publishers``: datasets of which no real excerpt is at hand, written from their published schemas."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from publishers import (
    AHEAD,
    COUNT,
    LEVER,
    Layout,
    dump,
    encoded,
    feather,
    heading,
    picture,
    place,
    quaternion,
    rate,
    speed,
    table,
    write_image,
    write_mp4,
)

from worldmodel.datasets.video import VideoWriter


def nuscenes(root, sweeps=True, can_bus=False):
    t = np.arange(COUNT) / 12
    us = 1_532_402_927_612_460 + np.round(t * 1e6).astype(int)
    version = root / "v1.0-mini"
    rows, poses = [], []
    for i in range(COUNT):
        key = i % 6 == 0
        name = f"{'samples' if key else 'sweeps'}/CAM_FRONT/n015__CAM_FRONT__{us[i]}.jpg"
        if key or sweeps:
            write_image(root / name, i)
        row = {"token": f"d{i}", "sample_token": f"s{-(-i // 6)}", "ego_pose_token": f"p{i}", "filename": name}
        row |= {"calibrated_sensor_token": "c", "timestamp": int(us[i]), "is_key_frame": key, "fileformat": "jpg"}
        rows.append(row | {"width": 64, "height": 32, "next": "", "prev": ""})
        pose = {"token": f"p{i}", "timestamp": int(us[i]), "translation": place(t[i]).tolist()}
        poses.append(pose | {"rotation": quaternion(heading(t[i])).tolist()})
    samples = [{"token": f"s{i}", "scene_token": "scene", "timestamp": int(us[0])} for i in range(7)]
    scene = {"token": "scene", "name": "scene-0061", "description": "Parked truck, rain, night", "log_token": "log"}
    dump(version / "scene.json", [scene | {"nbr_samples": 6}])
    dump(version / "sample.json", samples)
    dump(version / "sample_data.json", rows[::-1])
    dump(version / "ego_pose.json", poses)
    sensor = {"token": "c", "sensor_token": "front", "translation": list(LEVER), "rotation": AHEAD.tolist()}
    dump(version / "calibrated_sensor.json", [sensor | {"camera_intrinsic": [[50, 0, 32], [0, 50, 16], [0, 0, 1]]}])
    dump(version / "sensor.json", [{"token": "front", "channel": "CAM_FRONT", "modality": "camera"}])
    dump(version / "log.json", [{"token": "log", "logfile": "n015-2018", "location": "singapore-onenorth"}])
    if can_bus:
        fine = np.arange(0, t[-1] + 0.02, 0.02)
        messages = [{"utime": int(us[0] + x * 1e6), "vel": [speed(x), 0.0, 0.0], "rotation_rate": [0.0, 0.0, rate(x)]}
                    for x in fine]  # fmt: skip
        dump(root / "can_bus/scene-0061_pose.json", messages)
    return Layout(root, t, lever_m=LEVER[:2])


def bdd100k(root):
    t = np.arange(COUNT) * 0.1
    write_mp4(root / "videos/train/0000f77c-6257be58.mov", COUNT, 10)
    seconds = np.arange(5)
    locations = []
    for s in seconds:
        where = {"timestamp": 1_503_828_163_000 + 1000 * int(s), "longitude": -73.9, "latitude": 40.7, "accuracy": 5.0}
        locations.append(where | {"course": float(-np.degrees(heading(s)) % 360), "speed": float(speed(s))})
    info = {"rideID": "ride7", "startTime": 1_503_828_163_000, "endTime": 1_503_828_167_000, "locations": locations}
    dump(root / "info/100k/train/0000f77c-6257be58.json", info | {"gyro": [], "accelerometer": [], "filename": "x.mov"})
    attributes = {"weather": "rainy", "scene": "highway", "timeofday": "night"}
    dump(
        root / "labels/bdd100k_labels_images_train.json", [{"name": "0000f77c-6257be58.jpg", "attributes": attributes}]
    )
    return Layout(root, t)


def argoverse2(root):
    t = np.arange(COUNT) * 0.05
    ns = 315_967_376_859_506_000 + np.round(t * 1e9).astype(np.int64)
    log = root / "val/02678d04-cc9f-3148-9f95-1ba66347dff9"
    for i in range(COUNT):
        write_image(log / "sensors/cameras/ring_front_center" / f"{ns[i]}.jpg", i, 64, 48)
    fine = np.arange(0, t[-1] + 0.011, 0.01)
    q, p = quaternion(heading(fine)), place(fine)
    columns = {"timestamp_ns": ns[0] + np.round(fine * 1e9).astype(np.int64)}
    columns |= {name: q[:, i] for i, name in enumerate(("qw", "qx", "qy", "qz"))}
    feather(log / "city_SE3_egovehicle.feather", columns | {f"t{a}_m": p[:, i] for i, a in enumerate("xyz")})
    names = ["ring_front_center", "ring_front_left"]
    columns = {"sensor_name": names, **{n: [v, v] for n, v in zip(("qw", "qx", "qy", "qz"), AHEAD)}}
    columns |= {f"t{a}_m": [v, v] for a, v in zip("xyz", LEVER)}
    feather(log / "calibration/egovehicle_SE3_sensor.feather", columns)
    values = {"fx_px": 50.0, "fy_px": 50.0, "cx_px": 24.0, "cy_px": 32.0, "k1": -0.2, "k2": 0.1, "k3": 0.0}
    columns = {
        "sensor_name": names,
        **{n: [v, v] for n, v in values.items()},
        "height_px": [64, 48],
        "width_px": [48, 64],
    }
    feather(log / "calibration/intrinsics.feather", columns)
    return Layout(root, t, lever_m=LEVER[:2])


def waymo(root):
    t = np.arange(COUNT) * 0.1
    name = "10017090168044687777_6380_000_6400_000.parquet"
    key, image = "key.", "[CameraImageComponent]."
    rows = []
    for i, x in enumerate(t):
        c, s, (px, py, _) = np.cos(heading(x)), np.sin(heading(x)), place(x)
        transform = [c, -s, 0, px, s, c, 0, py, 0, 0, 1, 0, 0, 0, 0, 1]
        for camera in (2, 1):
            row = {f"{key}segment_context_name": name[:-8], f"{key}camera_name": camera}
            row |= {f"{key}frame_timestamp_micros": 1_550_083_467_346_370 + round(x * 1e6)}
            row |= {f"{image}image": encoded(i if camera == 1 else 0), f"{image}pose.transform": transform}
            rows.append(row | {f"{image}pose_timestamp": 1550083467.346370 + x})
    path = root / "validation/camera_image" / name
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows[::-1]), path, row_group_size=8)
    camera = "[CameraCalibrationComponent]."
    x, y, z = LEVER
    values = dict(zip(("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3"), (50.0, 50, 32, 16, 0.01, 0, 0, 0, 0)))
    columns = {f"{key}camera_name": [2, 1], **{f"{camera}intrinsic.{n}": [float(v)] * 2 for n, v in values.items()}}
    extrinsic = [1.0, 0, 0, x, 0, 1, 0, y, 0, 0, 1, z, 0, 0, 0, 1]
    columns |= {
        f"{camera}extrinsic.transform": [extrinsic] * 2,
        f"{camera}width": [64] * 2,
        f"{camera}height": [32] * 2,
    }
    table(root / "validation/camera_calibration" / name, columns)
    stats = {"time_of_day": ["Dawn/Dusk"], "weather": ["rain"], "location": ["location_sf"]}
    table(root / "validation/stats" / name, {f"[StatsComponent].{n}": v for n, v in stats.items()})
    return Layout(root, t, lever_m=(x, y))


MAPPING = {
    "video": "observation.images.front_left",
    "camera": {"hfov_deg": 70, "horizon": 0.45, "height_m": 1.5},
    "speed": {"column": "observation.state.vehicle", "index": 0, "scale": 1 / 3.6},
    "heading": {"column": "observation.state.vehicle", "index": 1, "scale": -np.pi / 180},
    "caption": "task.instructions",
    "licence": "Apache-2.0",
}


def _lerobot_rows(episode, t):
    vehicle = [[3.6 * float(speed(x)), float(-np.degrees(heading(x)) % 360)] for x in t]
    columns = {"episode_index": [episode] * len(t), "frame_index": list(range(len(t))), "timestamp": t.tolist()}
    return columns | {"observation.state.vehicle": vehicle, "task.instructions": ["turn left"] * len(t)}


def _lerobot_info(root, version, data, video):
    features = {MAPPING["video"]: {"dtype": "video", "shape": [3, 32, 64]}}
    info = {"codebase_version": version, "fps": 10, "chunks_size": 1000, "features": features}
    dump(root / "meta/info.json", info | {"data_path": data, "video_path": video})


def lerobot_v21(root):
    t = np.arange(COUNT) * 0.1
    data = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
    video = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
    _lerobot_info(root, "v2.1", data, video)
    (root / "meta/episodes.jsonl").write_text(
        json.dumps({"episode_index": 0, "tasks": ["drive"], "length": COUNT}) + "\n"
    )
    table(root / "data/chunk-000/episode_000000.parquet", _lerobot_rows(0, t))
    write_mp4(root / "videos/chunk-000" / MAPPING["video"] / "episode_000000.mp4", COUNT, 10)
    return Layout(root, t)


def lerobot_v3(root):
    """Two episodes in one table and one video; the second is the drive, so that everything is shifted."""
    t = np.arange(COUNT) * 0.1
    data = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    video = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    _lerobot_info(root, "v3.0", data, video)
    first, second = _lerobot_rows(0, np.arange(4) * 0.1), _lerobot_rows(1, t)
    table(root / "data/chunk-000/file-000.parquet", {k: first[k] + second[k] for k in first})
    key = f"videos/{MAPPING['video']}"
    episodes = {"episode_index": [0, 1], "tasks": [["a"], ["b"]], "data/chunk_index": [0, 0], "data/file_index": [0, 0]}
    episodes |= {f"{key}/chunk_index": [0, 0], f"{key}/file_index": [0, 0], f"{key}/from_timestamp": [0.0, 0.4]}
    table(
        root / "meta/episodes/chunk-000/file-000.parquet", episodes | {f"{key}/to_timestamp": [0.4, 0.4 + COUNT / 10]}
    )
    path = root / key / "chunk-000/file-000.mp4"
    path.parent.mkdir(parents=True)
    with VideoWriter(path, 32, 64, fps=10) as writer:
        writer.write_all(picture(i) for i in [29, 28, 27, 26, *range(COUNT)])
    return Layout(root, t, drive="episode_000001")


def nvidia(root):
    t = np.arange(COUNT) / 30
    clip, camera = "25cd4769-5dcf-4b53-a351-bf2c5deb6124", "camera_front_wide_120fov"
    scratch = root / "scratch"
    write_mp4(scratch / "v.mp4", COUNT, 30)
    table(scratch / "t.parquet", {"timestamp": np.round(t * 1e6 + 14_000).astype(np.int64)})
    fine = np.arange(-0.02, t[-1] + 0.05, 0.01)
    q, p = quaternion(heading(np.maximum(fine, 0))), place(np.maximum(fine, 0))
    columns = {"timestamp": np.round(fine * 1e6 + 14_000).astype(np.int64), **dict(zip(("qw", "qx", "qy", "qz"), q.T))}
    table(scratch / "e.parquet", columns | dict(zip("xyz", p.T)) | {"curvature": rate(fine)})
    for folder, members in (
        (f"camera/{camera}/{camera}", {"v.mp4": f"{camera}.mp4", "t.parquet": f"{camera}.timestamps.parquet"}),
        ("labels/egomotion/egomotion", {"e.parquet": "egomotion.parquet"}),
    ):
        path = root / f"{folder}.chunk_0000.zip"
        path.parent.mkdir(parents=True)
        with zipfile.ZipFile(path, "w") as archive:
            for member, ending in members.items():
                archive.write(scratch / member, f"{clip}.{ending}")
    for path in scratch.iterdir():
        path.unlink()
    scratch.rmdir()
    lens = {"width": [64], "height": [32], "cx": [31.5], "cy": [15.5], "fw_poly_0": [0.0], "fw_poly_1": [30.0]}
    lens |= {"fw_poly_2": [0.0], "fw_poly_3": [-1.0], "fw_poly_4": [0.0]}
    table(root / "calibration/camera_intrinsics/camera_intrinsics.chunk_0000.parquet",
          {"clip_id": [clip], "camera_name": [camera], **lens})  # fmt: skip
    mount = {n: [float(v)] for n, v in zip(("qw", "qx", "qy", "qz", "x", "y", "z"), [*AHEAD, *LEVER])}
    table(root / "calibration/sensor_extrinsics/sensor_extrinsics.chunk_0000.parquet",
          {"clip_id": [clip], "sensor_name": [camera], **mount})  # fmt: skip
    table(root / "clip_index.parquet", {"clip_id": [clip], "chunk": [0], "split": ["val"]})
    return Layout(root, t, lever_m=LEVER[:2])
