"""The Blender add-on: its reader always, and all of it where there is Blender's Python."""

import json
import os
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.server import ServerConnection, serve

from apps.clients.blender import handloom_hands as addon
from tests.apps.clients.conftest import TOKEN, damaged
from tracker.geometry.skeleton import OPENXR_JOINTS
from tracker.stream import StreamServer
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select
from tracker.stream.messages import parse_client_message
from tracker.stream.protocol import Subscription
from tracker.stream.records import StreamFrame

PATIENCE_S = 10
BLENDER_PYTHON = os.environ.get("HANDLOOM_BLENDER_PYTHON")


def take(listener: addon.Listener) -> dict[str, list[tuple[float, ...]]]:
    deadline = time.monotonic() + PATIENCE_S
    while (hands := listener.take()) is None:
        assert time.monotonic() < deadline, listener.said
        time.sleep(0.005)
    return hands


def test_it_reads_what_we_send(sent_as):
    sent = sent_as("blender")
    hands = addon.decode_frame(sent.binary)
    assert hands.keys() == {"left", "right"}
    for side, rows in hands.items():
        ours = sent.frame.hand(side)
        np.testing.assert_allclose(rows, ours.joints, atol=1e-6)


def test_it_shows_the_best_hand_of_a_side_and_no_lost_one(frame, sent_as):
    right, left = frame.hands
    worse = replace(right, id=9, score=right.score - 0.1, joints=right.joints + 1)
    lost = replace(left, state="lost")
    hands = addon.decode_frame(encode_frame(replace(frame, hands=(worse, right, lost, worse))))
    assert hands.keys() == {"right"}
    np.testing.assert_allclose(hands["right"], right.joints, atol=1e-6)


def test_nothing_damaged_gets_through(sent_as):
    whole = sent_as("blender", ("joints",)).binary
    for n, data in enumerate(damaged(whole, 2000)):
        try:
            hands = addon.decode_frame(data)
        except ValueError:
            continue
        assert n >= 500, "a message cut short was read"
        assert all(len(rows) == 26 for rows in hands.values())


def test_it_knows_the_joints_and_the_protocol():
    assert addon.JOINTS == OPENXR_JOINTS
    wanted = parse_client_message(json.dumps(addon.WANTED))
    assert wanted == Subscription(frame="blender", flow="ack", window=2)


def test_it_follows_a_stream_with_a_token_and_lets_go(models, publish):
    with StreamServer(port=0, token=TOKEN, model=models["right"]) as server:
        publish(server)
        listener = addon.Listener(server.url, TOKEN)
        assert take(listener).keys() == {"left", "right"}
        assert take(listener)
        listener.close()
        assert listener.take() is None or not server.clients
        assert not any(thread.name == "handloom-hands" for thread in threading.enumerate())


def test_it_says_why_it_is_refused(models):
    with StreamServer(port=0, token=TOKEN, model=models["right"]) as server:
        listener = addon.Listener(server.url, "wrong")
        deadline = time.monotonic() + PATIENCE_S
        while listener.said == "connecting":
            assert time.monotonic() < deadline
            time.sleep(0.005)
        listener.close()
    assert listener.said == "the server answers HTTP/1.1 401 Unauthorized"


def test_it_connects_again(models, publish, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(addon, "RETRY_S", 0.05)
    with StreamServer(port=0, model=models["right"]) as first:
        listener, port = addon.Listener(first.url), first.port
        publish(first)
        take(listener)
    with StreamServer(port=port, model=models["right"]) as second:
        listener.take()
        publish(second)
        assert take(listener)
        listener.close()


def test_its_socket_copes_with_all_that_a_server_may_do():
    """Messages in parts, pings between them, and every form of length."""
    texts = ["", "a" * 125, "b" * 126, "c" * 70_000]
    pongs: list[bool] = []

    def converse(line: ServerConnection) -> None:
        for text in texts:
            line.send(text)
        waiting = line.ping()
        line.send([b"one", b"two", b"three"])
        pongs.append(waiting.wait(PATIENCE_S))
        assert line.recv() == "x" * 300

    with serve(converse, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        line = addon.WebSocket(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/any")
        assert [line.receive() for _ in texts] == texts
        assert line.receive() == b"onetwothree"
        line.send("x" * 300)
        with pytest.raises(OSError, match="closed the line"):
            line.receive()
        line.close()
        server.shutdown()
        serving.join()
    assert pongs == [True]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "127.0.0.1:4263", "ws:///v1/stream"])
def test_what_is_no_address_is_said(url: str):
    with pytest.raises(ValueError, match="is no address such as"):
        addon.WebSocket(url)


@pytest.mark.slow
@pytest.mark.skipif(
    BLENDER_PYTHON is None,
    reason="needs a Python with `pip install bpy`; name it in HANDLOOM_BLENDER_PYTHON",
)
def test_empties_follow_the_hands_in_blender(
    server: StreamServer, publish, make_hand_in_view, models
):
    publish(server)
    program = Path(__file__).with_name("blender_check.py")
    command = [str(BLENDER_PYTHON), str(program), addon.__file__, server.url]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 52
    hands = [make_hand_in_view(3), make_hand_in_view(3, "left", track_id=2)]
    composed = Composer(models["right"]).compose(hands, 0)
    in_blender = select(StreamFrame(1, 1, 0, 0, composed), Subscription(frame="blender"))
    for hand in in_blender.hands:
        for joint, name in enumerate(OPENXR_JOINTS):
            x, y, z, w, qx, qy, qz, radius, hidden = rows[f"handloom_{hand.side}_{name}"]
            assert not hidden
            np.testing.assert_allclose([x, y, z], hand.positions[joint], atol=1e-6)
            assert abs(hand.orientations[joint] @ [qx, qy, qz, w]) == pytest.approx(1, abs=1e-6)
            assert radius == pytest.approx(hand.radii[joint], abs=1e-6)
