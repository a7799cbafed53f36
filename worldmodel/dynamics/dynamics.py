"""The dynamics network: noisy latents of a frame, given its past, its motion and its tags → the clean latents.

Motion, tags and registers stand in the frame as token groups; motion and signal level are also added to every latent
token, because the cheapest conditioning is the best obeyed (additive 42.3, FiLM 40.6, cross-attention 51.1 FID in
RT-1's comparison). So is where the road lies, where a map tells it (``dynamics.road``), and so are the latents of the
frame before, moved by that motion (``tokenizer.moving``): without them a small network reads the motion off its own
past instead, and a drive that once stands still stands for ever. The output is the clean latent itself (x-prediction),
counted from a guess that needs no network (``best_guess``), so that detail passes by the network, not through it.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from worldmodel.dynamics.conditioning import MotionEmbedding, SignalEmbedding, TagEmbedding
from worldmodel.dynamics.laying import LayingNetwork
from worldmodel.dynamics.look import LookNetwork
from worldmodel.dynamics.road import FEATURES
from worldmodel.nn.groups import TokenGroups
from worldmodel.nn.ring import Ring
from worldmodel.nn.shapes import Float, Int
from worldmodel.nn.transformer import Transformer, TransformerConfig

#: Mean squared error of the moved frame before as a guess at a frame, in normalised latents: 0.16 of true drives
#: (``benchmarks/moved_picture.py``), somewhat more of a world's own.
MOVED_VARIANCE = 0.2
#: What is told of the road is said so many times louder: taught to a network that has long learned to do without, it
#: would hardly be heard in some hundred steps.
_LOUD = 10.0


@dataclasses.dataclass(frozen=True)
class DynamicsConfig:
    """Size of a dynamics network. The latents' shape comes from the tokenizer.

    Attributes:
        transformer: the stack.
        registers: free tokens of a frame, as scratch space.
        tags: whether frames carry a tags token.
        moved: whether frames are shown the frame before, moved by the motion between them.
        from_guess: whether the network says how far the frame is from the best guess that needs no network
            (``best_guess``), rather than what it is.
        newest: of the pictures seen so far, which are what is moved, the least share that a new one replaces
            (``tokenizer.moving``); 1 moves the frame before alone.
        road: whether frames may be told where the road lies (``dynamics.road``).
        look_width: of the network that says what a frame lacks to look as it is told (``dynamics.look``), learned by
            itself; 0 for none.
        laying_width: of the network that says what the ground lacks to show the road where its map has it
            (``dynamics.laying``), learned by itself; 0 for none.
    """

    transformer: TransformerConfig = dataclasses.field(default_factory=TransformerConfig)
    registers: int = 2
    tags: bool = True
    moved: bool = True
    from_guess: bool = True
    newest: float = 1.0
    road: bool = False
    look_width: int = 0
    laying_width: int = 0


@dataclasses.dataclass(frozen=True)
class Told:
    """What frames are told.

    Attributes:
        motion: ``(B, T, 4)`` incoming motion channels (see ``conditioning``), NaN where unknown.
        tags: ``(B, T, channels)`` codes, or ``None`` to leave the group out.
        moved: ``(B, T, V, N, C)`` normalised latents of the frame before, moved by the motion (``tokenizer.moving``),
            and noised to ``moved_tau``; NaN where the motion is not known. ``None`` for none.
        moved_tau: ``(B, T)`` their signal level.
        road: ``(B, T, N, F)`` where the road lies (``dynamics.road``), zeros where not known; ``None`` for nowhere.
        map: ``(B, T, E, K, 2)`` windows of the maps that tell it (``geometry.road``), NaN where not known: no network
            sees them, but what is moved is put right by them (``tokenizer.astray``). ``None`` for nowhere.
    """

    motion: Float[Tensor, "b t f"]
    tags: Int[Tensor, "b t c"] | None = None
    moved: Float[Tensor, "b t v n c"] | None = None
    moved_tau: Float[Tensor, "b t"] | None = None
    road: Float[Tensor, "b t n f"] | None = None
    map: Float[Tensor, "b t e k 2"] | None = None

    def rows(self, index: slice | Tensor | tuple[slice | Tensor, ...]) -> Told:
        """The same for some rows of the batch or, given two indices, for some frames of some rows."""
        return Told(*(None if x is None else x[index] for x in _parts(self)))  # pyright: ignore

    def without_motion(self) -> Told:
        """The same with displacement, turn, what they moved, and the road unknown."""
        motion = self.motion.clone()
        motion[..., :2] = torch.nan
        moved = None if self.moved is None else torch.full_like(self.moved, torch.nan)
        road = None if self.road is None else torch.zeros_like(self.road)
        return dataclasses.replace(self, motion=motion, moved=moved, road=road)

    def without_tags(self) -> Told:
        """The same with every tag unknown."""
        return dataclasses.replace(self, tags=None if self.tags is None else torch.zeros_like(self.tags))

    def frame(self, t: int) -> Told:
        """The same for one frame, of which T = 1 is left."""
        return self.rows((slice(None), slice(t, t + 1)))


def join(parts: Sequence[Told]) -> Told:
    """Rows of several batches as one; all have the same groups."""
    return Told(*(None if x[0] is None else torch.cat(x) for x in zip(*map(_parts, parts))))  # pyright: ignore


def _parts(told: Told) -> tuple[Tensor | None, ...]:
    return tuple(getattr(told, field.name) for field in dataclasses.fields(told))


class Dynamics(nn.Module):
    """Predicts clean latents ``(B, T, V, N, C)`` from noisy ones."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: DynamicsConfig, *, tokens: int, channels: int, views: int = 1) -> None:
        super().__init__()
        self.config, self.tokens, self.channels, self.views = config, tokens, channels, views
        width = config.transformer.width
        counts = {f"view{v}": tokens for v in range(views)} | {"motion": 1}
        if config.tags:
            counts["tags"] = 1
        if config.registers:
            counts["registers"] = config.registers
        self.groups = TokenGroups(width, counts)
        self.latent_in = nn.Linear(channels, width)
        if config.moved:
            self.moved_in = nn.Linear(channels + 1, width)
        if config.road:
            self.road_in = nn.Linear(FEATURES, width, bias=False)
            nn.init.zeros_(self.road_in.weight)
        self.motion = MotionEmbedding(width)
        self.signal = SignalEmbedding(width)
        if config.tags:
            self.tags = TagEmbedding(width)
        self.transformer = Transformer(config.transformer)
        self.latent_out = nn.Linear(width, channels)
        nn.init.zeros_(self.latent_out.weight)
        #: Trained by themselves, before the rest.
        self.look = LookNetwork(config.look_width, tokens=tokens, channels=channels) if config.look_width else None
        laying = config.laying_width
        self.laying = LayingNetwork(laying, tokens=tokens, channels=channels) if laying else None
        # Latents are shifted and scaled to zero mean and unit deviation, measured once over the latent cache.
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    @property
    def in_bytes(self) -> tuple[str, ...]:
        """Matrices that are kept as bytes (``nn.component``): of what says what frames lack."""
        parts = {"look": self.look, "laying": self.laying}
        return tuple(
            f"{part}.{name}"
            for part, network in parts.items()
            if network is not None
            for name, weights in network.named_parameters()
            if weights.ndim == 2
        )

    def normalise(self, latents: Float[Tensor, "*p c"]) -> Float[Tensor, "*p c"]:
        """Tokenizer latents to the network's own units."""
        return (latents - self.latent_mean) / self.latent_std

    def denormalise(self, z: Float[Tensor, "*p c"]) -> Float[Tensor, "*p c"]:
        """The network's units back to tokenizer latents."""
        return z * self.latent_std + self.latent_mean

    def pack(
        self, z_BTVNC: Float[Tensor, "b t v n c"], tau_BT: Tensor, d_BT: Tensor, told: Told
    ) -> tuple[Float[Tensor, "b t m d"], dict[str, Tensor]]:
        """The frame's tokens, and the groups that are present."""
        signal_BT1D = self.signal(tau_BT, d_BT)[:, :, None]
        motion_BT1D = self.motion(told.motion)[:, :, None]
        latent = self.latent_in(z_BTVNC) + (signal_BT1D + motion_BT1D)[:, :, :, None]
        if self.config.moved and told.moved is not None:
            latent = latent + self._moved(told)
        if self.config.road and told.road is not None:
            latent = latent + self.road_in(_LOUD * told.road.to(self.road_in.weight.dtype))[:, :, None]
        groups = {f"view{v}": latent[:, :, v] for v in range(self.views)}
        groups["motion"] = motion_BT1D + signal_BT1D
        if told.tags is not None and self.config.tags:
            groups["tags"] = self.tags(told.tags)[:, :, None]
        if self.config.registers:
            shape = (*z_BTVNC.shape[:2], self.config.registers, signal_BT1D.shape[-1])
            groups["registers"] = signal_BT1D.expand(shape)
        return self.groups.pack(groups), groups

    def _moved(self, told: Told) -> Float[Tensor, "b t v n d"]:
        """What the moved frame adds to the tokens: nothing where it is unknown."""
        assert told.moved is not None
        assert told.moved_tau is not None
        known = torch.isfinite(told.moved[..., :1])
        level = told.moved_tau[:, :, None, None, None].expand_as(known)
        x = self.moved_in(torch.cat([torch.where(known, told.moved, 0), level], dim=-1).to(self.moved_in.weight.dtype))
        return torch.where(known, x, 0)

    def unpack(self, x_BTMD: Float[Tensor, "b t m d"], groups: dict[str, Tensor]) -> Float[Tensor, "b t v n c"]:
        """What the network says of the views' latents."""
        views = [self.groups.part(x_BTMD, f"view{v}", groups) for v in range(self.views)]
        return self.latent_out(torch.stack(views, dim=2))

    def _clean(self, said_BTVNC: Tensor, z_BTVNC: Tensor, tau_BT: Tensor, told: Told) -> Tensor:
        """Clean latents out of what the network says."""
        if not self.config.from_guess:
            return said_BTVNC
        guess, spread = best_guess(z_BTVNC, tau_BT, told)
        return guess + spread * said_BTVNC

    def forward(
        self, z_BTVNC: Float[Tensor, "b t v n c"], tau_BT: Tensor, d_BT: Tensor, told: Told
    ) -> Float[Tensor, "b t v n c"]:
        """A whole clip; each frame has its own signal level and step size and sees the last W frames."""
        x_BTMD, groups = self.pack(z_BTVNC, tau_BT, d_BT, told)
        return self._clean(self.unpack(self.transformer(x_BTMD), groups), z_BTVNC, tau_BT, told)

    def step(
        self, z_BVNC: Float[Tensor, "b v n c"], tau_B: Tensor, d_B: Tensor, told: Told, ring: Ring
    ) -> Float[Tensor, "b v n c"]:
        """The current frame of a running world; ``told`` has T = 1. Leaves the frame in the ring's current slot."""
        x_B1MD, groups = self.pack(z_BVNC[:, None], tau_B[:, None], d_B[:, None], told)
        said = self.unpack(self.transformer.step(x_B1MD[:, 0], ring)[:, None], groups)
        return self._clean(said, z_BVNC[:, None], tau_B[:, None], told)[:, 0]

    def frame_tokens(self, *, tags: bool = True) -> int:
        """Tokens of a frame with or without the tags group."""
        return self.groups.total - (0 if tags or not self.config.tags else 1)


def best_guess(z_BTVNC: Tensor, tau_BT: Tensor, told: Told) -> tuple[Tensor, Tensor]:
    """Best linear guess at the clean latents from the noisy ones and the moved frame before, and its deviation.

    Three witnesses, each weighted by its precision: that latents have zero mean and unit variance, the noisy latents,
    and the moved frame, whose own error is ``MOVED_VARIANCE``. Without the third this is the preconditioning of Karras
    et al., arXiv 2206.00364.
    """
    tau = tau_BT[:, :, None, None, None].float()
    noise = (1 - tau).clamp(min=1e-3)
    total, weighted = 1 + (tau / noise).square(), z_BTVNC * tau / noise.square()
    if told.moved is not None and told.moved_tau is not None:
        level = told.moved_tau[:, :, None, None, None].float()
        known = torch.isfinite(told.moved[..., :1])
        precision = known / (MOVED_VARIANCE + ((1 - level) / level).square())
        total, weighted = total + precision, weighted + precision * torch.where(known, told.moved, 0) / level
    return weighted / total, total.rsqrt()
