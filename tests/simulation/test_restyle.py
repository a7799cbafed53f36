"""Drives drawn anew: what is kept, what is told, and what lands on disk; a tiny world of random weights."""

import json

import numpy as np
import pytest
import torch

from tests.tiny import tiny_model
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.simulation import restyle, restyling
from worldmodel.simulation.drive_io import load_drive
from worldmodel.simulation.keeping import keep_drive
from worldmodel.simulation.restyle import RestyleConfig
from worldmodel.simulation.restyling import Restyling, restyled
from worldmodel.simulation.session import Session
from worldmodel.types import VOCABULARY, EgoMotion, Tags

SAMPLER = SamplerConfig(2)
SNOW = Tags.named(weather="snow")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def film(count, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 220, (count, 4, 8, 3)).astype(np.uint8)
    return np.kron(coarse, np.ones((1, 8, 8, 1), np.uint8))


def drawn(model, frames, *, level=0.5, tags=SNOW, speed=5.0, **options):
    world = Restyling(model, level=level, sampler=SAMPLER)
    motion = EgoMotion(np.array(speed), np.array(0.02))
    return np.stack(list(restyled(world, ((frame, motion, tags) for frame in frames), **options)))


def test_at_a_high_level_the_given_frames_come_back(model):
    frames = film(5)
    world = Session(model, sampler=SAMPLER)
    coded = []
    for frame in frames:
        look = Restyling(model, level=0.5, sampler=SAMPLER)
        look.look_at(frame[None])
        world._latents = look._given
        world._pictures = None
        coded.append(world.decode()[0])
    coded = np.stack(coded).astype(int)
    apart = {level: np.abs(drawn(model, frames, level=level).astype(int) - coded).mean() for level in (0.0, 0.6, 0.999)}
    assert apart[0.999] < 1.5
    assert apart[0.999] < apart[0.6] < apart[0.0]


def test_a_frame_does_not_depend_on_what_comes_later(model):
    frames, other = film(8), film(8, seed=1)
    other[:5] = frames[:5]
    one, two = drawn(model, frames), drawn(model, other)
    np.testing.assert_array_equal(one[:5], two[:5])
    assert (one[5:] != two[5:]).any()


def test_it_is_told_motion_tags_and_seed(model):
    frames = film(4)
    base = drawn(model, frames)
    np.testing.assert_array_equal(base, drawn(model, frames))
    assert (base[1:] != drawn(model, frames, speed=9.0)[1:]).any()
    assert (base != drawn(model, frames, tags=Tags.named(weather="rain"))).any()
    assert (base != drawn(model, frames, seed=1)).any()
    assert (base != drawn(model, frames, settle=0)).any()
    assert (base != drawn(model, frames, colours=True)).any()
    assert (base[1:] != drawn(model, frames, height_m=2.0)[1:]).any()


def test_given_frames_first_get_what_they_lack(model):
    """Until they lack it no more, whatever the share; at a high level they come back so. Not where none is to be."""
    frames, wanted, times = film(3), 0.8, []
    model = tiny_model()

    def look(z, tags):
        assert (tags[:, 0] == VOCABULARY["weather"].index("snow")).all()
        times.append(len(z))
        return wanted - z

    coded = {}
    for share in (0.0, 0.8):
        model.dynamics.look = look if share else None
        world = Restyling(model, level=0.999, sampler=SamplerConfig(2, relit=share))
        moments = ((frame, EgoMotion(np.array(5.0), np.array(0.0)), SNOW) for frame in frames)
        for _ in restyled(world, moments, settle=0):
            coded[share] = model.dynamics.normalise(world.latents())
    assert len(times) > 3 * len(frames)
    assert (coded[0.8] - wanted).abs().max() < 0.05
    assert (coded[0.0] - wanted).abs().mean() > 0.2


