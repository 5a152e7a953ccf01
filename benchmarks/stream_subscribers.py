"""Many subscribers in one process, cheap enough not to be what is measured: raw sockets, one loop.

`python -m benchmarks.stream_subscribers JOB` reads the job as JSON, connects, says `ready` once every
line has frames, watches, says `done`, and prints what it saw as JSON. It needs nothing but the
standard library.
"""

import base64
import contextlib
import json
import os
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final
from urllib.parse import urlsplit

_BINARY, _PING = 0x82, 0x89
_TEXT, _PONG = 0x81, 0x8A
_SEQ_CAPTURE_PUBLISH: Final = struct.Struct("<Qqq")
_SEQ_OFFSET: Final = 16
_CHUNK: Final = 1 << 14
_PATIENCE_S: Final = 20.0
_SETTLE_S: Final = 0.3


@dataclass(frozen=True)
class Job:
    """What the subscribers shall do."""

    url: str
    count: int = 100
    """Subscribers that read."""
    seconds: float = 3.0
    """How long to watch."""
    wish: dict[str, object] = field(default_factory=dict)
    """Fields of their `subscribe`."""
    stalled: tuple[dict[str, object], ...] = ()
    """Wishes of further subscribers, which stop reading while the others are watched."""
    core: int | None = None
    """Processor core to stay on."""


@dataclass(frozen=True)
class Seen:
    """What they saw."""

    latencies_ms: list[float]
    """From publishing to having the bytes in this process."""
    times_ns: list[tuple[int, int]]
    """For each frame of the first subscriber: when it was captured and when it was here."""
    frames: int
    gaps: int
    """Frames that were skipped, summed over the subscribers."""
    stale: list[int]
    """For each stalled subscriber, frames it got on resuming that were older than the newest."""
    cpu_share: float
    """Processor time of this process over wall time."""


class Line:
    """One WebSocket to the server."""

    def __init__(self, url: str, wish: dict[str, object], receive_buffer: int = 0) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(_PATIENCE_S)
        self.socket.connect((parts.hostname or "", parts.port or 80))
        self.seq = -1
        self.acks = wish.get("flow") == "ack"
        self._rest = self._open(parts.netloc, parts.path)
        self.send(_TEXT, json.dumps({"type": "subscribe", **wish}).encode())

    def _open(self, host: str, path: str) -> bytes:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: handstream.v1.bin\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(4096)
            if not more:
                raise ConnectionError(f"the server hung up after {answer!r}")
            answer += more
        head, _, rest = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode("latin-1"))
        return rest

    def send(self, kind: int, content: bytes) -> None:
        """Send a message of fewer than 64 kB, masked with zeros as a client's must be masked."""
        size = len(content)
        head = bytes([kind, 0x80 | size]) if size < 126 else struct.pack(">BBH", kind, 0xFE, size)
        self.socket.sendall(head + bytes(4) + content)

    def receive(self) -> tuple["Line", bytes, int]:
        """Read once; returns this line, what came, and when it was here."""
        return self, self.socket.recv(_CHUNK), time.monotonic_ns()

    def frames(self, chunk: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield (sequence number, capture, publishing) of every frame that is whole by now."""
        if not chunk:
            raise ConnectionError("the server hung up")
        data = self._rest + chunk
        start = 0
        while (whole := _message_at(data, start)) is not None:
            kind, content, start = whole
            if kind == _BINARY:
                seq, capture, publish = _SEQ_CAPTURE_PUBLISH.unpack_from(
                    data, content + _SEQ_OFFSET
                )
                if self.acks:
                    self.send(_TEXT, b'{"type":"ack","seq":%d}' % seq)
                yield seq, capture, publish
            elif kind == _PING:
                self.send(_PONG, data[content:start])
        self._rest = data[start:]


def _message_at(data: bytes, start: int) -> tuple[int, int, int] | None:
    """Return kind, start of content and end of the message at `start`, None if it is not whole."""
    if len(data) < start + 2:
        return None
    size, content = data[start + 1], start + 2
    if size >= 126:
        wide = 2 if size == 126 else 8
        if len(data) < content + wide:
            return None
        size = int.from_bytes(data[content : content + wide], "big")
        content += wide
    return None if len(data) < content + size else (data[start], content, content + size)


class Crowd:
    """All subscribers of a job."""

    def __init__(self, job: Job) -> None:
        self.lines = [Line(job.url, job.wish) for _ in range(job.count)]
        # With the small receive buffer of a weak device the server's own side fills up soon.
        self.stalled = [Line(job.url, wish, receive_buffer=8192) for wish in job.stalled]
        self._selector = selectors.DefaultSelector()
        for line in self.lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)

    def wait_for_frames(self) -> None:
        """Read until every line has a frame and things have settled."""
        deadline = time.monotonic() + _PATIENCE_S
        while any(line.seq < 0 for line in self.lines):
            if time.monotonic() > deadline:
                raise TimeoutError("not every subscriber gets frames")
            self.read(0.1)
        self.read(_SETTLE_S)

    def read(self, seconds: float) -> tuple[list[float], list[tuple[int, int]], int]:
        """Read for a while; returns latencies, times of the first line's frames, and gaps."""
        latencies: list[float] = []
        times: list[tuple[int, int]] = []
        gaps, first = 0, self.lines[0]
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for line, chunk, now in self._burst(left):
                for seq, capture, publish in line.frames(chunk):
                    gaps += seq - line.seq - 1 if line.seq >= 0 else 0
                    line.seq = seq
                    latencies.append((now - publish) * 1e-6)
                    if line is first:
                        times.append((capture, now))
        return latencies, times, gaps

    def _burst(self, patience_s: float) -> list[tuple[Line, bytes, int]]:
        """Wait for something and return all that comes with it.

        Nothing is looked at before all is read: the two cores may be threads of one, so what this
        process does meanwhile would slow the server down.
        """
        arrivals: list[tuple[Line, bytes, int]] = []
        while ready := self._selector.select(0 if arrivals else patience_s):
            arrivals += [key.data.receive() for key, _ in ready]
        return arrivals

    def close(self) -> None:
        """Hang up all lines."""
        self._selector.close()
        for line in (*self.lines, *self.stalled):
            line.socket.close()

    def stale_frames(self) -> list[int]:
        """Let the stalled subscribers read on; count frames older than the newest of the others."""
        newest, counts = max(line.seq for line in self.lines), [0] * len(self.stalled)
        for number, line in enumerate(self.stalled):
            while line.seq < newest:
                for seq, *_ in line.frames(line.receive()[1]):
                    counts[number] += seq < newest
                    line.seq = seq
        return counts


def watch(job: Job) -> Seen:
    """Do a job."""
    if job.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.core})
    with contextlib.closing(Crowd(job)) as crowd:
        crowd.wait_for_frames()
        print("ready", flush=True)
        began, busy = time.monotonic(), time.process_time()
        latencies, times, gaps = crowd.read(job.seconds)
        share = (time.process_time() - busy) / (time.monotonic() - began)
        print("done", flush=True)
        return Seen(latencies, times, len(latencies), gaps, crowd.stale_frames(), share)


def main(arguments: list[str]) -> None:
    """Read the job, do it, and print what was seen."""
    print(json.dumps(asdict(watch(Job(**json.loads(arguments[0]))))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
