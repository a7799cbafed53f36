"""What reconstructions are to keep: road users count for more, and a driver's eyes find what is missing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.tiny import TOKENIZER, tiny_model
from worldmodel.datasets.windows import ClipWindows
from worldmodel.model import WorldModel, load_tokenizer
from worldmodel.nn.component import content_hash
from worldmodel.perception.reader import load_perceiver
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options
from worldmodel.tokenizer.losses import ReconstructionLossConfig, reconstruction_loss
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.config import DataConfig, StageConfig, TrainConfig
from worldmodel.training.keeping import seen_loss, tokens_with_users, user_map
from worldmodel.training.run import run
from worldmodel.training.sources import load_sets
from worldmodel.training.with_boxes import WithBoxes

DATA = DataConfig(drives=2, drive_s=2.0, every=4, processes=1, validation_share=0.0)


def config(tmp_path: Path, out: str, **changes) -> TrainConfig:
    nothing = StageConfig(0)
    return TrainConfig(
        out=str(tmp_path / out),
        data=dataclasses.replace(DATA, cache=str(tmp_path / "cache")),
        tokenizer=TOKENIZER,
        tokenizer_stage=StageConfig(8, batch=4, learning_rate=3e-3, picture_every=0),
        depth_stage=nothing,
        drift_stage=nothing,
        astray_stage=nothing,
        dynamics_stage=nothing,
        progress=False,
        **changes,
    )


def test_the_map_is_where_the_boxes_are():
    boxes = torch.full((2, 3, 8), torch.nan)
    boxes[0, 0, :4] = torch.tensor([10.0, 4.0, 14.0, 7.0])
    boxes[0, 1, :4] = torch.tensor([12.0, 5.0, 20.0, 8.0])  # overlaps the first: still 1
    found = user_map(boxes, (16, 32))
    wanted = torch.zeros(2, 1, 16, 32)
    wanted[0, 0, 3:8, 9:15] = 1
    wanted[0, 0, 4:9, 11:21] = 1
    assert torch.equal(found, wanted)


def test_what_counts_more_costs_more_and_nothing_where_nothing_counts():
    plain = ReconstructionLossConfig()
    target, output = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    output[..., 2:4, 2:4] = 0.5
    valid, weight = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    once = reconstruction_loss(output, target, valid, plain)
    assert torch.equal(reconstruction_loss(output, target, valid, plain, weight_B1HW=weight), once)
    weight[..., 1:5, 1:5] = 7
    assert torch.isclose(reconstruction_loss(output, target, valid, plain, weight_B1HW=weight), 7 * once)
    valid[..., 1:5, 1:5] = 0
    assert reconstruction_loss(output, target, valid, plain, weight_B1HW=weight) == 0


def test_the_drivers_eyes_miss_a_car_that_is_painted_over():
    drive = render_drive(draw_options(11, weather="clear", time_of_day="day", traffic="dense"), 30, every=29)
    eyes = load_perceiver("driver")
    x = to_network(torch.from_numpy(drive.frames[-1:]))
    boxes = torch.from_numpy(drive.boxes[-1:])
    assert torch.isfinite(boxes[0, 0, 0])
    where = user_map(boxes, (128, 256))
    smooth = F.avg_pool2d(F.pad(x, (8, 8, 8, 8), mode="reflect"), 17, stride=1)
    without = torch.where(where > 0, smooth, x)
    even, weighted = torch.ones_like(where), 1 + 6 * where
    assert seen_loss(eyes, x, x, even) == 0
    assert 0 < seen_loss(eyes, without, x, even) < seen_loss(eyes, without, x, weighted)


def test_gradients_go_to_the_output_alone():
    eyes = load_perceiver("driver")
    target = torch.rand(1, 3, 128, 256) * 2 - 1
    output = (target + 0.1).clamp(-0.9, 0.9).requires_grad_(True)
    seen_loss(eyes, output, target, torch.ones(1, 1, 128, 256)).backward()
    assert output.grad is not None
    assert output.grad.abs().sum() > 0
    assert all(p.grad is None for p in eyes.parameters())


def test_frames_come_with_their_own_boxes(tmp_path: Path):
    stretches = load_sets(config(tmp_path, "x", reconstruction=ReconstructionLossConfig(users=1.0)))["reference"]
    assert [s.length for s in stretches] == [5, 5]  # 20 frames, one in four
    windows = ClipWindows(stretches, length=2, batch_size=6, seed=3)
    batch = WithBoxes(windows)(2)
    for row, (stretch, first) in enumerate(windows.draw(2)):
        truth = windows.stretches[stretch].truth["boxes"][first : first + 2]
        np.testing.assert_array_equal(batch.boxes[row], truth)
        np.testing.assert_array_equal(batch.frames[row], windows.stretches[stretch].frames[first : first + 2])


def test_tokens_are_known_by_the_road_users_in_them():
    boxes = torch.full((2, 2, 3, 8), torch.nan)
    boxes[0, 1, 0, :4] = torch.tensor([34.0, 18.0, 40.0, 22.0])
    boxes[1, 0, 2, :4] = torch.tensor([28.0, 2.0, 36.0, 6.0])  # in two tokens
    # 2 rows of 2 tokens, 16 by 32 pixels each.
    found = tokens_with_users(boxes, TOKENIZER)
    assert found.tolist() == [[[0, 0, 0, 0], [0, 0, 0, 1]], [[1, 1, 0, 0], [0, 0, 0, 0]]]


def test_latents_stay_near_those_they_are_to_be_kept_to(tmp_path: Path):
    tiny_model().save(tmp_path / "first")
    first = load_tokenizer(tmp_path / "first")
    weights = ReconstructionLossConfig(users=4.0, seen=0.01)
    # How it is trained may differ from how that of init was.
    retrained = dataclasses.replace(TOKENIZER, mask_share=0.0)
    moved = {}
    for kept in (0.0, 100.0):
        some = config(tmp_path, f"kept{kept}", init=str(tmp_path / "first"))
        some = dataclasses.replace(some, tokenizer=retrained, reconstruction=dataclasses.replace(weights, kept=kept))
        out = run(some)
        tokenizer = load_tokenizer(out)
        assert tokenizer.config.mask_share == 0
        frames = to_network(torch.from_numpy(np.array(load_sets(some)["reference"][0].frames)))
        with torch.no_grad():
            moved[kept] = F.mse_loss(tokenizer.encode(frames), first.encode(frames)).item()
        assert content_hash(WorldModel.from_pretrained(out).dynamics) == content_hash(tiny_model().dynamics)
    assert moved[100.0] < 0.5 * moved[0.0]
    with pytest.raises(ValueError, match=r"reconstruction\.kept: without init="):
        run(config(tmp_path, "none", reconstruction=ReconstructionLossConfig(kept=1.0)))
    other = config(tmp_path, "other", init=str(tmp_path / "first"))
    with pytest.raises(ValueError, match="its tokenizer is"):
        run(dataclasses.replace(other, tokenizer=dataclasses.replace(TOKENIZER, channels=4)))
