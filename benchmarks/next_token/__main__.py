"""What is the design worth? Next-token prediction over discrete codes, trained on as much, judged in the same way.

    python -m benchmarks.next_token --against nano --experiment conf/train/experiment/reference_nano.yaml \\
        --learning-rates 3e-4,6e-4,1.2e-3 --draw "temperature=1;top_p=0.95;temperature=0.9,top_p=0.95" \\
        --drives 16 --out outputs/next_token

trains a discrete tokenizer of the compared model's shape on as many frames as its own has seen, and per learning rate a
GPT of as many parameters as its dynamics on as many windows as that records, in the order in which a run that is not
live draws them; takes the rate with the least held-out cross-entropy, and continues the drives of
``benchmarks/sampler_settings.py`` (first 1.6 s shown, then motion alone) with it and with the compared model, in one
table. What own drives or a teacher taught the compared model is not counted among what it has seen. Interrupted, the
same command goes on; ``--steps``, ``--tokenizer-steps``, ``--seconds`` and ``--tokenizer-seconds`` train less, and the
report then says how much less. On one thread of an AMD EPYC with AVX512-BF16 a step of ``nano``'s 96 frames takes 2.1
CPU-seconds (3.7 where its clips are long, every fourth), so 14,750 steps at three rates about 31 core-hours;
``--steps 3000`` about six.

``out`` gets ``fsq.safetensors``, a folder per learning rate (``gpt.safetensors``, ``held_out.json``), ``report.json``
and a sheet of frames per way of drawing: of each drive the truth, the compared model, the baseline. Choose how to draw
on other drives than those you report: ``--first 100``. Where hydra, av and gymnasium are not installed it runs too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.next_token.driving import compare_drives
from benchmarks.next_token.fsq import FsqTokenizer, code_bits, latent_bits, parse_levels, vocabulary
from benchmarks.next_token.gpt import Gpt, matched, parameters_of
from benchmarks.next_token.settings import claim, run_of, samples_seen, with_learning_rate
from benchmarks.next_token.stage import train_gpt, train_tokenizer, with_codes
from worldmodel.datasets.windows import MemoryEpisode, split
from worldmodel.model import WorldModel
from worldmodel.tokenizer.losses import psnr_db
from worldmodel.tokenizer.tokenizer import Tokenizer, to_network
from worldmodel.training.config import TrainConfig
from worldmodel.training.fitting import steps_done
from worldmodel.training.latents import device_of
from worldmodel.training.sources import load_sets
from worldmodel.training.stages import TokenizerStage


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.next_token",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("overrides", nargs="*", metavar="key=value", help="laid over the experiment; the data a model records wins")
    add("--against", default="nano", help="the compared model: a directory or a bundled name")
    add("--experiment", type=Path, default=Path("conf/train/experiment/reference_nano.yaml"), help="it was trained by")
    add("--levels", default="8,8,8/5,5,5", help="of the channels of a token; slashes part what is said one by one")
    add("--learning-rates", default="3e-4,6e-4,1.2e-3")
    add("--dropout", type=float, default=0.1)
    add("--steps", type=int, default=0, help="of the GPT, per learning rate; 0 for as many as were compared with")
    add("--tokenizer-steps", type=int, default=0, help="likewise, of the tokenizer")
    add("--seconds", type=float, default=0.0, help="at most, per learning rate; 0 for no limit")
    add("--tokenizer-seconds", type=float, default=0.0)
    add("--draw", default="temperature=1", help="ways of drawing codes, parted by semicolons")
    add("--drives", type=int, default=8, help="0 to train only")
    add("--first", type=int, default=0, help="number of the first held-out drive")
    add("--drive-seconds", type=float, default=10.0)
    add("--judge", default="judge")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    add("--out", type=Path, default=Path("outputs/next_token"))
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> None:
    """Train what is not trained yet, compare, and say so."""
    asked = parse(words)
    levels, model = parse_levels(asked.levels), WorldModel.from_pretrained(asked.against)
    config = run_of(asked, model, levels)
    if config.threads:
        torch.set_num_threads(config.threads)
    shape = matched(
        parameters_of(model.dynamics),
        like=model.dynamics.config.transformer,
        tokens=model.tokenizer.config.tokens,
        vocabulary=vocabulary(levels),
        dropout=asked.dropout,
    )
    claim(asked.out, config, levels=levels, dropout=asked.dropout)
    train, held_out = _sets(config)
    tokenizer = train_tokenizer(config, levels, train, asked.out)
    report: dict[str, Any] = {
        "against": {"model": str(asked.against), **model.hashes()},
        "tokenizers": compare_tokenizers(config, tokenizer, model, held_out, asked.out),
    }
    train, coded = with_codes(config, tokenizer, train), with_codes(config, tokenizer, {"held out": held_out})
    trained = [
        train_gpt(with_learning_rate(config, rate), shape, train, coded["held out"], asked.out / f"lr_{rate:g}")
        for rate in map(float, asked.learning_rates.split(","))
    ]
    network, best = min(trained, key=lambda one: one[1]["held_out_nats"])
    report["networks"] = compare_networks(config, network, best, [about for _, about in trained], model)
    if asked.drives:
        report["drives"] = compare_drives(asked, model, tokenizer, network, device_of(config))
    temporary = asked.out / ".report.json.partial"
    temporary.write_text(json.dumps(report, indent=1), encoding="utf-8")
    os.replace(temporary, asked.out / "report.json")


def _sets(config: TrainConfig) -> tuple[dict[str, list[MemoryEpisode]], list[MemoryEpisode]]:
    """What is trained on and what is held out, parted as the compared model's run parted it."""
    train: dict[str, list[Any]] = {}
    held_out: list[Any] = []
    for name, stretches in load_sets(config).items():
        train[name], out_of_set = split(stretches, held_out=config.data.validation_share)
        held_out += out_of_set
    return train, held_out or [stretches[-1] for stretches in train.values()]


