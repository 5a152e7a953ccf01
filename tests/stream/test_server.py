"""The server on a real socket: greeting, frames, flow, rules, and how it goes."""

import json
import socket
import threading
import time
from functools import partial

import numpy as np
import pytest
from websockets.sync.client import connect

from tests.stream.stream_lines import (
    PATIENCE_S,
    close_code,
    frame,
    message,
    open_line,
    subscribe,
    wait_until,
)
from tracker.stream import StreamServer
from tracker.stream.errors import StreamError
from tracker.stream.frames import AXES
from tracker.stream.protocol import BINARY, JSON


@pytest.fixture
def send(server, camera, make_hand_in_view):
    """Publish frames, each when the one before is out; hands are those of `seeds`."""
    counter = iter(range(10**6))

    def send(count: int = 1, seeds: tuple[int, ...] = (0,)) -> None:
        hands = [make_hand_in_view(seed, track_id=seed + 1) for seed in seeds]
        for _ in range(count):
            count_before = server.published
            server.publish(hands, camera, time.monotonic_ns(), next(counter))
            wait_until(partial(lambda before: server.published > before, count_before))

    return send


def test_hello_comes_first_and_names_everything(server, send, camera):
    send()
    with open_line(server) as line:
        hello = json.loads(line.recv(PATIENCE_S))
        assert (hello["type"], hello["protocol"], hello["v"]) == ("hello", "handstream", [1, 0])
        openxr = hello["skeletons"]["openxr26"]
        assert (len(openxr["joints"]), openxr["joints"][:2]) == (26, ["palm", "wrist"])
        assert openxr["parents"][:3] == [1, -1, 1]
        assert openxr["emulated"] == [0, 6, 11, 16, 21]
        assert hello["mesh"] | {"topology": ""} == {
            "model": "open_hand-1",
            "vertices": 778,
            "faces": 1538,
            "topology": "",
        }
        assert hello["camera"]["fx"] == pytest.approx(camera.K[0, 0])
        assert hello["camera"]["mirrored"] is False
        assert hello["camera"]["intrinsics"] == "calibrated"
        assert 0.07 < hello["scale"]["wrist_to_middle_mcp_m"] < 0.11
        assert hello["clock"]["now_ns"] <= time.monotonic_ns()


@pytest.mark.parametrize(
    ("offered", "chosen", "kind"),
    [
        (None, None, str),
        ([JSON], JSON, str),
        ([BINARY], BINARY, bytes),
        ([JSON, BINARY], BINARY, bytes),
        (["soap", "handstream.v9.bin"], None, str),
    ],
)
def test_the_subprotocol_chooses_the_encoding(server, send, offered, chosen, kind):
    with connect(server.url, subprotocols=offered, compression=None) as line:
        assert line.subprotocol == chosen
        message(line, "hello")
        subscribe(line)
        send()
        assert isinstance(line.recv(PATIENCE_S), kind)


def test_frames_carry_what_was_published_in_order(server, send, make_hand_in_view):
    hand = make_hand_in_view(0)
    with open_line(server) as line:
        subscribe(line, parts=["joints", "kp3d", "mano", "vel"])
        send(3)
        found = [frame(line) for _ in range(3)]
        assert [f.seq for f in found] == [1, 2, 3]
        assert [f.frame for f in found] == [0, 1, 2]
        assert all(f.t_capture_ns <= f.t_publish_ns <= time.monotonic_ns() for f in found)
        assert len({f.session for f in found}) == 1
        sent = found[2].hands[0]
        np.testing.assert_allclose(sent.kp3d, hand.joints * [1, -1, -1], atol=1e-6)
        np.testing.assert_allclose(sent.mano[:3], hand.params.global_orient, atol=1e-6)
        assert found[0].hands[0].vel is None
        np.testing.assert_allclose(sent.vel, 0, atol=1e-3)


def test_frames_without_hands_are_sent(server, send):
    with open_line(server) as line:
        subscribe(line)
        send(2, seeds=())
        assert [frame(line).hands for _ in range(2)] == [(), ()]


def test_capture_is_never_after_publishing(server, camera):
    with open_line(server) as line:
        subscribe(line)
        server.publish([], camera, time.monotonic_ns() + 10**12, 0)
        found = frame(line)
        assert found.t_capture_ns == found.t_publish_ns


def test_two_clients_do_not_steal_from_each_other_and_agree(server, send):
    with open_line(server, JSON) as text, open_line(server, BINARY) as binary:
        subscribe(text)
        subscribe(binary)
        for _ in range(10):
            send(seeds=(0, 1))
            a, b = frame(text), frame(binary)
            assert a.seq == b.seq
            for x, y in zip(a.hands, b.hands, strict=True):
                np.testing.assert_allclose(x.joints, y.joints, atol=1e-5)


