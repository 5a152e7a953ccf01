"""Read hands from a stream: `HandStreamClient` for plain programs, `AsyncHandStreamClient` for asyncio.

Both keep the newest frame only, so a slow program sees fresh hands and never a queue; both connect
again when the server goes away. Neither needs PyTorch, a camera or a model.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from tracker.stream.errors import StreamError
from tracker.stream.follower import Follower
from tracker.stream.protocol import DEFAULT_URL, Subscription
from tracker.stream.records import StreamFrame

_ALL_FRESH: Final = Subscription(flow="ack")


class AsyncHandStreamClient:
    """Hands for a program with an event loop.

    Args:
        url: where the stream is.
        token: the server's token, if it has one.
        subscription: parts, axes and rate; by default the joints in OpenXR's axes, kept fresh.

    Example:
        >>> async with AsyncHandStreamClient() as client:
        ...     async for frame in client:
        ...         print(frame.left, frame.right)
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        subscription: Subscription = _ALL_FRESH,
    ) -> None:
        self._follower = Follower(url, token, subscription, self._take)
        self._latest: StreamFrame | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "AsyncHandStreamClient":
        self._task = asyncio.create_task(self._follower.run(), name="handloom-stream-client")
        self._task.add_done_callback(lambda _: self._news.set())
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def latest(self) -> StreamFrame | None:
        """The newest frame, seen before or not."""
        return self._latest

    @property
    def hello(self) -> dict[str, Any] | None:
        """What the server said of itself; None before the first connection."""
        return self._follower.hello

    @property
    def status(self) -> dict[str, Any] | None:
        """What the server said last of how it goes."""
        return self._follower.status

    @property
    def clock_offset_ns(self) -> int | None:
        """Server's monotonic clock minus this program's."""
        return self._follower.clock_offset_ns

    async def next_frame(self) -> StreamFrame:
        """Return the newest frame that was not returned before, waiting for one if need be.

        Raises:
            StreamError: the server refuses us for good, or the client is closed.
        """
        if self._task is None:
            raise StreamError("the client is not connected; use it in `async with`")
        await self._news.wait()
        if self._task.done():
            if not self._task.cancelled():
                self._task.result()
            raise StreamError("the client is closed")
        self._news.clear()
        assert self._latest is not None
        return self._latest

    async def __aiter__(self) -> AsyncIterator[StreamFrame]:
        while True:
            yield await self.next_frame()

    async def close(self) -> None:
        """Hang up."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StreamError):
                await self._task

    def _take(self, frame: StreamFrame) -> None:
        self._latest = frame
        self._news.set()


class HandStreamClient:
    """Hands for a program without an event loop: a thread reads, any thread asks.

    Args:
        url: where the stream is.
        token: the server's token, if it has one.
        subscription: parts, axes and rate; by default the joints in OpenXR's axes, kept fresh.

    Example:
        >>> with HandStreamClient() as client:
        ...     for frame in client:
        ...         if frame.right:
        ...             print(frame.right.positions[10])
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        subscription: Subscription = _ALL_FRESH,
    ) -> None:
        self._follower = Follower(url, token, subscription, self._take)
        self._latest: StreamFrame | None = None
        self._unseen = False
        self._failure: BaseException | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="handloom-stream-client", daemon=True
        )

    def __enter__(self) -> "HandStreamClient":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Connect, in the background."""
        self._thread.start()

    def close(self) -> None:
        """Hang up and wait for the thread; whoever waits for a frame is woken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            if self._loop is not None and self._task is not None:
                with contextlib.suppress(RuntimeError):  # the loop ended by itself
                    self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread.is_alive():
            self._thread.join()

    @property
    def latest(self) -> StreamFrame | None:
        """The newest frame, seen before or not; never waits."""
        return self._latest

    @property
    def hello(self) -> dict[str, Any] | None:
        """What the server said of itself; None before the first connection."""
        return self._follower.hello

    @property
    def status(self) -> dict[str, Any] | None:
        """What the server said last of how it goes."""
        return self._follower.status

    @property
    def clock_offset_ns(self) -> int | None:
        """Server's monotonic clock minus this program's."""
        return self._follower.clock_offset_ns

    def next_frame(self, timeout_s: float | None = None) -> StreamFrame:
        """Return the newest frame that was not returned before, waiting for one if need be.

        Raises:
            TimeoutError: none came in time; is the server running?
            StreamError: the server refuses us for good, or the client is closed.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_settled, timeout_s):
                raise TimeoutError(f"no frame of hands came within {timeout_s} s")
            if self._failure is not None:
                raise self._failure
            if self._closed or self._latest is None:
                raise StreamError("the client is closed")
            self._unseen = False
            return self._latest

    def __iter__(self) -> Iterator[StreamFrame]:
        """Yield frames, always the newest, until the client is closed."""
        while not self._closed:
            try:
                yield self.next_frame()
            except StreamError:
                if self._failure is not None:
                    raise
                return

    def _is_settled(self) -> bool:
        return self._unseen or self._closed or self._failure is not None

    def _take(self, frame: StreamFrame) -> None:
        with self._changed:
            self._latest, self._unseen = frame, True
            self._changed.notify_all()

    async def _run(self) -> None:
        """Follow the stream, and keep what goes wrong for whoever asks next."""
        with self._changed:
            if self._closed:
                return
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.create_task(self._follower.run())
        await asyncio.wait({self._task})
        with self._changed:
            self._failure = None if self._task.cancelled() else self._task.exception()
            self._changed.notify_all()
