"""One client's WebSocket on the server: frames out and acknowledgements in, without detours.

Both are work for each client and each frame, so both skip what the library does for rarer messages.
Everything else goes its ways: handshake, pings, limits, closing.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

_ACK: Final = re.compile(
    rb'\s*\{\s*"type"\s*:\s*"ack"\s*(?:,\s*"seq"\s*:\s*(0|[1-9]\d{0,17})\s*)?\}\s*'
)
"""An acknowledgement as clients write it; one written otherwise is read as any message is."""


def framed(payload: bytes | str) -> bytes:
    """Return a payload as a WebSocket message on the wire, which is the same for every client.

    It is: servers do not mask, and extensions such as compression are not offered.
    """
    text = isinstance(payload, str)
    data = payload.encode() if isinstance(payload, str) else payload
    return Frame(Opcode.TEXT if text else Opcode.BINARY, data).serialize(mask=False)


class StreamConnection(ServerConnection):
    """A connection that writes messages made by `framed`, and tells acknowledgements at once."""

    on_ack: Callable[[int | None], None] | None = None
    """Called with the `seq` of each acknowledgement, which then is no message any more."""

    @property
    def backlog(self) -> int:
        """Bytes that this process still holds for the client."""
        return self.transport.get_write_buffer_size()

    def send_framed(self, message: bytes) -> None:
        """Write a whole message now, unless the connection is closing.

        The library also writes whole messages only, so none is torn.
        """
        if self.protocol.state is State.OPEN:
            self.transport.write(message)

    def process_event(self, event: Any) -> None:
        """Take acknowledgements out of what came; no task is woken for them.

        Should the library stop calling this, acknowledgements are messages like all others.
        """
        if self.on_ack is not None and isinstance(event, Frame) and event.opcode is Opcode.TEXT:
            ack = _ACK.fullmatch(event.data) if event.fin else None
            if ack is not None:
                self.on_ack(None if ack[1] is None else int(ack[1]))
                return
        super().process_event(event)
