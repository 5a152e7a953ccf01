"""One subscriber: which frames it gets, and how none ever waits for it.

A frame that cannot be sent now is not queued; when there is room again, the newest is sent. Room
means: fewer than `window` frames that were not acknowledged (flow `ack`), and nothing left in the
socket's own buffer. The kernel's buffers hide what a stalled reader has not read, so only `ack`
keeps its frames fresh.
"""

from collections import deque
from collections.abc import Callable
from functools import lru_cache

from tracker.stream.binary import encode_frame
from tracker.stream.composer import select
from tracker.stream.messages import encode_frame_text
from tracker.stream.protocol import BINARY, Subscription
from tracker.stream.records import StreamFrame

Payload = bytes | str


class FrameOnAir:
    """One published frame, and its encodings: each is made when it is first wanted, for all.

    Args:
        frame: the frame with all its parts.
        pack: makes of an encoding what is handed to `send`; called once for all clients.
    """

    def __init__(self, frame: StreamFrame, pack: Callable[[Payload], bytes]) -> None:
        self.frame = frame
        self._pack = pack
        self._payloads: dict[tuple[object, ...], bytes] = {}

    def payload(self, wanted: Subscription, encoding: str) -> bytes:
        """Return the frame as `wanted`, in the encoding of a subprotocol, packed."""
        key = _kind(wanted, encoding)
        payload = self._payloads.get(key)
        if payload is None:
            payload = self._payloads[key] = self._pack(self._encoded(wanted, encoding))
        return payload

    def keep(self, wanted: Subscription, encoding: str, payload: Payload) -> None:
        """Take an encoding that exists already, of a recorded frame."""
        self._payloads[_kind(wanted, encoding)] = self._pack(payload)

    def _encoded(self, wanted: Subscription, encoding: str) -> Payload:
        chosen = select(self.frame, wanted)
        if encoding == BINARY:
            return encode_frame(chosen, wanted.precision)
        return encode_frame_text(chosen)


def _kind(wanted: Subscription, encoding: str) -> tuple[object, ...]:
    """What of a wish shows in the encoding."""
    return encoding, wanted.parts, wanted.frame, wanted.hands, wanted.precision


@lru_cache(maxsize=64)
def _shared(subscription: Subscription) -> Subscription:
    """Return one object for equal wishes: a hundred of their own would not stay in the cache."""
    return subscription


class Subscriber:
    """Decide, frame by frame, what one client is sent.

    Args:
        encoding: the subprotocol of its frames.
        send: sends a payload at once, without waiting.
        backlog: bytes handed to `send` that are still in this process.
    """

    def __init__(
        self, encoding: str, send: Callable[[bytes], None], backlog: Callable[[], int]
    ) -> None:
        self.encoding = encoding
        self.subscription = Subscription()
        self.has_subscribed = False
        self.dropped = 0
        """Frames that were not sent because there was no room."""
        self._send = send
        self._backlog = backlog
        self._under_way: deque[int] = deque()
        self._waiting: FrameOnAir | None = None
        self._due_ns = 0

    def subscribe(self, subscription: Subscription) -> None:
        """Change what is wanted; frames under way are forgotten."""
        self.subscription = _shared(subscription)
        self.has_subscribed = True
        self._under_way.clear()
        self._waiting = None
        self._due_ns = 0

    def offer(self, frame: FrameOnAir) -> None:
        """Send a new frame, if it is due and there is room."""
        if self.subscription.max_hz and not self._is_due(frame.frame.t_publish_ns):
            return
        if not self._has_room():
            self.dropped += 1
            self._waiting = frame
            return
        self._deliver(frame)

    def acknowledge(self, seq: int | None) -> None:
        """Note that frames up to `seq`, or the oldest one, were used; send the newest that waits."""
        if seq is None:
            if self._under_way:
                self._under_way.popleft()
        else:
            while self._under_way and self._under_way[0] <= seq:
                self._under_way.popleft()
        if self._waiting is not None and self._has_room():
            self._deliver(self._waiting)

    def _has_room(self) -> bool:
        wanted = self.subscription
        if wanted.flow == "ack" and len(self._under_way) >= wanted.window:
            return False
        return self._backlog() == 0

    def _is_due(self, now_ns: int) -> bool:
        """Thin to `max_hz` on average: lateness is made up for by at most one period."""
        if now_ns < self._due_ns:
            return False
        period_ns = int(1e9 / self.subscription.max_hz)
        self._due_ns = max(self._due_ns, now_ns - period_ns) + period_ns
        return True

    def _deliver(self, frame: FrameOnAir) -> None:
        self._waiting = None
        if self.subscription.flow == "ack":
            self._under_way.append(frame.frame.seq)
        self._send(frame.payload(self.subscription, self.encoding))
