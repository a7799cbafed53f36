"""The benchmark of whether tags are heard finds what networks do that are known to hear them, or not."""

import numpy as np
import pytest
import torch

from benchmarks.heard import FRAMES, left, told_and_clean
from tests.tiny import tiny_model
from worldmodel.datasets.windows import MemoryEpisode
from worldmodel.dynamics.dynamics import Told
from worldmodel.geometry.camera import canonical_camera
from worldmodel.types import Clip, EgoMotion, Tags


def clips(weather: str, seed: int) -> list[MemoryEpisode]:
    """Three clips of random latents."""
    config, made = tiny_model().tokenizer.config, []
    for k in range(3):
        rng = np.random.default_rng((seed, k))
        clip = Clip(
            frames=rng.normal(size=(FRAMES, 2, config.tokens, config.channels)).astype(np.float32),
            t_s=np.arange(FRAMES) * 0.1,
            motion=EgoMotion(np.full(FRAMES, 9.0), np.zeros(FRAMES)),
            tags=Tags(np.tile(Tags.named(weather=weather).codes, (FRAMES, 1))),
            camera=canonical_camera(config.height_px, config.width_px, height_m=1.4),
            valid_mask=np.ones((config.height_px, config.width_px), dtype=bool),
        )
        made.append(MemoryEpisode.of(clip, drive_id=f"{weather}_{k}"))
    return made


@pytest.mark.parametrize("share", [0.2, 1.0])
def test_what_is_left_of_another_look_is_found(share: float) -> None:
    model, own, other = tiny_model(), clips("clear", 1), clips("fog", 2)
    (says, begin), (others, end) = (told_and_clean(model, some) for some in (own, other))
    assert says.tags is not None
    assert others.tags is not None
    fog = others.tags[0, 0, 0]
    assert fog != says.tags[0, 0, 0]

    def deaf(x: torch.Tensor, tau: torch.Tensor, d: torch.Tensor, told: Told) -> torch.Tensor:
        return begin + share * (end - begin)

    def hears(x: torch.Tensor, tau: torch.Tensor, d: torch.Tensor, told: Told) -> torch.Tensor:
        known = 0.0 if told.tags is None else (told.tags[..., :1] > 0).float()[:, :, None, None]
        is_fog = 0.0 if told.tags is None else (told.tags[..., :1] == fog).float()[:, :, None, None]
        return begin + share * (is_fog + 0.5 * (1 - known)) * (end - begin)

    for forward, wanted in ((deaf, (1, 1, 1)), (hears, (0, 0.5, 1))):
        model.dynamics.forward = forward  # pyright: ignore[reportAttributeAccessIssue]
        found = left(model, own, other, share, 0.5)
        assert tuple(found) == ("own", "none", "other")
        assert list(found.values()) == pytest.approx(wanted, abs=1e-3)
