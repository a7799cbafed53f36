"""A prepared set is a LeRobot v3.0 dataset, held against a published one.

``published_info.json`` is meta/info.json of a dataset recorded with LeRobot itself
(github.com/SamueleSandrini/record-test, commit c6d0de30; two of its four cameras and states left out). Columns of
meta/episodes are those LeRobot's own writer makes (``LeRobotDatasetMetadata.save_episode``), statistics those of its
meta/stats.json.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import HEIGHT, WIDTH, write_episode

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset
from worldmodel.datasets.video import VideoReader

PUBLISHED = json.loads(Path(__file__).with_name("published_info.json").read_text())
EPISODE_COLUMNS = {
    "episode_index": pa.int64(),
    "tasks": pa.list_(pa.string()),
    "length": pa.int64(),
    "data/chunk_index": pa.int64(),
    "data/file_index": pa.int64(),
    "dataset_from_index": pa.int64(),
    "dataset_to_index": pa.int64(),
    "videos/observation.images.front/chunk_index": pa.int64(),
    "videos/observation.images.front/file_index": pa.int64(),
    "videos/observation.images.front/from_timestamp": pa.float64(),
    "videos/observation.images.front/to_timestamp": pa.float64(),
    "meta/episodes/chunk_index": pa.int64(),
    "meta/episodes/file_index": pa.int64(),
}


@pytest.fixture
def info(small_set):
    return json.loads((small_set.root / "meta/info.json").read_text())


def same_kind(ours, theirs):
    return type(ours) is type(theirs) or (isinstance(ours, int | float) and isinstance(theirs, int | float))


def test_info_has_every_published_key_and_no_other(info):
    assert set(info) == set(PUBLISHED)
    for key in PUBLISHED:
        assert same_kind(info[key], PUBLISHED[key]), key
    for key in ("codebase_version", "data_path", "video_path", "chunks_size"):
        assert info[key] == PUBLISHED[key]
    assert info["splits"] == {"train": f"0:{info['total_episodes']}"}


def test_features_are_described_as_published(info):
    for feature in info["features"].values():
        assert {"dtype", "shape", "names"} <= set(feature)
        assert all(isinstance(side, int) for side in feature["shape"])
    ours, theirs = info["features"][lerobot.VIDEO_KEY], PUBLISHED["features"][lerobot.VIDEO_KEY]
    assert set(ours) == set(theirs)
    assert set(ours["info"]) == set(theirs["info"])
    assert ours["names"] == theirs["names"]
    assert ours["shape"] == [HEIGHT, WIDTH, 3]
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        assert info["features"][name] == PUBLISHED["features"][name]


def test_tables_have_exactly_the_described_columns_and_types(small_set, info):
    for path in sorted(small_set.root.glob("data/*/*.parquet")):
        schema = pq.read_schema(path)
        described = {name: f for name, f in info["features"].items() if f["dtype"] != "video"}
        assert set(schema.names) == set(described)
        for name, feature in described.items():
            scalar = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
            expected = scalar if feature["shape"] == [1] else pa.list_(scalar, feature["shape"][0])
            assert schema.field(name).type == expected, name


def test_episodes_point_at_their_rows_and_files(small_set, info):
    table = pq.read_table(small_set.root / lerobot.EPISODES_PATH)
    for name, kind in EPISODE_COLUMNS.items():
        assert table.schema.field(name).type == kind, name
    # LeRobot concatenates the data files in the order of their sorted paths.
    paths = sorted(small_set.root.glob("data/*/*.parquet"))
    rows = pa.concat_tables([pq.read_table(p).replace_schema_metadata(None) for p in paths])
    assert rows["index"].to_pylist() == list(range(info["total_frames"]))
    start = 0
    for number, episode in enumerate(table.to_pylist()):
        assert episode["episode_index"] == number
        assert episode["dataset_from_index"] == start
        assert episode["dataset_to_index"] == start + episode["length"]
        own = rows.slice(start, episode["length"])
        assert set(own["episode_index"].to_pylist()) == {number}
        assert own["frame_index"].to_pylist() == list(range(episode["length"]))
        np.testing.assert_allclose(own["timestamp"].to_numpy(), np.arange(episode["length"]) / info["fps"], atol=1e-5)
        prefix = f"videos/{lerobot.VIDEO_KEY}"
        video = small_set.root / info["video_path"].format(
            video_key=lerobot.VIDEO_KEY,
            chunk_index=episode[f"{prefix}/chunk_index"],
            file_index=episode[f"{prefix}/file_index"],
        )
        with VideoReader(video) as reader:
            assert len(reader) == episode["length"]
            # LeRobot finds frames by timestamp, with a tolerance of 1e-4 s.
            np.testing.assert_allclose(
                reader.times_s + episode[f"{prefix}/from_timestamp"], own["timestamp"].to_numpy(), atol=1e-4
            )
        start += episode["length"]
    assert start == info["total_frames"]
    assert set(table["camera_height_m"].to_pylist()) == {1.2}
    assert len(table) == info["total_episodes"]


def test_tasks_are_a_pandas_index_named_task(small_set, info):
    table = pq.read_table(small_set.root / "meta/tasks.parquet")
    assert table["task"].to_pylist() == ["a test"]
    assert table["task_index"].to_pylist() == list(range(info["total_tasks"]))
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_parquet(small_set.root / "meta/tasks.parquet")
    assert frame.index.name == "task"
    assert list(frame.columns) == ["task_index"]
    assert int(frame.loc["a test"].task_index) == 0


def test_statistics_have_the_published_shape_and_are_those_of_the_rows(small_set, info):
    stats = json.loads((small_set.root / "meta/stats.json").read_text())
    assert set(stats) == set(info["features"])
    for name, stat in stats.items():
        assert {"min", "max", "mean", "std", "count"} == set(stat)
        assert np.shape(stat["count"]) == (1,)
        expected = (3, 1, 1) if name == lerobot.VIDEO_KEY else tuple(info["features"][name]["shape"])
        assert np.shape(stat["mean"]) == expected, name
    motion = np.concatenate([np.stack([e.motion.speed_mps, e.motion.yaw_rate_radps], -1)[:-1] for e in small_set])
    for kind, value in {"mean": motion.mean(0), "std": motion.std(0), "max": motion.max(0)}.items():
        np.testing.assert_allclose(stats["action"][kind], value, rtol=1e-4)
    assert stats["action"]["count"] == [len(motion)]


def test_further_columns_become_features(tmp_path):
    write_episode(tmp_path, 0, truth_gap_m=np.linspace(9, 3, 40).astype(np.float32), lane=np.arange(40))
    lerobot.rebuild_meta(tmp_path)
    features = json.loads((tmp_path / "meta/info.json").read_text())["features"]
    assert features["truth_gap_m"] == {"dtype": "float32", "shape": [1], "names": None}
    assert features["lane"]["dtype"] == "int64"
    columns = EpisodeDataset(tmp_path)[0].columns
    np.testing.assert_allclose(columns["truth_gap_m"], np.linspace(9, 3, 40), rtol=1e-6)


def test_a_set_of_unequal_episodes_is_refused(tmp_path):
    write_episode(tmp_path, 0)
    write_episode(tmp_path, 1, lane=np.arange(40))
    with pytest.raises(ValueError, match=r"chunk-001/file-000.parquet: columns"):
        lerobot.rebuild_meta(tmp_path)


def test_a_foreign_or_newer_table_is_named(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ValueError, match=r"x\.parquet: not written by this project"):
        lerobot.read_footer(path)
    lerobot.write_table(path, pa.table({"a": [1]}), {"format": 99})
    with pytest.raises(ValueError, match=r"format 99 is newer"):
        lerobot.read_footer(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"x\.parquet: not a readable parquet"):
        lerobot.read_footer(path)
