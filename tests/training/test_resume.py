"""A killed run resumes to the same bits, and the pieces it is made of are functions of (seed, k)."""

import dataclasses
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, WINDOW
from worldmodel.geometry.camera import canonical_camera
from worldmodel.model import WorldModel
from worldmodel.training import run as run_module
from worldmodel.training.config import ClipsConfig, DistilConfig, StageConfig, TrainConfig
from worldmodel.training.corpus import Made, build_corpus, read_stretch, shrink, write_stretch
from worldmodel.training.stages import token_weight, trapezium
from worldmodel.types import Clip, EgoMotion, Tags


def clip(seed: int, length: int = 40, size: tuple[int, int] = (32, 64)) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip(
        frames=rng.integers(0, 256, (length, *size, 3), dtype=np.uint8),
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(rng.uniform(0, 20, length), np.where(np.arange(length) % 5, 0.1, np.nan)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(*size, height_m=1.4),
        valid_mask=np.ones(size, dtype=bool),
    )


def make(name: str) -> Made:
    seed = int(name[-1])
    return Made(f"drive{seed}", f"place{seed}", clip(seed))


class KilledError(Exception):
    """Stands for a SIGKILL: nothing is cleaned up."""


class KillAt(lightning.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise KilledError


def config(out: Path, tmp_path: Path) -> TrainConfig:
    stage = StageConfig(steps=8, batch=2, checkpoint_every=2, picture_every=0, log_every=1)
    return TrainConfig(
        name="t",
        out=str(out),
        tokenizer=TOKENIZER,
        tokenizer_stage=stage,
        depth_stage=stage,
        drift_stage=stage,
        astray_stage=stage,
        dynamics=DYNAMICS,
        clips=ClipsConfig(
            short=6,
            long=3 * WINDOW,
            long_every=2,
            shortcut_from=0.4,
        ),
        dynamics_stage=stage,
        distil=DistilConfig(
            rows=4, true_frames=3, life=16, beginners=2, beginner_life=6, frames=2, clip=4, steps=2, rehearsed=0.5
        ),
        distil_stage=stage,
        data=dataclasses.replace(TrainConfig().data, cache=str(tmp_path / "cache"), validation_share=0.3),
        device="cpu",
        threads=1,
        progress=False,
    )


@pytest.mark.parametrize("stage", ["tokenizer", "depth", "drift", "dynamics", "distil"])
def test_a_killed_run_resumes_to_the_same_bits(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        write_stretch(tmp_path / "corpus", f"d{i}", Made(f"drive{i}", f"place{i}", clip(i)))
    sets = {"reference": [read_stretch(tmp_path / "corpus", f"d{i}") for i in range(4)]}
    monkeypatch.setattr(run_module, "load_sets", lambda _: sets)
    whole = run_module.run(config(tmp_path / "whole", tmp_path))
    original = run_module.fit

    def fit_and_die(cfg, module, batches, settings, callbacks) -> None:
        original(cfg, module, batches, settings, [*callbacks, *([KillAt(5)] if module.name == stage else [])])

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "fit", fit_and_die)
        with pytest.raises(KilledError):
            run_module.run(config(tmp_path / "killed", tmp_path))
    assert not (tmp_path / "killed" / "dynamics.safetensors").exists()
    torch.manual_seed(99)  # a new process has other random state: nothing may depend on it
    resumed = run_module.run(config(tmp_path / "killed", tmp_path))
    assert WorldModel.from_pretrained(whole).hashes() == WorldModel.from_pretrained(resumed).hashes()
    for name in ("tokenizer", "depth", "drift", "dynamics", "distil"):  # the checkpoints hold the full precision
        states = [torch.load(out / name / "last.ckpt", weights_only=False)["state_dict"] for out in (whole, resumed)]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_corpus_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    names = ["d0", "d1"]
    write_stretch(tmp_path, "d0", Made("kept", "kept", clip(7)))
    (tmp_path / "d1.npy").write_bytes(b"half a file")  # frames without columns: not complete
    stretches = build_corpus(tmp_path, names, make, processes=1, progress=False, what="")
    assert [s.info.drive_id for s in stretches] == ["kept", "drive1"]
    assert np.array_equal(stretches[1].frames, clip(1).frames)
    assert np.array_equal(stretches[1].motion.yaw_rate_radps, clip(1).motion.yaw_rate_radps, equal_nan=True)


def test_shrinking_averages_and_keeps_the_canonical_view() -> None:
    big = clip(0, length=2, size=(64, 128))
    small = shrink(big, 2).validate()
    assert small.frames.shape == (2, 32, 64, 3)
    assert abs(int(small.frames[0, 3, 4, 1]) - big.frames[0, 6:8, 8:10, 1].mean()) <= 0.5
    assert small.camera == canonical_camera(32, 64, height_m=1.4)


def test_the_learning_rate_is_a_trapezium() -> None:
    stage = StageConfig(steps=100, warmup_share=0.1, decay_share=0.4)
    factors = [trapezium((k + 1) / 100, stage) for k in range(100)]
    assert factors[9:60] == [1.0] * 51
    assert factors[0] == pytest.approx(0.1)
    assert factors[-1] == 0
    assert max(factors) == 1.0


def test_tokens_weigh_what_the_camera_saw() -> None:
    valid = torch.ones(1, 32, 64, dtype=torch.bool)
    valid[:, :8] = False
    weight = token_weight(valid, (2, 2))
    assert torch.allclose(weight, torch.tensor([[0.5, 0.5, 1.0, 1.0]]))
