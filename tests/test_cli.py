"""The two doors, run as a user runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from worldmodel.cli import _as_typed
from worldmodel.simulation.drive_io import load_drive

ROOT = Path(__file__).resolve().parents[1]
# A wave of shade and tags alone: nothing of the reference world need be rendered.
TAGS = "context=weather=rain,time_of_day=night"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model().save(tmp_path_factory.mktemp("model with, commas"))


def command(model, out, *more):
    return [sys.executable, str(ROOT / "rollout.py"), f"model={model}", f"out={out}", TAGS, "steps_per_frame=2", *more]


def test_a_drive_from_the_command_line(model, tmp_path):
    out = tmp_path / "a drive"
    run = subprocess.run(command(model, out, "length_s=1.5", "batch=2"), capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "frame/s" in run.stderr
    drives = [load_drive(out / name) for name in ("00", "01")]
    assert [len(drive) for drive in drives] == [16, 16]
    about = drives[0].provenance
    assert about["components"].keys() == {"tokenizer", "dynamics"}
    assert about["options"]["context"] == "weather=rain,time_of_day=night"
    assert [path.name for path in tmp_path.iterdir()] == ["a drive"], "hydra left something behind"
    again = subprocess.run(command(model, out, "length_s=1"), capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr == f"error: out={out}: holds a complete run; choose another folder or add overwrite=true\n"


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_drive_says_where_it_is_and_plays(model, tmp_path, stop):
    out, partial = tmp_path / "drive", tmp_path / "drive.partial"
    with subprocess.Popen(
        command(model, out, "length_s=3600"), stderr=subprocess.PIPE, text=True, preexec_fn=_as_at_a_terminal
    ) as process:
        while not (partial / "rows.jsonl").exists() or (partial / "rows.jsonl").read_text().count("\n") < 12:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(stop)
        stderr = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == f"stopped: what was finished is in {partial}"
    assert "Traceback" not in stderr
    # Of the twelve lines the first is a header, and the last row's frame may not have come.
    assert len(load_drive(partial)) >= 10
    assert not out.exists()


def _as_at_a_terminal():
    """A shell's background jobs ignore Ctrl-C, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_traceback_can_be_had(tmp_path):
    run = subprocess.run(
        command("no/such/model", tmp_path / "x"),
        capture_output=True,
        text=True,
        env=os.environ | {"HYDRA_FULL_ERROR": "1"},
    )
    assert run.returncode == 1
    assert "Traceback" in run.stderr
    assert "no bundled model of that name" in run.stderr


@pytest.mark.parametrize(
    ("typed", "handed_on"),
    [
        ("out=a b,c=d", "out='a b,c=d'"),
        ("out='a'", "out='a'"),
        ("model=it's", "model='it\\'s'"),
        ("length_s=3", "length_s=3"),
        ("mode=drive", "mode=drive"),
        ("--help", "--help"),
        ("policy=null", "policy=null"),
        ("episode=lake#000", "episode='lake#000'"),
        ("episode=3", "episode=3"),
    ],
)
def test_plain_values_mean_what_was_typed(typed, handed_on):
    assert _as_typed(typed) == handed_on