def test_frames_can_be_had_in_each_engines_axes(server, send):
    with open_line(server) as plain, open_line(server) as turned:
        subscribe(plain)
        for name in ("unity", "unreal", "camera_cv"):
            assert subscribe(turned, frame=name)["frame"] == name
            send()
            a, b = frame(plain).hands[0], frame(turned).hands[0]
            np.testing.assert_allclose(b.positions, AXES[name].points(a.positions), rtol=1e-6)
            np.testing.assert_allclose(
                b.orientations, AXES[name].quaternions(a.orientations), rtol=1e-6
            )


def test_a_silent_client_with_acks_gets_its_window_then_the_newest(server, send):
    with open_line(server) as line:
        subscribe(line, flow="ack", window=2)
        send(100)
        assert [frame(line).seq for _ in range(2)] == [1, 2]
        with pytest.raises(TimeoutError):
            line.recv(0.1)
        line.send('{"type":"ack","seq":1}')
        newest = frame(line).seq
        assert newest > 3
        assert newest == server.published


def test_a_stalled_client_disturbs_nobody(server, send):
    """One client never reads its 30 kB frames; they are skipped, and the other has no gap."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", server.port))
    with open_line(server) as line, open_line(server, sock=narrow, max_queue=1) as stalled:
        subscribe(stalled, parts=["verts", "joints"])
        subscribe(line)
        for expected in range(1, 41):
            send(seeds=(0, 1, 2, 3, 4))
            assert frame(line).seq == expected
        assert server.dropped > 20
        held = sum(c.transport.get_write_buffer_size() for c in server._hub.subscribers)
        assert held < 64 * 1024
        stalled.socket.shutdown(socket.SHUT_RDWR)


def test_time_is_echoed_with_the_servers_clock(server):
    with open_line(server) as line:
        before = time.monotonic_ns()
        line.send('{"type":"time","t0":12345}')
        reply = message(line, "time")
        assert reply["t0"] == 12345
        assert before <= reply["t1"] <= time.monotonic_ns()


def test_status_tells_how_it_goes(server, send, camera):
    server.report(infer_ms=11.5, camera="lost")
    with open_line(server) as line:
        subscribe(line)
        send(5)
        status = message(line, "status")
        assert (status["infer_ms"], status["camera"], status["clients"]) == (11.5, "lost", 1)
        assert status["dropped"] == 0
        assert status["camera_info"]["width"] == 1280


def test_a_killed_client_is_forgotten(server, send):
    with open_line(server) as line:
        subscribe(line)
        assert server.clients == 1
        line.socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: server.clients == 0)
        send()


def test_bye_is_said_at_the_end(models):
    server = StreamServer(port=0, model=models["right"])
    server.start()
    with open_line(server) as line:
        message(line, "hello")
        subscribe(line)
        server.close()
        assert message(line, "bye")["reason"] == "shutdown"
        assert close_code(line) == 1001
    server.close()
    assert not [t for t in threading.enumerate() if t.name == "handloom-stream"]


def test_publishing_needs_a_running_server(models, camera):
    server = StreamServer(port=0, model=models["right"])
    with pytest.raises(StreamError, match=r"start\(\)"):
        server.publish([], camera, 0, 0)
    with server:
        server.publish([], camera, 0, 0)
    with pytest.raises(StreamError, match=r"start\(\)"):
        server.publish([], camera, 0, 0)


def test_a_taken_port_is_told_in_one_line(server, models):
    with pytest.raises(StreamError, match="choose another port") as caught:
        StreamServer(port=server.port, model=models["right"]).start()
    assert str(server.port) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_open_address_without_a_token_is_refused(models):
    with pytest.raises(StreamError, match="--token"):
        StreamServer("0.0.0.0", 0, model=models["right"])
    with pytest.raises(ValueError, match="70000"):
        StreamServer(port=70_000, model=models["right"])


@pytest.mark.parametrize(
    ("host", "token", "url", "page"),
    [
        ("127.0.0.1", None, "ws://127.0.0.1:7/v1/stream", "http://127.0.0.1:7"),
        ("0.0.0.0", "s3cret", "ws://127.0.0.1:7/v1/stream", "http://127.0.0.1:7/#token=..."),
        ("fd00::7", "s3cret", "ws://[fd00::7]:7/v1/stream", "http://[fd00::7]:7/#token=..."),
    ],
)
def test_addresses_are_told_without_the_token(models, host, token, url, page):
    server = StreamServer(host, 7, token, model=models["right"])
    assert (server.url, server.page_url) == (url, page)


def test_publishing_never_waits(server, camera):
    """While the loop's thread is held up, frames are dropped after a few, and counted."""
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        free.wait(PATIENCE_S)

    with open_line(server) as line:
        subscribe(line)
        server._loop.call_soon_threadsafe(hold)
        held.wait(PATIENCE_S)
        start = time.perf_counter()
        for index in range(1000):
            server.publish([], camera, 0, index)
        assert time.perf_counter() - start < 0.5
        free.set()
        seqs = [frame(line).seq for _ in range(8)]
        assert seqs == list(range(1, 9))
        assert server.dropped == 992
