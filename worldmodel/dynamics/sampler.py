"""Drawing the next frame: a few steps from noise to clean, then one pass that leaves the frame in the ring.

Each row's noise comes from its own stream, a function of (seed, step) alone, so neighbours and batch size do not
change a row. The past is kept slightly noisy (``past_tau``), with noise drawn once, when a frame enters the ring.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from worldmodel.dynamics.dynamics import Dynamics, Told, join
from worldmodel.nn.ring import Ring
from worldmodel.nn.shapes import Float

#: Steps of the finest schedule (``ObjectiveConfig.finest``).
FINEST = 32


@dataclasses.dataclass(frozen=True)
class SamplerConfig:
    """How frames are drawn.

    Attributes:
        steps: from noise to clean, a power of two; 4 do nearly the work of 32.
        past_tau: signal level at which finished frames are kept. The lower, the longer a drive holds and the less of
            the past's detail survives.
        moved_tau: signal level at which the moved frame before is shown.
        shortcuts: whether the network is told the step it truly takes, for which it needs well trained shortcuts;
            otherwise the finest, which is sharper while they are not.
        guidance: how much further than what is told leads, from what would come untold (classifier-free guidance, arXiv
            2207.12598, of motion); 1 for no further, and half the cost.
        prompt_guidance: the same of tags, and so of prompts, which are read into tags.
        first_steps: instead of ``steps``, of a drive's first frame where nothing is known that came before it.
        righted: share of how far a road has gone astray from its map that is put right in each frame
            (``tokenizer.astray``): the more, the better a road stays and the less its ground moves as it is told.
        relit: share of what each frame lacks to look as it is told, in weather and light, that is added to it
            (``dynamics.look``), where the model has learned what that is.
        relaid: share of what the ground of each frame lacks to show the road where its map has it, that is added to it
            (``dynamics.laying``), where the model has learned that and a map is known.
    """

    steps: int = 4
    past_tau: float = 0.9
    moved_tau: float = 0.9
    shortcuts: bool = False
    guidance: float = 1.0
    prompt_guidance: float = 1.0
    first_steps: int = 32
    righted: float = 0.0
    relit: float = 0.0
    relaid: float = 0.0

    def validate(self) -> SamplerConfig:
        """Raise ``ValueError`` unless steps are powers of two up to 64 and the levels are in (0, 1]."""
        for name, steps in (("steps_per_frame", self.steps), ("first_steps", self.first_steps)):
            if steps not in (1, 2, 4, 8, 16, 32, 64):
                raise ValueError(f"{name}: expected a power of two from 1 to 64, got {steps}")
        for name in ("past_tau", "moved_tau"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number in (0, 1], got {getattr(self, name)}")
        for name in ("guidance", "prompt_guidance"):
            if not 1 <= getattr(self, name) <= 10:
                raise ValueError(f"{name}: expected a number from 1 to 10, got {getattr(self, name)}")
        for name in ("righted", "relit", "relaid"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share from 0 to 1, got {getattr(self, name)}")
        return self


def row_noise(
    shape: Sequence[int], seeds: Sequence[int], steps: Sequence[int], *, stream: int, like: Tensor
) -> Float[Tensor, "b ..."]:
    """Standard normal noise ``(B, *shape)``; row i depends on ``(seeds[i], steps[i], stream)`` alone."""
    rows = [
        np.random.default_rng((seed, step, stream)).standard_normal(tuple(shape), dtype=np.float32)
        for seed, step in zip(seeds, steps)
    ]
    return torch.from_numpy(np.stack(rows)).to(like)


def shown(told: Told, moved_BVNC: Float[Tensor, "b v n c"], noise_BVNC: Tensor, moved_tau: float) -> Told:
    """What a frame is told, with the frame before it, moved (NaN where unknown) and noised to ``moved_tau``."""
    moved = moved_tau * moved_BVNC + (1 - moved_tau) * noise_BVNC
    return dataclasses.replace(told, moved=moved[:, None], moved_tau=moved.new_full((len(moved), 1), moved_tau))


def less_told(told: Told, guidance: float, tag_guidance: float) -> list[tuple[Told, float]]:
    """What guidance pulls away from, of motion and of tags, and how much further than it; those of 1 are left out."""
    untold = [(told.without_motion(), guidance - 1), (told.without_tags(), tag_guidance - 1)]
    return [(less, further) for less, further in untold if further]


def guided(every: Tensor, untold: Sequence[tuple[Told, float | Tensor]]) -> Tensor:
    """Further than what came untold, of what was said of all rows told, then of all rows less told, in one batch."""
    clean, *free = every.chunk(1 + len(untold))
    return clean + sum(further * (clean - less) for less, (_, further) in zip(free, untold))


@torch.no_grad()
def draw_frame(
    network: Dynamics,
    x_BVNC: Float[Tensor, "b v n c"],
    told: Told,
    ring: Ring,
    sampler: SamplerConfig,
    *,
    from_tau: float = 0.0,
) -> Float[Tensor, "b v n c"]:
    """To a clean frame in equal steps; the ring is read, its current slot is scratch.

    Args:
        network: the dynamics.
        x_BVNC: noise, or latents at signal level ``from_tau`` (``sketched``).
        told: of this frame.
        ring: the past.
        sampler: how.
        from_tau: where the steps begin; of a whole number of them, as from 0.
    """
    x, steps = x_BVNC, sampler.steps
    stride = (1 - from_tau) / steps
    d_B = x.new_full((len(x),), stride if sampler.shortcuts else 1 / FINEST)
    # What is untold, and how much further than it: told and untold in one pass, as one world alone is bound by how many
    # there are. Both guidances pull away from what would come without theirs, from where the other leaves it.
    untold = less_told(told, sampler.guidance, sampler.prompt_guidance)
    copies, said = 1 + len(untold), told
    if untold:
        said, ring = join([told, *(less for less, _ in untold)]), ring.times(copies)
    for k in range(steps):
        tau_B = torch.full_like(d_B, from_tau + k * stride)
        if not untold:
            clean = network.step(x, tau_B, d_B, said, ring)
        else:
            every = network.step(x.repeat(copies, 1, 1, 1), tau_B.repeat(copies), d_B.repeat(copies), said, ring)
            clean = guided(every, untold)
        x = x + (clean - x) * (1 / (steps - k))  # v d = (clean - x) / (1 - tau) * stride
    return finished(network, x, told, sampler)


def finished(network: Dynamics, clean_BVNC: Tensor, told: Told, sampler: SamplerConfig) -> Tensor:
    """A frame that has been drawn, with what is added of the road and then of the look."""
    if sampler.relaid and network.laying is not None and told.road is not None:
        clean_BVNC = clean_BVNC + sampler.relaid * network.laying(clean_BVNC, told.road[:, 0])
    return relit(network, clean_BVNC, told, sampler)


def relit(network: Dynamics, clean_BVNC: Tensor, told: Told, sampler: SamplerConfig) -> Tensor:
    """A frame that has been drawn, with the sampler's share of what it lacks to look as it is told."""
    if not sampler.relit or network.look is None or told.tags is None:
        return clean_BVNC
    return clean_BVNC + sampler.relit * network.look(clean_BVNC, told.tags[:, 0])


def sketched(clean_BVNC: Tensor, noise_BVNC: Tensor, tau: float) -> Tensor:
    """Latents noised to signal level ``tau``, to be drawn anew from there (SDEdit, Meng et al., arXiv 2108.01073)."""
    return tau * clean_BVNC + (1 - tau) * noise_BVNC


@torch.no_grad()
def commit_frame(
    network: Dynamics,
    clean_BVNC: Float[Tensor, "b v n c"],
    noise_BVNC: Float[Tensor, "b v n c"],
    told: Told,
    ring: Ring,
    past_tau: float,
) -> None:
    """Leave a finished frame in the ring, at the signal level of the past, and move on to the next slot."""
    x = past_tau * clean_BVNC + (1 - past_tau) * noise_BVNC
    tau_B = x.new_full((len(x),), past_tau)
    network.step(x, tau_B, torch.full_like(tau_B, 1 / FINEST), told, ring)
    ring.advance()
