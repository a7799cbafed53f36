"""A drive drawn anew in another look: its latents noised to a level, and denoised again under other tags.

Frame by frame and causally: each frame is drawn from the given one at the level, told the motion that led to it and
shown the frame before it as it was drawn, moved by that motion; so what was drawn once is carried on rather than
invented anew, and any length works. Where the model knows what a frame lacks to look as it is told, that is added to
the given ones beforehand; and where those show other road users they are kept, as a level at which a look changes would
lose them. The idea is SDEdit's (Meng et al., arXiv 2108.01073). Knows the learned world and frames,
nothing of where they come from.

Shapes: B rows; T frames; H, W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from worldmodel.dynamics.dynamics import Told
from worldmodel.dynamics.sampler import SamplerConfig, draw_frame, relit, sketched
from worldmodel.geometry.camera import NOMINAL_HEIGHT_M
from worldmodel.metrics.recolour import lab_statistics, recoloured
from worldmodel.model import WorldModel
from worldmodel.simulation.session import DRAW, Session
from worldmodel.tokenizer.drift import shown_users
from worldmodel.tokenizer.tokenizer import to_network
from worldmodel.types import EgoMotion, FloatArray, FrameArray, Tags

#: Seeds of the frames that show the world's own colours, away from the drive's.
_PALETTE_SEED, _PALETTE_FRAMES = 5_000_000, 4
#: How often the sampler's share of what a given frame lacks to look as it is told is added to it: until it hardly does.
_RELIT_TIMES = 10


class Restyling(Session):
    """A learned world that draws its frames from given ones rather than from noise alone.

    Args:
        model: a world model.
        level: signal level the given frames are noised to: the lower, the more is drawn anew; below 1.
        sampler, device, precision, compiled: as of ``Session``.
    """

    def __init__(
        self,
        model: WorldModel,
        *,
        level: float,
        sampler: SamplerConfig | None = None,
        device: str = "cpu",
        precision: str = "fp32",
        compiled: bool = False,
    ) -> None:
        if not 0 <= level < 1:
            raise ValueError(f"level: expected a number from 0 and below 1, got {level}")
        super().__init__(model, sampler=sampler, device=device, precision=precision, compiled=compiled)
        self.level = level
        self._given: Tensor | None = None
        #: ``(B, 1, N, 1)`` how surely each token of the given frames shows somebody.
        self._users: Tensor | None = None

    @torch.no_grad()
    def look_at(self, frames: FrameArray | None) -> None:
        """The frames ``(B, H, W, 3)`` that the next ones are drawn from; ``None`` for noise alone.

        Raises:
            ValueError: frames of another size than the model's.
        """
        if frames is None:
            self._given = None
            return
        wanted = (self.camera.height_px, self.camera.width_px, 3)
        if frames.shape[1:] != wanted:
            raise ValueError(f"look_at: frames are {frames.shape[1:]}, the model's are {wanted}")
        tokenizer, x_BCHW = self.model.tokenizer, to_network(torch.from_numpy(frames).to(self.device))
        self._given, self._users = self.model.dynamics.normalise(tokenizer.encode(x_BCHW))[:, None], None
        if tokenizer.drift is not None:
            height_m = x_BCHW.new_full((len(x_BCHW),), NOMINAL_HEIGHT_M)
            shown_BHW = shown_users(tokenizer.depth, tokenizer.drift, x_BCHW, height_m, self.camera)
            users_BN = F.adaptive_max_pool2d(shown_BHW[:, None], tokenizer.config.latent_grid).flatten(1)
            self._users = users_BN[:, None, :, None]

    def see_from(self, height_m: float) -> None:
        """Every row's camera stands so high from here on."""
        self._height_m = np.full(self.batch, height_m)

    def _draw(self, told: Told, sampler: SamplerConfig | None = None) -> Tensor:
        if self._given is None:
            return super()._draw(told, sampler)
        given = self._given
        for _ in range(_RELIT_TIMES if self.sampler.relit else 0):
            given = relit(self.networks.dynamics, given, told, self.sampler)
        x = sketched(given, self._noise(DRAW), self.level)
        drawn = draw_frame(self.networks.dynamics, x, told, self._ring, self.sampler, from_tau=self.level).float()
        if self._users is None or not self.sampler.relit or self.networks.dynamics.look is None:
            return drawn  # as they are, they would be of another look
        return torch.lerp(drawn, given, self._users)


def restyled(
    world: Restyling,
    moments: Iterable[tuple[FrameArray, EgoMotion, Tags]],
    *,
    seed: int = 0,
    settle: int = 4,
    colours: bool = False,
    height_m: float = math.nan,
) -> Iterator[FrameArray]:
    """The frames ``(H, W, 3)`` of a drive, drawn anew, one for each given.

    Args:
        world: that draws.
        moments: a frame ``(H, W, 3)``, the motion ``()`` that led to it, as over the world's own time step (of the
            first it does not matter), and the wanted tags ``()``.
        seed: of the noise.
        settle: the first frame is drawn so many times more, as if the ego stood there: the new look takes hold before
            the drive begins.
        colours: first give each frame the colours of frames that the world draws under the first tags, without seeing
            the drive.
        height_m: of the camera of the frames; NaN for that of the world.
    """
    palette: FloatArray | None = None
    for number, (frame, motion, tags) in enumerate(moments):
        if colours and palette is None:
            palette = _palette(world, tags)
        shown = frame if palette is None else recoloured(frame, palette)
        world.look_at(shown[None])
        if number == 0:
            drawn = world.start(tags, seed=seed)
            if math.isfinite(height_m):
                world.see_from(height_m)
            for _ in range(settle):
                drawn = world.step(EgoMotion(np.zeros(1), np.zeros(1)), tags=tags)
        else:
            drawn = world.step(EgoMotion(motion.speed_mps[None], motion.yaw_rate_radps[None]), tags=tags)
        assert drawn is not None
        yield drawn[0]


def _palette(world: Restyling, tags: Tags) -> FloatArray:
    """Colour statistics ``(2, 3)`` of frames a world draws of tags alone."""
    world.look_at(None)
    return lab_statistics(world.start(tags, batch=_PALETTE_FRAMES, seed=_PALETTE_SEED))
