"""Weights in between: a model, and a share of the way that training took another one.

    python -m worldmodel.training.mixing OUT MODEL SHARE TO [--from BASE]

writes the dynamics MODEL + SHARE (TO - BASE), with MODEL's tokenizer. Without a BASE the way is that from MODEL to TO,
and SHARE 0.5 their mean (model soups, arXiv 2203.05482). With one, what a teacher has learned since it was BASE is
added to a model that this BASE once taught, so that its last stage need not begin anew (task arithmetic, arXiv
2212.04089).
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from worldmodel.model import WorldModel
from worldmodel.nn.component import content_hash


def mix(model: WorldModel, share: float, to: WorldModel, base: WorldModel | None = None) -> WorldModel:
    """``model`` with ``share`` of the way from ``base`` (by default itself) to ``to`` added to its dynamics.

    Raises:
        ValueError: networks of different shapes or tokenizers.
    """
    start = base or model
    for name, other in (("to", to), ("base", start)):
        if content_hash(other.tokenizer) != content_hash(model.tokenizer):
            raise ValueError(f"{name}: its tokenizer is not that of the model; there is no way between their latents")
        widths = {name: getattr(model.dynamics.config, name) for name in ("look_width", "laying_width")}
        shape = dataclasses.replace(other.dynamics.config, **widths)
        if shape != model.dynamics.config:
            raise ValueError(f"{name}: its dynamics is {other.dynamics.config}, the model's {model.dynamics.config}")
    own, begun, gone = (x.dynamics.state_dict() for x in (model, start, to))
    with torch.no_grad():
        mixed = {k: own[k] + share * (gone[k] - begun[k]) for k in own if not k.startswith(("look.", "laying."))}
        model.dynamics.load_state_dict(own | mixed)  # of what frames lack, each model has its own or none
    return model


def main() -> None:
    """Read the command line and write the model."""
    parser = argparse.ArgumentParser(
        prog="python -m worldmodel.training.mixing", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("out", type=Path, help="folder to write, which must not hold another model")
    parser.add_argument("model", help="a bundled name or a folder")
    parser.add_argument("share", type=float, help="of the way; 1 is all of it")
    parser.add_argument("to", help="where the way leads")
    parser.add_argument("--from", dest="base", help="where it began; by default at the model")
    args = parser.parse_args()
    try:
        if (args.out / "dynamics.safetensors").is_file():
            raise ValueError(f"{args.out}: there is a model already; choose another folder")
        base = WorldModel.from_pretrained(args.base) if args.base else None
        model = mix(WorldModel.from_pretrained(args.model), args.share, WorldModel.from_pretrained(args.to), base)
    except ValueError as error:
        sys.exit(f"error: {error}")
    way = {"share": args.share, "to": args.to, "from": args.base or args.model}
    record = model.training_record
    model.training_record = dataclasses.replace(record, summary={**record.summary, "mixed_with": way})
    print(f"saved {model.save(args.out)}")


if __name__ == "__main__":
    main()
