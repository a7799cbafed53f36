"""A masked autoencoder with a tanh bottleneck: a convolutional stem and head around the shared transformer blocks.

Design choices: continuous latents (a flow model predicts them better than it does discrete ones on long drives); a few
dozen tokens a frame, because dynamics pays for each of them every step; masking during training (Dreamer 4, arXiv
2509.24527), which makes latents that are easier to predict; noise on latents during training, so that the decoder
forgives what dynamics gets slightly wrong. Each frame stands alone: no flicker comes from here that is not in latents.
Legend: see the package docstring.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from worldmodel.nn.noise import hand_over, noise_like
from worldmodel.nn.shapes import Float
from worldmodel.nn.transformer import Transformer, TransformerConfig
from worldmodel.tokenizer.astray import AstrayNetwork
from worldmodel.tokenizer.depth import DepthNetwork
from worldmodel.tokenizer.drift import DriftNetwork

#: Of a configuration, what may be learned later than the rest: a tokenizer may have it or not.
LATER = ("drift_widths", "astray_width")


@dataclasses.dataclass(frozen=True)
class TokenizerConfig:
    """Size of a tokenizer.

    Attributes:
        height_px, width_px: of a frame.
        patch_px: side of the square a stem position covers; 8 or 16.
        merge: rows and columns of stem positions that become one latent token.
        channels: D, numbers per latent token.
        stem_widths: channels after the stem's stages.
        width, heads, feed_forward: of the transformers.
        encoder_depth, decoder_depth: blocks each way; the decoder, which every rollout waits for, has the harder task.
        mask_rate_max: stem positions are hidden at a rate drawn from 0 to this.
        mask_share: share of training frames that are masked at all.
        latent_noise: standard deviation of the noise on latents, drawn per frame from 0 to this.
        depth_widths, drift_widths: channels of the networks that say how far things are (``depth``) and how they move
            by themselves (``drift``); empty for none.
        astray_width: channels of the network that says how far a road has gone astray from its map (``astray``); 0 for
            none.
    """

    height_px: int = 128
    width_px: int = 256
    patch_px: int = 16
    merge: tuple[int, int] = (2, 2)
    channels: int = 32
    stem_widths: tuple[int, int] = (64, 128)
    width: int = 192
    heads: int = 3
    feed_forward: int = 512
    encoder_depth: int = 3
    decoder_depth: int = 4
    mask_rate_max: float = 0.9
    mask_share: float = 0.25
    latent_noise: float = 0.1
    depth_widths: tuple[int, ...] = (24, 32, 48, 64)
    drift_widths: tuple[int, ...] = ()
    astray_width: int = 0

    @property
    def stem_grid(self) -> tuple[int, int]:
        """Rows and columns of stem positions."""
        return self.height_px // self.patch_px, self.width_px // self.patch_px

    @property
    def latent_grid(self) -> tuple[int, int]:
        """Rows and columns of latent tokens."""
        return self.stem_grid[0] // self.merge[0], self.stem_grid[1] // self.merge[1]

    @property
    def tokens(self) -> int:
        """N, latent tokens a frame."""
        return self.latent_grid[0] * self.latent_grid[1]

    def shaped_like(self, other: TokenizerConfig) -> bool:
        """Whether weights of the one fit the other, but for what only one of them has and is learned later: drift, and
        how roads go astray. Masks and noise are how it is trained, not what it is."""
        free = ["mask_rate_max", "mask_share", "latent_noise"]
        free += [name for name in LATER if not (getattr(self, name) and getattr(other, name))]
        return dataclasses.replace(self, **{name: getattr(other, name) for name in free}) == other

    def validate(self) -> TokenizerConfig:
        """Raise ``ValueError`` when frames do not divide into patches and tokens."""
        if self.patch_px not in (8, 16):
            raise ValueError(f"tokenizer.patch_px: expected 8 or 16, got {self.patch_px}")
        for field, size, step in (
            ("height_px", self.height_px, self.patch_px * self.merge[0]),
            ("width_px", self.width_px, self.patch_px * self.merge[1]),
        ):
            if size % step:
                raise ValueError(f"tokenizer.{field}: {size} is not a multiple of patch_px × merge = {step}")
        return self


class ResidualConv(nn.Module):
    """A 3×3 convolution beside an identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Same shape out as in."""
        return x_BCHW + self.conv(nn.functional.silu(x_BCHW))


class Tokenizer(nn.Module):
    """Frames in [-1, 1] to latents in (-1, 1), and back."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config.validate()
        c = config
        first, second = c.stem_widths
        last = c.patch_px // 8  # 1 or 2: the third stage halves only for patches of 16
        rows, columns = c.stem_grid
        merged = c.merge[0] * c.merge[1] * c.width

        def stack(depth: int) -> Transformer:
            return Transformer(
                TransformerConfig(
                    width=c.width,
                    depth=depth,
                    heads=c.heads,
                    kv_heads=c.heads,
                    feed_forward=c.feed_forward,
                    time_every=0,
                )
            )

        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, stride=4),
            ResidualConv(first),
            nn.Conv2d(first, second, 2, stride=2),
            ResidualConv(second),
            nn.Conv2d(second, c.width, last, stride=last),
        )
        self.position_in = nn.Parameter(torch.randn(rows * columns, c.width) * 0.02)
        self.mask_token = nn.Parameter(torch.zeros(c.width))
        self.encoder = stack(c.encoder_depth)
        self.to_latent = nn.Linear(merged, c.channels)
        self.from_latent = nn.Linear(c.channels, merged)
        self.position_out = nn.Parameter(torch.randn(rows * columns, c.width) * 0.02)
        self.decoder = stack(c.decoder_depth)
        self.head = nn.Sequential(
            nn.ConvTranspose2d(c.width, second, last, stride=last),
            ResidualConv(second),
            nn.ConvTranspose2d(second, first, 2, stride=2),
            ResidualConv(first),
            nn.ConvTranspose2d(first, 3, 4, stride=4),
        )
        #: Trained by itself, after the rest, on pairs of frames.
        self.depth = DepthNetwork(c.depth_widths) if c.depth_widths else None
        self.drift = DriftNetwork(c.drift_widths) if c.drift_widths else None
        self.astray = AstrayNetwork(c.astray_width) if c.astray_width else None

    def encode(
        self, frames_BCHW: Float[Tensor, "b c h w"], *, visible_BN: Tensor | None = None
    ) -> Float[Tensor, "b n d"]:
        """Latents of frames in [-1, 1]; where ``visible_BN`` is false a stem position is hidden."""
        c = self.config
        (rows, columns), (down, across) = c.stem_grid, c.merge
        x = self.stem(frames_BCHW).flatten(2).transpose(1, 2)
        if visible_BN is not None:
            x = torch.where(visible_BN[..., None], x, self.mask_token.to(x.dtype))
        x = self.encoder((x + self.position_in)[:, None])[:, 0]
        x = x.view(-1, rows // down, down, columns // across, across, c.width).transpose(2, 3)
        return torch.tanh(self.to_latent(x.reshape(x.shape[0], c.tokens, -1)))

    def decode(self, latents_BND: Float[Tensor, "b n d"]) -> Float[Tensor, "b c h w"]:
        """Frames of latents; not clipped, so that the loss sees how far outside [-1, 1] they are."""
        c = self.config
        (rows, columns), (down, across) = c.stem_grid, c.merge
        x = self.from_latent(latents_BND).view(-1, rows // down, columns // across, down, across, c.width)
        x = x.transpose(2, 3).reshape(-1, rows * columns, c.width)
        x = self.decoder((x + self.position_out)[:, None])[:, 0]
        return self.head(x.transpose(1, 2).unflatten(2, (rows, columns)))

    def forward(
        self, frames_BCHW: Float[Tensor, "b c h w"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "b c h w"]:
        """Reconstructions as trained: some frames masked, latents noised, all drawn from ``generator``."""
        return self.as_trained(frames_BCHW, generator=generator)[1]

    def as_trained(
        self, frames_BCHW: Float[Tensor, "b c h w"], *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b c h w"]]:
        """The same, after the latents before their noise."""
        batch = len(frames_BCHW)
        rows, columns = self.config.stem_grid

        def uniform(*shape: int) -> Tensor:
            return hand_over(torch.rand(*shape, generator=generator), frames_BCHW.device)

        rate_B1 = self.config.mask_rate_max * uniform(batch, 1) * (uniform(batch, 1) < self.config.mask_share)
        visible_BN = uniform(batch, rows * columns) >= rate_B1
        latents_BND = self.encode(frames_BCHW, visible_BN=visible_BN)
        noise_BND = noise_like(latents_BND, generator)
        noisy_BND = latents_BND + self.config.latent_noise * uniform(batch, 1, 1) * noise_BND
        return latents_BND, self.decode(noisy_BND)


def to_network(frames: Tensor) -> Tensor:
    """uint8 ``(..., H, W, 3)`` to float ``(..., 3, H, W)`` in [-1, 1]."""
    return frames.movedim(-1, -3).to(torch.float32) / 127.5 - 1


def to_frames(x: Tensor) -> Tensor:
    """Float ``(..., 3, H, W)`` to uint8 ``(..., H, W, 3)``."""
    return ((x.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).movedim(-3, -1)
