"""Held-out drives are held out, training frames are not, and the true world told otherwise is the same world."""

import cv2
import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.datasets.windows import split
from worldmodel.evaluation.control import any_drive, stretches_of, told_otherwise
from worldmodel.evaluation.hands import Hands
from worldmodel.evaluation.held_out import Source, read_truth
from worldmodel.evaluation.library import STRETCH, STRETCHES, begin, gather, training_drives
from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.network import Perceiver, PerceptionConfig
from worldmodel.perception.reader import Reader
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.types import EgoMotion, Tags

CAMERA = canonical_camera(64, 128, height_m=1.4)
LENGTH = 110


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Six drives whose frames are all of one grey level, 20 a drive."""
    root = tmp_path_factory.mktemp("set")
    camera, mask = canonical_camera(64, 128, height_m=1.2), np.ones((64, 128), bool)
    writer = EpisodeWriter(root)
    for drive in range(6):
        info = EpisodeInfo(f"d{drive}", f"p{drive}", camera, mask, "measured", "measured", "a test", "CC0", "synthetic")
        frames = np.full((LENGTH, 64, 128, 3), 20 + 30 * drive, np.uint8)
        motion = EgoMotion(np.full(LENGTH, 5.0 + drive), np.zeros(LENGTH))
        writer.write(info, frames, np.arange(LENGTH) * 0.1, motion, Tags.named(weather="rain"), drive=drive, part=0)
    lerobot.rebuild_meta(root)
    return root


@pytest.fixture(scope="module")
def reader():
    torch.manual_seed(0)
    return Reader(Perceiver(PerceptionConfig(64, 128, widths=(8, 8, 8), matched=4, maps=2, hidden=16)))


def test_the_true_world_told_its_own_motion_goes_as_it_went():
    fixed = {"traffic": "light", "road_kind": "town"}
    drive = any_drive(CAMERA, 14, number=3, **fixed)
    own = drive.motion[5:13]
    turned = EgoMotion(own.speed_mps, own.yaw_rate_radps + 0.2)
    told = dict(told_otherwise(CAMERA, 6, {"other": turned, "own": own}, number=3, **fixed))
    np.testing.assert_array_equal(told["own"], np.stack(drive.frames)[5:])
    np.testing.assert_array_equal(told["other"][0], told["own"][0])
    assert np.abs(told["other"][-1].astype(int) - told["own"][-1]).mean() > 3


def test_stretches_are_those_of_the_whole_drive():
    options = draw_options(11, weather="fog")
    whole = render_drive(options, 14, camera=CAMERA)
    parts, motion = stretches_of(options, CAMERA, [2, 9], 4)
    np.testing.assert_array_equal(parts[0], whole.frames[2:6])
    np.testing.assert_array_equal(parts[1], whole.frames[9:13])
    np.testing.assert_allclose(motion.speed_mps[:13], whole.motion.speed_mps[:13], atol=1e-6)


def test_drives_of_a_prepared_set_are_those_held_out_of_training(prepared, reader):
    _, held_out = split(list(EpisodeDataset(prepared)))
    source = Source(str(prepared), "", canonical_camera(32, 64, height_m=1.2), 20, 6)
    found = sorted(float(np.asarray(source.drive(n).frames).mean()) for n in range(len(held_out)))
    assert found == pytest.approx(sorted(20 + 30 * int(s.info.drive_id[1:]) for s in held_out), abs=2)
    source.check(len(held_out))
    with pytest.raises(ValueError, match=rf"{len(held_out)} held-out drives of 20 frames"):
        source.check(len(held_out) + 1)
    truth = read_truth(source, 0, reader, True)
    assert (truth.told, truth.probes) == ({}, {})  # too short, and no world to drive
    assert truth.side.frames.shape == (15, 32, 64, 3)
    assert len(truth.clip().validate()) == 6
    assert truth.clip().road is None


def test_a_held_out_drive_begins_with_its_own_road(reader):
    """As it is seen at the end of the context; the ego is between its edges, and has it before it for minutes."""
    source = Source("reference", "", CAMERA, 20, 6)
    clip = read_truth(source, 5, reader, False).clip().validate()
    assert clip.road is not None
    for t, seen in enumerate(clip.road):
        truth = {name: column[t] for name, column in source.drive(5).info.items() if name.startswith("lane")}
        left = float(np.interp(0.0, seen[0, :20, 0], seen[0, :20, 1]))
        assert left == pytest.approx((truth["lane"] + 0.5) * truth["lane_width_m"] - truth["lane_offset_m"], abs=0.1)
    assert np.linalg.norm(np.diff(clip.road[-1, 0], axis=0), axis=-1).sum() > 4000


@pytest.mark.parametrize("frames", [80, 160])
def test_training_frames_of_a_prepared_set_are_never_held_out(prepared, reader, tmp_path, frames):
    model = tiny_model()
    drives = training_drives(model, model.camera(), str(prepared), frames)
    _, held_out = split(list(EpisodeDataset(prepared)))
    assert not {drive.episode for drive in drives} & {s.episode_id for s in held_out}
    with Hands(1) as hands:
        library = gather(drives, tmp_path, begin(drives, tmp_path, reader, hands))
        assert begin(drives, tmp_path, reader, hands) == []  # goes on where it was
    assert library is not None
    assert len(library) == frames == len(drives) * STRETCHES * STRETCH
    assert len(np.unique(library.stretch)) == len(drives) * STRETCHES
    for index in (0, frames - 1):
        grey = cv2.resize(library.picture(index), (64, 32)).mean()
        assert grey == pytest.approx(float(library.thumbs[index].mean()), abs=3)
    assert training_drives(model, model.camera(), "", frames) == []  # its record does not say
    assert gather([], tmp_path, []) is None
