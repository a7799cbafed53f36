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
#: Share of the frames that are asked for among others that are only shown, of which nothing but noise is shown: it is
#: where a rollout begins each frame, and there is most to hear.
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


@dataclasses.dataclass(frozen=True)
class Shown:
    """What clips are shown as, where that is not what they are told.

    Attributes:
        latents: ``(B, T, V, N, C)`` normalised, that are noised in place of the true ones.
        asked: ``(B, T)`` frames that are asked for; the others are shown nearly clean.
        whole: ``(B, 1)`` clips that are shown otherwise in every frame, all at one level, and asked for in each.
    """

    latents: Float[Tensor, "b t v n c"]
    asked: Bool[Tensor, "b t"]
    whole: Bool[Tensor, "b 1"]

    @property
    def otherwise(self) -> Bool[Tensor, "b 1"]:
        """Clips that are not, or not in every frame, shown as they are told."""
        return self.whole | ~self.asked.all(dim=1, keepdim=True)


def draw_levels(
    batch: int,
    length: int,
    config: ObjectiveConfig,
    generator: torch.Generator,
    *,
    shortcut: bool,
    shown: Shown | None = None,
) -> Levels:
    """Draw on the CPU, so that the same generator gives the same levels on any device."""

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
    if shown is not None:
        asked_BT, whole_B1, otherwise_B1 = (x.cpu() for x in (shown.asked, shown.whole, shown.otherwise))
        of_noise_BT = uniform(batch, length) < _ASKED_OF_NOISE
        together_B1, wants_B1 = (together_B1 & ~otherwise_B1) | whole_B1, wants_B1 & ~whole_B1
        past_BT = torch.where(otherwise_B1, ~asked_BT, past_BT)
        asked_tau_BT = torch.where(whole_B1, own_BT[:, :1], own_BT.masked_fill(of_noise_BT, 0))
        any_BT = torch.where(otherwise_B1, asked_tau_BT, any_BT)
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
    shown: Shown | None = None,
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
        shown: what some clips are shown as, that are not shown as they are told, and are asked for as they are:
            ``None`` for none. In these nothing is made unknown. Of frames that are asked for among others, those of
            low levels, which count little elsewhere, count like any: it is there that what is told is heard.
    """
    batch, length = clean_BTVNC.shape[:2]
    device = clean_BTVNC.device
    told = drop(told, config, generator, None if shown is None else shown.otherwise.cpu())
    levels = draw_levels(batch, length, config, generator, shortcut=shortcut, shown=shown)
    levels = Levels(*(hand_over(getattr(levels, field.name), device) for field in dataclasses.fields(Levels)))
    noise = noise_like(clean_BTVNC, generator)
    told = noise_moved(told, config, generator, levels)
    x_tau = blend(clean_BTVNC if shown is None else shown.latents, noise, levels.tau)
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
    if shown is not None:
        among_B1 = shown.otherwise & ~shown.whole
        weight_BT = torch.where(among_B1, shown.asked.to(weight_BT.dtype), weight_BT)
    loss = (weight_BT * error_BT).mean()
    with torch.no_grad():  # means over some frames, NaN where there are none, without asking how many there are
        low_BT = (levels.tau < 0.25) & ~levels.is_shortcut
        figures = {"error_low_tau": _mean_where(error_BT, low_BT)}
        if shown is not None:
            figures["error_asked"] = _mean_where(error_BT, low_BT & among_B1 & shown.asked)
            figures["error_whole"] = _mean_where(error_BT, shown.whole.expand_as(low_BT))
        if shortcut:
            figures["error_shortcut"] = _mean_where(error_BT, levels.is_shortcut)
    return loss, figures


def _mean_where(x: Tensor, where: Tensor) -> Tensor:
    return (x * where).sum() / where.sum()
