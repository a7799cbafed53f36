"""Episodes come back as they were written, clips by seek; and they survive a kill at any moment."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import HEIGHT, WIDTH, textured, write_episode

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.motion import dead_reckon
from worldmodel.types import EgoMotion, Tags


def test_an_episode_comes_back_as_it_was_written(small_set):
    episode = small_set.find("drive0#000")
    assert (episode.length, episode.info.drive_id, episode.info.place_id) == (40, "drive0", "place0")
    assert episode.info.camera.height_m == 1.2
    assert episode.info.camera == canonical_camera(HEIGHT, WIDTH, height_m=1.2)
    assert (~episode.info.valid_mask).sum() == 5 * HEIGHT
    assert (episode.info.speed_source, episode.info.yaw_rate_source) == ("measured", "inferred")
    assert (episode.info.licence, episode.info.caption) == ("CC0", "a test")
    np.testing.assert_allclose(episode.t_s, 100 + np.arange(40) * 0.1)
    np.testing.assert_allclose(episode.motion.speed_mps[:-1], np.arange(39) * 0.1, rtol=1e-6)
    assert np.isnan(episode.motion.speed_mps[-1])
    assert np.isnan(episode.motion.yaw_rate_radps[-1])
    assert episode.tags[3].names()["weather"] == "rain"
    frames = textured(40)
    assert np.abs(episode.read(0, 40).astype(float) - frames).mean() < 8


def test_a_clip_is_cut_in_frames_times_and_motion_alike(small_set):
    episode = small_set.find("drive1#000")
    whole = episode.clip().validate()
    assert len(whole) == 50
    clip = episode.clip(7, 20).validate()
    np.testing.assert_array_equal(clip.frames, whole.frames[7:27])
    np.testing.assert_array_equal(clip.t_s, whole.t_s[7:27])
    np.testing.assert_array_equal(clip.motion.speed_mps, whole.motion.speed_mps[7:27])
    assert clip.tags.caption == "a test"
    with pytest.raises(ValueError, match=r"drive1#000: clip of 20 frames from 40 by 1: the episode has 50"):
        episode.clip(40, 20)


def test_a_clip_with_a_stride_goes_where_the_whole_goes(small_set):
    episode = small_set.find("drive1#000")
    whole, clip = episode.clip(0, 49), episode.clip(0, 13, stride=4).validate()
    np.testing.assert_array_equal(clip.frames, whole.frames[::4])
    coarse, fine = dead_reckon(clip.motion, clip.t_s), dead_reckon(whole.motion, whole.t_s)[::4]
    np.testing.assert_allclose(coarse[:, 2], fine[:, 2], atol=1e-6)
    np.testing.assert_allclose(coarse[:, :2], fine[:, :2], atol=0.02)  # a chord points half way between headings
    assert clip.motion.is_known.tolist() == [True] * 12 + [False]


def test_an_episode_is_a_drive_whose_frames_are_lazy(small_set):
    drive = small_set[0].drive()
    drive.validate()
    assert len(drive) == 40
    assert drive.frames[4].shape == (HEIGHT, WIDTH, 3)
    assert drive.provenance["episode_id"] == "drive0#000"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t_s": np.arange(40) * 0.2}, r"t_s: a step of 0.200 s"),
        ({"t_s": np.arange(39) * 0.1}, r"t_s: expected shape \(40,\), got \(39,\)"),
        ({"motion": EgoMotion(np.full(40, np.inf), np.zeros(40))}, r"EgoMotion.speed_mps: expected finite or NaN"),
        ({"columns": {"gap": np.zeros(3)}}, r"gap: expected shape \(40,\)"),
    ],
)
def test_what_breaks_the_contract_is_refused_and_leaves_nothing(tmp_path, change, message):
    camera = canonical_camera(HEIGHT, WIDTH)
    info = EpisodeInfo("d", "p", camera, np.ones((HEIGHT, WIDTH), bool))
    given = {"t_s": np.arange(40) * 0.1, "motion": EgoMotion.unknown((40,)), "tags": Tags.unknown()} | change
    with pytest.raises(ValueError, match=message):
        EpisodeWriter(tmp_path).write(info, textured(40), drive=0, part=0, **given)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
    with pytest.raises(ValueError, match="no complete episode"):
        EpisodeDataset(tmp_path)


def test_unknown_motion_stays_unknown(tmp_path):
    info = EpisodeInfo("d", "p", canonical_camera(HEIGHT, WIDTH), np.ones((HEIGHT, WIDTH), bool))
    motion = EgoMotion(np.full(20, 3.0), np.full(20, np.nan))
    EpisodeWriter(tmp_path).write(info, textured(20), np.arange(20) * 0.1, motion, Tags.unknown(), drive=0, part=0)
    episode = EpisodeDataset(tmp_path)[0]
    assert np.isnan(episode.motion.yaw_rate_radps).all()
    assert np.isfinite(episode.motion.speed_mps[:-1]).all()
    assert np.isnan(episode.info.camera.height_m)


def test_a_missing_column_and_a_truncated_file_are_named(small_set):
    episode = small_set[0]
    table = pq.read_table(episode.table_path)
    pq.write_table(table.drop_columns(["action"]), episode.table_path)
    with pytest.raises(ValueError, match=r"file-000.parquet: column 'action' is missing"):
        _ = episode.motion
    data = episode.video_path.read_bytes()
    episode.video_path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ValueError, match=r"file-000.mp4: truncated"):
        episode.read(0, 5)
    other = small_set[1]
    other.table_path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"file-001.parquet: cannot be read"):
        _ = other.t_s


def test_a_video_without_its_table_does_not_count(small_set):
    root = small_set.root
    small_set[1].table_path.unlink()
    assert lerobot.rebuild_meta(root) == 3
    assert [e.episode_id for e in EpisodeDataset(root)] == ["drive0#000", "drive1#000", "drive2#000"]
    rows = pq.read_table(root / "data/chunk-002/file-000.parquet")
    assert set(rows["episode_index"].to_pylist()) == {2}
    assert rows["index"][0].as_py() == 90


def test_meta_lost_between_two_renames_is_made_anew(small_set):
    os.rename(small_set.root / "meta", small_set.root / "meta.old-123")
    assert len(EpisodeDataset(small_set.root)) == 4
    assert not list(small_set.root.glob("meta.old*"))


WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import random
import killing
from conftest import check_whole, write_episode
from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeWriter
from pathlib import Path
root = Path(sys.argv[1])

def write():
    for drive in range(12):
        if not EpisodeWriter(root).is_complete(drive, 0):
            write_episode(root, drive, length=30)
        lerobot.rebuild_meta(root)

killing.torment(write, lambda: check_whole(root), times=8, longest_s=0.3)
"""


def test_a_writer_killed_at_random_moments_leaves_a_whole_set_and_resumes(tmp_path):
    subprocess.run([sys.executable, "-c", WRITER, str(tmp_path / "killed"), str(Path(__file__).parent)], check=True)
    for drive in range(12):
        write_episode(tmp_path / "whole", drive, length=30)
    lerobot.rebuild_meta(tmp_path / "whole")
    killed, whole = EpisodeDataset(tmp_path / "killed"), EpisodeDataset(tmp_path / "whole")
    assert [(e.episode_id, e.frames_hash) for e in killed] == [(e.episode_id, e.frames_hash) for e in whole]
    for a, b in zip(killed, whole):
        np.testing.assert_array_equal(a.motion.speed_mps, b.motion.speed_mps)
