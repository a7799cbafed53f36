"""What any reader prepared is one command from training: decoded into a run's cache, split, mixed by weights."""

import dataclasses

import numpy as np
import pytest
from conftest import write_episode
from layouts import WRITERS, reader_of

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset
from worldmodel.datasets.prepare import Settings, prepare
from worldmodel.training import run
from worldmodel.training.config import DataConfig, TrainConfig
from worldmodel.training.corpus import read_stretch, write_stretch
from worldmodel.training.episodes import episode_names, read_episode
from worldmodel.training.sources import load_sets

SIZE = (32, 64)


def config_of(tmp_path, *paths, **data):
    data = DataConfig("episodes", tuple(map(str, paths)), processes=1, cache=str(tmp_path / "cache"), **data)
    config = TrainConfig(name="t", data=data, progress=False)
    size = dataclasses.replace(config.tokenizer, height_px=SIZE[0], width_px=SIZE[1])
    return dataclasses.replace(config, tokenizer=size)


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_what_a_reader_prepared_can_be_trained_on(name, tmp_path):
    (tmp_path / "in").mkdir()
    WRITERS[name](tmp_path / "in")
    prepare(reader_of(name, tmp_path / "in"), tmp_path / "set", Settings(*SIZE, 8), workers=0, progress=False)
    (episode, *_) = EpisodeDataset(tmp_path / "set")
    (kept, *_) = episode_names(tmp_path / "set")
    write_stretch(tmp_path / "cache", kept, read_episode(kept, path=str(tmp_path / "set"), size=SIZE))
    stretch = read_stretch(tmp_path / "cache", kept)
    np.testing.assert_array_equal(stretch.frames, episode.read(0, episode.length))
    np.testing.assert_array_equal(stretch.motion.speed_mps, episode.motion.speed_mps)
    np.testing.assert_array_equal(stretch.tags.codes, episode.tags.codes)
    for field in ("drive_id", "place_id", "split"):
        assert getattr(stretch.info, field) == getattr(episode.info, field)


def write_drives(root, *splits, first=0, length=20):
    """A set of drives, each of the given split of its publisher."""
    for number, split in enumerate(splits, start=first):
        write_episode(root, number, length=length, split=split)
    lerobot.rebuild_meta(root)


def test_several_sets_are_mixed_by_weight_and_each_is_split_as_its_publisher_did(tmp_path):
    write_drives(tmp_path / "a", "train", "train", "val", "test", "train")
    write_drives(tmp_path / "b", *[""] * 4, first=20, length=60)
    paths = tmp_path / "a", tmp_path / "b"
    config = config_of(tmp_path, *paths, weights=(3.0, 1.0), validation_share=0.3)
    train, held_out = run._sets(config)
    assert [s.info.drive_id for s in train[str(paths[0])]] == ["drive0", "drive1", "drive4"]
    assert {s.info.drive_id for s in held_out} >= {"drive2", "drive3"}
    assert 1 <= len(train[str(paths[1])]) <= 3, "without a published split by drive"
    windows = run._windows(config, train, 8, 50)
    speeds = np.concatenate([windows.batch(k).motion[:, 0, 0] for k in range(20)])  # drive n drives n m/s and more
    assert 0.70 < (speeds < 15).mean() < 0.80, "three of four windows are of the small set"
    again, _ = run._sets(config)
    assert [s.episode_id for s in again[str(paths[0])]] == [s.episode_id for s in train[str(paths[0])]]


@pytest.mark.parametrize(
    ("paths", "weights", "told"),
    [(("a", "b"), (1.0,), "1 weights for 2 data.paths"), (("a", "a"), (), "a set is named twice")],
)
def test_weights_belong_to_sets(paths, weights, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        config_of(tmp_path, *paths, weights=weights).validate()


def test_what_is_labelled_anew_is_not_taken_from_the_cache(tmp_path):
    root = tmp_path / "a"
    write_drives(root, "", "")
    config = config_of(tmp_path, root)
    before = load_sets(config)[str(root)]
    write_episode(root, 1, length=20, faster_mps=2.0)
    lerobot.rebuild_meta(root)
    after = load_sets(config)[str(root)]
    assert [a.episode_id == b.episode_id for a, b in zip(before, after)] == [True, False]
    np.testing.assert_allclose(after[1].motion.speed_mps[:-1], before[1].motion.speed_mps[:-1] + 2)
