"""Serve hands over a WebSocket: an event loop in a thread of its own, fed from the tracker's thread.

`publish` only hands the frame over; posing, turning and encoding happen on the loop, once for each
distinct wish. A client that is slow loses frames, and nobody else notices.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, Literal

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from tracker.geometry.camera import Camera
from tracker.geometry.hand_model import HandModel
from tracker.stream.connection import StreamConnection
from tracker.stream.errors import StreamError
from tracker.stream.hub import Hub, Moment, ServerConfig
from tracker.stream.protocol import (
    BINARY,
    DEFAULT_HOST,
    DEFAULT_PORT,
    JSON,
    MAX_MESSAGE,
    STREAM_PATH,
)
from tracker.stream.security import EVERYWHERE, AccessRules, require_token_off_loopback
from tracker.stream.subscriptions import FrameOnAir
from tracker.vision.records import TrackedHand

MAX_BEHIND: Final = 8
"""Frames that may wait for the loop's thread before new ones are dropped."""
_CLOSE_TIMEOUT_S: Final = 1.0


class StreamServer:
    """A server of tracked hands; see `protocol` for what it speaks.

    Example:
        >>> with StreamServer() as server:
        ...     for frame in source:
        ...         t_capture_ns = time.monotonic_ns()
        ...         server.publish(tracker(frame), camera, t_capture_ns, frame.index)

    Raises:
        StreamError: the address is not loopback and there is no token.
        ValueError: there is no such port.
    """

    def __init__(
        self,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        token: str | None = None,
        *,
        model: HandModel | None = None,
        config: ServerConfig | None = None,
    ) -> None:
        require_token_off_loopback(host, token)
        if not 0 <= port <= 65535:
            raise ValueError(f"port must lie between 0 (any free one) and 65535, found {port}")
        self._config = config or ServerConfig()
        self._host, self._port, self._has_token = host, port, token is not None
        rules = AccessRules(host, token, self._config.allow_origins, self._config.allow_hosts)
        self._hub = Hub(model or HandModel.load(), rules, self._config)
        self._thread: threading.Thread | None = None
        self._started: Future[int] = Future()
        self._failure: BaseException | None = None
        self._behind = 0
        self._behind_lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port listened on; where 0 was asked for, the one that was found."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients connect on this machine."""
        return f"ws://{self._address}{STREAM_PATH}"

    @property
    def page_url(self) -> str:
        """Where a browser on this machine shows the hands; a token is to be filled in."""
        return f"http://{self._address}" + ("/#token=..." if self._has_token else "")

    @property
    def _address(self) -> str:
        host = "127.0.0.1" if self._host in EVERYWHERE else self._host
        return f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return len(self._hub.subscribers)

    @property
    def subscribed_clients(self) -> int:
        """How many of them have said what they want."""
        return sum(s.has_subscribed for s in list(self._hub.subscribers.values()))

    @property
    def published(self) -> int:
        """How many frames were published; the `seq` of the newest."""
        return self._hub.seq

    @property
    def dropped(self) -> int:
        """How many frames were not sent, to clients now connected, for want of time or room."""
        return self._hub.total_dropped

    @property
    def backlog(self) -> int:
        """Bytes that wait in this process for the client with most of them."""
        return self._hub.backlog

    def __enter__(self) -> "StreamServer":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen.

        Raises:
            StreamError: the address is taken, or is none of this machine's.
        """
        self._thread = threading.Thread(target=self._run, name="handloom-stream", daemon=True)
        self._thread.start()
        self._port = self._started.result()

    def close(self) -> None:
        """Say `bye` to everyone, close and wait for the thread; closing again does nothing."""
        if self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def publish(
        self,
        hands: Sequence[TrackedHand],
        camera: Camera,
        t_capture_ns: int,
        frame_index: int,
    ) -> None:
        """Send one frame's hands to whoever wants them; from any thread, without waiting.

        Call it for every camera frame, without hands too: clients tell a still scene from a broken
        line by it.

        Args:
            hands: what the tracker gave, in the camera frame.
            camera: the camera they were seen with.
            t_capture_ns: when the picture was taken, by `time.monotonic_ns()`.
            frame_index: the camera's number of the frame.

        Raises:
            StreamError: the server was not started, or is closed.
        """
        now_ns = time.monotonic_ns()
        moment = Moment(frame_index, min(t_capture_ns, now_ns), now_ns)
        held = tuple(hands)
        self._hand_over(lambda: self._hub.broadcast(held, camera, moment))

    def publish_on_air(self, frame: FrameOnAir) -> None:
        """Send a recorded frame (see `replay`), after those that wait for the loop's thread.

        Raises:
            StreamError: the server was not started, or is closed.
        """
        while self._behind >= MAX_BEHIND and self._thread is not None and self._thread.is_alive():
            time.sleep(0.001)  # unlike a camera's frame, it can wait
        self._hand_over(lambda: self._hub.put_on_air(frame))

    def _hand_over(self, work: Callable[[], None]) -> None:
        """Let the loop's thread do something with a frame, unless it is behind already."""
        if self._thread is None or not self._thread.is_alive():
            raise StreamError(
                "the stream server does not run; call start(), or use it in `with`"
            ) from self._failure
        with self._behind_lock:
            if self._behind >= MAX_BEHIND:
                self._hub.dropped += 1
                return
            self._behind += 1
        # The loop may end between the check above and here, as the program closes.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, work)

    def report(
        self, *, infer_ms: float | None = None, camera: Literal["ok", "lost"] | None = None
    ) -> None:
        """Tell clients, with the next `status`, how long tracking takes and how the camera is."""
        if infer_ms is not None:
            self._hub.infer_ms = infer_ms
        if camera is not None:
            self._hub.camera_state = camera

    def _take(self, work: Callable[[], None]) -> None:
        with self._behind_lock:
            self._behind -= 1
        work()

    def _run(self) -> None:
        asyncio.run(self._watch())

    async def _watch(self) -> None:
        """Serve, and keep what goes wrong for whoever calls next."""
        serving = asyncio.create_task(self._serve())
        await asyncio.wait({serving})
        self._failure = serving.exception()
        if self._failure is not None and not self._started.done():
            self._started.set_exception(self._failure)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        try:
            server = await self._listen()
        except OSError as error:
            # asyncio's own words would tell the address again.
            reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
            raise StreamError(
                f"cannot listen on {self._host}:{self._port}: {reason}; "
                "close the program that uses it, or choose another port"
            ) from error
        self._started.set_result(server.sockets[0].getsockname()[1])
        status = asyncio.create_task(self._hub.report_regularly())
        await self._stopping.wait()
        status.cancel()
        self._hub.say_bye("shutdown")
        server.close()
        await server.wait_closed()

    async def _listen(self) -> Server:
        return await serve(
            self._hub.converse,
            self._host,
            self._port,
            create_connection=StreamConnection,
            process_request=self._hub.answer,
            subprotocols=[Subprotocol(BINARY), Subprotocol(JSON)],
            select_subprotocol=_select_subprotocol,
            compression=None,  # floats do not compress, and it takes three times the time
            max_size=MAX_MESSAGE,
            max_queue=8,
            open_timeout=5,
            ping_interval=10,
            ping_timeout=10,
            close_timeout=_CLOSE_TIMEOUT_S,
            server_header=None,
            logger=_connection_log(),
        )


def _select_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take binary before JSON; whoever offers neither gets JSON, with no subprotocol named."""
    return next((Subprotocol(name) for name in (BINARY, JSON) if name in offered), None)


class _OwnFaultsOnly(logging.Filter):
    """Let through what went wrong here, not what strangers sent."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, WebSocketException | OSError | EOFError)


def _connection_log() -> logging.Logger:
    """The log of the WebSocket library, which would write request lines, and with them tokens."""
    log = logging.getLogger(f"{__name__}.connections")
    log.setLevel(logging.WARNING)
    if not log.filters:
        log.addFilter(_OwnFaultsOnly())
    return log
