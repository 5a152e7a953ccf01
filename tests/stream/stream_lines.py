"""One end of a line to a stream server, for tests."""

import json
import time
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tracker.stream import StreamServer
from tracker.stream.binary import decode_frame
from tracker.stream.messages import parse_server_message
from tracker.stream.protocol import BINARY
from tracker.stream.records import StreamFrame

PATIENCE_S = 5


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.0002)


def open_line(server: StreamServer, encoding: str | None = BINARY, **options) -> ClientConnection:
    protocols = None if encoding is None else [encoding]
    return connect(server.url, subprotocols=protocols, compression=None, **options)


def replies(line: ClientConnection) -> Iterator[bytes | str]:
    """What comes within the time a test may take."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        yield line.recv(PATIENCE_S)
    raise AssertionError("waited in vain")


def message(line: ClientConnection, kind: str) -> dict:
    """The next JSON message of a type."""
    texts = (json.loads(data) for data in replies(line) if isinstance(data, str))
    return next(content for content in texts if content["type"] == kind)


def frame(line: ClientConnection) -> StreamFrame:
    """The next frame."""
    for data in replies(line):
        found = decode_frame(data) if isinstance(data, bytes) else parse_server_message(data)
        if isinstance(found, StreamFrame):
            return found
    raise AssertionError


def subscribe(line: ClientConnection, **fields) -> dict:
    line.send(json.dumps({"type": "subscribe", **fields}))
    return message(line, "subscribed")


def close_code(line: ClientConnection) -> int | None:
    """The code the server closes with."""
    with pytest.raises(ConnectionClosed) as caught:
        list(replies(line))
    return caught.value.rcvd.code if caught.value.rcvd else None
