"""Every dataset in the layout of its publisher: frames, times, motion, camera, tags, split, as they were written."""

import json
import pickle

import numpy as np
import publishers as p
import publishers_more as more
import pytest
from layouts import READERS, WRITERS, reader_of

from worldmodel.datasets import detect
from worldmodel.datasets.episodes import EpisodeDataset
from worldmodel.datasets.prepare import Settings, prepare
from worldmodel.datasets.readers.commavq import CommaVQ
from worldmodel.datasets.readers.lerobot import LeRobot
from worldmodel.datasets.readers.nuscenes import NuScenes

#: How near speed (m/s) and yaw rate (rad/s) come to the truth; half a row off would be 0.1 to 0.2 and 0.02 to 0.03.
NEAR = {"kitti_raw": (0.03, 2e-3), "udacity_ch2": (0.01, 2e-3), "cityscapes": (0.01, 2e-3), "commavq": (0.01, 2e-3)}
NEAR |= {
    "lerobot_v21": (0.02, 1e-3),
    "lerobot_v3": (0.02, 1e-3),
    "nuscenes_can_bus": (0.012, 2e-3),
    "nvidia": (0.03, 3e-3),
}
KNOWN = sorted(set(WRITERS) - {"donkeycar", "sullychen", "camvid", "dashcam", "udacity_sim", "bdd100k"})


def opened(name, root):
    layout = WRITERS[name](root)
    source = reader_of(name, root)
    drives = source.drives()
    assert drives == sorted(drives)
    return layout, source.open(layout.drive or drives[0])


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_frames_and_times_belong_together(name, tmp_path):
    layout, recording = opened(name, tmp_path)
    np.testing.assert_allclose(recording.t_s - recording.t_s[0], layout.t_s - layout.t_s[0], atol=2e-5)
    rows = list(range(0, len(recording), 3))
    shown = [p.index_of(frame) for frame in recording.frames(rows)]
    assert shown == rows
    frame = next(recording.frames([0]))
    assert frame.shape == (recording.camera.height_px, recording.camera.width_px, 3)
    assert np.flatnonzero(recording.breaks).tolist() == [0]
    assert recording.usable.all()
    assert recording.licence or name in ("recordings",)


@pytest.mark.parametrize("name", KNOWN)
def test_motion_is_the_forward_difference_of_the_path(name, tmp_path):
    layout, recording = opened(name, tmp_path)
    speed, yaw_rate = p.truth(layout.t_s, layout.lever_m)
    near = NEAR.get(name, (0.012, 1e-3))  # the path itself is integrated to a millimetre
    known = np.isfinite(recording.motion.speed_mps[:-1]) & np.isfinite(recording.motion.yaw_rate_radps[:-1])
    assert known.mean() > 0.9
    assert np.abs(recording.motion.speed_mps[:-1] - speed)[known].max() < near[0]
    assert np.abs(recording.motion.yaw_rate_radps[:-1] - yaw_rate)[known].max() < near[1]
    assert np.isnan(recording.motion.speed_mps[-1]) or name == "recordings", "only a table of ours can know it"
    late = np.abs(np.roll(yaw_rate, 1)[1:] - yaw_rate[1:]).max()
    assert late > 3 * near[1], "a row off would be seen"


def test_what_is_unknown_stays_unknown(tmp_path):
    for name in ("donkeycar", "sullychen", "camvid", "dashcam"):
        _, recording = opened(name, tmp_path / name)
        assert not np.isfinite(recording.motion.speed_mps).any()
        assert (recording.speed_source, recording.yaw_rate_source) == ("unknown", "unknown")


def test_a_phone_s_gps_is_interpolated(tmp_path):
    layout, recording = opened("bdd100k", tmp_path)
    assert (recording.speed_source, recording.yaw_rate_source) == ("interpolated", "interpolated")
    seconds = np.arange(4)
    turned = np.nancumsum(recording.motion.yaw_rate_radps[:-1] * np.diff(layout.t_s))
    for second in seconds[1:3]:  # between readings a line, at readings the truth
        assert turned[10 * second - 1] == pytest.approx(p.heading(second) - p.heading(0.0), abs=1e-3)
        assert recording.motion.speed_mps[10 * second] == pytest.approx(p.speed(second + 0.05), abs=0.15)


