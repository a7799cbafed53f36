"""Training while stretches still arrive: windows as from memory, of all that has come, and stages by the clock."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_resume import clip, config, make
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.model import WorldModel
from worldmodel.training import run as run_module
from worldmodel.training.config import StageConfig
from worldmodel.training.corpus import Arriving
from worldmodel.training.live import Live
from worldmodel.training.resident import ResidentWindows, Store


def episode(seed: int, length: int = 40) -> MemoryEpisode:
    return MemoryEpisode.of(clip(seed, length), drive_id=f"drive{seed}", episode_id=f"e{seed}")


def store_of(*waves: list[MemoryEpisode], capacity: int = 10_000, at_least: int = 1) -> Store:
    """A store to which the waves arrive one at a time."""
    coming = list(waves)
    return Store(
        lambda: coming.pop(0) if coming else [],
        lambda s: torch.from_numpy(s.frames.copy()),
        capacity=capacity,
        at_least=at_least,
    )


def test_windows_on_the_device_are_those_from_memory() -> None:
    stretches = [episode(0), episode(1, 25), episode(2)]
    resident = ResidentWindows(store_of(stretches), length=8, batch_size=4, seed=3)
    ours = resident.batch(0)
    theirs = ClipWindows(stretches, length=8).gather(resident.draw(0))
    for name, a, b in zip(ours._fields, ours, theirs):
        assert np.array_equal(np.asarray(a), b, equal_nan=a.dtype in (np.float32, np.float64)), name
    again = ResidentWindows(store_of(stretches), length=8, batch_size=4, seed=3)
    assert again.draw(7) == resident.draw(7)
    assert again.draw(8) != resident.draw(7)


def test_every_window_of_what_has_arrived_is_drawn_and_none_across_two_stretches() -> None:
    resident = ResidentWindows(
        store_of([episode(0, 12)], [episode(1, 10), episode(2, 5)]), length=8, batch_size=64, seed=0
    )
    assert {place for k in range(5) for place in resident.draw(k)} == {(0, first) for first in range(5)}
    resident.draw(20)  # the next time it looks
    drawn = {place for k in range(21, 30) for place in resident.draw(k)}
    assert drawn == {(0, first) for first in range(5)} | {(1, first) for first in range(3)}  # five frames are too short


def test_a_store_waits_for_its_least_and_leaves_out_what_does_not_fit() -> None:
    store = store_of([], [episode(0)], [], [episode(1)], [episode(2)], capacity=100, at_least=60)
    store.sync(wait=True)
    assert [s.episode_id for s in store.stretches] == ["e0", "e1"]
    assert store.frames == 80
    store.sync()
    assert store.frames == 80  # the third would be 120
    assert torch.equal(store.take(torch.tensor([40])), torch.from_numpy(clip(1).frames[:1]))


def test_live_stretches_are_told_apart_by_drive_and_given_to_every_store() -> None:
    waves = [[episode(k)] for k in range(30)]
    live = Live(lambda: waves.pop() if waves else [], held_out=0.3, capacity=2000, at_least=1, device="cpu")
    for _ in range(30):
        live.look()
    assert len(live.train) + len(live.held_out) == 30
    assert 0 < len(live.held_out) < 20
    frames, lengths = live.frames(), live.store(lambda s: torch.full((s.length,), s.length))
    for store in (frames, lengths):
        store.sync()
        assert [s.episode_id for s in store.stretches] == [s.episode_id for s in live.train]


def test_what_arrives_is_what_was_made_and_failures_are_told(tmp_path: Path) -> None:
    def all_of(arriving: Arriving, count: int) -> list[MemoryEpisode]:
        come: list[MemoryEpisode] = []
        for _ in range(600):
            come += arriving()
            if len(come) >= count:
                break
            time.sleep(0.1)
        return come

    come = all_of(Arriving(tmp_path, ["d0", "d1", "d2"], make, processes=1), 3)
    assert sorted(s.info.drive_id for s in come) == ["drive0", "drive1", "drive2"]
    assert all(np.array_equal(s.frames, clip(int(s.info.drive_id[-1])).frames) for s in come)
    with pytest.raises(RuntimeError, match="could not be made"):
        all_of(Arriving(tmp_path, ["no digit at its end"], make, processes=1), 1)


def test_a_live_run_ends_by_the_clock_and_leaves_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = StageConfig(steps=10**6, batch=2, checkpoint_every=10**6, picture_every=0, log_every=1, seconds=1.0)
    settings = dataclasses.replace(
        config(tmp_path / "run", tmp_path),
        tokenizer_stage=stage,
        depth_stage=stage,
        drift_stage=stage,
        astray_stage=stage,
        dynamics_stage=stage,
    )
    settings = dataclasses.replace(settings, data=dataclasses.replace(settings.data, live=True))
    waves = [[episode(k)] for k in range(6)]
    live = Live(lambda: waves.pop() if waves else [], held_out=0.3, capacity=400, at_least=80, device="cpu")
    monkeypatch.setattr(run_module, "live_set", lambda *_, **__: live)
    began = time.perf_counter()
    run_module.run(settings)
    assert time.perf_counter() - began < 60
    assert WorldModel.from_pretrained(tmp_path / "run").training_record.summary["drives"]["drives"] >= 2
