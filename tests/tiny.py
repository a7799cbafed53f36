"""A world model small enough for tests: random weights, frames of 32×64."""

import dataclasses

import torch

from worldmodel.dynamics.dynamics import Dynamics, DynamicsConfig
from worldmodel.model import WorldModel
from worldmodel.nn.transformer import TransformerConfig
from worldmodel.tokenizer.tokenizer import Tokenizer, TokenizerConfig

WINDOW = 4
TOKENIZER = TokenizerConfig(
    height_px=32, width_px=64, merge=(1, 2), channels=5, stem_widths=(8, 16), width=32, heads=2, feed_forward=48,
    encoder_depth=1, decoder_depth=1, drift_widths=(8, 12), astray_width=4,
)  # fmt: skip
DYNAMICS = DynamicsConfig(
    transformer=TransformerConfig(width=32, depth=4, heads=2, kv_heads=1, feed_forward=48, time_every=2, window=WINDOW),
    registers=1,
)


def tiny_model(seed: int = 0, *, newest: float = 1.0, road: bool = False) -> WorldModel:
    torch.manual_seed(seed)
    config = dataclasses.replace(DYNAMICS, newest=newest, road=road)
    dynamics = Dynamics(config, tokens=TOKENIZER.tokens, channels=TOKENIZER.channels)
    if road:
        torch.nn.init.normal_(dynamics.road_in.weight, std=0.2)  # zero at birth
    torch.nn.init.normal_(dynamics.latent_out.weight, std=0.2)  # zero at birth: nothing would matter
    dynamics.latent_std.fill_(0.5)
    tokenizer = Tokenizer(TOKENIZER)
    assert tokenizer.drift is not None
    torch.nn.init.normal_(tokenizer.drift.last.weight, std=10)  # zero too
    assert tokenizer.astray is not None
    torch.nn.init.normal_(tokenizer.astray.layers[-1].weight, std=10)  # so that it is sure of what it says
    torch.nn.init.ones_(tokenizer.astray.log_astray)
    return WorldModel(tokenizer, dynamics).eval()
