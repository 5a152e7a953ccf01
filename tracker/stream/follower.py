"""The heart of both clients: connect, subscribe, acknowledge, and connect again when the line breaks."""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from tracker.stream.binary import decode_frame
from tracker.stream.errors import ProtocolError, StreamError
from tracker.stream.messages import parse_server_message, subscribe_message
from tracker.stream.protocol import BINARY, JSON, MAX_FRAME_BYTES, Subscription
from tracker.stream.records import StreamFrame
from tracker.stream.refusals import HOPELESS, why_unreachable

_LOG: Final = logging.getLogger(__name__)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0
_CLOCK_PROBES: Final = 5


class Follower:
    """Follow one stream, handing every frame on as it comes.

    Args:
        url: the stream's address, e.g. `ws://127.0.0.1:4263/v1/stream`.
        token: the server's token, if it has one.
        subscription: what is wanted.
        deliver: called on the event loop with each frame.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        subscription: Subscription,
        deliver: Callable[[StreamFrame], None],
    ) -> None:
        self._url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._subscription = subscription
        self._deliver = deliver
        self._best_round_trip_ns = 0
        self._probes = 0
        self._subscribed = False
        self.hello: dict[str, Any] | None = None
        """What the server said of itself; None before the first connection."""
        self.status: dict[str, Any] | None = None
        """What it said last of how it goes."""
        self.clock_offset_ns: int | None = None
        """Server's monotonic clock minus ours."""
        self.connections = 0
        """How often a connection was made."""

    async def run(self) -> None:
        """Follow the stream until cancelled.

        Raises:
            StreamError: the server refuses us for good, or the address is no address.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            before = self.connections
            try:
                await self._connect_once()
            except InvalidURI as error:
                raise StreamError(why_unreachable(self._url, error)) from error
            except InvalidStatus as error:
                self._give_up_if_hopeless(error)
            except (OSError, EOFError, TimeoutError, InvalidHandshake, WebSocketException) as error:
                _LOG.debug("no line to %s: %s", self._url, error)
            pause_s = _FIRST_PAUSE_S if self.connections > before else 2 * pause_s
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    def _give_up_if_hopeless(self, error: InvalidStatus) -> None:
        if error.response.status_code in HOPELESS:
            raise StreamError(why_unreachable(self._url, error)) from error

    async def _connect_once(self) -> None:
        async with connect(
            self._url,
            subprotocols=[Subprotocol(BINARY), Subprotocol(JSON)],
            additional_headers=self._headers,
            compression=None,
            proxy=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=5,
            close_timeout=1,
        ) as connection:
            self.connections += 1
            self._subscribed, self._probes = False, 0
            await connection.send(subscribe_message(self._subscription))
            await self._probe_clock(connection)
            async for message in connection:
                await self._hear(connection, message)

    async def _hear(self, connection: ClientConnection, message: str | bytes) -> None:
        axes = self._subscription.frame
        try:
            if isinstance(message, bytes):
                heard = decode_frame(message, axes)
            else:
                heard = parse_server_message(message, axes)
        except ProtocolError as error:
            _LOG.debug("a message was not understood: %s", error)
            return
        if not isinstance(heard, StreamFrame):
            await self._note(connection, heard)
        elif self._subscribed:  # what came before is in the axes and parts of nobody's choice
            if self._subscription.flow == "ack":
                await connection.send(json.dumps({"type": "ack", "seq": heard.seq}))
            self._deliver(heard)

    async def _note(self, connection: ClientConnection, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "hello":
            self.hello = message
        elif kind == "subscribed":
            self._subscribed = True
        elif kind == "status":
            self.status = message
        elif kind == "error":
            _LOG.warning("%s says: %s", self._url, message.get("message"))
        elif kind == "time":
            self._set_clock(message)
            if self._probes < _CLOCK_PROBES:
                await self._probe_clock(connection)

    async def _probe_clock(self, connection: ClientConnection) -> None:
        self._probes += 1
        await connection.send(json.dumps({"type": "time", "t0": time.monotonic_ns()}))

    def _set_clock(self, message: dict[str, Any]) -> None:
        """Take the probe with the shortest round trip: it says best when the server answered."""
        now, sent, answered = time.monotonic_ns(), message.get("t0"), message.get("t1")
        if not isinstance(sent, int) or not isinstance(answered, int):
            return
        round_trip = now - sent
        if self._probes == 1 or round_trip < self._best_round_trip_ns:
            self._best_round_trip_ns = round_trip
            self.clock_offset_ns = answered - (sent + now) // 2
