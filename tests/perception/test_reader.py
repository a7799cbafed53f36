import dataclasses

import numpy as np
import pytest
import torch

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception import reader as reader_module
from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import Reader, load_perceiver, save_perceiver
from worldmodel.types import VOCABULARY

SMALL = PerceptionConfig(height_px=64, width_px=128, widths=(8, 8, 8), matched=4, maps=2, hidden=16)
CAMERA = canonical_camera(64, 128, height_m=1.4)


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Reader(Perceiver(SMALL))


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (9, 64, 128, 3), dtype=np.uint8)


def test_every_reading_has_a_row_a_frame_and_a_scale(reader, frames):
    found = reader.read(frames, np.arange(9) * 0.1, CAMERA)
    assert found.motion.shape == found.motion_scale.shape == (9,)
    assert np.isnan(found.motion.speed_mps[-1])
    assert np.isfinite(found.motion.speed_mps[:-1]).all()
    assert set(found.numbers) == set(found.scales)
    assert all(column.shape == (9,) and (column > 0).all() for column in found.scales.values())
    assert all(((column > 0) & (column < 1)).all() for column in found.flags.values())
    for name, likely in found.tags.items():
        assert likely.shape == (9, len(VOCABULARY[name]))
        assert np.allclose(likely.sum(axis=1), 1)
        assert (likely[:, 0] == 0).all()
    assert np.isnan(found.numbers["closing_speed_mps"][0])


def test_tags_over_time_are_those_of_most_of_it(reader, frames):
    found = reader.read(frames, np.arange(9) * 0.1, CAMERA)
    assert (found.tag_codes("weather", frames=1) == found.tag_codes("weather")).all()
    sure = np.tile([0, 0.9, 0.1, 0, 0], (9, 1))
    sure[[2, 6]] = [0, 0.2, 0.8, 0, 0]
    steady = dataclasses.replace(found, tags={"weather": sure})
    assert (steady.tag_codes("weather") == 1).sum() == 7
    assert (steady.tag_codes("weather", frames=5) == 1).all()


def test_a_frame_is_read_from_itself_and_the_one_before(reader, frames):
    """Row t of the motion is the step from t to t + 1; nothing else depends on later frames or on the batch."""
    t_s = np.arange(9) * 0.1
    whole = reader.read(frames, t_s, CAMERA)
    changed = frames.copy()
    changed[5] = 255 - changed[5]
    other = reader.read(changed, t_s, CAMERA)
    differs = ~np.isclose(whole.motion.speed_mps[:-1], other.motion.speed_mps[:-1], atol=1e-6)
    assert set(np.flatnonzero(differs)) == {4, 5}
    differs = ~np.isclose(whole.numbers["lane_offset_m"], other.numbers["lane_offset_m"], atol=1e-6)
    assert set(np.flatnonzero(differs)) == {5, 6}


def test_stretches_are_read_alike_in_any_batch(reader, frames, monkeypatch):
    t_s = np.arange(9) * 0.1
    whole = reader.read(frames, t_s, CAMERA)
    monkeypatch.setattr(reader_module, "_BATCH", 4)
    parts = reader.read(list(frames), t_s, CAMERA)
    np.testing.assert_allclose(whole.motion.yaw_rate_radps, parts.motion.yaw_rate_radps, atol=1e-5)
    np.testing.assert_allclose(whole.features, parts.features, atol=1e-5)


def test_speed_goes_with_time_and_the_height_of_the_camera(reader, frames):
    read = reader.read(frames, np.arange(9) * 0.1, CAMERA).motion
    slower = reader.read(frames, np.arange(9) * 0.2, canonical_camera(64, 128, height_m=0.7)).motion
    np.testing.assert_allclose(slower.speed_mps, read.speed_mps / 4)
    np.testing.assert_allclose(slower.yaw_rate_radps, read.yaw_rate_radps / 2)
    unknown = reader.read(frames, np.arange(9) * 0.1, canonical_camera(64, 128)).motion
    assert np.isnan(unknown.speed_mps).all()
    assert np.isfinite(unknown.yaw_rate_radps[:-1]).all()


def test_other_sizes_are_resized(reader):
    big = np.zeros((3, 128, 256, 3), np.uint8)
    found = reader.read(big, np.arange(3) * 0.1, canonical_camera(128, 256, height_m=1.4))
    assert found.features.shape == (3, SMALL.hidden)


def test_what_was_saved_is_what_is_loaded(reader, frames, tmp_path):
    save_perceiver(reader.network, tmp_path, {"data": "reference"})
    loaded = Reader.from_pretrained(tmp_path)
    assert loaded.network.config == SMALL
    t_s = np.arange(9) * 0.1
    one, other = (r.read(frames, t_s, CAMERA).numbers["lane_offset_m"] for r in (reader, loaded))
    np.testing.assert_allclose(one, other, atol=0.02)  # weights are kept as fp16


def test_what_cannot_be_read_is_refused(reader, frames):
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        reader.read(frames, np.arange(9) * 0.1, canonical_camera(128, 256, height_m=1.4))
    with pytest.raises(ValueError, match="increasing"):
        reader.read(frames, np.zeros(9), CAMERA)
    with pytest.raises(ValueError, match="at least one"):
        reader.read(frames[:0], np.zeros(0), CAMERA)
    with pytest.raises(ValueError, match="no bundled one of that name"):
        load_perceiver("nobody")
    with pytest.raises(ValueError, match="multiples of 16"):
        PerceptionConfig(height_px=100).validate()
