r"""Sessions in a file (`.hsr`): what a server sent, byte for byte, and when.

Little-endian. "HSR1", then for each message:

======== ======= ===============================================
record   16 B    kind u8 (1 text, 2 binary), 3 zeros, bytes u32,
                 time i64: nanoseconds since the recording began
content          the message, then zeros up to 4
======== ======= ===============================================

`hello` and `subscribed` are among the messages, so a file tells its own skeleton, parts and axes.
What follows the last whole record is left out: a recorder may be stopped at any moment.
"""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tracker.stream.binary import decode_frame
from tracker.stream.errors import ProtocolError
from tracker.stream.frames import Axes
from tracker.stream.messages import parse_server_message, subscribe_message
from tracker.stream.protocol import BINARY, Subscription
from tracker.stream.records import StreamFrame

_MAGIC: Final = b"HSR1"
_RECORD: Final = struct.Struct("<B3xIq")
_TEXT, _BINARY = 1, 2
_JOINTS: Final = Subscription()


@dataclass(frozen=True)
class Recorded:
    """One message of a session."""

    t_ns: int
    """Since the recording began."""
    message: str | bytes


class SessionWriter:
    """Write messages to a session file.

    Example:
        >>> with SessionWriter(Path("waving.hsr")) as session:
        ...     session.write(Recorded(t_ns, message))
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._file.write(_MAGIC)

    def __enter__(self) -> "SessionWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, recorded: Recorded) -> None:
        """Append a message."""
        text = isinstance(recorded.message, str)
        content = (
            recorded.message.encode() if isinstance(recorded.message, str) else recorded.message
        )
        head = _RECORD.pack(_TEXT if text else _BINARY, len(content), recorded.t_ns)
        self._file.write(head + content + bytes(-len(content) % 4))

    def close(self) -> None:
        """Finish the file."""
        self._file.close()


def read_session(path: Path) -> Iterator[Recorded]:
    """Yield the messages of a session file as they were sent.

    Raises:
        ProtocolError: it is no session file, or is damaged.
    """
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise ProtocolError(f"{path} is no session file: it does not begin with {_MAGIC!r}")
        while len(head := file.read(_RECORD.size)) == _RECORD.size:
            kind, length, t_ns = _RECORD.unpack(head)
            if kind not in (_TEXT, _BINARY):
                raise ProtocolError(f"{path} is damaged before byte {file.tell()}: kind {kind}")
            padded = length + -length % 4
            content = file.read(padded)
            if len(content) < padded:
                return
            yield Recorded(t_ns, _message(content[:length], kind))


def _message(content: bytes, kind: int) -> str | bytes:
    if kind == _BINARY:
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a message of the session is no text: {error}") from error


def read_frames(path: Path) -> Iterator[StreamFrame]:
    """Yield the frames of a session file, in the axes they were subscribed in.

    Raises:
        ProtocolError: it is no session file, or is damaged.
    """
    axes: Axes = "openxr"
    for recorded in read_session(path):
        if isinstance(recorded.message, bytes):
            yield decode_frame(recorded.message, axes)
            continue
        heard = parse_server_message(recorded.message, axes)
        if isinstance(heard, StreamFrame):
            yield heard
        elif heard.get("type") == "subscribed":
            axes = heard["frame"]


def replay_session(path: Path, speed: float = 1.0) -> Iterator[Recorded]:
    """Yield the messages of a session file, each when its time has come.

    Args:
        path: the file.
        speed: 2.0 plays twice as fast.

    Raises:
        ValueError: `speed` is not above zero.
        ProtocolError: it is no session file, or is damaged.
    """
    if not speed > 0:
        raise ValueError(f"speed must be above zero, found {speed}")
    start_ns = time.monotonic_ns()
    for recorded in read_session(path):
        wait_ns = recorded.t_ns / speed - (time.monotonic_ns() - start_ns)
        if wait_ns > 0:
            time.sleep(wait_ns * 1e-9)
        yield recorded


def record_session(
    url: str,
    path: Path,
    seconds: float,
    *,
    token: str | None = None,
    subscription: Subscription = _JOINTS,
    encoding: str = BINARY,
) -> int:
    """Record a live stream; returns how many messages were written.

    Args:
        url: the stream's address.
        path: the file to write.
        seconds: how long.
        token: the server's token, if it has one.
        subscription: parts, axes and rate; frames in other parts or axes are not written.
        encoding: the subprotocol of the frames.

    Raises:
        OSError: the server cannot be reached, or the file not be written.
        WebSocketException: the server refuses, or hangs up.
    """
    connection = connect(
        url,
        subprotocols=[Subprotocol(encoding)],
        additional_headers={"Authorization": f"Bearer {token}"} if token else None,
        compression=None,
        proxy=None,
        max_size=None,
        max_queue=None,
        close_timeout=1,
    )
    with connection as line, SessionWriter(path) as session:
        start_ns, subscribed, count = time.monotonic_ns(), False, 0
        line.send(subscribe_message(subscription))
        while (left := seconds - (time.monotonic_ns() - start_ns) * 1e-9) > 0:
            try:
                message = line.recv(left)
            except TimeoutError:
                break
            kind = json.loads(message).get("type") if isinstance(message, str) else "frame"
            subscribed = subscribed or kind == "subscribed"
            if subscribed or kind != "frame":
                session.write(Recorded(time.monotonic_ns() - start_ns, message))
                count += 1
    return count
