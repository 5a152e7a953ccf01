"""What every client is given to read: the same hands as binary, as text and as records."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.stream.conftest import camera, make_hand_in_view, models, server
from tracker.stream import StreamServer
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select
from tracker.stream.errors import StreamError
from tracker.stream.messages import encode_frame_text
from tracker.stream.protocol import PARTS, Subscription
from tracker.stream.records import StreamFrame

__all__ = ["camera", "make_hand_in_view", "models", "server"]

CLIENTS = Path(__file__).resolve().parents[3] / "apps" / "clients"
FPS = 60
TOKEN = "a-token"


@pytest.fixture(scope="session")
def frame(models, make_hand_in_view) -> StreamFrame:
    """Two hands with all their parts, in OpenXR's axes; the left one foretold."""
    composer = Composer(models["right"])
    hands = [make_hand_in_view(3), make_hand_in_view(4, "left", track_id=2, state="predicted")]
    composer.compose(hands, 0)  # a frame before, so that there are velocities
    return StreamFrame(7, 5, 1_500_000, 2_500_000, composer.compose(hands, 10**9), 4_000_000_000)


@dataclass(frozen=True)
class Sent:
    """A frame in the axes of one engine, and how it travels."""

    frame: StreamFrame
    binary: bytes
    text: str


@pytest.fixture(scope="session")
def sent_as(frame: StreamFrame) -> Callable[..., Sent]:
    def send(axes: str = "openxr", parts: tuple[str, ...] = PARTS) -> Sent:
        chosen = select(frame, Subscription(parts=parts, frame=axes))  # type: ignore[arg-type]
        return Sent(chosen, encode_frame(chosen), encode_frame_text(chosen))

    return send


def damaged(data: bytes, count: int) -> list[bytes]:
    """The message cut short, and with single bytes changed."""
    rng = np.random.default_rng(0)
    spoilt = [data[: rng.integers(len(data))] for _ in range(count // 4)]
    for _ in range(count - len(spoilt)):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            # Most of a message is numbers; lengths and counts are where a reader can be led astray.
            reach = rng.choice([48, 96, len(data)])
            changed[rng.integers(reach)] = rng.integers(256)
        spoilt.append(bytes(changed))
    return spoilt


def subscription_in(text: str) -> str:
    """The `subscribe` message that stands in a program's text."""
    start = text.index('{"type":"subscribe"')
    return json.dumps(json.JSONDecoder().raw_decode(text[start:])[0])


@pytest.fixture
def publish(camera, make_hand_in_view) -> Iterator[Callable[[StreamServer], None]]:
    """Publish two hands, at FPS, to a server until the test ends."""
    hands = [make_hand_in_view(3), make_hand_in_view(3, "left", track_id=2)]
    stopping = threading.Event()
    threads: list[threading.Thread] = []

    def run(server: StreamServer) -> None:
        n = 0
        try:
            while not stopping.wait(1 / FPS):
                server.publish(hands, camera, time.monotonic_ns(), n)
                n += 1
        except StreamError:
            return  # the server was closed first

    def start(server: StreamServer) -> None:
        threads.append(threading.Thread(target=run, args=(server,)))
        threads[-1].start()

    yield start
    stopping.set()
    for thread in threads:
        thread.join()
