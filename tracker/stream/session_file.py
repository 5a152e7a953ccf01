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

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from tracker.stream.binary import decode_frame
from tracker.stream.errors import ProtocolError, StreamError
from tracker.stream.frames import Axes
from tracker.stream.messages import parse_server_message
from tracker.stream.protocol import MAX_FRAME_BYTES
from tracker.stream.records import StreamFrame

_MAGIC: Final = b"HSR1"
_RECORD: Final = struct.Struct("<B3xIq")
_TEXT, _BINARY = 1, 2


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

    Raises:
        StreamError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: BinaryIO = path.open("wb")
        except OSError as error:
            raise StreamError(f"cannot write {path}: {error.strerror}") from error
        self._file.write(_MAGIC)

    def __enter__(self) -> "SessionWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, recorded: Recorded) -> None:
        """Append a message, and hand it to the system: a crash loses nothing that was written."""
        text = isinstance(recorded.message, str)
        content = (
            recorded.message.encode() if isinstance(recorded.message, str) else recorded.message
        )
        head = _RECORD.pack(_TEXT if text else _BINARY, len(content), recorded.t_ns)
        self._file.write(head + content + bytes(-len(content) % 4))
        self._file.flush()

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
            if kind not in (_TEXT, _BINARY) or length > MAX_FRAME_BYTES:
                found = f"{length} bytes of kind {kind}"
                raise ProtocolError(f"{path} is damaged before byte {file.tell()}: {found}")
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
        heard = decode_recorded(recorded.message, axes)
        if isinstance(heard, StreamFrame):
            yield heard
        elif heard.get("type") == "subscribed":
            axes = heard["frame"]


def decode_recorded(message: str | bytes, axes: Axes) -> StreamFrame | dict[str, Any]:
    """Read one message of a session: a frame, or another message as decoded JSON.

    Raises:
        ProtocolError: it is damaged.
    """
    if isinstance(message, bytes):
        return decode_frame(message, axes)
    return parse_server_message(message, axes)


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
