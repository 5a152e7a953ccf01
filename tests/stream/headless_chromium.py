"""A browser without a window, driven through its own debugging protocol."""

import base64
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

START_S, ANSWER_S = 30.0, 20.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--window-size=1200,800",
    "--remote-debugging-port=0",
    # Newer browsers keep some pages from this machine by themselves; here the server must do it.
    "--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets",
    # Foreign names that lead to this machine, as a page that rebinds its own name would have them.
    "--host-resolver-rules=MAP *.example 127.0.0.1, EXCLUDE localhost",
)


def chromium() -> str | None:
    """The browser to start: HANDLOOM_CHROMIUM, else what is installed."""
    given = os.environ.get("HANDLOOM_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return given or next((found for found in map(shutil.which, names) if found), None)


class Page:
    """One tab."""

    def __init__(self, line: ClientConnection, session: str) -> None:
        self._line, self._session = line, session
        self._count = 0
        self.events: list[dict[str, Any]] = []
        """What the tab reported while an answer was awaited."""
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and await the answer."""
        self._count += 1
        return ask(self._line, self._count, method, parameters, self._session, self.events)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        asked = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = self.call("Runtime.evaluate", **asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, patience_s: float = ANSWER_S) -> None:
        deadline = time.monotonic() + patience_s
        asked = f"(() => {{ try {{ return {expression}; }} catch {{ return false; }} }})()"
        while not self.evaluate(asked):
            assert time.monotonic() < deadline, f"{expression} stayed false"
            time.sleep(0.05)

    def screenshot(self, path: Path, clip: dict[str, float] | None = None) -> None:
        """Write a PNG of the page, or of a box {x, y, width, height, scale} of it."""
        wanted = {"format": "png"} | ({"clip": clip} if clip else {})
        answer = self.call("Page.captureScreenshot", **wanted)
        path.write_bytes(base64.b64decode(answer["data"]))

    def faults(self) -> list[str]:
        """Uncaught errors of the page's scripts so far."""
        self.evaluate("0")  # whatever was reported before it has come by now
        thrown = [e for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        return [e["params"]["exceptionDetails"]["text"] for e in thrown]

    def handshakes(self, count: int = 1) -> list[int]:
        """Status of each answer to a WebSocket's request so far, when there are `count` of them."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            self.evaluate("0")  # brings what was reported meanwhile
            found = [status for event in self.events for status in _handshake_status(event)]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)


def _handshake_status(event: dict[str, Any]) -> Iterator[int]:
    if event["method"] == "Network.webSocketHandshakeResponseReceived":
        yield event["params"]["response"]["status"]
    if event["method"] == "Network.webSocketFrameError":  # so are refusals reported
        said = event["params"]["errorMessage"]
        yield from map(int, re.findall(r"response code: (\d+)", said))
        if "HTTP Authentication failed" in said:
            yield 401


def ask(
    line: ClientConnection,
    number: int,
    method: str,
    parameters: dict[str, Any],
    session: str | None = None,
    events: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Send one command of the debugging protocol; returns its result."""
    request: dict[str, Any] = {"id": number, "method": method, "params": parameters}
    line.send(json.dumps(request | ({"sessionId": session} if session else {})))
    while True:
        message = json.loads(line.recv(ANSWER_S))
        if message.get("id") == number and message.get("sessionId") == session:
            assert "error" not in message, f"{method}: {message['error']}"
            return message["result"]
        if events is not None and message.get("sessionId") == session:
            events.append(message)


class Browser:
    """A running browser."""

    def __init__(self, line: ClientConnection) -> None:
        self._line = line
        self._count = 0

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        return ask(self._line, self._count, method, parameters)

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A new tab, closed at the end."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        try:
            yield Page(self._line, attached["sessionId"])
        finally:
            self._ask("Target.closeTarget", targetId=target)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with a fresh profile in `folder`, and end it."""
    program = chromium()
    assert program is not None
    command = [program, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    log = (folder.parent / "chromium.log").open("wb")
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        with connect(_debugger(folder, process), max_size=None, compression=None) as line:
            yield Browser(line)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def _debugger(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """The address the browser listens on for orders, which it writes into its profile."""
    note = folder / "DevToolsActivePort"
    deadline = time.monotonic() + START_S
    while not note.is_file() or note.read_text().count("\n") < 1:
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
    port, path = note.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"
