"""Watch a stream server for a few seconds: subscribers in a process of their own, costs in this one."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.labelled import REPOSITORY
from benchmarks.stream_subscribers import Job, Seen

HZ: Final = 60.0
_LISTENING_TABLE: Final = Path("/proc/net/tcp")


@dataclass(frozen=True)
class Window:
    """One stretch of watching."""

    seen: Seen
    server_share: float
    """Processor time of this process over wall time."""

    def percentile_ms(self, percent: float) -> float:
        """Latency from publishing to having the bytes."""
        return float(np.percentile(self.seen.latencies_ms, percent))


@contextmanager
def on_one_core() -> Generator[int | None, None, None]:
    """Keep this thread, and those it starts, on one core; yields one for the subscribers."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield max(before)
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def publishing(publish: Callable[[], object], hz: float = HZ) -> Generator[None, None, None]:
    """Call `publish` at a steady rate from a thread of its own, as a camera's loop would."""
    stopping = threading.Event()

    def loop() -> None:
        due = time.monotonic()
        while not stopping.wait(max(0.0, due - time.monotonic())):
            publish()
            due = max(due + 1 / hz, time.monotonic())

    thread = threading.Thread(target=loop, name="publisher")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def watched(publish: Callable[[], object], job: Job, probe: Callable[[], object] = int) -> Window:
    """Publish at 60 Hz while a job's subscribers watch.

    Args:
        publish: sends one frame.
        job: what the subscribers do.
        probe: called when they have watched, before the stalled ones read on.
    """
    command = [sys.executable, "-m", "benchmarks.stream_subscribers", json.dumps(asdict(job))]
    with (
        publishing(publish),
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdout is not None
        process.stdout.readline()  # they are ready
        began, busy = time.monotonic(), time.process_time()
        process.stdout.readline()  # they have watched
        share = (time.process_time() - busy) / (time.monotonic() - began)
        probe()
        said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"the subscribers ended with code {process.returncode}")
    return Window(Seen(**json.loads(said)), share)


def fullest_send_queue(port: int) -> int:
    """Return the most bytes that the kernel holds for one connection of a local server.

    They are what the client's side has not yet taken; 0 where the system has no such table.
    """
    if not _LISTENING_TABLE.is_file():
        return 0
    rows = [line.split() for line in _LISTENING_TABLE.read_text().splitlines()[1:]]
    ours = [row for row in rows if row[1].endswith(f":{port:04X}")]
    return max((int(row[4].partition(":")[0], 16) for row in ours), default=0)


def resident_bytes() -> int:
    """Return the memory this process has; 0 where the system does not tell."""
    table = Path("/proc/self/statm")
    if not table.is_file():
        return 0
    return int(table.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