@pytest.mark.parametrize("name", ["nuscenes", "argoverse2", "waymo", "nvidia"])
def test_mountings_become_angles_and_heights(name, tmp_path):
    _, recording = opened(name, tmp_path)
    camera = recording.camera
    assert (camera.pitch_rad, camera.yaw_rad, camera.roll_rad) == pytest.approx((0, 0, 0), abs=1e-9)
    assert camera.height_m == pytest.approx(p.LEVER[2] + (0.33 if name == "argoverse2" else 0))


def test_published_splits_tags_and_captions_are_kept(tmp_path):
    found = {name: opened(name, tmp_path / name)[1] for name in ("nuscenes", "bdd100k", "waymo", "cityscapes")}
    assert {name: r.split for name, r in found.items()} == {
        "nuscenes": "train", "bdd100k": "train", "waymo": "val", "cityscapes": "train"}  # fmt: skip
    assert found["nuscenes"].caption == "Parked truck, rain, night"
    tags = {name: r.tags[0].names() for name, r in found.items()}
    assert (tags["nuscenes"]["weather"], tags["nuscenes"]["time_of_day"]) == ("rain", "night")
    assert (tags["bdd100k"]["weather"], tags["bdd100k"]["road_kind"]) == ("rain", "motorway")
    assert (tags["waymo"]["weather"], tags["waymo"]["time_of_day"]) == ("rain", "dusk")
    assert opened("argoverse2", tmp_path / "a")[1].split == opened("nvidia", tmp_path / "n")[1].split == "val"


def test_key_frames_alone_are_refused_with_the_reason(tmp_path):
    more.nuscenes(tmp_path, sweeps=False)
    with pytest.raises(ValueError, match=r"scene-0061: only key frames are there \(2 a second\).* fetch the sweeps"):
        NuScenes(tmp_path).open("v1.0-mini/scene-0061")


def test_tokens_without_their_decoder_are_refused_by_name(tmp_path):
    p.commavq(tmp_path)
    with pytest.raises(ValueError, match=r"a\.token\.npy: .* fetch decoder\.onnx from https.* --decoder"):
        CommaVQ(tmp_path).open("a")
    with pytest.raises(ValueError, match=r"no\.onnx is not there"):
        CommaVQ(tmp_path, tmp_path / "no.onnx").open("a")
    (tmp_path / "bad.onnx").write_bytes(b"not a network")
    recording = CommaVQ(tmp_path, tmp_path / "bad.onnx").open("a")
    with pytest.raises(ValueError, match=r"bad\.onnx: not a decoder"):
        list(recording.frames([0]))
    assert any("--poses" in problem for problem in recording.problems), "units of poses are not guessed"
    assert np.isnan(recording.motion.speed_mps).all()


def test_tokens_are_decoded_by_a_decoder_in_onnx(tmp_path):
    """A small one, of the operations of the published one: whole numbers looked up, made a picture, made larger."""
    onnx = pytest.importorskip("onnx")
    p.commavq(tmp_path)
    tensors = {
        "codebook": np.repeat(np.minimum(8.0 * np.arange(1024) + 4, 255)[:, None], 3, axis=1).astype(np.float32),
        "shape": np.array([1, 3, 8, 16]),
        "scales": np.array([1, 1, 16, 16], np.float32),
    }
    node = onnx.helper.make_node
    nodes = [
        node("Gather", ["codebook", "encoding_indices"], ["vectors"]),
        node("Transpose", ["vectors"], ["channels"], perm=[0, 2, 1]),
        node("Reshape", ["channels", "shape"], ["small"]),
        node("Resize", ["small", "", "scales"], ["picture"], mode="nearest"),
    ]
    told = onnx.helper.make_tensor_value_info("encoding_indices", onnx.TensorProto.INT64, [1, 128])
    seen = onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [1, 3, 128, 256])
    weights = [onnx.numpy_helper.from_array(array, name) for name, array in tensors.items()]
    graph = onnx.helper.make_graph(nodes, "decoder", [told], [seen], weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "decoder.onnx")
    recording = CommaVQ(tmp_path, tmp_path / "decoder.onnx").open("a")
    shown = [p.index_of(frame) for frame in recording.frames(range(0, p.COUNT, 7))]
    assert shown == list(range(0, p.COUNT, 7))


