"""The conformance suite: our own server passes, and each broken one fails the check it should."""

import json
import random
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tracker.stream import StreamServer, conformance, subscriptions
from tracker.stream.__main__ import main
from tracker.stream.conformance import GROUPS, run_checks
from tracker.stream.conformance_checks_base import Settings
from tracker.stream.conformance_checks_control import malformed_messages
from tracker.stream.errors import ProtocolError
from tracker.stream.hub import ServerConfig
from tracker.stream.messages import parse_client_message
from tracker.stream.records import StreamFrame

PERIOD_S = 1 / 60
CYCLE = 30
"""Frames: two hands come, one is lost, then none is in view."""
QUICK = Settings(
    observe_s=1.5,
    silence_s=0.4,
    mutated_frames=500,
    malformed_messages=50,
    reconnects=5,
    max_clients=12,
)


@contextmanager
def feeding(server: StreamServer, camera, make_hand, cycle: int = CYCLE) -> Iterator[None]:
    """Publish made-up hands, sixty frames a second; none at all in a cycle of ten frames."""
    right, left = (make_hand(i, side) for i, side in enumerate(("right", "left")))
    stop = threading.Event()

    def hands_of(index: int) -> list:
        turn, step = divmod(index, cycle)
        ids = (2 * turn + 1, 2 * turn + 2)
        if step >= cycle - 10:
            return []
        state = "lost" if step == cycle - 11 else "tracked"
        pair = ((right, ids[0]), (left, ids[1]))
        return [replace(hand, track_id=i, state=state) for hand, i in pair]

    def feed() -> None:
        index = 0
        while not stop.wait(PERIOD_S):
            server.publish(hands_of(index), camera, time.monotonic_ns(), index)
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def live(models, camera, make_hand_in_view) -> Iterator[StreamServer]:
    """A server that streams hands, with a token and a small limit of clients."""
    config = ServerConfig(max_clients=QUICK.max_clients or 0)
    with (
        StreamServer(port=0, token="s3cret", model=models["right"], config=config) as server,
        feeding(server, camera, make_hand_in_view),
    ):
        yield server


def outcomes(server: StreamServer, *names: str, **settings) -> dict[str, tuple[str, str]]:
    wanted = replace(QUICK, token="s3cret", **settings)
    return {r.name: (r.outcome, r.reason) for r in run_checks(server.url, wanted, names)}


SERVER_PROGRAM = """
import signal, sys, threading
from tracker.stream import StreamServer
from tracker.stream.errors import StreamError
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
try:
    with StreamServer(sys.argv[1], int(sys.argv[2])):
        stop.wait(30)
except StreamError as error:
    sys.exit(print(error, file=sys.stderr) or 2)
"""


@pytest.fixture
def start_command(tmp_path: Path) -> str:
    program = tmp_path / "serve.py"
    program.write_text(SERVER_PROGRAM)
    return f"{sys.executable} {program} {{host}} {{port}}"


def test_our_server_passes(live, start_command, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(conformance.__file__).parents[2]))
    found = outcomes(live, start=start_command)
    assert len(found) == sum(map(len, GROUPS.values())) > 50
    assert {n: r for n, (o, r) in found.items() if o == "fail"} == {}
    assert [n for n, (o, _) in found.items() if o == "skip"] == ["a_lost_camera_is_told"]


@pytest.mark.slow
def test_our_server_survives_everything(live):
    names = (
        "mutated_frames_are_survived",
        "malformed_messages_are_survived",
        "reconnecting_is_quick",
    )
    full = {"mutated_frames": 10_000, "malformed_messages": 2_000, "reconnects": 100}
    found = outcomes(live, *names, **full)
    assert {n: r for n, (o, r) in found.items() if o != "pass"} == {}
    assert set(found) == set(names)


Tamper = Callable[[StreamFrame], StreamFrame]


@pytest.fixture
def tampered(monkeypatch):
    """Have the server send each frame as it leaves a hand that tampers with it."""

    def install(tamper: Tamper) -> None:
        for name in ("encode_frame", "encode_frame_text"):
            encode = getattr(subscriptions, name)
            monkeypatch.setattr(
                subscriptions, name, lambda frame, *a, encode=encode: encode(tamper(frame), *a)
            )

    return install


