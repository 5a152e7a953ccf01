"""Record a live stream into a session file."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tracker.stream.errors import StreamError
from tracker.stream.messages import subscribe_message
from tracker.stream.protocol import BINARY, MAX_FRAME_BYTES, Subscription
from tracker.stream.refusals import why_unreachable
from tracker.stream.session_file import Recorded, SessionWriter

_JOINTS: Final = Subscription()
_PATIENCE_S: Final = 0.1
"""How soon a wish to stop is heard."""


def record_session(
    url: str,
    path: Path,
    seconds: float = math.inf,
    *,
    token: str | None = None,
    subscription: Subscription = _JOINTS,
    encoding: str = BINARY,
    stopped: Callable[[], bool] = bool,
) -> int:
    """Record a live stream until the time is over, or the server ends it; returns the frames written.

    Every message is in the file before the next one is read, so whatever ends the program leaves a
    session of all that came.

    Args:
        url: the stream's address.
        path: the file to write; made, or emptied, when the server is reached.
        seconds: how long.
        token: the server's token, if it has one.
        subscription: parts, axes and rate; frames in other parts or axes are not written.
        encoding: the subprotocol of the frames.
        stopped: asked again and again whether to stop.

    Raises:
        StreamError: the server cannot be reached or refuses, or the file cannot be made.
        OSError: the file cannot be written on, e.g. because the disk is full.
    """
    with _connected(url, token, encoding) as line, SessionWriter(path) as session:
        start_ns, subscribed, frames = time.monotonic_ns(), False, 0
        line.send(subscribe_message(subscription))
        while (left_s := seconds - (time.monotonic_ns() - start_ns) * 1e-9) > 0 and not stopped():
            try:
                message = line.recv(min(left_s, _PATIENCE_S))
            except TimeoutError:
                continue
            except ConnectionClosed:  # the stream ends where the server ends it
                break
            kind = _kind(message)
            subscribed = subscribed or kind == "subscribed"
            if subscribed or kind != "frame":
                session.write(Recorded(time.monotonic_ns() - start_ns, message))
                frames += kind == "frame"
    return frames


def _kind(message: str | bytes) -> str:
    if isinstance(message, bytes):
        return "frame"
    try:
        return str(json.loads(message).get("type"))
    except (ValueError, AttributeError, RecursionError):
        return "unknown"


def _connected(url: str, token: str | None, encoding: str) -> ClientConnection:
    try:
        return connect(
            url,
            subprotocols=[Subprotocol(encoding)],
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            compression=None,
            proxy=None,
            max_size=MAX_FRAME_BYTES,
            close_timeout=1,
        )
    except (OSError, EOFError, WebSocketException) as error:
        raise StreamError(why_unreachable(url, error)) from error
