"""Perception learns what is true of a frame and of the step that led to it, and nothing from what is not known."""

import dataclasses

import numpy as np
import pytest
import torch

from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.network import GAP_LIMIT_M, NUMBERS, TAGS, Look, Perceiver, PerceptionConfig
from worldmodel.perception.reader import load_perceiver
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.perceiving import (
    ClipsWithTruth,
    calibrate,
    changed,
    clip_length,
    perception_loss,
    read_row,
    target_of,
)
from worldmodel.training.run import run
from worldmodel.training.stages import as_tensors
from worldmodel.types import Clip, EgoMotion, Tags

BARE = PerceptionConfig(height_px=64, width_px=128, widths=(8, 8, 8), matched=4, maps=2, hidden=16)
SMALL = dataclasses.replace(BARE, context=4, row_maps=2, near=2, statistics=True, boxes=8)


def episode(*, truth=True, known=True, length=7):
    boxes = np.full((length, 12, 8), np.nan, np.float32)
    boxes[:, 0] = (40, 20, 60, 36, 10, 3, 0, 1)
    boxes[:, 1] = (80, 24, 90, 30, 30, 4, 1, 0)
    rows = np.arange(length, dtype=float)
    columns = {
        "lane_offset_m": 0.1 * rows,
        "heading_error_rad": 0.01 * rows,
        "curvature_ahead_1pm": 0.001 * rows,
        "gap_m": np.where(rows < 3, 10.0 + rows, np.where(rows < 4, GAP_LIMIT_M + 1, np.nan)),
        "closing_speed_mps": np.where(rows < 4, rows, np.nan),
        "off_road": rows > 3,
        "collision": rows > 4,
        "boxes": boxes,
    }
    motion = EgoMotion(10 + rows, 0.1 * rows) if known else EgoMotion.unknown((length,))
    tags = Tags.named(weather="rain", time_of_day="night", road_kind="town", traffic="light", event="none")
    clip = Clip(
        frames=np.random.default_rng(0).integers(0, 256, (length, 64, 128, 3), dtype=np.uint8),
        t_s=rows * 0.1,
        motion=motion,
        tags=Tags(np.repeat((tags if known else Tags.unknown()).codes[None], length, axis=0)),
        camera=canonical_camera(64, 128, height_m=1.4),
        valid_mask=np.ones((64, 128), bool),
    )
    return MemoryEpisode.of(clip, drive_id="d", truth=columns if truth else {})


def clips_of(stretch, config=SMALL):
    length = clip_length(config)
    clips = ClipsWithTruth(ClipWindows([stretch], length=length))
    return as_tensors(clips.gather([(0, first) for first in range(stretch.length - length + 1)]))


def losses_of(network, clips):
    x = clips.frames.movedim(-1, -3).float() / 127.5 - 1
    looks = Look(*(part.unflatten(0, x.shape[:2]) for part in network.look(x.flatten(0, 1))))
    row = network.config.context - 1
    return perception_loss(network, read_row(network, looks, row), target_of(clips, row))


def test_a_frame_learns_its_own_truth_and_the_step_that_led_to_it():
    target = target_of(clips_of(episode(length=6), BARE), 2)  # windows from 0 to 3: frames 2 to 5
    frame = torch.arange(2.0, 6.0)
    assert torch.allclose(target.numbers["lane_offset_m"], 0.1 * frame)
    assert torch.allclose(target.motion["chord_heights"], (10 + frame - 1) * 0.1 / 1.4)
    assert torch.allclose(target.motion["turn_rad"], 0.1 * (frame - 1) * 0.1)
    assert target.flags["off_road"].tolist() == [0, 0, 1, 1]
    assert target.numbers["log_gap"][0] == pytest.approx(np.log(12))
    # Near, too far to tell, nobody, nobody.
    assert target.flags["has_gap"].nan_to_num(-1).tolist() == [1, -1, 0, 0]
    assert torch.isfinite(target.numbers["closing_speed_mps"]).tolist() == [True, False, False, False]


@pytest.mark.parametrize("config", [BARE, SMALL], ids=["bare", "whole"])
def test_what_is_not_known_teaches_nothing(config):
    torch.manual_seed(0)
    network, clips = Perceiver(config), clips_of(episode(truth=False, known=False), config)
    loss, parts = losses_of(network, clips)
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(float(part.detach()) == 0 for part in parts.values())
    assert all(p.grad is None or not p.grad.any() for p in network.parameters())


@pytest.mark.parametrize("config", [BARE, SMALL], ids=["bare", "whole"])
def test_every_part_of_the_network_learns(config):
    torch.manual_seed(0)
    network, clips = Perceiver(config), clips_of(episode(), config)
    loss, parts = losses_of(network, clips)
    loss.backward()
    assert set(parts) >= {*NUMBERS, *TAGS}
    assert {"centre", "box", "distance", "ahead"} <= set(parts) or not config.boxes
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().any()]
    assert not still


def test_changes_keep_the_range_and_follow_their_stream():
    x = torch.rand(3, 2, 3, 64, 128) * 2 - 1
    given = x.clone()
    one, again, other = (changed(x.clone(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.shape == x.shape
    assert float(one.abs().max()) <= 1
    assert not torch.equal(one, x)
    assert torch.equal(x, given)


def test_calibrated_scales_are_as_large_as_errors():
    torch.manual_seed(0)
    network = Perceiver(SMALL)
    clips = ClipsWithTruth(ClipWindows([episode(length=40)], length=clip_length(SMALL), batch_size=8))
    calibrate(network, clips, batches=4)
    before = network.calibration.clone()
    assert (before > 0).all()
    assert not torch.allclose(before, torch.ones_like(before))
    batch = as_tensors(clips(0))
    x = batch.frames.movedim(-1, -3).float() / 127.5 - 1
    looks = Look(*(part.unflatten(0, x.shape[:2]) for part in network.look(x.flatten(0, 1))))
    percept, target = read_row(network, looks, 3), target_of(batch, 3)
    ratio = (target.numbers["lane_offset_m"] - percept.mean["lane_offset_m"]).abs() / percept.scale["lane_offset_m"]
    assert 0.3 < float(ratio.detach().mean()) < 3


@pytest.mark.slow
def test_a_run_leaves_a_reader_and_needs_truth(tmp_path):
    data = DataConfig(drives=3, drive_s=0.8, validation_share=0.3, processes=1, cache=str(tmp_path / "cache"))
    config = TrainConfig(
        trains="perception", out=str(tmp_path / "run"), data=data, perception=SMALL, progress=False, threads=1,
        perception_stage=StageConfig(2, batch=2),
    )  # fmt: skip
    out = run(config)
    assert load_perceiver(out).config == SMALL
    columns = next((tmp_path / "cache").glob("*/*.npz"))
    with np.load(columns) as file:
        np.savez(columns, **{name: file[name] for name in file.files if not name.startswith("truth_")})
    with pytest.raises(ValueError, match="without its truth"):
        run(dataclasses.replace(config, out=str(tmp_path / "other")))
