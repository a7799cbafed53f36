"""How fast ``mode=serve`` is for somebody who drives: pictures a second, and milliseconds from hand to eye.

    python benchmarks/serving.py [--seconds 30] [--people 1] [--hostile 0] [--client browser] [more keys of mode=serve]

Starts a server as a user would and drives it with a real client: a headless Chromium with this server's own page, where
one is installed, or a WebSocket client. A key goes down or up about twice a second; from that event it counts until a
picture is on the canvas that was made knowing it. Pictures of the world are those it drew; the others show the newest
of those, moved by what the car does meanwhile. With more people the others are WebSocket clients. Nothing
fails by time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.browser import Browser, find  # noqa: E402
from worldmodel.server.messages import unpack  # noqa: E402


class Client:
    """A WebSocket client that looks at every picture and now and then turns the wheel."""

    def __init__(self, address: str, *, keys: bool = True) -> None:
        from websockets.sync.client import connect

        self._connect = lambda: connect(f"ws://{address}/drive", compression=None)
        self._keys = keys
        self.latencies_ms: list[float] = []
        self.shown = self.drawn = 0
        self.pace = 1.0

    def drive(self, seconds: float, warm_s: float = 3.0) -> None:
        """Drive for ``warm_s`` and then, counted, for ``seconds``."""
        pending: dict[int, float] = {}
        steer, number, turns_at = 1.0, 0, 0.0
        with self._connect() as socket:
            socket.send(json.dumps({"kind": "hello"}))
            begins = time.perf_counter() + warm_s
            while (now := time.perf_counter()) < begins + seconds:
                message = socket.recv(timeout=30)
                if isinstance(message, str):
                    continue
                about, _ = unpack(message)
                socket.send(json.dumps({"kind": "seen", "n": about["n"]}))
                now = time.perf_counter()
                arrived = [sent for n, sent in pending.items() if n <= about["in"]]
                pending = {n: sent for n, sent in pending.items() if n > about["in"]}
                if now >= begins:
                    self.shown, self.drawn, self.pace = self.shown + 1, self.drawn + about["drawn"], about["pace"]
                    self.latencies_ms += [1e3 * (now - sent) for sent in arrived if sent >= begins]
                if now >= turns_at:
                    number, steer, turns_at = number + 1, -steer, now + random.uniform(0.3, 0.8)
                    if self._keys or number == 1:
                        # Read again before it is timed: a picture that is waiting to be read was made before.
                        pending[number] = time.perf_counter()
                        hold = {"kind": "hold", "n": number, "steer": 0.6 * steer, "pedal": 0.1 if number > 3 else 0.5}
                        socket.send(json.dumps(hold))


def drive_in_browser(
    address: str, seconds: float, *, screenshot: Path | None = None, warm_s: float = 3.0
) -> dict[str, Any]:
    """The page's own figures, after driving with the arrow keys; what it shows at the end, if somebody asks."""
    with Browser(1280, 860) as browser:
        browser.open(f"http://{address}/")
        browser.wait("worldmodel.figures().state && worldmodel.figures().shown > 0")
        browser.key("ArrowUp", down=True)
        time.sleep(0.6)
        browser.key("ArrowUp", down=False)
        time.sleep(warm_s)
        browser.js("worldmodel.resetFigures()")
        begins, down = time.perf_counter(), "ArrowLeft"
        while time.perf_counter() < begins + seconds:
            browser.key(down, down=True)
            time.sleep(random.uniform(0.2, 0.5))
            browser.key(down, down=False)
            time.sleep(random.uniform(0.2, 0.5))
            down = "ArrowRight" if down == "ArrowLeft" else "ArrowLeft"
        took_s = time.perf_counter() - begins
        if screenshot is not None:
            take_picture(browser, screenshot)
        figures = browser.js("({...worldmodel.figures(), all_ms: worldmodel.latencies()})")
    return {
        "pictures_per_s": figures["shown"] / took_s,
        "world_frames_per_s": figures["drawn"] / took_s,
        "pace": figures["about"]["pace"],
        "latencies_ms": figures["all_ms"],
    }


def take_picture(browser: Browser, path: Path) -> None:
    """The page with a snapshot, the lanes seen and a bend to the left."""
    browser.click("#lanes")
    browser.click("[data-driver='lane-keeper']")
    time.sleep(3)
    browser.click("#snapshot")
    browser.key("ArrowLeft", down=True)
    browser.wait("worldmodel.figures().about.k > 0.008 && worldmodel.figures().about.lanes")
    browser.js("document.querySelector('aside').scrollTo(0, 0)")
    browser.screenshot(path)
    browser.key("ArrowLeft", down=False)


def drive_by_socket(address: str, seconds: float) -> dict[str, Any]:
    """The same of a WebSocket client."""
    client = Client(address)
    client.drive(seconds)
    return {
        "pictures_per_s": client.shown / seconds,
        "world_frames_per_s": client.drawn / seconds,
        "pace": client.pace,
        "latencies_ms": client.latencies_ms,
    }


@contextlib.contextmanager
def server(keys: list[str]) -> Iterator[tuple[str, str]]:
    """A server of its own process: where it listens, and what it says of its world."""
    command = [sys.executable, str(ROOT / "rollout.py"), "mode=serve", "port=0", *keys]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        title, address = "", ""
        for line in process.stdout:
            title = title or line.strip()
            if found := re.search(r"drive at http://([^/]+)/", line):
                address = found[1]
                break
        try:
            yield address, title.partition(";")[0]
        finally:
            process.send_signal(signal.SIGINT)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--people", type=int, default=1, help="who drive at once; figures are of the first")
    parser.add_argument("--hostile", type=int, default=0, help="clients of benchmarks/hostile.py beside them")
    parser.add_argument("--client", choices=("browser", "socket"), default="browser" if find() else "socket")
    parser.add_argument("--screenshot", type=Path, help="of the browser's page, as a png file")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments, keys = parser.parse_known_args()
    with server(keys) as (address, title), contextlib.ExitStack() as stack:
        others = [Client(address, keys=False) for _ in range(arguments.people - 1)]
        threads = [
            threading.Thread(target=client.drive, args=(arguments.seconds + 8,), daemon=True) for client in others
        ]
        for thread in threads:
            thread.start()
        if arguments.hostile:
            hostile = [sys.executable, str(ROOT / "benchmarks/hostile.py"), address]
            hostile += ["--clients", str(arguments.hostile), "--seconds", str(arguments.seconds + 12)]
            stack.enter_context(subprocess.Popen(hostile, stdout=subprocess.DEVNULL))
        if arguments.client == "browser":
            figures = drive_in_browser(address, arguments.seconds, screenshot=arguments.screenshot)
        else:
            figures = drive_by_socket(address, arguments.seconds)
        for thread in threads:
            thread.join(60)
    latencies = sorted(figures.pop("latencies_ms"))
    figures["inputs"] = len(latencies)
    if len(latencies) > 1:
        figures["hand_to_eye_p50_ms"] = statistics.median(latencies)
        figures["hand_to_eye_p95_ms"] = statistics.quantiles(latencies, n=20)[-1]
    print(f"{title}; {arguments.people} driving, {arguments.hostile} hostile, seen by a {arguments.client}; "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    for name, value in figures.items():
        print(f"  {name:24s} {value:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
