"""The event loop's side of the server: requests, conversations and frames. Runs on one thread."""

import asyncio
import contextlib
import json
import logging
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel, Side
from tracker.stream.composer import Composer
from tracker.stream.connection import StreamConnection, framed
from tracker.stream.errors import ProtocolError
from tracker.stream.greeting import (
    CameraState,
    StreamFacts,
    camera_facts,
    hello_message,
    topology_message,
)
from tracker.stream.messages import (
    Ack,
    TimeRequest,
    error_message,
    parse_client_message,
    subscribed_message,
)
from tracker.stream.page_files import PAGE_PATHS, page_response
from tracker.stream.protocol import JSON, MAX_BAD_MESSAGES, STREAM_PATH
from tracker.stream.records import StreamFrame
from tracker.stream.security import AccessRules
from tracker.stream.subscriptions import FrameOnAir, Payload, Subscriber
from tracker.vision.records import TrackedHand

_LOG: Final = logging.getLogger(__name__)
_TOPOLOGY: Final[dict[str, Side]] = {"/v1/topology/left": "left", "/v1/topology/right": "right"}
_CLOSE_UNSUPPORTED, _CLOSE_POLICY = 1003, 1008
_STATUS_PERIOD_S: Final = 1.0


@dataclass(frozen=True)
class ServerConfig:
    """Settings that hardly anyone needs."""

    allow_origins: tuple[str, ...] = ()
    """Further origins of web pages that may connect, e.g. `https://example.org`."""
    allow_hosts: tuple[str, ...] = ()
    """Further names under which clients reach this machine."""
    max_clients: int = 128
    send_buffer_bytes: int = 32 * 1024
    """Of the kernel, for each client: small, so that a stalled reader's frames are soon skipped."""
    facts: StreamFacts = field(default_factory=StreamFacts)
    hello: dict[str, Any] | None = None
    """The greeting of a recorded session, given in place of an own one."""
    clock: Callable[[], int] = time.monotonic_ns
    """The clock that clients are told of, nanoseconds; another one than its own in a replay."""


class Moment(NamedTuple):
    """Which frame, and when."""

    frame: int
    """The camera's number of the frame."""
    t_capture_ns: int
    t_publish_ns: int


