"""A headless Chromium, driven over its own protocol: pages, keys, pictures. For tests and benchmarks of the browser.

The Chrome DevTools Protocol over a WebSocket (https://chromedevtools.github.io/devtools-protocol/): no driver to fetch.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Keys by their code: (key, virtual key code).
KEYS = {
    "ArrowLeft": ("ArrowLeft", 37), "ArrowUp": ("ArrowUp", 38), "ArrowRight": ("ArrowRight", 39),
    "ArrowDown": ("ArrowDown", 40), "KeyP": ("p", 80), "KeyB": ("b", 66), "KeyR": ("r", 82), "KeyO": ("o", 79),
}  # fmt: skip


def find() -> str | None:
    """The browser's program, or ``None``."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in a new, empty profile. Use as a context manager.

    Args:
        width, height: of the window, in pixels.
    """

    def __init__(self, width: int = 1280, height: int = 640) -> None:
        program = find()
        if program is None:
            raise ValueError(f"no browser is installed: none of {', '.join(NAMES)} is on the path")
        self._profile = tempfile.mkdtemp(prefix="worldmodel-browser-")
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._numbers = itertools.count(1)
        #: Errors of the page.
        self.console: list[str] = []

    def __enter__(self) -> Browser:
        from websockets.sync.client import connect

        try:
            port = self._await_port()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                target = next(t for t in json.load(answer) if t["type"] == "page")
            self._connection = connect(target["webSocketDebuggerUrl"], max_size=None, compression=None)
            self._socket = self._connection.__enter__()
            for domain in ("Page", "Runtime", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        with contextlib.suppress(Exception):
            self.call("Browser.close")
        with contextlib.suppress(Exception):
            self._connection.__exit__(None, None, None)
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    def _await_port(self, seconds: float = 60.0) -> int:
        file, ends = Path(self._profile) / "DevToolsActivePort", time.monotonic() + seconds
        while time.monotonic() < ends:
            if file.is_file() and "\n" in (text := file.read_text()):
                return int(text.splitlines()[0])
            if self._process.poll() is not None:
                raise RuntimeError(f"the browser ended at once with code {self._process.returncode}")
            time.sleep(0.05)
        raise RuntimeError("the browser did not come up")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call of the protocol; its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.console.append(str(message["params"]["exceptionDetails"]))
            elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.console.append(message["params"]["entry"]["text"])

    def open(self, url: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=url)

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']['exception'].get('description')}")
        return result["result"].get("value")

    def wait(self, expression: str, seconds: float = 60.0) -> Any:
        """Wait until an expression is true; its value."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            with contextlib.suppress(RuntimeError):
                if value := self.js(expression):
                    return value
            time.sleep(0.03)
        raise TimeoutError(f"not within {seconds:.0f} s: {expression}; console: {self.console[-3:]}")

    def key(self, code: str, *, down: bool) -> None:
        """Press or let go of a key."""
        key, virtual = KEYS[code]
        self.call(
            "Input.dispatchKeyEvent",
            type="rawKeyDown" if down else "keyUp",
            code=code,
            key=key,
            windowsVirtualKeyCode=virtual,
        )

    def tap(self, code: str) -> None:
        """Press a key and let go."""
        self.key(code, down=True)
        self.key(code, down=False)

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        at = self.wait(
            f"(e => e && (e.scrollIntoView({{block: 'center'}}), (b => [b.x + b.width / 2, b.y + b.height / 2])"
            f"(e.getBoundingClientRect())))(document.querySelector({json.dumps(selector)}))"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def screenshot(self, path: str | Path) -> None:
        """The page as a png file."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        Path(path).write_bytes(base64.b64decode(data))
