"""Clients against a real server: the newest frame, new connections, refusals and endings."""

import asyncio
import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tracker.stream import AsyncHandStreamClient, HandStreamClient, StreamServer, Subscription
from tracker.stream.errors import StreamError
from tracker.stream.protocol import PARTS

PATIENCE_S = 5.0
EVERYTHING = Subscription(parts=PARTS, flow="ack")


@pytest.fixture
def publish(camera, make_hand_in_view) -> Callable[..., None]:
    hands = [make_hand_in_view(0), make_hand_in_view(0, "left", track_id=2)]

    def publish(server: StreamServer, index: int = 0) -> None:
        server.publish(hands, camera, time.monotonic_ns(), index)

    return publish


@pytest.fixture
def live(publish) -> Iterator[Callable[[StreamServer], None]]:
    """Publish at 200 Hz from a thread, to whatever server was named last, until the test ends."""
    target: list[StreamServer] = []
    ended = threading.Event()

    def run() -> None:
        for index in itertools.count():
            if ended.wait(0.005):
                return
            if target and target[-1]._thread and target[-1]._thread.is_alive():
                try:
                    publish(target[-1], index)
                except StreamError:
                    continue  # it was closed just now

    thread = threading.Thread(target=run)
    thread.start()
    yield target.append
    ended.set()
    thread.join()


def test_every_part_arrives(server, live, make_hand_in_view):
    live(server)
    with HandStreamClient(server.url, subscription=EVERYTHING) as client:
        client.next_frame(PATIENCE_S)
        frame = client.next_frame(PATIENCE_S)
        assert client.hello is not None
        assert client.hello["mesh"]["vertices"] == 778
    right = make_hand_in_view(0)
    assert frame.right is not None
    assert frame.left is not None
    assert all(getattr(frame.right, part) is not None for part in PARTS)
    np.testing.assert_allclose(frame.right.positions[1], right.joints[0] * [1, -1, -1], atol=1e-6)
    np.testing.assert_allclose(frame.right.verts, right.vertices * [1, -1, -1], atol=1e-4)
    assert frame.right.operator_points().shape == (21, 3)
    mirrored = frame.right.positions * [-1, 1, 1]
    np.testing.assert_allclose(frame.left.positions, mirrored, atol=1e-6)


def test_only_what_was_subscribed_to_is_seen(server, live):
    live(server)
    wanted = Subscription(("kp3d",), "unity", ("left",))
    with HandStreamClient(server.url, subscription=wanted) as client:
        for _ in range(5):
            frame = client.next_frame(PATIENCE_S)
            (hand,) = frame.hands
            assert (hand.side, hand.axes, hand.joints) == ("left", "unity", None)


def test_a_slow_reader_sees_the_newest_frame(server, live):
    live(server)
    with HandStreamClient(server.url) as client:
        first = client.next_frame(PATIENCE_S)
        time.sleep(0.3)
        second = client.next_frame(PATIENCE_S)
        assert second.seq > first.seq + 20
        assert time.monotonic_ns() - second.t_publish_ns < 100_000_000
        assert client.latest is not None
        assert client.latest.seq >= second.seq


def test_it_connects_again_when_the_server_comes_back(models, live):
    with StreamServer(port=0, model=models["right"]) as old:
        live(old)
        client = HandStreamClient(old.url)
        client.start()
        session = client.next_frame(PATIENCE_S).session
        port = old.port
    for _ in range(2):  # a last frame of the old server may not have been looked at
        with contextlib.suppress(TimeoutError):
            client.next_frame(0.05)
    with pytest.raises(TimeoutError, match=r"0\.2 s"):
        client.next_frame(0.2)
    with StreamServer(port=port, model=models["right"]) as new:
        live(new)
        frame = client.next_frame(PATIENCE_S)
        assert frame.session != session
        assert frame.seq < 1000
        client.close()


def test_it_waits_for_a_server_that_is_not_there_yet(models, live):
    with StreamServer(port=0, model=models["right"]) as probe:
        port = probe.port
    with HandStreamClient(f"ws://127.0.0.1:{port}/v1/stream") as client:
        with pytest.raises(TimeoutError):
            client.next_frame(0.1)
        with StreamServer(port=port, model=models["right"]) as server:
            live(server)
            assert client.next_frame(PATIENCE_S).seq > 0


@pytest.mark.parametrize(
    ("path", "token", "said"),
    [
        ("/v1/stream", None, "token"),
        ("/v1/stream", "wrong", "token"),
        ("/v9", "right", "/v1/stream"),
    ],
)
def test_refusals_are_final_and_say_what_to_do(models, path, token, said):
    with StreamServer(port=0, token="right", model=models["right"]) as server:
        url = f"ws://127.0.0.1:{server.port}{path}"
        with HandStreamClient(url, token=token) as client:
            for _ in range(2):
                with pytest.raises(StreamError, match=said) as caught:
                    client.next_frame(PATIENCE_S)
                assert "\n" not in str(caught.value)


def test_a_wrong_address_is_told():
    with (
        HandStreamClient("http://127.0.0.1/v1/stream") as client,
        pytest.raises(StreamError, match="ws://"),
    ):
        client.next_frame(PATIENCE_S)


def test_the_token_opens(models, live):
    with StreamServer(port=0, token="s3cret", model=models["right"]) as server:
        live(server)
        with HandStreamClient(server.url, token="s3cret") as client:
            assert client.next_frame(PATIENCE_S).hands


def test_closing_wakes_whoever_waits(server):
    client = HandStreamClient(server.url)
    client.start()
    frames: list[object] = []
    reader = threading.Thread(target=lambda: frames.extend(client))
    reader.start()
    client.close()
    reader.join(PATIENCE_S)
    assert not reader.is_alive()
    assert frames == []
    with pytest.raises(StreamError, match="closed"):
        client.next_frame()
    client.close()


def test_the_clocks_are_compared(server, live):
    live(server)
    with HandStreamClient(server.url) as client:
        for _ in range(3):
            client.next_frame(PATIENCE_S)
        assert client.clock_offset_ns is not None
        assert abs(client.clock_offset_ns) < 50_000_000  # one machine has one clock


def test_asyncio_programs_get_the_same(server, live):
    live(server)

    async def read() -> list[int]:
        seqs: list[int] = []
        async with AsyncHandStreamClient(server.url) as client:
            async for frame in client:
                seqs.append(frame.seq)
                if len(seqs) == 5:
                    break
                await asyncio.sleep(0.05)
            assert client.latest is not None
            assert client.hello is not None
        with pytest.raises(StreamError, match="closed"):
            await client.next_frame()
        return seqs

    seqs = asyncio.run(read())
    assert all(b > a for a, b in itertools.pairwise(seqs))
    assert seqs[-1] - seqs[0] > len(seqs) - 1  # it slept through some


def test_asyncio_programs_are_refused_the_same(models):
    async def read() -> None:
        async with AsyncHandStreamClient(server.url) as client:
            with pytest.raises(StreamError, match="token"):
                await client.next_frame()

    with StreamServer(port=0, token="right", model=models["right"]) as server:
        asyncio.run(read())


def test_a_client_loads_no_heavy_package():
    program = "import sys; from tracker.stream import HandStreamClient; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "tracker.stream.client" in loaded
    assert not {"torch", "scipy", "numba", "cv2"} & set(loaded)
