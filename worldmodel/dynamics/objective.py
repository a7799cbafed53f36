"""Shortcut forcing (Dreamer 4, arXiv 2509.24527; shortcut models, arXiv 2410.12557), in x space.

A frame at signal level tau is x_tau = (1 - tau) noise + tau clean. The network predicts the clean latent. For the
finest step the target is the clean latent itself; for a larger step d it is where two of the network's own half steps
lead (no gradient), which in velocity space scaled by (1 - tau)^2 is the same squared error in x space on the target
x_tau + (1 - tau) v. Each frame's error is weighted by the ramp 0.9 tau + 0.1.

Which levels frames get decides what is learned on a small budget. In a share of clips every frame's level is
independent (diffusion forcing, arXiv 2407.01392); in others all frames and what is moved share one level, so that a
whole clip can be told likely from unlikely (``matching``); in the rest most frames are nearly clean, as the past is in
a rollout, and the others are anything.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from worldmodel.dynamics.dynamics import Dynamics, Told
from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.shapes import Bool, Float

#: Moved frames are shown at no lower level: the best guess divides by it.
LEAST_MOVED_TAU = 1 / 64
#: Share of the frames asked for in a clip whose others are only shown that begin with nothing but noise: there it
#: matters most what is heard, and it is where a rollout begins.
_ASKED_OF_NOISE = 0.5


@dataclasses.dataclass(frozen=True)
class ObjectiveConfig:
    """How a batch is noised and what it is asked for.

    Attributes:
        finest: number of steps of the finest schedule (``sampler.FINEST``); d is at least 1 / finest.
        independent_share: share of clips in which every frame's level is drawn independently.
        together_share: share of clips whose frames all have one level, the moved frames before with them.
        past_share: in the other clips, share of frames that are nearly clean.
        past_tau_min: nearly clean frames have tau between this and 1.
        moved_tau_min: the moved frame before (``Told.moved``) has tau between this and 1.
        shortcut_share: share of clips trained on larger steps, once ``shortcut`` is on.
        drop_motion, drop_tags, drop_moved: share of clips whose motion (with what it moved), tags, or moved frames
            alone are made unknown.
        drop_road: share of clips, and of own drives, whose road is made unknown; it is besides where motion is.
        drop_each_tag: share of clips in which one kind of tag or another is made unknown.
        users: how much more than another a latent token counts that shows a road user, where boxes of them are known.
    """

    finest: int = 32
    independent_share: float = 0.2
    together_share: float = 0.0
    past_share: float = 0.6
    past_tau_min: float = 0.7
    moved_tau_min: float = 0.5
    shortcut_share: float = 0.25
    drop_motion: float = 0.1
    drop_tags: float = 0.15
    drop_moved: float = 0.05
    drop_road: float = 0.25
    drop_each_tag: float = 0.15
    users: float = 0.0


@dataclasses.dataclass(frozen=True)
class Levels:
    """Signal level, step size and which frames are asked for a larger step, each ``(B, T)``.

    ``together`` says in which clips, ``(B, 1)``, all frames have one level.
    """

    tau: Float[Tensor, "b t"]
    d: Float[Tensor, "b t"]
    is_shortcut: Bool[Tensor, "b t"]
    together: Bool[Tensor, "b 1"]


def draw_levels(
    batch: int,
    length: int,
    config: ObjectiveConfig,
    generator: torch.Generator,
    *,
    shortcut: bool,
    asked_BT: Bool[Tensor, "b t"] | None = None,
) -> Levels:
    """Draw on the CPU, so that the same generator gives the same levels on any device.

    In clips of which not every frame is ``asked`` for, the others are nearly clean.
    """

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    independent_B1 = uniform(batch, 1) < config.independent_share
    past_BT = ~independent_B1 & (uniform(batch, length) < config.past_share)
    any_BT = own_BT = torch.floor(uniform(batch, length) * config.finest) / config.finest
    past_tau_BT = config.past_tau_min + (1 - config.past_tau_min) * uniform(batch, length)
    halvings = config.finest.bit_length() - 1  # finest = 2 ** halvings
    log2_B1 = torch.randint(0, halvings, (batch, 1), generator=generator)
    coarse_BT = (0.5**log2_B1).expand(batch, length)
    coarse_tau_BT = torch.floor(uniform(batch, length) / coarse_BT) * coarse_BT
    # The last rows, always as many of them: a step then costs the same every time. Clips are in random order anyway.
    wants_B1 = torch.arange(batch)[:, None] >= batch - (share_of(batch, config.shortcut_share) if shortcut else 0)
    together_B1 = torch.zeros_like(wants_B1)
    if config.together_share:
        together_B1 = ~wants_B1 & (uniform(batch, 1) < config.together_share)
        past_BT, any_BT = past_BT & ~together_B1, torch.where(together_B1, any_BT[:, :1], any_BT)
    if asked_BT is not None:
        asks_B1, of_noise_BT = ~asked_BT.all(dim=1, keepdim=True), uniform(batch, length) < _ASKED_OF_NOISE
        together_B1, past_BT = together_B1 & ~asks_B1, torch.where(asks_B1, ~asked_BT, past_BT)
        any_BT = torch.where(asks_B1, torch.where(of_noise_BT, 0, own_BT), any_BT)
    is_shortcut = wants_B1 & ~past_BT
    tau = torch.where(past_BT, past_tau_BT, torch.where(is_shortcut, coarse_tau_BT, any_BT))
    d = torch.where(is_shortcut, coarse_BT, torch.full_like(tau, 1 / config.finest))
    return Levels(tau, d, is_shortcut, together_B1)


def share_of(batch: int, share: float) -> int:
    """A share of the rows as a whole number: at least one, unless the share is zero."""
    return max(1, round(batch * share)) if share else 0


def blend(clean: Tensor, noise: Tensor, tau_BT: Tensor) -> Tensor:
    """x_tau of latents ``(B, T, V, N, C)``."""
    tau = tau_BT[:, :, None, None, None]
    return (1 - tau) * noise + tau * clean


@torch.no_grad()
def shortcut_target(network: Dynamics, x_tau: Tensor, levels: Levels, told: Told) -> Tensor:
    """Where two half steps lead, in x space, for the frames that are asked for a larger step."""

    def wide(x_BT: Tensor) -> Tensor:
        return x_BT[:, :, None, None, None]

    half = torch.where(levels.is_shortcut, levels.d / 2, levels.d)
    first = (network(x_tau, levels.tau, half, told) - x_tau) / wide(1 - levels.tau).clamp(min=1e-3)
    x_mid = torch.where(wide(levels.is_shortcut), x_tau + wide(half) * first, x_tau)
    tau_mid = torch.where(levels.is_shortcut, levels.tau + half, levels.tau)
    second = (network(x_mid, tau_mid, half, told) - x_mid) / wide(1 - tau_mid).clamp(min=1e-3)
    return x_tau + wide(1 - levels.tau) * (first + second) / 2


def drop(
    told: Told, config: ObjectiveConfig, generator: torch.Generator, kept_B1: Bool[Tensor, "b 1"] | None = None
) -> Told:
    """Make the motion, the tags or the road of some clips unknown, so that unlabelled footage is nothing new.

    Of those that are ``kept`` nothing is.
    """
    batch = len(told.motion)
    device = told.motion.device

    def chosen(share: float, *shape: int) -> Tensor:
        dropped = torch.rand(batch, *shape, generator=generator) < share
        if kept_B1 is not None:
            dropped &= ~kept_B1.view(batch, *[1] * len(shape))
        return hand_over(dropped, device)

    no_motion = chosen(config.drop_motion)
    motion = told.motion.clone()
    # The time step and the camera height are never what a dataset lacks: only displacement and turn are dropped.
    motion[..., :2] = motion[..., :2].masked_fill(no_motion[:, None, None], torch.nan)
    tags = told.tags
    if tags is not None:
        no_tags = chosen(config.drop_tags, 1) | chosen(config.drop_each_tag, tags.shape[-1])
        tags = tags.masked_fill(no_tags[:, None], 0)
    moved, road = told.moved, told.road
    if moved is not None:
        no_moved = no_motion | chosen(config.drop_moved)
        moved = moved.masked_fill(no_moved[:, None, None, None, None], torch.nan)
    if road is not None:
        road = road.masked_fill((no_motion | chosen(config.drop_road))[:, None, None, None], 0)
    return Told(motion, tags, moved, road=road)


def noise_moved(told: Told, config: ObjectiveConfig, generator: torch.Generator, levels: Levels | None = None) -> Told:
    """Noise the moved frames, each to a level of its own: what a rollout moves is never quite true either.

    In clips whose ``levels`` are one for all frames, the moved frames have that level too.
    """
    if told.moved is None:
        return told
    tau_BT = config.moved_tau_min + (1 - config.moved_tau_min) * torch.rand(told.moved.shape[:2], generator=generator)
    tau_BT = hand_over(tau_BT, told.moved.device)
    if levels is not None:
        tau_BT = torch.where(levels.together, levels.tau, tau_BT)
    return moved_at(told, tau_BT, noise_like(told.moved, generator))


def moved_at(told: Told, tau_BT: Float[Tensor, "b t"], noise: Tensor) -> Told:
    """What is told, with the moved frames at these levels, or at ``LEAST_MOVED_TAU`` where those are less."""
    assert told.moved is not None
    tau_BT = tau_BT.clamp(min=LEAST_MOVED_TAU).to(told.moved.dtype)
    return dataclasses.replace(told, moved=blend(told.moved, noise, tau_BT), moved_tau=tau_BT)


def shortcut_forcing_loss(
    network: Dynamics,
    clean_BTVNC: Float[Tensor, "b t v n c"],
    told: Told,
    config: ObjectiveConfig,
    generator: torch.Generator,
    *,
    shortcut: bool = True,
    weight_BTN: Float[Tensor, "b t n"] | None = None,
    asked_BT: Bool[Tensor, "b t"] | None = None,
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The loss of a batch of normalised latents, and figures to log. Everything random comes from ``generator``.

    Args:
        network: the dynamics.
        clean_BTVNC: normalised latents.
        told: incoming motion and tags.
        config: shares and levels.
        generator: a CPU generator.
        shortcut: whether larger steps are trained yet.
        weight_BTN: how much each token counts, in any unit; ``None`` for all alike.
        asked_BT: frames that are as they are told; ``None`` for all. The others are shown nearly clean, not asked for.
            In clips of such nothing is made unknown, and what is asked for counts the same at every level: it is at low
            ones, which count little elsewhere, that what is told is heard.
    """
    batch, length = clean_BTVNC.shape[:2]
    device = clean_BTVNC.device
    asked = None if asked_BT is None else asked_BT.cpu()
    told = drop(told, config, generator, None if asked is None else ~asked.all(dim=1, keepdim=True))
    levels = draw_levels(batch, length, config, generator, shortcut=shortcut, asked_BT=asked)
    levels = Levels(*(hand_over(getattr(levels, field.name), device) for field in dataclasses.fields(Levels)))
    noise = noise_like(clean_BTVNC, generator)
    told = noise_moved(told, config, generator, levels)
    x_tau = blend(clean_BTVNC, noise, levels.tau)
    target = clean_BTVNC
    if shortcut and config.shortcut_share:
        rows = slice(batch - share_of(batch, config.shortcut_share), batch)
        some = Levels(*(getattr(levels, field.name)[rows] for field in dataclasses.fields(Levels)))
        reached = shortcut_target(network, x_tau[rows], some, told.rows(rows)).to(clean_BTVNC.dtype)
        target = clean_BTVNC.clone()
        target[rows] = torch.where(some.is_shortcut[:, :, None, None, None], reached, clean_BTVNC[rows])
    output = network(x_tau, levels.tau, levels.d, told).float()
    error_BTVN = (output - target).square().mean(dim=-1)
    if weight_BTN is not None:
        error_BTVN = error_BTVN * weight_BTN[:, :, None] / weight_BTN.mean().clamp(min=1e-6)
    error_BT = error_BTVN.mean(dim=(2, 3))
    weight_BT = 0.9 * levels.tau + 0.1
    if asked_BT is not None:
        asks_B1 = ~asked_BT.all(dim=1, keepdim=True)
        weight_BT = torch.where(asks_B1, asked_BT.to(weight_BT.dtype), weight_BT)
    loss = (weight_BT * error_BT).mean()
    with torch.no_grad():  # means over some frames, NaN where there are none, without asking how many there are
        low_BT = (levels.tau < 0.25) & ~levels.is_shortcut
        figures = {"error_low_tau": _mean_where(error_BT, low_BT)}
        if asked_BT is not None:
            figures["error_asked"] = _mean_where(error_BT, low_BT & asks_B1 & asked_BT)
        if shortcut:
            figures["error_shortcut"] = _mean_where(error_BT, levels.is_shortcut)
    return loss, figures


def _mean_where(x: Tensor, where: Tensor) -> Tensor:
    return (x * where).sum() / where.sum()