def test_a_command_acts_later_than_it_is_logged(tmp_path):
    p.donkeycar(tmp_path)
    at_once, later = (READERS["donkeycar"](tmp_path, lead_s).open(tmp_path.name) for lead_s in (0.0, 0.1))
    steering, delayed = at_once.columns["steering"], later.columns["steering"]
    np.testing.assert_allclose(delayed[2:-1], steering[:-3], atol=1e-5)  # two rows of 50 ms
    assert np.isnan(delayed[:2]).all()
    assert steering[3] < 0, "left positive, and the tub's right is positive"


def test_deleted_records_end_the_stretch(tmp_path):
    p.donkeycar(tmp_path)
    manifest = (
        (tmp_path / "manifest.json").read_text().replace('"deleted_indexes": []', '"deleted_indexes": [110, 111]')
    )
    (tmp_path / "manifest.json").write_text(manifest)
    prepare(READERS["donkeycar"](tmp_path), tmp_path / "out", Settings(32, 64, 4), workers=0, progress=False)
    rows = [e.columns["source_frame"].tolist() for e in EpisodeDataset(tmp_path / "out")]
    assert rows == [[0, 2, 4, 6, 8], list(range(12, 30, 2))]


def test_a_cut_ends_the_stretch(tmp_path):
    rng = np.random.default_rng(0)
    scenes = [np.kron(rng.integers(0, 255, (4, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(2)]
    with p.VideoWriter(tmp_path / "v.mp4", 32, 64, fps=10) as writer:
        writer.write_all(scenes[i >= 20] for i in range(40))
    (report,) = prepare(READERS["dashcam"](tmp_path), tmp_path / "out", Settings(32, 64, 8), workers=0, progress=False)
    rows = [e.columns["source_frame"].tolist() for e in EpisodeDataset(tmp_path / "out")]
    assert rows == [list(range(20)), list(range(21, 40))]
    assert any("a cut at 2.0 s" in problem for problem in report.problems)


def test_what_we_wrote_is_a_lerobot_dataset(tmp_path):
    p.recordings(tmp_path / "in")
    prepare(READERS["recordings"](tmp_path / "in"), tmp_path / "out", Settings(32, 64), workers=0, progress=False)
    root = p.Path(__file__).parents[2] / "data" / "lerobot"
    recording = LeRobot(tmp_path / "out", json.loads((root / "own.json").read_text())).open("episode_000000")
    np.testing.assert_allclose(recording.motion.speed_mps[:-1], p.truth(recording.t_s)[0], atol=1e-4)
    assert len(recording) == p.COUNT
    assert set(json.loads((root / "l2d.json").read_text())) >= {"video", "camera", "speed", "heading"}


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_every_source_pickles_and_an_empty_folder_is_an_error(name, tmp_path):
    source = reader_of(name, tmp_path)
    assert pickle.loads(pickle.dumps(source)) == source
    with pytest.raises(ValueError, match=str(tmp_path)):
        source.drives()


def test_every_dataset_of_a_folder_is_found_by_its_own_reader(tmp_path):
    names = [n for n in sorted(WRITERS) if n not in ("recordings", "dashcam")]
    for name in names:
        WRITERS[name](tmp_path / "all" / name)
    p.recordings(tmp_path / "all" / "videos" / "recordings")
    found = {
        f.folder.relative_to(tmp_path / "all").as_posix(): type(f.source) for f in detect.find_sources(tmp_path / "all")
    }
    expected = {name: type(reader_of(name, tmp_path)) for name in names}
    assert found == expected | {"videos": READERS["dashcam"]} or found == expected | {
        "videos/recordings": READERS["recordings"]
    }
