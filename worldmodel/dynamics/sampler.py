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
        first_steps: instead of ``steps``, of a drive's first frame where nothing is known that came before it.
    """

    steps: int = 4
    past_tau: float = 0.9
    moved_tau: float = 0.9
    shortcuts: bool = False
    guidance: float = 1.0
    first_steps: int = 32

    def validate(self) -> SamplerConfig:
        """Raise ``ValueError`` unless steps are powers of two up to 64 and the levels are in (0, 1]."""
        for name, steps in (("steps_per_frame", self.steps), ("first_steps", self.first_steps)):
            if steps not in (1, 2, 4, 8, 16, 32, 64):
                raise ValueError(f"{name}: expected a power of two from 1 to 64, got {steps}")
        for name in ("past_tau", "moved_tau"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a number in (0, 1], got {getattr(self, name)}")
        if not 1 <= self.guidance <= 10:
            raise ValueError(f"guidance: expected a number from 1 to 10, got {self.guidance}")
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


@torch.no_grad()
def draw_frame(
    network: Dynamics,
    noise_BVNC: Float[Tensor, "b v n c"],
    told: Told,
    ring: Ring,
    sampler: SamplerConfig,
) -> Float[Tensor, "b v n c"]:
    """From noise to a clean frame in equal steps; the ring is read, its current slot is scratch."""
    x, steps = noise_BVNC, sampler.steps
    d_B = x.new_full((len(x),), 1 / steps if sampler.shortcuts else 1 / FINEST)
    if sampler.guidance != 1:
        # Told and untold in one pass: one world alone is bound by how many there are.
        told, ring = join([told, told.without_motion()]), ring.twice()
    for k in range(steps):
        tau_B = torch.full_like(d_B, k / steps)
        if sampler.guidance == 1:
            clean = network.step(x, tau_B, d_B, told, ring)
        else:
            both = network.step(torch.cat([x, x]), torch.cat([tau_B, tau_B]), torch.cat([d_B, d_B]), told, ring)
            clean, free = both.chunk(2)
            clean = free + sampler.guidance * (clean - free)
        x = x + (clean - x) * (1 / (steps - k))  # v d = (clean - x) / (1 - tau) / steps
    return x


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
