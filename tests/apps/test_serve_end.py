"""The end of `--serve` as a user meets it: a real process, a real signal, a client that is told."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.apps.conftest import DEMO

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0
STOPPED = 130


@pytest.mark.slow
def test_sigterm_ends_it_cleanly_and_clients_are_told(tmp_path: Path):
    port = free_port()
    words = [DEMO, "--out", tmp_path, "--no-overlay", "--export", "npz", "--serve", port]
    command = [sys.executable, "apps/video_to_mesh.py", *map(str, words)]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        await_port(port, program)
        killed = socket.create_connection(("127.0.0.1", port))
        with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None) as line:
            heard_until(line, "frame")
            killed.close()  # a client that goes without a word disturbs nobody
            program.send_signal(signal.SIGTERM)
            assert heard_until(line, "bye")["reason"] == "shutdown"
            with pytest.raises(ConnectionClosed) as closed:
                line.recv(PATIENCE_S)
        said = program.stderr.read()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
    assert program.returncode == STOPPED
    assert said.splitlines()[-1] == "stopped by the user"
    assert "Traceback" not in said
    assert (tmp_path / "demo" / "hands.npz").is_file()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def await_port(port: int, program: subprocess.Popen) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and program.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens; the program's code is {program.poll()}")


def heard_until(line: ClientConnection, kind: str) -> dict:
    """The next message of a type."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        message = json.loads(line.recv(PATIENCE_S))
        if message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} came")
