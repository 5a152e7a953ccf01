"""What every conformance check stands on: settings, a line to the server, and what was heard on it."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tracker.stream.binary import decode_frame
from tracker.stream.errors import ProtocolError
from tracker.stream.frames import Axes
from tracker.stream.messages import parse_server_message
from tracker.stream.protocol import BINARY, JSON
from tracker.stream.records import StreamFrame, StreamHand

_SEQ: Final = struct.Struct("<Q")
_SEQ_OFFSET: Final = 16
"""Where the sequence number stands in a binary header."""
_PROBES: Final = 5


class FailedError(Exception):
    """The server does not do what the check wants; the text says what was found instead."""


class SkippedError(Exception):
    """Nothing can be said here; the text says what would make it possible."""


@dataclass(frozen=True)
class Settings:
    """How thoroughly to look, and what only the server's owner knows."""

    token: str | None = None
    observe_s: float = 3.0
    """How long to watch the stream before judging its frames."""
    silence_s: float = 1.3
    """How long to send no acknowledgement."""
    patience_s: float = 5.0
    """How long to wait for anything that must come."""
    mutated_frames: int = 10_000
    malformed_messages: int = 2_000
    reconnects: int = 100
    max_clients: int | None = None
    """How many clients the server is set to let in."""
    start: str | None = None
    """Command that starts the server, with `{host}` and `{port}` in it; wanted by checks of its end."""


@dataclass(frozen=True)
class Heard:
    """One frame as it came, and what could be read of it."""

    data: str | bytes
    seq: int
    received_ns: int
    frame: StreamFrame | None
    """None where it could not be read."""
    fault: str = ""
    """Why not."""


class Line:
    """One connection to the server under test."""

    def __init__(self, connection: ClientConnection, patience_s: float) -> None:
        self.connection = connection
        self._patience_s = patience_s
        self._axes: Axes = "openxr"

    def __enter__(self) -> "Line":
        self.connection.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()

    def send(self, **content: Any) -> None:
        """Send a control message."""
        self.connection.send(json.dumps(content))

    def messages(self, seconds: float | None = None) -> Iterator[str | bytes]:
        """Yield what comes within a time, by default as long as patience lasts."""
        deadline = time.monotonic() + (self._patience_s if seconds is None else seconds)
        while (left := deadline - time.monotonic()) > 0:
            try:
                yield self.connection.recv(left)
            except TimeoutError:
                return

    def control(self, kind: str) -> dict[str, Any]:
        """Return the next control message of a type."""
        for data in self.messages():
            if isinstance(data, str):
                content = json.loads(data)
                if content.get("type") == kind:
                    return content
        raise FailedError(f"no {kind!r} came within {self._patience_s:g} s")

    def frames(self, seconds: float | None = None) -> Iterator[Heard]:
        """Yield the frames that come within a time."""
        for data in self.messages(seconds):
            heard = hear(data, self._axes)
            if heard is not None:
                yield heard

    def frame(self) -> StreamFrame:
        """Return the next frame."""
        for heard in self.frames():
            if heard.frame is None:
                raise FailedError(f"a frame cannot be read: {heard.fault}")
            return heard.frame
        raise FailedError(f"no frame came within {self._patience_s:g} s")

    def subscribe(self, **wishes: Any) -> dict[str, Any]:
        """Subscribe, pass over the frames of before, and return what the server grants."""
        self.send(type="subscribe", **wishes)
        granted = self.control("subscribed")
        self._axes = wishes.get("frame", "openxr")
        return granted

    def close_code(self) -> int | None:
        """Read on until the server hangs up, and return its code; None where it gives none."""
        try:
            for _ in self.messages():
                pass
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
        raise FailedError(f"the server did not hang up within {self._patience_s:g} s")


def hear(data: str | bytes, axes: Axes) -> Heard | None:
    """Read a message as a frame, whatever is wrong with it; None for a control message."""
    now_ns = time.monotonic_ns()
    if isinstance(data, str):
        content = json.loads(data)
        if content.get("type") != "frame":
            return None
        seq = content.get("seq", -1)
    else:
        seq = _SEQ.unpack_from(data, _SEQ_OFFSET)[0] if len(data) >= _SEQ_OFFSET + 8 else -1
    try:
        frame = (
            parse_server_message(data, axes) if isinstance(data, str) else decode_frame(data, axes)
        )
    except ProtocolError as error:
        return Heard(data, seq, now_ns, None, str(error))
    return Heard(data, seq, now_ns, frame if isinstance(frame, StreamFrame) else None)


