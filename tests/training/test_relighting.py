"""What frames lack to look as they are told is learned from drives that are there in two looks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from tests.training.test_looks import config
from worldmodel.dynamics.dynamics import Dynamics
from worldmodel.dynamics.look import CHANNELS
from worldmodel.model import WorldModel
from worldmodel.nn.component import content_hash
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.training.config import DataConfig, LooksConfig, StageConfig, TrainConfig
from worldmodel.training.mixing import mix
from worldmodel.training.relighting import LookBatches, TwoLooks, two_looks, with_part
from worldmodel.training.run import run
from worldmodel.training.sources import load_sets
from worldmodel.types import VOCABULARY

WITH = dataclasses.replace(DYNAMICS, look_width=8)


def test_frames_of_one_place_are_paired_and_normalised(tmp_path: Path) -> None:
    model, settings = tiny_model(), config(tmp_path)
    model.dynamics.latent_mean.fill_(0.1)
    drives = load_sets(settings)
    looks = two_looks(settings, model.tokenizer, model.dynamics, drives)
    own = [stretch for some in drives.values() for stretch in some]
    count = sum(min(20, stretch.length) for stretch in own)
    assert looks.z.shape == (count, 2, 1, TOKENIZER.tokens, TOKENIZER.channels)
    np.testing.assert_array_equal(looks.tags[:, 0], np.concatenate([stretch.tags.codes for stretch in own]))
    kind = [i for i in range(len(VOCABULARY)) if i not in CHANNELS]
    np.testing.assert_array_equal(looks.tags[:, 0][:, kind], looks.tags[:, 1][:, kind])
    assert (looks.tags[:, 0] != looks.tags[:, 1]).any(axis=1).all()
    with torch.no_grad():
        latents = model.tokenizer.encode(to_network(torch.from_numpy(np.array(own[0].frames[:1]))))
    z = ((latents - 0.1) / 0.5).numpy()
    np.testing.assert_allclose(looks.z[0, 0], z, atol=2e-3)
    assert np.abs(looks.z[0, 1] - z).mean() > 0.01


def test_batches_tell_either_look_and_leave_out_what_both_share() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 2, 1, 4, 5)).astype(np.float16)
    tags = rng.integers(1, 3, (50, 2, len(VOCABULARY)))
    batches = LookBatches(TwoLooks(z, tags), 400, seed=1)
    own, other, told = batches(7)
    for first, second in zip(batches(7), (own, other, told)):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(batches(8).own, own)
    which = [(i, j) for row in own for i, j in [np.argwhere((z == row).all(axis=(2, 3, 4)))[0]]]
    assert {j for _, j in which} == {0, 1}
    hidden = 0
    for (i, j), seen, says in zip(which, other, told):
        np.testing.assert_array_equal(seen, z[i, 1 - j])
        untold = says != tags[i, j]
        assert not says[untold].any()
        assert (tags[i, 0] == tags[i, 1])[untold].all(), "of what differs, all is told"
        assert set(np.flatnonzero(untold)) <= set(CHANNELS)
        hidden += untold.sum()
    shared = sum((tags[i, 0] == tags[i, 1])[CHANNELS].sum() for i, _ in which)
    assert 0.2 < hidden / shared < 0.4


def test_a_model_without_learns_it_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = tiny_model()
    plain.dt_s = 0.1
    plain.save(tmp_path / "plain")
    weights = []
    data = DataConfig(drives=2, drive_s=2.0, every=5, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    for name, steps in (("one", 1), ("learned", 3)):
        learn = StageConfig(steps, batch=4, learning_rate=1e-2, picture_every=0)
        changes = {"init": str(tmp_path / "plain"), "dynamics": WITH, "look_stage": learn, "looks": LooksConfig()}
        settings = config(tmp_path, data=data, out=str(tmp_path / name), **changes)
        learned = WorldModel.from_pretrained(run(settings))
        assert learned.dynamics.look is not None
        weights.append(torch.nn.utils.parameters_to_vector(learned.dynamics.look.parameters()))
    assert not torch.equal(*weights)
    before, after = WorldModel.from_pretrained(tmp_path / "plain").state_dict(), learned.state_dict()
    assert {key for key in after if key not in before} == {key for key in after if key.startswith("dynamics.look.")}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert learned.dt_s == 0.1, "frames of the drives it learns from lie further apart than its own"
    assert learned.training_record.summary["look_steps"] == 3
    # It comes along where it is not asked for, and where dynamics is taught.
    for name, changes in (("kept", {}), ("taught", {"dynamics_stage": StageConfig(1, batch=2, picture_every=0)})):
        more = {"init": str(tmp_path / "learned"), "look_stage": StageConfig(0), "looks": LooksConfig()}
        kept = WorldModel.from_pretrained(run(config(tmp_path, out=str(tmp_path / name), **more, **changes)))
        look = {key: x for key, x in kept.state_dict().items() if key.startswith("dynamics.look.")}
        assert look
        assert all(torch.equal(x, after[key]) for key, x in look.items())
    # And a mixture has that of the model it begins at.
    mixed = mix(WorldModel.from_pretrained(tmp_path / "learned"), 0.5, WorldModel.from_pretrained(tmp_path / "plain"))
    assert mixed.hashes() == learned.hashes()


def test_one_of_another_width_begins_anew() -> None:
    torch.manual_seed(0)
    network = Dynamics(WITH, tokens=TOKENIZER.tokens, channels=TOKENIZER.channels)
    same, wider = with_part(network, "look", 8), with_part(network, "look", 12)
    assert content_hash(same) == content_hash(network)
    assert wider.look is not None
    assert wider.look.seen.out_features == wider.config.look_width == 12
    rest = {key: x for key, x in network.state_dict().items() if not key.startswith("look.")}
    assert all(torch.equal(x, wider.state_dict()[key]) for key, x in rest.items())


def test_it_learns_where_another_look_can_be_had() -> None:
    settings = TrainConfig(dynamics=WITH, data=DataConfig(source="episodes", paths=("some",)))
    with pytest.raises(ValueError, match="look_stage: learns from drives of the reference world"):
        dataclasses.replace(settings, drift_stage=StageConfig(0), astray_stage=StageConfig(0)).validate()
    dataclasses.replace(settings, look_stage=StageConfig(0)).validate()
