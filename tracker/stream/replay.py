"""Serve a recorded session again, as if its hands were seen now.

A client that subscribes as the recorder did gets the recorded bytes; any other gets the same frames
in its own encoding, parts and axes, as far as they were recorded. The server's clock is the one of
the recording, so ages of frames stay true.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from tracker.stream.composer import to_openxr
from tracker.stream.connection import framed
from tracker.stream.errors import ProtocolError
from tracker.stream.messages import parse_client_message, parse_server_message
from tracker.stream.protocol import BINARY, Subscription
from tracker.stream.records import StreamFrame
from tracker.stream.server import StreamServer
from tracker.stream.session_file import decode_recorded, read_session
from tracker.stream.subscriptions import FrameOnAir

_PATIENCE_S: Final = 0.1
"""How soon a wish to stop is heard."""
_SILENT_CLIENT_S: Final = 0.5
"""After how long a client that does not subscribe is taken to be content."""
_MAX_NUMBER: Final = 2**62
_MASK: Final = 0xFFFFFFFF


@dataclass(frozen=True)
class ReplayFrame:
    """One recorded frame."""

    frame: StreamFrame
    """In OpenXR's axes."""
    wanted: Subscription
    """What the recorder had asked for."""
    encoding: str
    payload: bytes | str
    """As it was received."""


@dataclass(frozen=True)
class Session:
    """What is known of a session file when it was read through once."""

    path: Path
    hello: dict[str, Any]
    """The recorded greeting."""
    frames: int
    first: StreamFrame
    last: StreamFrame
    tracks: int
    """Above the highest track id."""

    @property
    def seconds(self) -> float:
        """From the first frame to the last."""
        return (self.last.t_publish_ns - self.first.t_publish_ns) * 1e-9


def open_session(path: Path) -> Session:
    """Read a session file through.

    Raises:
        ProtocolError: it is no session file, is damaged, or has no greeting or no frames.
        OSError: it cannot be read.
    """
    first = last = None
    count = tracks = 0
    for played in read_replay(path):
        last = played.frame
        first = first or last
        count += 1
        tracks = max(tracks, *(hand.id + 1 for hand in last.hands), 0)
    if first is None or last is None:
        raise ProtocolError(f"{path} has no frames")
    return Session(path, _hello(path), count, first, last, tracks)


def _hello(path: Path) -> dict[str, Any]:
    for recorded in read_session(path):
        if isinstance(recorded.message, str):
            message = parse_server_message(recorded.message)
            if isinstance(message, dict) and message.get("type") == "hello":
                if not isinstance(message.get("session"), int):
                    raise ProtocolError(f"{path}: its `hello` names no session")
                return message
    raise ProtocolError(f"{path} has no `hello`")


def read_replay(path: Path) -> Iterator[ReplayFrame]:
    """Yield the frames of a session file with their bytes.

    Raises:
        ProtocolError: it is no session file, is damaged, or its numbers cannot be.
    """
    wanted, encoding = Subscription(), BINARY
    for recorded in read_session(path):
        heard = decode_recorded(recorded.message, wanted.frame)
        if isinstance(heard, StreamFrame):
            numbers = (heard.seq, heard.t_capture_ns, heard.t_publish_ns)
            if not all(0 <= number < _MAX_NUMBER for number in numbers):
                raise ProtocolError(f"{path}: frame {heard.seq} has times that cannot be")
            yield ReplayFrame(to_openxr(heard), wanted, encoding, recorded.message)
        elif heard.get("type") == "subscribed":
            asked = parse_client_message(json.dumps(heard | {"type": "subscribe"}))
            assert isinstance(asked, Subscription)
            wanted, encoding = asked, str(heard.get("encoding", encoding))


class ReplayClock:
    """The clock of a recording: it stands until started, and then goes on from there.

    Args:
        origin_ns: what it shows until started.
        speed: 2.0 goes twice as fast.

    Raises:
        ValueError: `speed` is not above zero.
    """

    def __init__(self, origin_ns: int, speed: float = 1.0) -> None:
        if not 0 < speed < 1e6:
            raise ValueError(f"speed must be above zero and below a million, found {speed:g}")
        self._origin_ns, self._speed = origin_ns, speed
        self._start_ns: int | None = None

    def start(self) -> None:
        """Go."""
        self._start_ns = time.monotonic_ns()

    def __call__(self) -> int:
        """Return the recording's time, nanoseconds."""
        if self._start_ns is None:
            return self._origin_ns
        return self._origin_ns + int((time.monotonic_ns() - self._start_ns) * self._speed)

    def wait_until(self, time_ns: int, stopped: Callable[[], bool]) -> bool:
        """Sleep until a time of the recording; returns whether it came before the stop."""
        while not stopped():
            left_s = (time_ns - self()) * 1e-9 / self._speed
            if left_s <= 0:
                return True
            time.sleep(min(left_s, _PATIENCE_S))
        return False


def replay_to(
    server: StreamServer,
    session: Session,
    clock: ReplayClock,
    stopped: Callable[[], bool],
    *,
    loop: bool = False,
) -> int:
    """Publish a session from the moment the first client has subscribed; returns the frames sent.

    Args:
        server: a running server with the session's `hello` and this clock.
        session: what to publish.
        clock: the clock of the recording.
        stopped: asked again and again whether to stop.
        loop: begin anew at the end. From the second time on, numbers and times count on, as a
            server's do, so the bytes are no longer those of the file.
    """
    count = turn = 0
    if not _first_client_is_there(server, stopped):
        return 0
    clock.start()
    while turn == 0 or loop:
        for played in read_replay(session.path):
            frame = played.frame if turn == 0 else _later(played.frame, session, turn)
            if not clock.wait_until(frame.t_publish_ns, stopped):
                return count
            on_air = FrameOnAir(frame, framed)
            if turn == 0:
                on_air.keep(played.wanted, played.encoding, played.payload)
            server.publish_on_air(on_air)
            count += 1
        turn += 1
    return count


def _first_client_is_there(server: StreamServer, stopped: Callable[[], bool]) -> bool:
    connected_s: float | None = None
    pause = threading.Event()
    while not stopped():
        now_s = time.monotonic()
        if server.clients and connected_s is None:
            connected_s = now_s
        silent = connected_s is not None and now_s > connected_s + _SILENT_CLIENT_S
        if server.subscribed_clients or silent:
            return True
        pause.wait(0.005)
    return False


def _later(frame: StreamFrame, session: Session, turn: int) -> StreamFrame:
    """Return a frame of the session as it would be if the session went on repeating itself."""
    first, last = session.first, session.last
    steps = max(1, session.frames - 1)
    span_ns = last.t_publish_ns - first.t_publish_ns
    later_ns = turn * (span_ns + span_ns // steps)
    hands = (replace(hand, id=(hand.id + turn * session.tracks) & _MASK) for hand in frame.hands)
    return replace(
        frame,
        seq=frame.seq + turn * (last.seq - first.seq + 1),
        frame=frame.frame + turn * (last.frame - first.frame + 1),
        t_capture_ns=frame.t_capture_ns + later_ns,
        t_publish_ns=frame.t_publish_ns + later_ns,
        hands=tuple(hands),
    )
