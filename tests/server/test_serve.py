"""The mode as a user runs it: it says where it is, asks for a token where it must, fits the machine, ends in order."""

import dataclasses
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.tiny import tiny_model
from worldmodel.dynamics.sampler import SamplerConfig
from worldmodel.server import serve as serving
from worldmodel.server.serve import ServeConfig, fitting_sampler, listen, open_house, require_packages
from worldmodel.simulation.session import Session

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("more", [[], ["host=0.0.0.0"]])
def test_it_says_where_it_is_and_ends_in_order(model_folder, tmp_path, more):
    pytest.importorskip("uvicorn")
    command = [sys.executable, str(ROOT / "rollout.py"), "mode=serve", f"model={model_folder}", "port=0",
               "context=weather=rain", "fit=false", "compile=false", f"out={tmp_path / 'saved'}", *more]  # fmt: skip
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Whoever runs the tests in the background has them ignore Ctrl-C, and processes inherit that.
    listening = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    with subprocess.Popen(command, cwd=tmp_path, preexec_fn=listening, **pipes) as process:
        lines = [process.stdout.readline(), process.stdout.readline()]
        found = re.search(r"drive at http://[^:]+:(\d+)/(\?token=\S+)?", lines[1])
        assert found, lines
        port, token = found.groups()
        assert bool(token) == bool(more)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{token or ''}") as answer:
            assert b"worldmodel: drive it" in answer.read()
        if token:
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert [path.name for path in tmp_path.iterdir()] == [], "nothing is left that nobody saved"


def test_an_address_that_is_taken_is_a_clear_error():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port={port}.*choose another"):
            listen("127.0.0.1", port)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"starlette, uvicorn, websockets missing; pip install .*worldmodel\[server\]"):
        require_packages()


@pytest.mark.parametrize(
    ("field", "value"), [("seats", 0), ("port", 70000), ("pictures_per_s", 0.0), ("quality", 101), ("seed", -1)]
)
def test_impossible_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}: expected a number from"):
        ServeConfig(**{field: value})


OWN = SamplerConfig(steps=8, guidance=2.0)


@pytest.mark.parametrize(
    ("cost_of_a_pass_s", "expected"),
    [(0.005, 8), (0.010, 4), (0.016, 2), (0.5, 2)],
)
def test_as_many_steps_as_there_is_time_for_are_taken(monkeypatch, cost_of_a_pass_s, expected):
    monkeypatch.setattr(
        serving,
        "_step_s",
        lambda s: cost_of_a_pass_s * (1.6 * s.sampler.steps + 1),
    )
    chosen = fitting_sampler(Session(tiny_model(), sampler=OWN))
    assert chosen == dataclasses.replace(OWN, steps=expected), "nothing else is touched"


def test_what_is_asked_for_is_not_fitted(model_folder, monkeypatch):
    monkeypatch.setattr(serving, "_step_s", lambda session: 100.0)
    tags = {"model": str(model_folder), "context": "weather=clear", "compile": False}
    house, _, title = open_house(ServeConfig(**tags, steps_per_frame=8))
    house.close()
    assert "steps a frame" not in title
    house, _, title = open_house(ServeConfig(**tags))
    house.close()
    assert "2 steps a frame" in title


def test_the_true_world_wants_no_frames():
    house, _, _ = open_house(ServeConfig(world="reference", context="my.mp4"))
    with pytest.raises(ValueError, match="begins on a road of its own"):
        house.openings.open("")
