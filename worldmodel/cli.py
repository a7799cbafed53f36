"""Floor 7: the two command lines. With ``config`` the only importer of hydra and omegaconf.

A user's mistake is one clear line on stderr and exit code 2; Ctrl-C is 130. ``HYDRA_FULL_ERROR=1`` shows the traceback
instead. Each mode of ``rollout.py`` is a file in ``conf/rollout/mode`` with the keys that mode has, and a line in
``MODES``; this room knows which module runs a mode, not what it does.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NoReturn

import hydra
from omegaconf import DictConfig, OmegaConf

from worldmodel.config import HYDRA_VERSION_BASE, build, offer_train_defaults, one_line_errors
from worldmodel.simulation.documents import CONF_DIR

#: Mode to the module with its ``run(config)`` and the config class there.
MODES = {
    "drive": ("worldmodel.simulation.make_drive", "DriveConfig"),
    "reference": ("worldmodel.simulation.reference_film", "FilmConfig"),
    "replay": ("worldmodel.evaluation.replay", "ReplayConfig"),
    "mine": ("worldmodel.simulation.mining", "MineConfig"),
    "restyle": ("worldmodel.simulation.restyle", "RestyleConfig"),
    "whatif": ("worldmodel.evaluation.whatif", "WhatIfConfig"),
    "evaluate": ("worldmodel.evaluation.evaluate", "EvaluateConfig"),
    "serve": ("worldmodel.server.serve", "ServeConfig"),
    "evaluate_policy": ("worldmodel.evaluation.evaluate_policy", "EvaluatePolicyConfig"),
    "validate": ("worldmodel.evaluation.validate", "ValidateConfig"),
}
_FLAGS_WITH_VALUE = {"--cfg", "-c", "--package", "-p", "--info", "-i", "--config-dir", "-cd"}
#: Keys whose value is one plain string (a bundled name, a path, a list of tags), taken as typed.
PLAIN_KEYS = frozenset(
    {
        "model",
        "data",
        "episode",
        "context",
        "cameras",
        "tags",
        "scenario",
        "edits",
        "views",
        "kinds",
        "policy",
        "policies",
        "driver",
        "judge",
        "worlds",  # of which one is called true
        "prompt",
        "text_encoder",
        "input",
        "out",
        "device",
        "profile",
        "init",
        "name",
        "host",
        "token",
        "trained_on",
        "fid_weights",
        "fvd_weights",
        "lpips_weights",
    }
)


def rollout_main(arguments: Sequence[str] | None = None) -> None:
    """``rollout.py``: run the mode that the command line names; default a drive of a minute."""
    _main("rollout", _roll_out, arguments)


def train_main(arguments: Sequence[str] | None = None) -> None:
    """``train.py``: compose ``conf/train``, build the ``TrainConfig`` and run it."""
    offer_train_defaults()
    _main("train", _train, arguments)


def _roll_out(node: DictConfig) -> None:
    module_name, class_name = MODES[node.mode]
    module = importlib.import_module(module_name)
    OmegaConf.set_struct(node, False)
    del node.mode
    module.run(build(getattr(module, class_name), node))


def _train(node: DictConfig) -> None:
    from worldmodel.training.config import TrainConfig
    from worldmodel.training.run import run

    run(build(TrainConfig, node).validate())


def _main(root: Literal["train", "rollout"], task: Callable[[Any], None], arguments: Sequence[str] | None) -> None:
    typed = list(sys.argv[1:] if arguments is None else arguments)
    with_traceback = os.environ.get("HYDRA_FULL_ERROR") == "1"

    def job(node: DictConfig) -> None:
        # Caught here, because hydra prints about every exception that leaves a job.
        try:
            task(node)
        except ValueError as error:
            if with_traceback:
                raise
            _fail(str(error), 2)

    # A sweep's values are hydra's to read; anything else is as the user typed it.
    handed_on = typed if {"-m", "--multirun"} & set(typed) else [_as_typed(item) for item in typed]
    flags = {at for at, item in enumerate(typed) if item.startswith("-")}
    flags |= {at + 1 for at in flags if typed[at] in _FLAGS_WITH_VALUE}
    overrides = [item for at, item in enumerate(handed_on) if at not in flags]
    try:
        with _as_hydra_needs_it(handed_on), one_line_errors(root, overrides):
            hydra.main(str(CONF_DIR / root), "config", version_base=HYDRA_VERSION_BASE)(job)()
    except ValueError as error:
        if with_traceback:
            raise
        _fail(str(error), 2)
    except KeyboardInterrupt as error:
        _fail(str(error) or "interrupted", 130)


@contextlib.contextmanager
def _as_hydra_needs_it(arguments: list[str]) -> Iterator[None]:
    """Arguments in ``sys.argv``, errors raised instead of printed, and SIGTERM as orderly an end as Ctrl-C."""
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = [argv[0], *arguments], "1"
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.argv = argv
        os.environ.pop("HYDRA_FULL_ERROR")
        if full_error is not None:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _as_typed(argument: str) -> str:
    """Quote the value of a plain key, so that commas, equals signs and spaces in it mean themselves."""
    key, equals, value = argument.partition("=")
    counted = key == "episode" and value.isdigit()  # an episode may be named or counted
    if not equals or key not in PLAIN_KEYS or counted or re.fullmatch(r"'.*'|\".*\"|null", value):
        return argument
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _fail(message: str, code: int) -> NoReturn:
    print(f"{'stopped' if code == 130 else 'error'}: {message}", file=sys.stderr)
    raise SystemExit(code)
