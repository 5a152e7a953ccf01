"""What a stream server is measured against: plain `websockets`, the same bytes to everyone."""

import asyncio
import struct
import threading
import time
from concurrent.futures import Future
from typing import Final

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.typing import Subprotocol

from tracker.stream.protocol import BINARY

NAME: Final = "websockets.broadcast of the same bytes"
_SEQ_CAPTURE_PUBLISH: Final = struct.Struct("<Qqq")
_SEQ_OFFSET: Final = 16


class BareBroadcast:
    """A server without greeting, wishes, flow control or rules, in a thread of its own.

    Args:
        frame: one encoded frame; only its number and times are changed.
    """

    def __init__(self, frame: bytes) -> None:
        self._frame = bytearray(frame)
        self._lines: set[ServerConnection] = set()
        self._seq = 0
        self._port: Future[int] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> "BareBroadcast":
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._port.result()}/"
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def publish(self) -> None:
        """Send the frame to everyone."""
        self._seq += 1
        now = time.monotonic_ns()
        _SEQ_CAPTURE_PUBLISH.pack_into(self._frame, _SEQ_OFFSET, self._seq, now, now)
        self._loop.call_soon_threadsafe(self._send, bytes(self._frame))

    def skip(self) -> None:
        """Leave out a number, as if a frame was lost."""
        self._seq += 1

    def _send(self, payload: bytes) -> None:
        broadcast(self._lines, payload)

    async def _converse(self, line: ServerConnection) -> None:
        self._lines.add(line)
        try:
            await line.wait_closed()
        finally:
            self._lines.discard(line)

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        names = [Subprotocol(BINARY)]
        async with serve(
            self._converse, "127.0.0.1", 0, compression=None, subprotocols=names
        ) as server:
            self._port.set_result(server.sockets[0].getsockname()[1])
            await self._stopping.wait()