def test_other_road_users_are_kept(monkeypatch):
    """Where given frames show somebody, they come back but for what they lack; elsewhere they are drawn."""
    model, (frame,) = tiny_model(), film(1)
    rows, columns = model.tokenizer.config.latent_grid
    model.dynamics.look = lambda z, tags: 0.8 - z

    def left_half(depth, drift, x_BCHW, height_m_B, camera):
        assert drift is model.tokenizer.drift
        shown = torch.zeros(len(x_BCHW), *x_BCHW.shape[2:])
        shown[:, :, : shown.shape[2] // 2] = 1
        return shown

    monkeypatch.setattr(restyling, "shown_users", left_half)
    for share in (0.0, 0.8):
        world = Restyling(model, level=0.3, sampler=SamplerConfig(2, relit=share))
        world.look_at(frame[None])
        told = Told(torch.full((1, 1, 4), torch.nan), torch.from_numpy(SNOW.codes)[None, None])
        world.start(SNOW)
        drawn = world._draw(told)[0, 0].unflatten(0, (rows, columns))
        kept = (drawn - 0.8).abs().amax(dim=(0, 2)) < 1e-3
        assert kept[: columns // 2].all() == bool(share)
        assert not kept[columns // 2 :].any()


def test_one_world_starts_anew_as_a_fresh_one(model):
    world, motion = Restyling(model, level=0.4, sampler=SAMPLER), EgoMotion(np.array(5.0), np.array(0.0))
    twice = [list(restyled(world, ((f, motion, SNOW) for f in film(3)), colours=True)) for _ in range(2)]
    np.testing.assert_array_equal(twice[0], twice[1])


def test_a_level_or_frames_that_cannot_be_are_refused(model):
    with pytest.raises(ValueError, match="level"):
        Restyling(model, level=1.0)
    with pytest.raises(ValueError, match="look_at"):
        Restyling(model, level=0.5).look_at(np.zeros((1, 16, 64, 3), np.uint8))
    for wrong in ({"level": 1.0}, {"settle": -1}, {"seed": -1}, {"t_s": -1.0}, {"length_s": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RestyleConfig(**wrong)


@pytest.fixture
def run(model, tmp_path, monkeypatch):
    def open_world(config):
        return Session(model, sampler=SAMPLER), {"world": "learned"}

    count = 70  # more than is read at a time
    frames, speed = film(count), np.full(count, 6.0)
    speed[-1] = np.nan
    tags = Tags(np.repeat(Tags.named(weather="clear", road_kind="town", time_of_day="day").codes[None], count, axis=0))
    t_s = 0.1 * np.arange(count)
    motion = EgoMotion(speed, np.where(np.isnan(speed), np.nan, 0.01))
    keep_drive(tmp_path / "given", frames, t_s, motion, tags, {}, camera=model.camera(), provenance={})
    monkeypatch.setattr(restyle, "open_world", open_world)

    def go(**options):
        base = {"input": str(tmp_path / "given"), "out": str(tmp_path / "out"), "prompt": "snow", "settle": 1}
        return restyle.run(RestyleConfig(**(base | options)))

    return go


def test_a_drive_lands_in_its_new_look(run):
    folder = run(prompt="at night, from 6 s on it snows")
    names = {"beside.mp4", "drive.mp4", "drive.parquet", "provenance.json", "sheet.png"}
    assert {path.name for path in folder.iterdir()} == names
    made = load_drive(folder)
    assert len(made) == 70
    np.testing.assert_allclose(made.motion.speed_mps[:-1], 6.0)
    assert np.isnan(made.motion.speed_mps[-1])
    assert made.tags[0].names() | {"event": "unknown"} == {
        "weather": "clear", "time_of_day": "night", "road_kind": "town", "traffic": "unknown", "event": "unknown",
    }  # fmt: skip
    assert made.tags[59].names()["weather"] == "clear"
    assert made.tags[60].names()["weather"] == "snow"
    about = json.loads((folder / "provenance.json").read_text())
    assert about["complete"]
    assert about["prompt"]["text"] == "at night, from 6 s on it snows"


def test_a_part_of_a_drive_is_its_own(run):
    made = load_drive(run(t_s=2.0, length_s=1.0))
    assert len(made) == 11
    assert made.t_s[0] == 0


def test_what_is_not_there_is_said(run, tmp_path):
    for wrong, message in (
        ({"prompt": ""}, "say how it is to look"),
        ({"input": ""}, "name a drive's folder"),
        ({"data": str(tmp_path)}, "name a drive's folder"),
        ({"t_s": 100.0}, "goes from 0.0 to"),
    ):
        with pytest.raises(ValueError, match=message):
            run(**wrong)
    assert not (tmp_path / "out").exists()
