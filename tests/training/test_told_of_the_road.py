"""In training too, frames are told where the road lies, as they see it, and some clips are not."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.tiny import DYNAMICS, TOKENIZER, WINDOW, tiny_model
from worldmodel.datasets.windows import ClipWindows, MemoryEpisode
from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.objective import ObjectiveConfig, drop
from worldmodel.dynamics.road import road_features
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.geometry.camera import canonical_camera
from worldmodel.geometry.road import POINTS
from worldmodel.tokenizer.tokenizer import TokenizerConfig
from worldmodel.training.config import TrainConfig
from worldmodel.training.distilling import DistilStage
from worldmodel.training.pictures import continue_drive
from worldmodel.training.stages import as_tensors, prepare_clips
from worldmodel.training.with_boxes import WithBoxes
from worldmodel.types import Clip, EgoMotion, Tags

LENGTH, HEIGHT_M = 12, 1.3


def stretch(seed: int, *, frames: np.ndarray | None = None, known: bool = True) -> MemoryEpisode:
    rng = np.random.default_rng(seed)
    road = np.cumsum(rng.uniform(2, 4, (LENGTH, 2, POINTS, 2)), axis=2).astype(np.float32)
    made = rng.integers(0, 256, (LENGTH, 32, 64, 3), dtype=np.uint8)
    clip = Clip(
        frames=made,
        t_s=np.arange(LENGTH) * 0.1,
        motion=EgoMotion(rng.uniform(0, 20, LENGTH), rng.uniform(-0.3, 0.3, LENGTH)),
        tags=Tags.unknown((LENGTH,)),
        camera=canonical_camera(32, 64, height_m=HEIGHT_M),
        valid_mask=np.ones((32, 64), dtype=bool),
    )
    episode = MemoryEpisode.of(clip, drive_id=f"d{seed}", truth={"road": road} if known else None)
    return episode if frames is None else dataclasses.replace(episode, frames=frames)


def latents(seed: int) -> np.ndarray:
    shape = (LENGTH, 2, TOKENIZER.tokens, TOKENIZER.channels)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


def test_a_clip_is_told_of_the_road_as_each_of_its_frames_sees_it() -> None:
    network = tiny_model(road=True).dynamics
    some = [stretch(0, frames=latents(0)), stretch(1, frames=latents(1), known=False)]
    windows = ClipWindows(some, length=WINDOW, batch_size=2)
    windows.draw = lambda k: [(0, 3), (1, 5)]
    batch = as_tensors(WithBoxes(windows)(0))
    told, _ = prepare_clips(batch, network, TOKENIZER)
    assert told.road is not None
    true = torch.from_numpy(some[0].truth["road"][3 : 3 + WINDOW])
    camera = canonical_camera(32, 64)
    wanted = road_features(true, torch.full((WINDOW,), HEIGHT_M), camera, TOKENIZER.latent_grid)
    assert (wanted != 0).any()
    assert torch.equal(told.road[0], wanted)
    assert (told.road[1] == 0).all()
    deaf, _ = prepare_clips(batch, tiny_model().dynamics, TOKENIZER)
    assert deaf.road is None


def test_the_road_of_some_clips_is_made_unknown_and_where_motion_is_it_always_is() -> None:
    told = Told(torch.ones(400, 2, 4), road=torch.ones(400, 2, 3, 5))
    config = ObjectiveConfig(drop_motion=0.3, drop_road=0.2)
    dropped = drop(told, config, torch.Generator().manual_seed(0))
    assert dropped.road is not None
    unknown, unmoved = (dropped.road == 0).flatten(1).all(1), dropped.motion[..., 0].isnan().all(1)
    assert ((dropped.road == 1).flatten(1).all(1) | unknown).all(), "a clip's road is known or it is not"
    assert unknown[unmoved].all()
    assert 0.1 < unknown[~unmoved].float().mean().item() < 0.3
    guided = told.without_motion()
    assert guided.road is not None
    assert (guided.road == 0).all()


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_some_own_drives_are_not_told_of_their_road(share: float) -> None:
    model = tiny_model(road=True)
    windows = WithBoxes(ClipWindows([stretch(0, frames=latents(0))], length=LENGTH))
    config = TrainConfig(
        tokenizer=TokenizerConfig(**dataclasses.asdict(TOKENIZER)),
        dynamics=dataclasses.replace(DYNAMICS, road=True),
        objective=ObjectiveConfig(drop_road=share),
    )
    stage = DistilStage(config, model.dynamics, model.tokenizer, windows)
    told = [stage.own.life(k)[0].road for k in range(40)]
    silent = [road is not None and bool((road == 0).all()) for road in told]
    assert sum(silent) == pytest.approx(40 * share, abs=1)


def test_a_sample_drive_is_told_of_the_road_too() -> None:
    model = tiny_model(road=True)
    drawn = [
        continue_drive(
            model.dynamics, model.tokenizer, stretch(0, known=known), SamplerConfig(1), context=4, until=LENGTH
        )
        for known in (True, True, False)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
