"""A trained world finds true video likely, and frame by frame less so what was shuffled, turned back or cut."""

import dataclasses

import numpy as np
import pytest

from tests.tiny import tiny_model
from worldmodel.evaluation.held_out import Source
from worldmodel.evaluation.surprise import SURPRISE_FRAMES, surprise_of, surprises
from worldmodel.model import WorldModel
from worldmodel.types import Clip

TAGS = "weather=clear,time_of_day=day,traffic=none,road_kind=country"


def clip_of(camera, number, first=0):
    drive = Source("reference", TAGS, camera, first + SURPRISE_FRAMES, 2).drive(number)
    rows = slice(first, first + SURPRISE_FRAMES)
    frames = np.asarray(drive.frames)[rows]
    valid = np.ones(frames.shape[1:3], bool)
    return Clip(frames, drive.t_s[rows], drive.motion[rows], drive.tags[rows], drive.camera, valid)


def test_surprise_is_told_of_each_frame_and_depends_on_the_seed_alone():
    model = tiny_model()
    clip = clip_of(model.camera(), 0)
    one = surprise_of(model, clip, seed=3)
    assert one.shape == (SURPRISE_FRAMES,)
    assert (one > 0).all()
    np.testing.assert_array_equal(one, surprise_of(model, clip, seed=3))
    assert not np.allclose(one, surprise_of(model, clip, seed=4))
    # A frame is judged by itself and what came before it, never by what comes after.
    later = clip.frames.copy()
    later[12:] = 255 - later[12:]
    found = surprise_of(model, dataclasses.replace(clip, frames=later), seed=3)
    np.testing.assert_allclose(found[:12], one[:12], rtol=1e-4)
    assert not np.allclose(found[12:], one[12:], rtol=1e-2)


@pytest.mark.slow
def test_the_bundled_model_is_surprised_by_what_cannot_be():
    model = WorldModel.from_pretrained("nano")
    asked = []
    for number in range(3):
        clip = clip_of(model.camera(), number)
        other = clip_of(model.camera(), number + 10).frames
        asked.append(surprises(model, clip, clip, other, seed=number))
    mean = {name: np.mean([found[name] for found in asked], axis=0) for name in asked[0]}
    np.testing.assert_array_equal(mean["generated"], mean["true"])
    assert mean["shuffled"][1:].mean() > 1.3 * mean["true"][1:].mean()
    assert mean["reversed"][1:].mean() > 1.1 * mean["true"][1:].mean()
    cut = SURPRISE_FRAMES // 2
    assert mean["cut"][cut] > 1.3 * mean["true"][cut]
    np.testing.assert_allclose(mean["cut"][:cut], mean["true"][:cut], rtol=1e-3)
