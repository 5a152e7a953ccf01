"""Conformance: how a server lives and ends. Checks of its end start one of their own."""

import contextlib
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from typing import Final

from websockets.exceptions import WebSocketException

from tracker.stream.conformance_checks_base import (
    Check,
    FailedError,
    Line,
    SkippedError,
    Target,
    expect,
)

_LOOPBACK: Final = "127.0.0.1"
_EVERYWHERE: Final = "0.0.0.0"
_GOING_AWAY: Final = 1001
_START_S: Final = 60.0
"""For a tracker to load its models."""
_POLL_S: Final = 0.1


def reconnecting_is_quick(target: Target) -> str:
    """A client can come and go many times, each time with a frame."""
    start = time.monotonic()
    for _ in range(target.settings.reconnects):
        with target.line() as line:
            line.frame()
    each_ms = (time.monotonic() - start) * 1e3 / max(1, target.settings.reconnects)
    return f"{target.settings.reconnects} times, {each_ms:.0f} ms each with the first frame"


def status_tells_how_it_goes(target: Target) -> str:
    """`status` comes by itself, with rate, clients and the state of the camera."""
    with target.line() as line:
        status = line.control("status")
    expect(status["camera"] in ("ok", "lost"), f"camera is {status['camera']!r}")
    expect(status["clients"] >= 1, f"clients is {status['clients']}")
    return f"{status['fps']} frames/s, camera {status['camera']}"


def a_lost_camera_is_told(target: Target) -> str:
    """With the camera unplugged, `status` says so and empty frames go on."""
    if not any(status["camera"] == "lost" for status in target.recording.statuses):
        raise SkippedError("the camera was there all the time; unplug it and run again")
    with target.line() as line:
        line.subscribe()
        expect(not line.frame().hands, "hands are sent without a camera")
    return "status says lost, empty frames go on"


def a_taken_port_is_told(target: Target) -> str:
    """A second server on the port ends with exit code 2 and one line that names it."""
    with _started(target, _LOOPBACK, target.port) as server:
        return _ends_in_one_line(server)


def an_open_address_needs_a_token(target: Target) -> str:
    """On an address that others can reach, the server refuses to start without a token."""
    with _started(target, _EVERYWHERE, _free_port()) as server:
        return _ends_in_one_line(server)


def _ends_in_one_line(server: subprocess.Popen[str]) -> str:
    try:
        _, errors = server.communicate(timeout=_START_S)
    except subprocess.TimeoutExpired as error:
        raise FailedError("the server started all the same") from error
    lines = errors.strip().splitlines()
    expect(server.returncode == 2, f"exit code {server.returncode}: {lines[-1:]}")
    expect(len(lines) == 1, f"{len(lines)} lines were written: {lines[-1:]}")
    return lines[0]


def a_terminated_server_says_bye(target: Target) -> str:
    """On SIGTERM the server says `bye`, closes with 1001 and exits with 0."""
    port = _free_port()
    with _started(target, _LOOPBACK, port) as server:
        with _first_line(target, server, port) as line:
            server.send_signal(signal.SIGTERM)
            line.control("bye")
            code = line.close_code()
        expect(code == _GOING_AWAY, f"closed with {code}")
        exit_code = server.wait(target.settings.patience_s)
    expect(exit_code == 0, f"exit code {exit_code}")
    return f"bye, {code}, exit code 0"


@contextlib.contextmanager
def _started(target: Target, host: str, port: int) -> Generator[subprocess.Popen[str], None, None]:
    if target.settings.start is None:
        raise SkippedError("the server cannot be started here; give its command with --start")
    words = [word.format(host=host, port=port) for word in shlex.split(target.settings.start)]
    server = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    with server:
        try:
            yield server
        finally:
            server.kill()


def _first_line(target: Target, server: subprocess.Popen[str], port: int) -> Line:
    """Connect as soon as the server listens."""
    deadline = time.monotonic() + _START_S
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, WebSocketException):
            return target.dial(f"ws://{_LOOPBACK}:{port}{target.path}")
        time.sleep(_POLL_S)
    raise FailedError(f"the server did not listen; exit code {server.poll()}")


def _free_port() -> int:
    with socket.create_server((_LOOPBACK, 0)) as listener:
        return listener.getsockname()[1]


CHECKS: Final[tuple[Check, ...]] = (
    reconnecting_is_quick,
    status_tells_how_it_goes,
    a_lost_camera_is_told,
    a_taken_port_is_told,
    an_open_address_needs_a_token,
    a_terminated_server_says_bye,
)
