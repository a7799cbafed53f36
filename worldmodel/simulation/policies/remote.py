"""A driver in another process, on another machine, or in another language: asked over HTTP, in JSON with JPEG frames.

    POST <url>/reset  {"rows": [{"row": 0, "seed": 7}]}
    POST <url>/act    {"dt_s": 0.1, "rows": [{"row": 0, "frame_jpeg": "<base64>", "speed_mps": 12.0,
                                              "curvature_1pm": 0.0}]}
                  ->  {"rows": [{"row": 0, "accel_mps2": 0.3, "curvature_1pm": 0.001}]}

Each row is a drive of its own. A request that fails or takes too long is tried again (``act`` tells the same
``request`` number then, so that a server that keeps state can answer it once). ``docs/policies.md`` has a server of
twenty lines.

Shapes: B rows.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Any

import cv2
import numpy as np

from worldmodel.simulation.policies.policy import Observation
from worldmodel.types import Controls, FrameArray

_QUALITY = 92


class RemotePolicy:
    """Asks a server what to do.

    Args:
        url: of the server, as ``http://localhost:8000``.
        timeout_s: of one request.
        retries: further tries of a request that failed.
    """

    needs_truth = False

    def __init__(self, url: str, *, timeout_s: float = 5.0, retries: int = 2) -> None:
        self.name = self._url = url.rstrip("/")
        self._timeout_s, self._retries = timeout_s, retries
        self._fresh: list[dict[str, int]] = []
        self._request = 0

    def reset(self, row: int, *, seed: int) -> None:
        """A new drive begins in row ``row``; the server is told before it is next asked."""
        self._fresh = [line for line in self._fresh if line["row"] != row] + [{"row": row, "seed": seed}]

    def act(self, observation: Observation) -> Controls:
        """Controls ``(B,)``.

        Raises:
            ValueError: the server cannot be reached, refuses, or answers something else.
        """
        if self._fresh:
            self._post("reset", {"rows": self._fresh})
            self._fresh = []
        self._request += 1
        rows = [
            {
                "row": row,
                "frame_jpeg": base64.b64encode(_jpeg(frame)).decode(),
                "speed_mps": float(observation.speed_mps[row]),
                "curvature_1pm": float(observation.curvature_1pm[row]),
            }
            for row, frame in enumerate(observation.frames)
        ]
        answer = self._post("act", {"request": self._request, "dt_s": observation.dt_s, "rows": rows})
        try:
            said = {
                int(line["row"]): (float(line["accel_mps2"]), float(line["curvature_1pm"])) for line in answer["rows"]
            }
            accel, curvature = np.array([said[row] for row in range(len(rows))], dtype=np.float64).T
        except (KeyError, TypeError, ValueError) as error:
            wanted = "accel_mps2 and curvature_1pm for every row"
            raise ValueError(f"{self._url}/act: expected {wanted}, got {str(answer)[:200]}") from error
        return Controls(accel, curvature)

    def _post(self, path: str, content: dict[str, Any]) -> Any:
        url, body = f"{self._url}/{path}", json.dumps(content).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        for attempt in range(self._retries + 1):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout_s) as response:
                    return json.loads(response.read() or b"null")
            except urllib.error.HTTPError as error:
                # The server has answered: asking again would not change its mind, unless it is overloaded.
                if error.code < 500 or attempt == self._retries:
                    raise ValueError(f"{url}: the server answered {error.code} {error.reason}") from error
            except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
                if attempt == self._retries:
                    raise ValueError(f"{url}: no answer after {attempt + 1} tries ({error})") from error
            time.sleep(0.2 * 2**attempt)
        raise AssertionError("the last try returns or raises")


def _jpeg(frame: FrameArray) -> bytes:
    _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