class Hub:
    """All clients of one server."""

    def __init__(self, model: HandModel, rules: AccessRules, config: ServerConfig) -> None:
        self._composer = Composer(model)
        self._rules = rules
        self._config = config
        self._session = secrets.randbits(32) if config.hello is None else config.hello["session"]
        self.seq = 0
        self._camera: Camera | None = None
        self._times_ns: deque[int] = deque(maxlen=120)
        self.subscribers: dict[StreamConnection, Subscriber] = {}
        self._parts: frozenset[str] = frozenset()
        """What any subscriber wants."""
        self.dropped = 0
        """Frames that this thread had no time for."""
        self.infer_ms: float | None = None
        self.camera_state: CameraState = "ok"

    # Requests -------------------------------------------------------------------------------------

    def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer an HTTP request; None lets a WebSocket open."""
        refusal = self._rules.refusal(request.path, request.headers.get_all)
        path = urlsplit(request.path).path
        if refusal is not None:
            return connection.respond(refusal.status, f"{refusal.reason}\n")
        if path == "/healthz":
            return connection.respond(HTTPStatus.OK, "ok\n")
        if path in PAGE_PATHS:
            return page_response(path)
        if path in _TOPOLOGY:
            return self._topology(_TOPOLOGY[path], request)
        if path != STREAM_PATH:
            return connection.respond(HTTPStatus.NOT_FOUND, f"nothing at {path}\n")
        if len(self.subscribers) >= self._config.max_clients:
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients\n")
        return None

    def _topology(self, side: Side, request: Request) -> Response:
        body = topology_message(self._composer.models[side], side).encode()
        headers = Headers(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "Connection": "close",
            }
        )
        for origin in request.headers.get_all("Origin"):  # allowed before, so it may read too
            headers["Access-Control-Allow-Origin"] = origin
        return Response(HTTPStatus.OK, "OK", headers, body)

    # Conversations --------------------------------------------------------------------------------

    async def converse(self, connection: ServerConnection) -> None:
        """Greet a client, then listen to it until it goes."""
        assert isinstance(connection, StreamConnection)  # `serve` makes no others
        buffer = self._config.send_buffer_bytes
        raw: socket.socket = connection.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        subscriber = Subscriber(
            connection.subprotocol or JSON,
            send=connection.send_framed,
            backlog=connection.transport.get_write_buffer_size,
        )
        connection.on_ack = subscriber.acknowledge
        try:
            await connection.send(self._hello())
            self.subscribers[connection] = subscriber
            self._note_wishes()
            await self._listen(connection, subscriber)
        except ConnectionClosed:
            pass  # it may leave at any moment
        finally:
            self.subscribers.pop(connection, None)
            self._note_wishes()

    async def _listen(self, connection: ServerConnection, subscriber: Subscriber) -> None:
        bad = 0
        async for message in connection:
            if isinstance(message, bytes):
                await _turn_away(connection, _CLOSE_UNSUPPORTED, "binary messages are not accepted")
                return
            try:
                reply = self._reply(message, subscriber)
            except ProtocolError as error:
                bad += error.code == "bad_message"
                fatal = bad >= MAX_BAD_MESSAGES
                await connection.send(error_message(error, fatal=fatal))
                if fatal:
                    await _turn_away(connection, _CLOSE_POLICY, "too many bad messages")
                    return
            else:
                if reply is not None:
                    await connection.send(reply)

    def _reply(self, text: str, subscriber: Subscriber) -> str | None:
        message = parse_client_message(text)
        if isinstance(message, Ack):
            subscriber.acknowledge(message.seq)
            return None
        if isinstance(message, TimeRequest):
            content = {"type": "time", "t0": message.t0, "t1": self._config.clock()}
            return json.dumps(content)
        subscriber.subscribe(message)
        self._note_wishes()
        return subscribed_message(message, subscriber.encoding)

    def _note_wishes(self) -> None:
        wishes = [subscriber.subscription.parts for subscriber in self.subscribers.values()]
        self._parts = frozenset().union(*wishes)

    # What is sent to all --------------------------------------------------------------------------

    def broadcast(self, hands: Sequence[TrackedHand], camera: Camera, moment: Moment) -> None:
        """Offer a frame to every client."""
        self._camera = camera
        if not self.subscribers:
            self._note_frame(self.seq + 1, moment.t_publish_ns)
            self._composer.reset()
            return
        composed = self._composer.compose(hands, moment.t_capture_ns, self._parts)
        whole = StreamFrame(self.seq + 1, *moment, composed, self._session)
        self.put_on_air(FrameOnAir(whole, framed))

    def put_on_air(self, frame: FrameOnAir) -> None:
        """Offer a frame that is ready to every client."""
        self._note_frame(frame.frame.seq, frame.frame.t_publish_ns)
        for subscriber in list(self.subscribers.values()):
            subscriber.offer(frame)

    def _note_frame(self, seq: int, t_publish_ns: int) -> None:
        self.seq = seq
        self._times_ns.append(t_publish_ns)

    async def report_regularly(self) -> None:
        """Send `status` every second."""
        while True:
            await asyncio.sleep(_STATUS_PERIOD_S)
            self._send_to_all(self._status())

    def say_bye(self, reason: str) -> None:
        """Tell everyone that the stream ends."""
        self._send_to_all(json.dumps({"type": "bye", "reason": reason}))

    def _send_to_all(self, message: Payload) -> None:
        with_room = [c for c in self.subscribers if c.backlog == 0]
        broadcast(with_room, message)

    def _hello(self) -> str:
        if self._config.hello is not None:
            clock = {"now_ns": self._config.clock(), "unix_ns": time.time_ns()}
            return json.dumps(self._config.hello | {"clock": clock | {"source": "recording"}})
        palm_length = self._composer.hands["right"].palm_length
        model = self._composer.models["right"]
        return hello_message(self._session, self._camera, self._config.facts, model, palm_length)

    def _status(self) -> str:
        content = {
            "type": "status",
            "fps": round(self._frames_per_second(), 1),
            "infer_ms": self.infer_ms,
            "clients": len(self.subscribers),
            "dropped": self.total_dropped,
            "camera": self.camera_state,
            "camera_info": camera_facts(self._camera, self._config.facts.t_capture),
        }
        return json.dumps(content)

    @property
    def total_dropped(self) -> int:
        """Frames that were not sent, to this thread or to clients now connected."""
        return self.dropped + sum(s.dropped for s in list(self.subscribers.values()))

    @property
    def backlog(self) -> int:
        """Bytes that wait in this process for the client with most of them."""
        return max((c.backlog for c in list(self.subscribers)), default=0)

    def _frames_per_second(self) -> float:
        """Rate of the frames of the last two seconds."""
        oldest = self._config.clock() - 2_000_000_000
        recent = [t for t in self._times_ns if t >= oldest]
        return (len(recent) - 1) / (recent[-1] - recent[0]) * 1e9 if len(recent) > 1 else 0.0


async def _turn_away(connection: ServerConnection, code: int, reason: str) -> None:
    """Close a connection, reading on: messages left unread would hide the client's own farewell."""
    closing = asyncio.create_task(connection.close(code, reason))
    with contextlib.suppress(ConnectionClosed):
        async for _ in connection:
            continue
    await closing
