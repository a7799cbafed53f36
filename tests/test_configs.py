"""Every configuration that ships composes and builds, and says what its keys mean."""

import importlib
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from worldmodel.cli import MODES, PLAIN_KEYS, rollout_main, train_main
from worldmodel.config import build, compose
from worldmodel.simulation.documents import CONF_DIR

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.stem for path in (CONF_DIR / "train/experiment").glob("*.yaml"))
NEVER_GROUPS = {"model", "data", "scenario", "policy", "prompt", "out", "seed", "device", "profile"}


def config_class(mode):
    module, name = MODES[mode]
    return getattr(importlib.import_module(module), name)


def test_configuration_lies_in_the_checkout():
    assert CONF_DIR == ROOT / "conf"


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_builds(experiment):
    from worldmodel.training.config import TrainConfig

    build(TrainConfig, compose("train", [f"experiment={experiment}"])).validate()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_that_starts_from_a_model_has_its_shape(experiment):
    from worldmodel.model import WorldModel
    from worldmodel.training.config import TrainConfig

    config = build(TrainConfig, compose("train", [f"experiment={experiment}"]))
    if config.init:
        model = WorldModel.from_pretrained(config.init)
        assert model.tokenizer.config.shaped_like(config.tokenizer)
        # What says what frames lack comes along where it is not asked for.
        names, own = ("look_width", "laying_width"), model.dynamics.config
        along = {name: getattr(config.dynamics, name) or getattr(own, name) for name in names}
        assert replace(config.dynamics, **along) == own


def test_training_keys_are_those_of_the_code():
    from worldmodel.training.config import TrainConfig

    node = compose("train", ["experiment=reference_small", "dynamics_stage.steps=7", "+data.options.weather=clear"])
    config = build(TrainConfig, node)
    assert config.dynamics_stage.steps == 7
    assert config.data.options == {"weather": "clear"}
    assert set(node) == {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_composes_builds_and_has_the_keys_of_its_code(mode):
    node = compose("rollout", [f"mode={mode}"])
    assert node.mode == mode
    keys = OmegaConf.to_container(node)
    del keys["mode"]
    cls = config_class(mode)
    assert set(keys) == {field.name for field in fields(cls)}
    assert build(cls, keys) == cls(), "a default in the yaml is not that of the code"


def test_modes_are_the_files_in_conf():
    assert {path.stem for path in (CONF_DIR / "rollout/mode").glob("*.yaml")} == set(MODES)


@pytest.mark.parametrize("mode", MODES)
def test_help_explains_every_key_and_shows_commands(mode):
    text = (CONF_DIR / f"rollout/mode/{mode}.yaml").read_text().partition("template: |-")[2]
    for field in fields(config_class(mode)):
        assert re.search(rf"^ +{field.name}=\S* +\S", text, re.M), f"mode={mode}: {field.name} is not explained"
    assert text.count("python rollout.py") >= 2


def test_plain_keys_are_never_config_groups():
    for root in ("rollout", "train"):
        folders = {path.name for path in (CONF_DIR / root).iterdir() if path.is_dir()}
        assert not folders & NEVER_GROUPS
    assert NEVER_GROUPS - {"seed"} <= PLAIN_KEYS


def test_help_is_ours(capsys):
    with pytest.raises(SystemExit, match="0"):
        rollout_main(["--help"])
    shown = capsys.readouterr().out
    assert shown.startswith("Drive in a learned world.")
    assert "Powered by Hydra" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lenght_s=3"], "error: lenght_s: no such key; did you mean 'length_s'?"),
        (["mode=drvie"], "error: mode=drvie: no such mode; there are " + ", ".join(sorted(MODES))),
        (["+sead=1"], "error: sead: no such key; did you mean 'seed'?"),
        (["length_s=soon"], "error: length_s: expected a number, got 'soon'"),
        (["motion=recored"], "error: motion: 'recored' is not one of auto, recorded, scripted, policy; did you mean"),
        (["batch"], "error: batch: expected key=value"),
        (["batch=0"], "error: batch: expected a number from 1, got 0"),
        (["model=no/such/model,here=1"], "error: model 'no/such/model,here=1': no directory"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        rollout_main(arguments)
    assert stopped.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith(message)
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("dynamics_stage.stps=3", "dynamics_stage.stps: no such key; did you mean 'dynamics_stage.steps'?"),
        ("experiment=nano", f"experiment=nano: no such experiment; there are {', '.join(EXPERIMENTS)}"),
        ("seed=x", "seed: expected a whole number, got 'x'"),
    ],
)
def test_train_names_the_nearest_key_and_experiment(argument, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        train_main([argument])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_help_of_train_says_what_every_key_means(capsys):
    with pytest.raises(SystemExit, match="0"):
        train_main(["--help"])
    shown = capsys.readouterr().out
    assert "python train.py experiment=smoke" in shown
    assert re.search(r"^ +dynamics_stage\.steps=\d+ +optimizer steps", shown, re.M)
    assert re.search(r"^ +dynamics\.transformer\.window=\d+ +\w", shown, re.M)
