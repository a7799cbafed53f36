"""A policy over HTTP: asked in JSON and JPEG, tried again when it fails, named when it stays away."""

import base64
import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from worldmodel.simulation.policies.policy import Observation
from worldmodel.simulation.policies.remote import RemotePolicy


@contextlib.contextmanager
def server(answer):
    """Serve ``answer(path, content) -> (status, json)`` and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(self.path, content)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def seen(rows=2):
    frames = np.zeros((rows, 32, 64, 3), dtype=np.uint8)
    frames[..., 0] = 200
    return Observation(frames, np.arange(rows) + 10.0, np.zeros(rows), 0.1)


def by_speed(path, content):
    if path == "/reset":
        return 200, {}
    rows = [
        {"row": r["row"], "accel_mps2": 1.0, "curvature_1pm": r["speed_mps"] / 1000} for r in reversed(content["rows"])
    ]
    return 200, {"rows": rows}


def test_it_is_shown_frames_and_speed_and_told_of_new_drives():
    heard = []

    def answer(path, content):
        heard.append((path, content))
        return by_speed(path, content)

    with server(answer) as url:
        policy = RemotePolicy(url)
        policy.reset(0, seed=7)
        policy.reset(1, seed=8)
        controls = policy.act(seen())
        policy.act(seen())
    np.testing.assert_allclose(controls.curvature_1pm, [0.010, 0.011])
    assert [path for path, _ in heard] == ["/reset", "/act", "/act"]
    assert heard[0][1]["rows"] == [{"row": 0, "seed": 7}, {"row": 1, "seed": 8}]
    jpeg = np.frombuffer(base64.b64decode(heard[1][1]["rows"][0]["frame_jpeg"]), np.uint8)
    frame = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)[..., ::-1]
    assert frame.shape == (32, 64, 3)
    assert abs(int(frame[5, 5, 0]) - 200) < 6  # red is red
    assert frame[5, 5, 2] < 10


def test_a_request_that_fails_is_tried_again_with_its_number():
    numbers = []

    def answer(path, content):
        numbers.append(content["request"])
        return (503, {}) if len(numbers) < 3 else by_speed(path, content)

    with server(answer) as url:
        controls = RemotePolicy(url, retries=2).act(seen())
    assert controls.accel_mps2.tolist() == [1.0, 1.0]
    assert numbers == [1, 1, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda path, content: (400, {}), "answered 400"),
        (lambda path, content: (200, {"rows": [{"row": 0}]}), "expected accel_mps2 and curvature_1pm for every row"),
        (lambda path, content: (200, None), "expected accel_mps2"),
        (lambda path, content: (time.sleep(1.0), by_speed(path, content))[1], "no answer after 2 tries"),
    ],
)
def test_what_the_server_does_wrong_is_named(answer, message):
    with server(answer) as url, pytest.raises(ValueError, match=message):
        RemotePolicy(url, timeout_s=0.2, retries=1).act(seen())


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="no answer after 1 tries"):
        RemotePolicy("http://127.0.0.1:9", timeout_s=0.2, retries=0).act(seen())
