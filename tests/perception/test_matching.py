"""The geometry of the learned matching: with features that were never trained, true motion already agrees best."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from worldmodel.geometry.camera import canonical_camera
from worldmodel.perception.matching import CHORDS, TURNS_RAD, Matching, expected, two_hot
from worldmodel.reference.drive import render_drive
from worldmodel.reference.options import draw_options


@pytest.fixture(scope="module", params=[(128, 256), (64, 128)], ids=["128x256", "64x128"])
def drive(request):
    camera = canonical_camera(*request.param, height_m=1.4)
    options = draw_options(3, weather="clear", time_of_day="day", traffic="none", ego="good", road_kind="country")
    return render_drive(options, 36, camera=camera)


def test_what_agrees_best_is_the_true_motion(drive):
    torch.manual_seed(0)
    matching = Matching(drive.camera)
    matching.look = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1))
    seen = matching.features(torch.from_numpy(drive.frames[10:]).movedim(-1, 1).float() / 127.5 - 1).detach()
    before, after = seen[:-1], seen[1:]
    turn = drive.motion.yaw_rate_radps[10:-1] * 0.1
    chord = drive.motion.speed_mps[10:-1] * 0.1 / 1.4
    assert np.abs(turn).max() > 0.004
    assert chord.min() > 0.1
    agreement, _ = matching._agreement(before, after, *matching._turned())
    coarse = 1 if drive.camera.height_px == 128 else 2
    assert np.abs(TURNS_RAD[agreement.mean(dim=1).argmax(dim=1)] - turn).mean() < 0.0035 * coarse
    agreement, _ = matching._agreement(before, after, *matching._moved(torch.from_numpy(turn).float()))
    assert np.abs(CHORDS[agreement.mean(dim=1).argmax(dim=1)] - chord).mean() < 0.04 * coarse


@given(st.lists(st.floats(-0.079, 0.079), min_size=1, max_size=8))
def test_two_hot_has_the_value_for_its_mean(values):
    candidates = torch.tensor(TURNS_RAD, dtype=torch.float32)
    weights = two_hot(torch.tensor(values), candidates)
    assert torch.allclose(weights.sum(dim=1), torch.ones(len(values)), atol=1e-5)
    assert ((weights > 0).sum(dim=1) <= 2).all()
    mean, spread = expected(weights.clamp(min=1e-12).log(), candidates)
    assert torch.allclose(mean, torch.tensor(values), atol=1e-5)
    assert (spread <= TURNS_RAD[1] - TURNS_RAD[0]).all()


def test_values_beyond_the_candidates_take_the_last_one():
    candidates = torch.tensor(CHORDS, dtype=torch.float32)
    weights = two_hot(torch.tensor([-9.0, 9.0]), candidates)
    assert weights[0].argmax() == 0
    assert weights[1].argmax() == len(CHORDS) - 1
