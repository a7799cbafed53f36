"""Distribution matching: what would make a model's own clips look as true ones do, without a truth to compare with.

A drive that has gone on by itself for seconds shows another place than the recording whose motion it follows; asked for
the recording's frames, a network learns the mean of all places. What can still be said is whether its clips are likely.
Two denoisers say so of the noised clip: the teacher, trained on true clips, and the critic, trained on own ones as they
come. The difference of what they take the clean clip to be points from own clips to true ones (Yin et al., arXiv
2311.18828 and 2405.14867; of long rollouts, Self Forcing, arXiv 2506.08009, and Self-Forcing++, arXiv 2510.02283).
All frames of a clip have one signal level, the moved frames before with them (``ObjectiveConfig.together_share``): what
was clean would be believed, however unlikely it is.
Legend: see the package docstring.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldmodel.dynamics.dynamics import Dynamics, Told, join
from worldmodel.dynamics.objective import blend, moved_at
from worldmodel.dynamics.sampler import FINEST, guided, less_told
from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.shapes import Float


def noised_together(
    clean_BTVNC: Float[Tensor, "b t v n c"], told: Told, generator: torch.Generator
) -> tuple[Tensor, Tensor, Told]:
    """Clips with all their frames at one level: noisy latents, the levels ``(B, T)``, what is told."""
    batch, length = clean_BTVNC.shape[:2]
    tau_B = torch.floor(torch.rand(batch, generator=generator) * FINEST) / FINEST
    tau_BT = hand_over(tau_B, clean_BTVNC.device)[:, None].expand(batch, length)
    if told.moved is not None:
        told = moved_at(told, tau_BT, noise_like(told.moved, generator))
    return blend(clean_BTVNC, noise_like(clean_BTVNC, generator), tau_BT), tau_BT, told


def denoised(
    network: Dynamics, x_BTVNC: Tensor, tau_BT: Tensor, told: Told, *, guidance: float = 1.0, tag_guidance: float = 1.0
) -> Tensor:
    """What a network takes noisy clips to be; both guidances, on motion and on tags, as in ``sampler``.

    Guidance on tags falls to none with the signal level: what tags tell of is seen in the coarse, and in the fine it
    would blur (compare guidance in a limited interval, arXiv 2404.07724).
    """
    noise_BT111 = (1 - tau_BT)[:, :, None, None, None]
    untold = [
        (less, further if less.tags is told.tags else further * noise_BT111)
        for less, further in less_told(told, guidance, tag_guidance)
    ]
    copies, d_BT = 1 + len(untold), torch.full_like(tau_BT, 1 / FINEST)
    every = network(
        x_BTVNC.repeat(copies, 1, 1, 1, 1),
        tau_BT.repeat(copies, 1),
        d_BT.repeat(copies, 1),
        join([told, *(less for less, _ in untold)]),
    )
    return guided(every.float(), untold)


@torch.no_grad()
def matched(
    teacher: Dynamics,
    critic: Dynamics,
    own_BTVNC: Float[Tensor, "b t v n c"],
    told: Told,
    generator: torch.Generator,
    *,
    guidance: float = 1.0,
    tag_guidance: float = 1.0,
    listener: Dynamics | None = None,
) -> Float[Tensor, "b t v n c"]:
    """Where own clips should go: from themselves, as far as teacher and critic differ.

    The difference is divided by how far the teacher is from the clip in the mean, as in arXiv 2311.18828, so that
    clips count alike at any level.

    Args:
        teacher, critic: what is likely, and what is made now.
        own_BTVNC: clips.
        told: of them.
        generator: of their noise.
        guidance, tag_guidance: of the teacher, as in ``denoised``.
        listener: who says what difference tags make, in the teacher's place, where that has gone deaf to them.
    """
    x_BTVNC, tau_BT, told = noised_together(own_BTVNC, told, generator)
    likely = denoised(teacher, x_BTVNC, tau_BT, told, guidance=guidance, tag_guidance=1.0 if listener else tag_guidance)
    if listener is not None:
        said = denoised(listener, x_BTVNC, tau_BT, told)
        likely = likely + denoised(listener, x_BTVNC, tau_BT, told, tag_guidance=tag_guidance) - said
    own = denoised(critic, x_BTVNC, tau_BT, told)
    apart = (likely - own_BTVNC).abs().flatten(1).mean(dim=1).clamp(min=1e-2)
    return own_BTVNC + (likely - own) / apart[:, None, None, None, None]


def critic_loss(
    critic: Dynamics, own_BTVNC: Float[Tensor, "b t v n c"], told: Told, generator: torch.Generator
) -> Float[Tensor, ""]:
    """How badly the critic denoises own clips, weighted as in ``objective``."""
    x_BTVNC, tau_BT, told = noised_together(own_BTVNC, told, generator)
    error_BT = (denoised(critic, x_BTVNC, tau_BT, told) - own_BTVNC).square().mean(dim=(2, 3, 4))
    return ((0.9 * tau_BT + 0.1) * error_BT).mean()