def each_hand(change: Callable) -> Tamper:
    return lambda frame: replace(frame, hands=tuple(change(frame, h) for h in frame.hands))


def other_side(hand):
    return replace(hand, side={"left": "right", "right": "left"}[hand.side])


def with_joints(change: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    return each_hand(lambda _, h: replace(h, joints=None if h.joints is None else change(h.joints)))


def scaled(columns: slice, factor: float) -> Tamper:
    def change(joints: np.ndarray) -> np.ndarray:
        scale = np.ones(8)
        scale[columns] = factor
        return joints * scale

    return with_joints(change)


def nudged(joint: int, by: float) -> Tamper:
    def change(joints: np.ndarray) -> np.ndarray:
        moved = joints.copy()
        moved[joint, :3] += by
        return moved

    return with_joints(change)


BROKEN: dict[str, tuple[Tamper, set[str]]] = {
    "seq with gaps": (lambda f: replace(f, seq=2 * f.seq), {"seq_is_contiguous"}),
    "another session": (lambda f: replace(f, session=1), {"session_is_that_of_hello"}),
    "published before captured": (
        lambda f: replace(f, t_capture_ns=f.t_publish_ns + 1),
        {"capture_publish_receive_in_order"},
    ),
    "published in the future": (
        lambda f: replace(f, t_publish_ns=f.t_publish_ns + 10**10),
        {"capture_publish_receive_in_order"},
    ),
    "sides swapped": (each_hand(lambda _, h: other_side(h)), {"side_fits_the_joint_axes"}),
    "sides that flicker": (
        each_hand(lambda f, h: other_side(h) if f.seq % 2 else h),
        {"side_fits_the_joint_axes", "a_track_keeps_its_side"},
    ),
    "no joints": (each_hand(lambda _, h: replace(h, joints=None)), {"frames_can_be_read"}),
    "long quaternions": (scaled(slice(3, 7), 1.1), {"quaternions_are_unit_and_radii_positive"}),
    "no radii": (scaled(slice(7, 8), 0.0), {"quaternions_are_unit_and_radii_positive"}),
    "a palm aside": (nudged(0, 0.01), {"palm_is_the_middle_of_its_bone"}),
    "a tip aside": (nudged(10, 0.01), {"z_points_back_along_each_bone"}),
    "lost again and again": (
        each_hand(lambda _, h: replace(h, state="lost")),
        {"lost_comes_once"},
    ),
}
FRAME_CHECKS = {check.__name__ for check in GROUPS["frames"]}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_server_fails_the_right_check(live, tampered, name: str):
    tamper, expected = BROKEN[name]
    tampered(tamper)
    found = outcomes(live, "frames", observe_s=1.0)
    assert set(found) == FRAME_CHECKS
    assert {n for n, (outcome, _) in found.items() if outcome == "fail"} == expected


def nan_in_text(text: str) -> str:
    return text.replace('"joints":[[', '"joints":[[NaN],[', 1)


def nan_in_binary(data: bytes) -> bytes:
    return data[:88] + np.float32(np.nan).tobytes() + data[92:]


def one_joint_less_in_text(text: str) -> str:
    content = json.loads(text)
    del content["hands"][0]["joints"][-1]
    return json.dumps(content)


def one_joint_less_in_binary(data: bytes) -> bytes:
    return data[:82] + struct.pack("<HI", 25, 800) + data[88:]


@pytest.mark.parametrize(
    ("encoder", "spoil", "expected"),
    [
        ("encode_frame", nan_in_binary, "no_number_is_nan"),
        ("encode_frame_text", nan_in_text, "no_number_is_nan"),
        ("encode_frame", one_joint_less_in_binary, "frames_can_be_read"),
        ("encode_frame_text", one_joint_less_in_text, "frames_can_be_read"),
    ],
)
def test_spoilt_bytes_fail_the_right_check(live, monkeypatch, encoder, spoil, expected):
    encode = getattr(subscriptions, encoder)

    def spoilt(frame: StreamFrame, *rest):
        data = encode(frame, *rest)
        return spoil(data) if frame.hands else data

    monkeypatch.setattr(subscriptions, encoder, spoilt)
    found = outcomes(live, "frames", observe_s=1.0)
    assert {n for n, (outcome, _) in found.items() if outcome == "fail"} == {expected}


def test_a_server_that_loses_frames_of_one_client_is_found(live, monkeypatch):
    encode = subscriptions.Subscriber.offer

    def offer(self, frame) -> None:
        if frame.frame.seq % 2 == (self.encoding == "handstream.v1.bin"):
            encode(self, frame)

    monkeypatch.setattr(subscriptions.Subscriber, "offer", offer)
    found = outcomes(live, "frames")
    assert found["two_clients_hear_the_same"][0] == "fail"


def test_queueing_instead_of_acks_is_found(live, monkeypatch):
    monkeypatch.setattr(subscriptions.Subscriber, "_has_room", lambda self: True)
    assert outcomes(live, "acks_keep_the_newest")["acks_keep_the_newest"][0] == "fail"


def test_axes_that_are_not_turned_are_found(live, monkeypatch):
    select = subscriptions.select
    monkeypatch.setattr(
        subscriptions, "select", lambda frame, wanted: select(frame, replace(wanted, frame="user"))
    )
    outcome, reason = outcomes(live, "axes_are_honoured")["axes_are_honoured"]
    assert outcome == "fail"
    assert reason.startswith("user: positions")  # where all get those of `user`, it is turned twice


@pytest.mark.parametrize(("cycle", "outcome"), [(10, "pass"), (10_000, "fail")])
def test_a_lost_camera_must_leave_an_empty_stream(
    models, camera, make_hand_in_view, cycle: int, outcome: str
):
    with (
        StreamServer(port=0, model=models["right"]) as server,
        feeding(server, camera, make_hand_in_view, cycle),
    ):
        server.report(camera="lost")
        assert outcomes(server, "a_lost_camera_is_told")["a_lost_camera_is_told"][0] == outcome


def test_an_open_door_is_found(models, camera, make_hand_in_view):
    config = ServerConfig(allow_origins=("https://evil.example", "null"))
    with (
        StreamServer(port=0, model=models["right"], config=config) as server,
        feeding(server, camera, make_hand_in_view),
    ):
        found = outcomes(server, "security")
    failed = {n for n, (outcome, _) in found.items() if outcome == "fail"}
    assert failed == {
        *("a_foreign_origin_is_refused", "a_null_origin_is_refused"),
        *("no_token_is_refused", "too_many_clients_are_refused"),
    }


def test_malformed_messages_are_malformed_and_of_many_kinds():
    texts = malformed_messages(random.Random(3))
    some = [next(texts) for _ in range(300)]
    assert len(set(some)) > 200
    for text in some:
        with pytest.raises(ProtocolError):
            parse_client_message(text)


def test_the_command_writes_json_and_says_how_it_went(live, capsys):
    chosen = ["--only", "hello_comes_first", "no_token_is_refused", "--json"]
    assert main(["conformance", live.url, "--token", "s3cret", *chosen]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [r["outcome"] for r in results] == ["pass", "pass"]
    assert main(["conformance", live.url, "--only", "handshake"]) == 1
    table = capsys.readouterr().out
    assert "8 fail" in table
    assert "401" in table


def test_the_command_lists_every_check(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["conformance", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(check.__name__ in listed for checks in GROUPS.values() for check in checks)
    assert main(["nonsense"]) == 2
    with pytest.raises(SystemExit):
        main(["conformance", "--only", "nonsense"])


def test_nobody_at_the_address_is_told_in_every_line():
    results = list(run_checks("ws://127.0.0.1:9/v1/stream", QUICK, ["handshake"]))
    assert {r.outcome for r in results} == {"fail"}
    assert all("refused" in r.reason.lower() for r in results)