@dataclass(frozen=True)
class Recording:
    """The same stretch of the stream, heard on two lines at once."""

    binary: list[Heard]
    text: list[Heard]
    clock_offset_ns: int
    """The server's clock minus ours, at most `round_trip_ns` wrong."""
    round_trip_ns: int
    statuses: list[dict[str, Any]]

    @cached_property
    def frames(self) -> list[StreamFrame]:
        """The binary frames that could be read."""
        return [heard.frame for heard in self.binary if heard.frame is not None]

    def hands(self) -> list[StreamHand]:
        """Return every hand seen with joints.

        Raises:
            SkippedError: there is none.
        """
        hands = [h for frame in self.frames for h in frame.hands if h.joints is not None]
        if not hands:
            raise SkippedError("no hand with joints was seen; hold one in view and run again")
        return hands


class Target:
    """The server under test."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = url
        self.settings = settings
        address = urlsplit(url)
        self.host, self.port = address.hostname or "", address.port or 80
        self.path = address.path

    def line(self, encoding: str | None = BINARY, **options: Any) -> Line:
        """Connect as a well-behaved client."""
        return self.dial(self.url, None if encoding is None else [encoding], **options)

    def dial(
        self,
        url: str,
        subprotocols: list[str] | None = None,
        *,
        origin: str | None = None,
        token: str | None = None,
        **options: Any,
    ) -> Line:
        """Connect in any manner; without `token`, the right one is given if there is one."""
        given = self.settings.token if token is None else token
        connection = connect(
            url,
            origin=None if origin is None else Origin(origin),
            subprotocols=None if subprotocols is None else [Subprotocol(s) for s in subprotocols],
            additional_headers={"Authorization": f"Bearer {given}"} if given else None,
            compression=None,
            proxy=None,
            max_size=None,
            max_queue=None,
            open_timeout=self.settings.patience_s,
            close_timeout=1,
            **options,
        )
        assert isinstance(connection, ClientConnection)
        return Line(connection, self.settings.patience_s)

    def wire(self) -> socket.socket:
        """Open a bare socket to the server."""
        return socket.create_connection((self.host, self.port), self.settings.patience_s)

    @cached_property
    def recording(self) -> Recording:
        """A stretch of the stream, watched once and judged by many checks."""
        parts = ["joints", "kp3d"]
        with self.line(BINARY) as binary, self.line(JSON) as text:
            offset_ns, round_trip_ns = clock_offset(binary)
            binary.subscribe(parts=parts)
            text.subscribe(parts=parts)
            heard = list(binary.frames(self.settings.observe_s))
            if not heard:
                raise FailedError(f"no frame came within {self.settings.observe_s:g} s")
            texts, statuses = _until(text, heard[-1].seq)
        return Recording(heard, texts, offset_ns, round_trip_ns, statuses)


def _until(line: Line, seq: int) -> tuple[list[Heard], list[dict[str, Any]]]:
    """Return the frames of a line up to a sequence number, and the statuses between them."""
    frames: list[Heard] = []
    statuses: list[dict[str, Any]] = []
    for data in line.messages():
        heard = hear(data, "openxr")
        if heard is not None:
            frames.append(heard)
            if heard.seq >= seq:
                break
        elif isinstance(data, str) and (content := json.loads(data)).get("type") == "status":
            statuses.append(content)
    return frames, statuses


def clock_offset(line: Line) -> tuple[int, int]:
    """Return the server's clock minus ours and how long the probe took, nanoseconds; best of five."""
    probes: list[tuple[int, int]] = []
    for _ in range(_PROBES):
        sent = time.monotonic_ns()
        line.send(type="time", t0=sent)
        answered = line.control("time")["t1"]
        now = time.monotonic_ns()
        probes.append((now - sent, answered - (sent + now) // 2))
    round_trip, offset = min(probes)
    return offset, round_trip


Check = Callable[[Target], str]
"""Returns a remark, or raises `FailedError` or `SkippedError`; its name and docstring say what it wants."""


def expect(true: bool, found: str) -> None:
    """Fail with what was found unless something holds."""
    if not true:
        raise FailedError(found)