@torch.no_grad()
def mean_psnr(tokenizer: Tokenizer, held_out: list[MemoryEpisode], device: str) -> float:
    """Of reconstructions of every tenth held-out frame, in dB."""
    tokenizer.to(device)
    some = []
    for stretch in held_out:
        x = to_network(torch.from_numpy(stretch.frames[::10].copy()).to(device))
        valid = torch.from_numpy(stretch.info.valid_mask)[None, None].float().to(device)
        some.append(psnr_db(tokenizer.decode(tokenizer.encode(x)).float(), x, valid))
    return float(torch.cat(some).mean())


def compare_tokenizers(
    config: TrainConfig, discrete: FsqTokenizer, model: WorldModel, held_out: list[MemoryEpisode], out: Path
) -> dict[str, Any]:
    """The handicap of discreteness: bits and PSNR of both."""
    device, tokens, levels = device_of(config), discrete.config.tokens, discrete.groups
    c, noise = model.tokenizer.config, model.tokenizer.config.latent_noise
    trained_in = TrainConfig(out=str(out))
    continuous: dict[str, Any] = {
        "tokens": c.tokens,
        "bits_as_stored": 16.0 * c.tokens * c.channels,
        "bits_above_noise": latent_bits(c.tokens, model.dynamics.latent_std.tolist(), noise) if noise else None,
        "psnr_db": mean_psnr(model.tokenizer, held_out, device),
        "frames_seen": samples_seen(model, "tokenizer"),
    }
    codes: dict[str, Any] = {
        "tokens": tokens,
        "levels": levels,
        "bits": code_bits(tokens, levels),
        "psnr_db": mean_psnr(discrete, held_out, device),
        "frames_seen": steps_done(trained_in, TokenizerStage) * config.tokenizer_stage.batch,
    }
    above = continuous["bits_above_noise"]
    print(
        f"tokenizer, continuous: {c.tokens} tokens, {continuous['bits_as_stored']:.0f} bits a frame as fp16"
        + (f", about {above:.0f} above the noise it was trained with" if above else "")
        + f"; {continuous['psnr_db']:.2f} dB; {continuous['frames_seen'] or 'not recorded'} frames seen\n"
        f"tokenizer, discrete:   {tokens} tokens, {codes['bits']:.0f} bits a frame; {codes['psnr_db']:.2f} dB; "
        f"{codes['frames_seen']} frames seen",
        flush=True,
    )
    return {"continuous": continuous, "discrete": codes}


def compare_networks(
    config: TrainConfig, network: Gpt, best: dict[str, Any], trained: list[dict[str, Any]], model: WorldModel
) -> dict[str, Any]:
    """Sizes of both, what both have seen, and the cross-entropy at every learning rate."""
    tokens, clip = network.config.tokens, config.dynamics_stage.batch * config.clips.short
    seen = samples_seen(model, "dynamics") * config.clips.short * tokens
    ours, theirs = parameters_of(network), parameters_of(model.dynamics)
    print(f"parameters: compared {theirs:,}; next token {ours:,} ({ours / theirs - 1:+.1%}), {network.config}")
    print(f"tokens seen: compared {seen or 'not recorded'}; next token {best['steps'] * clip * tokens}")
    for about in trained:
        nats = about["held_out_nats"]
        print(
            f"learning rate {about['learning_rate']:g}: held-out cross-entropy {nats:.4f} nats a code, "
            f"{nats / math.log(2) * tokens:.1f} bits a frame, at step {about['step']} of {about['steps']}"
            + (" (taken)" if about is best else ""),
            flush=True,
        )
    return {
        "parameters": {"compared": theirs, "next_token": ours},
        "tokens_seen": {"compared": seen, "next_token": best["steps"] * clip * tokens},
        "trained": trained,
        "taken": best["learning_rate"],
    }


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
