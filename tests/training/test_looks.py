"""Dynamics is trained on drives in another weather or light than is told, and asked for them as they are told."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.dynamics.test_objective import Oracle, told
from tests.tiny import DYNAMICS, TOKENIZER, tiny_model
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode, unit_hash
from worldmodel.dynamics.objective import ObjectiveConfig, Shown, draw_levels, drop, shortcut_forcing_loss
from worldmodel.geometry.camera import canonical_camera
from worldmodel.reference.options import draw_options
from worldmodel.training import run as run_module
from worldmodel.training.config import ClipsConfig, DataConfig, LooksConfig, StageConfig, TrainConfig
from worldmodel.training.latents import cached_latents
from worldmodel.training.looks import in_two_looks, mixed, shown_otherwise
from worldmodel.training.run import run
from worldmodel.training.sources import in_another_look, load_sets, looking_otherwise
from worldmodel.training.stages import as_tensors
from worldmodel.training.with_boxes import BoxedBatch, WithBoxes
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH = 15


def config(tmp_path: Path, **changes) -> TrainConfig:
    data = DataConfig(drives=2, drive_s=1.5, processes=1, validation_share=0.0, cache=str(tmp_path / "cache"))
    settings = {
        "data": data,
        "tokenizer": TOKENIZER,
        "dynamics": DYNAMICS,
        "clips": ClipsConfig(short=4, long=12, long_every=2),
        "looks": LooksConfig(share=1.0),
        "out": str(tmp_path / "out"),
        "device": "cpu",
        "progress": False,
        "threads": 1,
        **{f"{name}_stage": StageConfig(0) for name in ("tokenizer", "depth", "drift", "astray", "look", "dynamics")},
        **changes,
    }
    return TrainConfig(**settings)


def test_a_drive_looks_otherwise_and_is_the_same_drive(tmp_path: Path) -> None:
    changed = set()
    for seed in range(40):
        one = draw_options(seed)
        other = looking_otherwise(one)
        some = {f for f in ("weather", "time_of_day") if getattr(one, f) != getattr(other, f)}
        assert some
        assert dataclasses.replace(other, weather=one.weather, time_of_day=one.time_of_day) == one
        changed.add(frozenset(some))
    assert len(changed) == 3
    settings = config(tmp_path)
    (true,) = load_sets(settings).values()
    others = in_another_look(settings, [s.info.drive_id for s in true])
    for own, other in zip(true, others, strict=True):
        assert own.info.drive_id == other.info.drive_id
        assert own.episode_id != other.episode_id, "their latents would be mistaken for each other"
        np.testing.assert_array_equal(own.motion.speed_mps, other.motion.speed_mps)
        np.testing.assert_array_equal(own.truth["road"], other.truth["road"])
        np.testing.assert_array_equal(own.truth["boxes"], other.truth["boxes"])
        assert not np.array_equal(own.tags.codes, other.tags.codes)
        assert np.abs(own.frames.astype(int) - other.frames).mean() > 2


def test_every_frame_and_the_one_before_it_have_their_own_share_of_the_other_look() -> None:
    own, other = torch.zeros(2, 3, 2, 1, 1).half(), torch.ones(2, 3, 2, 1, 1).half()
    own[0, 0, 1] = torch.nan  # nothing is known of what was before
    made = mixed(own, other, torch.tensor([[0.8, 0.4, 0.2], [0.0, 0.0, 1.0]]))
    wanted = torch.tensor([[0.8, 0.4, 0.2], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(made[:, :, 0, 0, 0].float(), wanted, atol=1e-3, rtol=0)
    wanted = torch.tensor([[torch.nan, 0.8, 0.4], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(made[:, :, 1, 0, 0].float(), wanted, atol=1e-3, rtol=0, equal_nan=True)
    assert made.dtype == torch.float16


def test_drives_come_with_their_other_look(tmp_path: Path) -> None:
    settings, tokenizer = config(tmp_path), tiny_model().tokenizer
    latents = cached_latents(settings, tokenizer, load_sets(settings))
    pairs = in_two_looks(settings, tokenizer, latents)
    for pair, own in zip(pairs, latents["reference"], strict=True):
        assert pair.info.drive_id == own.info.drive_id
        assert pair.frames is own.frames, "nothing is kept twice"
        assert pair.truth["other"].shape == own.frames.shape
        assert np.abs(pair.truth["other"][:, 0] - own.frames[:, 0]).max() > 1e-3
        np.testing.assert_array_equal(pair.tags.codes, own.tags.codes)
    first, last = sorted(unit_hash(f"looks_{s.episode_id}") for s in latents["reference"])
    some = dataclasses.replace(settings, looks=LooksConfig(share=(first + last) / 2))
    assert len(in_two_looks(some, tokenizer, latents)) == 1
    none = dataclasses.replace(settings, looks=LooksConfig(share=first / 2))
    with pytest.raises(ValueError, match=r"looks.share: 0.* of 2 drives is none"):
        in_two_looks(none, tokenizer, latents)


def test_batches_carry_the_other_look() -> None:
    windows = WithBoxes(ClipWindows({"true": [_stretch("true", False)], "looks": [_stretch("looks", True)]}, length=4))
    batch = windows.at([(0, 1), (1, 2)])
    assert batch.has_other.tolist() == [False, True]
    np.testing.assert_array_equal(batch.other[0], batch.frames[0])
    np.testing.assert_array_equal(batch.other[1], -batch.frames[1])
    alone = windows.at([(0, 0)])
    assert alone.other is alone.frames, "nothing is copied where there is none"


def test_what_is_asked_for_is_shown_as_it_is_told_and_nothing_else_is() -> None:
    windows = WithBoxes(ClipWindows({"true": [_stretch("true", False)], "looks": [_stretch("looks", True)]}, length=4))
    batch = BoxedBatch(*as_tensors(windows.at([(i % 2, 1 + i % 3) for i in range(400)])))
    seen, asked_BT, whole_B1 = shown_otherwise(
        batch, LooksConfig(share=1.0, asked=0.3, whole=0.25), torch.Generator().manual_seed(0)
    )
    true_B = ~batch.has_other
    assert torch.equal(seen.frames[true_B], batch.frames[true_B])
    assert asked_BT[true_B].all()
    assert not whole_B1[true_B].any()
    assert abs(whole_B1[~true_B].float().mean() - 0.25) < 0.1
    assert asked_BT[whole_B1[:, 0]].all()
    among_B = ~true_B & ~whole_B1[:, 0]
    assert abs(asked_BT[among_B].float().mean() - 0.3) < 0.06
    share_BT = ((batch.frames - seen.frames) / (batch.frames - batch.other))[:, :, 0].float().mean(dim=(2, 3))
    shares = share_BT[~true_B]
    as_told = (asked_BT & ~whole_B1)[~true_B]
    assert (shares[as_told].abs() < 1e-3).all()
    assert (shares[~as_told] > 0.09).all()
    most = shares.max(dim=1, keepdim=True).values.expand_as(shares)
    torch.testing.assert_close(shares[~as_told], most[~as_told], atol=5e-3, rtol=0)  # what is shown stands still
    assert shares.max(dim=1).values.std() > 0.2


def test_the_others_are_shown_and_not_asked_for() -> None:
    rows, settings = 6, ObjectiveConfig(independent_share=0.4, together_share=0.5, past_share=0.5)
    asked_BT, whole_B1 = torch.ones(600, 8, dtype=torch.bool), (torch.arange(600) % 3 == 1)[:, None]
    asked_BT[::3] = torch.rand(200, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    shown = Shown(torch.zeros(600, 8, 1, 4, 3), asked_BT, whole_B1)
    among_B, whole_B = (shown.otherwise & ~whole_B1)[:, 0], whole_B1[:, 0]
    plain_B = ~shown.otherwise[:, 0]
    for shortcut in (False, True):
        levels = draw_levels(600, 8, settings, torch.Generator().manual_seed(3), shortcut=shortcut, shown=shown)
        plain = draw_levels(600, 8, settings, torch.Generator().manual_seed(3), shortcut=shortcut)
        assert torch.equal(levels.together[among_B | whole_B], whole_B1[among_B | whole_B])
        assert (levels.tau[whole_B] == levels.tau[whole_B][:, :1]).all()
        assert abs(levels.tau[whole_B].mean() - 0.5) < 0.06
        assert (levels.tau[~asked_BT] >= settings.past_tau_min).all(), "what is shown is nearly clean"
        assert not levels.is_shortcut[~asked_BT | whole_B1].any()
        tau = levels.tau[asked_BT & among_B[:, None] & ~levels.is_shortcut]
        assert abs((tau == 0).float().mean() - (0.5 + 0.5 / settings.finest)) < 0.06
        assert tau.max() > 0.9
        assert torch.equal(levels.tau[plain_B], plain.tau[plain_B]), "ordinary clips are what they were"

    clean, says = torch.randn(rows, 12, 1, 4, 3, requires_grad=True), told(rows, 12)
    few = Shown(torch.randn_like(clean), asked_BT[:rows, :4].repeat(1, 3), whole_B1[:rows])

    def loss(shown: Shown | None) -> torch.Tensor:
        network, again = Oracle(torch.zeros_like(clean)), torch.Generator().manual_seed(5)
        args = (clean, says, settings, again)
        return shortcut_forcing_loss(network, *args, shortcut=False, shown=shown)[0]  # type: ignore[arg-type]

    (gradient,) = torch.autograd.grad(loss(few), clean)
    counts_BT = gradient.abs().sum(dim=(2, 3, 4)) / clean.detach().abs().sum(dim=(2, 3, 4))
    assert torch.equal(counts_BT > 0, few.asked), "the target is what is told, not what is shown"
    counts = counts_BT[::3][few.asked[::3]]
    torch.testing.assert_close(counts, counts.max().expand_as(counts))  # at every level
    as_told = Shown(clean.detach(), torch.ones_like(few.asked), torch.zeros_like(few.whole))
    torch.testing.assert_close(loss(as_told), loss(None))


def test_what_is_noised_is_what_is_shown() -> None:
    clean, says = torch.zeros(3, 5, 1, 4, 3), told(3, 5)
    shown = Shown(
        torch.full_like(clean, 7.0), torch.tensor([[True], [False], [True]]).expand(3, 5), torch.ones(3, 1) > 2
    )
    seen = []

    class Network(Oracle):
        def __call__(self, z: torch.Tensor, *args: object) -> torch.Tensor:
            seen.append(z)
            return super().__call__(z, *args)

    shortcut_forcing_loss(
        Network(clean), clean, says, ObjectiveConfig(past_tau_min=0.9), torch.Generator().manual_seed(0),  # type: ignore[arg-type]
        shortcut=False, shown=shown,
    )  # fmt: skip
    assert abs(float(seen[0][1].mean()) - 7 * 0.95) < 0.3


def test_nothing_that_is_told_there_is_dropped() -> None:
    everything = ObjectiveConfig(drop_motion=1.0, drop_tags=1.0)
    says = told(4, 5)
    says = dataclasses.replace(says, tags=torch.ones(4, 5, 8, dtype=torch.long))
    kept_B1 = torch.tensor([[True], [False], [True], [False]])
    left = drop(says, everything, torch.Generator().manual_seed(0), kept_B1)
    assert left.tags is not None
    assert left.tags.bool().all(dim=(1, 2)).tolist() == [True, False, True, False]
    assert torch.isnan(left.motion[..., 0]).all(dim=1).tolist() == [False, True, False, True]


def _stretch(name: str, other: bool) -> MemoryEpisode:
    config, length = tiny_model().tokenizer.config, 8
    frames = np.random.default_rng(0).normal(size=(length, 2, config.tokens, config.channels)).astype(np.float32)
    clip = Clip(
        frames=frames,
        t_s=np.arange(length) * 0.1,
        motion=EgoMotion(np.full(length, 9.0), np.zeros(length)),
        tags=Tags.unknown((length,)),
        camera=canonical_camera(32, 64, height_m=1.4),
        valid_mask=np.ones((32, 64), dtype=bool),
    )
    return MemoryEpisode.of(clip, drive_id=name, truth={"other": -frames} if other else {})


def test_dynamics_is_trained_on_true_drives_and_on_other_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, windows = {}, run_module._windows

    def record(settings: TrainConfig, sets: dict[str, list[MemoryEpisode]], length: int, batch: int) -> object:
        seen[length] = {name: ["other" in s.truth for s in some] for name, some in sets.items()}
        return windows(settings, sets, length, batch)

    monkeypatch.setattr(run_module, "_windows", record)
    run(config(tmp_path, dynamics_stage=StageConfig(2, batch=3, picture_every=0)))
    assert seen[4] == {"reference": [False] * 2, "looks": [True] * 2}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"looks": LooksConfig(share=1.5)}, "looks.share: expected a share from 0 to 1, got 1.5"),
        ({"looks": LooksConfig(asked=-0.1)}, "looks.asked: expected a share"),
        ({"looks": LooksConfig(whole=2)}, "looks.whole: expected a share"),
        ({"data": DataConfig(source="episodes", paths=("some",))}, "looks.share: drives of the reference world"),
        ({"data": DataConfig(live=True)}, "looks.share: drives of the reference world"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict, complaint: str) -> None:
    config(tmp_path).validate()
    with pytest.raises(ValueError, match=complaint):
        config(tmp_path, **changes).validate()
