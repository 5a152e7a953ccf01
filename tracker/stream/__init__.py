"""Floor 2: hands over a socket, for engines, headsets and robots.

    from tracker.stream import HandStreamClient, StreamServer

    with StreamServer() as server:                      # ws://127.0.0.1:4263/v1/stream
        server.publish(hands, camera, t_capture_ns, frame_index)

    with HandStreamClient() as client:                  # in another program
        for frame in client:
            print(frame.right and frame.right.positions[10])   # tip of the right index finger

    record_session(url, Path("waving.hsr"), seconds=10)  # byte for byte
    for frame in read_frames(Path("waving.hsr")):
        ...

`protocol` says what is spoken, `frames` in which axes, `binary` and `messages` how it is written,
`openxr` how joints get their orientations, `security` who may listen. The names below are loaded
when they are first used, so that a client need not load what a server needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracker.stream.client import AsyncHandStreamClient as AsyncHandStreamClient
    from tracker.stream.client import HandStreamClient as HandStreamClient
    from tracker.stream.protocol import Subscription as Subscription
    from tracker.stream.records import StreamFrame as StreamFrame
    from tracker.stream.records import StreamHand as StreamHand
    from tracker.stream.server import StreamServer as StreamServer
    from tracker.stream.session_file import Recorded as Recorded
    from tracker.stream.session_file import SessionWriter as SessionWriter
    from tracker.stream.session_file import read_frames as read_frames
    from tracker.stream.session_file import read_session as read_session
    from tracker.stream.session_file import replay_session as replay_session
    from tracker.stream.session_recorder import record_session as record_session

_HOMES = {
    "AsyncHandStreamClient": "tracker.stream.client",
    "HandStreamClient": "tracker.stream.client",
    "StreamFrame": "tracker.stream.records",
    "StreamHand": "tracker.stream.records",
    "Subscription": "tracker.stream.protocol",
    "StreamServer": "tracker.stream.server",
    "Recorded": "tracker.stream.session_file",
    "SessionWriter": "tracker.stream.session_file",
    "read_frames": "tracker.stream.session_file",
    "read_session": "tracker.stream.session_file",
    "replay_session": "tracker.stream.session_file",
    "record_session": "tracker.stream.session_recorder",
}

__all__ = [
    "AsyncHandStreamClient",
    "HandStreamClient",
    "Recorded",
    "SessionWriter",
    "StreamFrame",
    "StreamHand",
    "StreamServer",
    "Subscription",
    "read_frames",
    "read_session",
    "record_session",
    "replay_session",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tracker.stream' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
