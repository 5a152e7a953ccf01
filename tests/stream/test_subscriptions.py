"""Who gets which frame: windows, rates, backlogs and shared encodings, without a socket."""

import json

import numpy as np
import pytest

from tracker.stream.binary import decode_frame
from tracker.stream.protocol import BINARY, JSON, Subscription
from tracker.stream.records import StreamFrame, StreamHand
from tracker.stream.subscriptions import FrameOnAir, Subscriber

MS = 1_000_000


def on_air(seq: int, time_ms: float = 0.0) -> FrameOnAir:
    hands = tuple(
        StreamHand(i, side, "tracked", 0.9, None, 1.0, 0, kp3d=np.ones((21, 3)))
        for i, side in enumerate(("left", "right"))
    )
    return FrameOnAir(StreamFrame(seq, seq, 0, int(time_ms * MS), hands), as_bytes)


def as_bytes(payload: bytes | str) -> bytes:
    return payload.encode() if isinstance(payload, str) else payload


class Line:
    """What one subscriber was sent, by sequence number, and how full its socket is."""

    def __init__(self, subscription: Subscription) -> None:
        self.seqs: list[int] = []
        self.backlog = 0
        self.subscriber = Subscriber(BINARY, self._send, lambda: self.backlog)
        self.subscriber.subscribe(subscription)

    def _send(self, payload: bytes) -> None:
        self.seqs.append(decode_frame(payload).seq)

    def offer(self, *seqs: int) -> None:
        for seq in seqs:
            self.subscriber.offer(on_air(seq))


def test_everything_is_sent_by_default():
    line = Line(Subscription())
    line.offer(1, 2, 3)
    assert line.seqs == [1, 2, 3]


def test_a_full_socket_skips_frames_and_the_next_is_new():
    line = Line(Subscription())
    line.offer(1)
    line.backlog = 500
    line.offer(2, 3, 4)
    line.backlog = 0
    line.offer(5)
    assert line.seqs == [1, 5]
    assert line.subscriber.dropped == 3


def test_the_window_stops_and_an_ack_brings_the_newest():
    line = Line(Subscription(flow="ack", window=2))
    line.offer(*range(1, 80))
    assert line.seqs == [1, 2]
    line.subscriber.acknowledge(None)
    assert line.seqs == [1, 2, 79]
    line.subscriber.acknowledge(2)
    assert line.seqs == [1, 2, 79]  # nothing newer waits
    line.offer(80)
    assert line.seqs == [1, 2, 79, 80]
    line.offer(81)
    assert line.seqs[-1] == 80
    line.subscriber.acknowledge(80)
    line.offer(82)
    assert line.seqs == [1, 2, 79, 80, 81, 82]


def test_acks_of_frames_never_sent_open_no_window():
    line = Line(Subscription(flow="ack", window=1))
    for _ in range(20):
        line.subscriber.acknowledge(None)
    line.subscriber.acknowledge(10**9)
    line.offer(1, 2, 3)
    assert line.seqs == [1]


def test_an_ack_does_not_send_into_a_full_socket():
    line = Line(Subscription(flow="ack", window=1))
    line.offer(1, 2)
    line.backlog = 1
    line.subscriber.acknowledge(1)
    assert line.seqs == [1]


@pytest.mark.parametrize(("max_hz", "expected"), [(20.0, 20), (45.0, 45), (60.0, 60), (1000.0, 60)])
def test_rates_are_kept_on_average_under_jitter(max_hz: float, expected: int):
    line, rng = Line(Subscription(max_hz=max_hz)), np.random.default_rng(0)
    for seq in range(300):
        line.subscriber.offer(on_air(seq, seq * 1000 / 60 + rng.uniform(0, 3)))
    assert len(line.seqs) / 5 == pytest.approx(expected, rel=0.06)


def test_subscribing_anew_forgets_what_was_under_way():
    line = Line(Subscription(flow="ack", window=1))
    line.offer(1, 2)
    line.subscriber.subscribe(Subscription(flow="ack", window=1))
    line.subscriber.acknowledge(None)
    assert line.seqs == [1]
    line.offer(3)
    assert line.seqs == [1, 3]


def test_equal_wishes_share_one_encoding():
    frame = on_air(1)
    wanted = Subscription(("kp3d",), "unity")
    assert frame.payload(wanted, BINARY) is frame.payload(
        Subscription(("kp3d",), "unity", max_hz=5.0), BINARY
    )
    assert frame.payload(wanted, BINARY) != frame.payload(Subscription(("kp3d",)), BINARY)
    assert frame.payload(wanted, BINARY) != frame.payload(
        Subscription(("kp3d",), "unity", ("left",)), BINARY
    )
    text = frame.payload(wanted, JSON)
    assert [h["side"] for h in json.loads(text)["hands"]] == ["left", "right"]
    assert json.loads(text)["hands"][0]["kp3d"][0] == [1.0, 1.0, -1.0]
