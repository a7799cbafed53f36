"""Footage without motion gets it from its pixels, marked as inferred; what was measured is left alone."""

import numpy as np
import pytest

from worldmodel.datasets import lerobot
from worldmodel.datasets.episodes import EpisodeDataset, EpisodeInfo, EpisodeWriter
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import DriveOptions
from worldmodel.training.labelling import CONFIDENCE, label, main
from worldmodel.types import EgoMotion

FRAMES = 30


@pytest.fixture(scope="module")
def drive():
    camera = canonical_camera(64, 128, height_m=1.4)
    return render_drive(DriveOptions(seed=4, traffic="none", ego="weaving"), FRAMES, camera=camera)


@pytest.fixture
def prepared(drive, tmp_path):
    """Three episodes of one drive: motion unknown; of a camera of unknown height; measured."""
    writer, mask = EpisodeWriter(tmp_path), np.ones((64, 128), bool)
    unknown = EgoMotion.unknown((FRAMES,))
    for number, (height_m, source, motion) in enumerate(
        [(1.4, "unknown", unknown), (np.nan, "unknown", unknown), (1.4, "measured", drive.motion)]
    ):
        camera = canonical_camera(64, 128, height_m=height_m)
        info = EpisodeInfo(f"d{number}", "p", camera, mask, source, source)
        writer.write(info, drive.frames, drive.t_s, motion, drive.tags, drive=number, part=0)
    lerobot.rebuild_meta(tmp_path)
    return tmp_path


def test_unknown_motion_is_inferred_and_measured_motion_is_left_alone(prepared, drive):
    done = label(prepared, progress=False)
    assert [(row.episode_id, row.channels) for row in done] == [
        ("d0#000", ("speed", "yaw_rate")), ("d1#000", ("yaw_rate",)),
    ]  # fmt: skip
    read, no_height, measured = EpisodeDataset(prepared)
    assert (read.info.speed_source, read.info.yaw_rate_source) == ("inferred", "inferred")
    assert (no_height.info.speed_source, no_height.info.yaw_rate_source) == ("unknown", "inferred")
    assert (measured.info.speed_source, measured.info.yaw_rate_source) == ("measured", "measured")
    np.testing.assert_array_equal(measured.motion.speed_mps, drive.motion.speed_mps.astype(np.float32))
    known = np.isfinite(read.motion.speed_mps)
    assert known[:-1].mean() > 0.7
    assert not known[-1]
    assert np.nanmean(np.abs(read.motion.speed_mps - drive.motion.speed_mps)) < 0.6
    assert np.nanmean(np.abs(read.motion.yaw_rate_radps - drive.motion.yaw_rate_radps)) < 0.02
    assert np.isnan(no_height.motion.speed_mps).all()
    assert np.isfinite(no_height.motion.yaw_rate_radps[:-1]).mean() > 0.7
    match = read.columns[CONFIDENCE]
    assert (match[known] >= 0.5).all()
    assert np.isnan(measured.columns[CONFIDENCE]).all()
    np.testing.assert_array_equal(read.read(0, FRAMES), measured.read(0, FRAMES))


def test_a_pass_goes_on_and_can_be_made_again(prepared):
    assert len(label(prepared, progress=False)) == 2
    assert label(prepared, progress=False) == []
    again = label(prepared, camera_height_m=1.4, redo=True, progress=False)
    assert [row.channels for row in again] == [("speed", "yaw_rate")] * 2
    assert EpisodeDataset(prepared)[1].info.speed_source == "inferred"


def test_a_folder_that_is_no_set_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["labelling", str(tmp_path)])
    with pytest.raises(SystemExit, match="no complete episode"):
        main()
