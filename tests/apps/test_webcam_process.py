"""The live program as a process: a signal under load, and a disk that is full."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tracker.live.sources import open_source
from tracker.stream import HandStreamClient

PROGRAM = Path(__file__).resolve().parents[2] / "apps" / "webcam.py"
LIVE = ("--source", "demo", "--view", "none", "--export", "npz,csv")
PATIENCE_S = 60.0
DISK_BYTES = 600_000


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    running: list[subprocess.Popen] = []

    def begin(*words: object) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path)},
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def recorded(folder: Path) -> Path | None:
    """The folder of the recording, once its video holds something."""
    videos = [path for path in folder.rglob("overlay.mp4") if path.stat().st_size > 100_000]
    return videos[0].parent if videos else None


def until(happens: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_ends_everything_well(
    start: Callable[..., subprocess.Popen], tmp_path: Path, port: int, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    process = start(*LIVE, "--serve", port, "--record", out)
    until(lambda: process.poll() is not None or recorded(out))
    with HandStreamClient(f"ws://127.0.0.1:{port}/v1/stream") as client:
        assert client.next_frame(PATIENCE_S).frame > 0
        process.send_signal(number)
        said, log = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, said) == (130, b""), log
    assert b"Traceback" not in log
    assert b"recorded" in log
    folder = recorded(out)
    assert folder is not None
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("overlay.mp4", "contact_sheet.png", "hands.npz", "joints.csv", "summary.json"),
    }
    frames = json.loads((folder / "summary.json").read_text())["frames"]
    assert 0 < len(list(open_source(folder / "overlay.mp4"))) <= frames
    with socket.create_server(("127.0.0.1", port)):
        pass


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs Linux")
def test_a_full_disk_ends_the_recording_and_not_the_program(
    start: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(*LIVE, "--record", out, "--seconds", 15)
    until(lambda: process.poll() is not None or recorded(out))
    # From now on larger files are refused like files on a full disk. Python ignores the signal.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES))
    _, log = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, log
    assert b"Traceback" not in log
    told, went_on = log.split(b"the recording has ended: cannot write", 1)
    assert b" fps | dropped" in went_on, log
    assert b"recorded" not in told
    folder = recorded(out)
    assert folder is not None
    assert (folder / "overlay.mp4").stat().st_size <= DISK_BYTES
    assert len(list(open_source(folder / "overlay.mp4"))) >= 25
