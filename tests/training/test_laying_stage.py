"""What the ground lacks to show the road of its map is learned from drives that are seen from beside their way."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from tests.training.test_looks import config
from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.dynamics.road import FEATURES
from worldmodel.model import WorldModel
from worldmodel.training.config import DataConfig, LooksConfig, StageConfig, TrainConfig
from worldmodel.training.laying import LayingBatches, Views, several_views
from worldmodel.training.mixing import mix
from worldmodel.training.relighting import with_part
from worldmodel.training.run import run
from worldmodel.training.sources import BESIDE, load_sets

WITH = dataclasses.replace(DYNAMICS, road=True, laying_width=8)
DATA = {"drives": 2, "drive_s": 2.0, "every": 5, "processes": 1, "validation_share": 0.0}


def test_moments_are_seen_from_the_ego_first_and_from_beside(tmp_path: Path) -> None:
    data = DataConfig(**DATA, cache=str(tmp_path / "cache"))
    model, settings = tiny_model(), config(tmp_path, data=data, dynamics=WITH, looks=LooksConfig())
    drives = load_sets(settings)
    views = several_views(settings, model.tokenizer, model.dynamics, drives)
    count = sum(stretch.length for some in drives.values() for stretch in some)
    assert views.z.shape == (count, 1 + BESIDE, 1, TOKENIZER.tokens, TOKENIZER.channels)
    assert views.road.shape == (count, 1 + BESIDE, TOKENIZER.tokens, FEATURES)
    assert views.road.any(axis=(2, 3)).all(), "the road is known everywhere"
    for k in range(1, 1 + BESIDE):
        assert (views.z[:, 0] != views.z[:, k]).any(axis=(1, 2, 3)).all()
        assert (views.road[:, 0] != views.road[:, k]).any(axis=(1, 2)).all()
    bare = [dataclasses.replace(stretch, truth={}) for some in drives.values() for stretch in some]
    with pytest.raises(ValueError, match="does not carry its road"):
        several_views(settings, model.tokenizer, model.dynamics, {"reference": bare})


def test_batches_are_of_two_poses_of_a_moment_and_the_road_of_the_first() -> None:
    rng = np.random.default_rng(0)
    z, road = (rng.normal(size=shape).astype(np.float16) for shape in ((30, 4, 1, 4, 5), (30, 4, 4, 3)))
    batches = LayingBatches(Views(z, road), 200, seed=1)
    for first, second in zip(batches(7), batches(7)):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(batches(8).own, batches(7).own)
    poses = set()
    for own, other, told in zip(*batches(7)):
        (i, j), (k, m) = (np.argwhere((z == x).all(axis=(2, 3, 4)))[0] for x in (own, other))
        assert i == k
        assert j != m
        np.testing.assert_array_equal(told, road[i, j])
        poses.add(int(j))
    assert poses == {0, 1, 2, 3}


def test_a_model_without_learns_it_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = tiny_model()
    plain.dynamics = Dynamics(
        dataclasses.replace(DYNAMICS, road=True), tokens=TOKENIZER.tokens, channels=TOKENIZER.channels
    )
    plain.save(tmp_path / "plain")
    data = DataConfig(**DATA, cache=str(tmp_path / "cache"))
    learn = StageConfig(3, batch=4, learning_rate=1e-2, picture_every=0)
    changes = {"init": str(tmp_path / "plain"), "dynamics": WITH, "laying_stage": learn, "looks": LooksConfig()}
    learned = WorldModel.from_pretrained(run(config(tmp_path, data=data, **changes)))
    assert learned.dynamics.laying is not None
    assert learned.dynamics.laying.lacks.weight.any()
    before, after = WorldModel.from_pretrained(tmp_path / "plain").state_dict(), learned.state_dict()
    assert {key for key in after if key not in before} == {key for key in after if key.startswith("dynamics.laying.")}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert learned.training_record.summary["laying_steps"] == 3
    # It comes along where dynamics is taught, and a mixture has that of the model it begins at.
    more = {
        "init": str(tmp_path / "out"),
        "dynamics": dataclasses.replace(WITH, laying_width=0),
        "looks": LooksConfig(),
    }
    taught = config(
        tmp_path, out=str(tmp_path / "taught"), dynamics_stage=StageConfig(1, batch=2, picture_every=0), **more
    )
    laying = {k: x for k, x in WorldModel.from_pretrained(run(taught)).state_dict().items() if ".laying." in k}
    assert laying
    assert all(torch.equal(x, after[key]) for key, x in laying.items())
    mixed = mix(WorldModel.from_pretrained(tmp_path / "out"), 0.5, WorldModel.from_pretrained(tmp_path / "plain"))
    assert mixed.hashes() == learned.hashes()


def test_parts_are_kept_as_bytes_and_read_back_as_they_were_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny_model()
    model.dynamics = with_part(with_part(model.dynamics, "look", 8), "laying", 8)
    assert model.dynamics.look is not None
    torch.nn.init.normal_(model.dynamics.look.lacks.weight)
    model.save(tmp_path / "once")
    once = WorldModel.from_pretrained(tmp_path / "once")
    assert once.dynamics.look is not None
    lacks = model.dynamics.look.lacks.weight
    assert (once.dynamics.look.lacks.weight - lacks).abs().max() < 0.01 * lacks.abs().max()
    once.save(tmp_path / "twice")
    twice = WorldModel.from_pretrained(tmp_path / "twice")
    assert twice.hashes() == once.hashes()


def test_it_learns_where_maps_are_known_and_told() -> None:
    data = DataConfig(source="episodes", paths=("some",))
    settings = TrainConfig(dynamics=WITH, data=data, drift_stage=StageConfig(0), astray_stage=StageConfig(0))
    with pytest.raises(ValueError, match="laying_stage: learns from drives of the reference world"):
        settings.validate()
    dataclasses.replace(settings, laying_stage=StageConfig(0)).validate()
    with pytest.raises(ValueError, match=r"laying_width: of use to a model that is told of the road"):
        dataclasses.replace(settings, dynamics=dataclasses.replace(WITH, road=False)).validate()
