"""`record` and `replay` as commands: the same bytes, for every client, and complaints in one line."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from websockets.sync.client import connect

from tests.stream.stream_lines import frame, message, subscribe, wait_until
from tracker.stream import (
    Recorded,
    SessionWriter,
    StreamFrame,
    Subscription,
    read_frames,
    read_session,
    record_session,
)
from tracker.stream.__main__ import main
from tracker.stream.binary import encode_frame
from tracker.stream.composer import Composer, select, to_openxr
from tracker.stream.errors import StreamError
from tracker.stream.frames import AXES
from tracker.stream.messages import subscribed_message
from tracker.stream.protocol import BINARY, JSON
from tracker.stream.replay import ReplayClock, open_session

MS = 1_000_000
COUNT = 12
HELLO = '{"type":"hello","protocol":"handstream","v":[1,0],"session":77,"camera":null}'


def frames_of_a_wave(models, make_hand_in_view) -> list[StreamFrame]:
    """Two hands, a tenth of a second long."""
    composer = Composer(models["right"])
    frames = []
    for n in range(COUNT):
        hands = [make_hand_in_view(n), make_hand_in_view(n, "left", track_id=4)]
        t = 10**15 + n * 8 * MS
        frames.append(StreamFrame(n + 5, n + 9, t - MS, t, composer.compose(hands, t), 77))
    return frames


@pytest.fixture(scope="module")
def wave(models, make_hand_in_view) -> list[StreamFrame]:
    return frames_of_a_wave(models, make_hand_in_view)


@pytest.fixture(params=["openxr", "unreal"])
def session(request, wave, tmp_path: Path) -> Path:
    """A session file, recorded in one of two kinds of axes."""
    wish = Subscription(("joints", "kp3d", "mano", "pinch"), request.param)
    path = tmp_path / "wave.hsr"
    with SessionWriter(path) as file:
        file.write(Recorded(0, HELLO))
        file.write(Recorded(1, subscribed_message(wish, BINARY)))
        for n, whole in enumerate(wave):
            file.write(Recorded(n * 8 * MS, encode_frame(select(whole, wish))))
    return path


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def play(port: int) -> Iterator[Callable[..., str]]:
    """Start `replay` in a thread; gives its address."""
    threads: list[threading.Thread] = []

    def start(path: Path, *words: object) -> str:
        given = ["replay", str(path), "--port", str(port), *map(str, words)]
        threads.append(threading.Thread(target=main, args=(given,)))
        threads[0].start()
        wait_until(lambda: can_connect(port))
        return f"ws://127.0.0.1:{port}/v1/stream"

    yield start
    for thread in threads:
        thread.join()


def can_connect(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def payloads(path: Path) -> list[bytes | str]:
    """The frames of a session as they came."""
    messages = [recorded.message for recorded in read_session(path)]
    return [m for m in messages if isinstance(m, bytes)]


def test_a_replay_recorded_again_has_the_same_bytes(session: Path, play, tmp_path: Path):
    again = tmp_path / "again.hsr"
    wish = open_session(session)
    url = play(session)
    parts = ("joints", "kp3d", "mano", "pinch")
    axes = next(iter(read_frames(session))).hands[0].axes
    assert record_session(url, again, subscription=Subscription(parts, axes)) == COUNT
    assert payloads(again) == payloads(session)
    assert open_session(again).hello["session"] == wish.hello["session"] == 77


def test_other_clients_get_the_frames_in_their_own_way(session: Path, play, wave):
    with connect(play(session), subprotocols=[JSON], compression=None) as line:
        assert message(line, "hello")["clock"]["now_ns"] == wave[0].t_publish_ns
        subscribe(line, parts=["joints", "verts"], frame="unity")
        for whole in wave:
            found = frame(line)
            assert (found.seq, found.t_publish_ns) == (whole.seq, whole.t_publish_ns)
            for hand, sent in zip(found.hands, whole.hands, strict=True):
                wanted = AXES["unity"].points(sent.positions)
                np.testing.assert_allclose(hand.positions, wanted, atol=2e-5)
                assert hand.verts is None  # were not recorded
        assert message(line, "bye")["reason"] == "shutdown"


def test_a_loop_counts_on(session: Path, play, port: int, monkeypatch: pytest.MonkeyPatch):
    stopping = threading.Event()
    monkeypatch.setattr("tracker.stream.replay_command.StopRequest", lambda: Stop(stopping))
    with connect(play(session, "--loop", "--speed", 4), subprotocols=[BINARY]) as line:
        subscribe(line)
        found = [frame(line) for _ in range(2 * COUNT + 2)]
        stopping.set()
    assert [f.seq for f in found] == list(range(5, 2 * COUNT + 7))
    assert (np.diff([f.t_publish_ns for f in found]) == 8 * MS).all()
    assert not {h.id for h in found[0].hands} & {h.id for h in found[-1].hands}


class Stop:
    """Stands for Ctrl-C."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def __enter__(self) -> "Stop":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    @property
    def made(self) -> bool:
        return self._event.is_set()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["record", "ws://127.0.0.1:9/v1/stream", "{new}"], "is the server running?"),
        (["record", "http://x", "{new}"], "is no address"),
        (["record", "{url}/nothing", "{new}"], "the stream is at /v1/stream"),
        (["record", "{url}", "{old}"], "add --overwrite"),
        (["record", "{url}", "{new}/b.hsr"], "cannot write"),
        (["record", "{url}", "{new}", "--parts", "ears"], "found ['ears']"),
        (["replay", "{new}"], "No such file"),
        (["replay", "{old}"], "no session file"),
        (["replay", "{empty}"], "has no frames"),
    ],
)
def test_complaints_are_one_line(words, said, server, tmp_path: Path, capsys):
    old, empty = tmp_path / "old.hsr", tmp_path / "empty.hsr"
    old.write_bytes(b"RIFF")
    with SessionWriter(empty) as file:
        file.write(Recorded(0, HELLO))
    names = {"url": server.url, "old": old, "empty": empty, "new": tmp_path / "new.hsr"}
    assert main([word.format(**names) for word in words]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert said in last
    assert not (tmp_path / "new.hsr").exists()
    assert old.read_bytes() == b"RIFF"


def test_ctrl_c_keeps_what_was_recorded(server, camera, make_hand_in_view, tmp_path: Path):
    path, hand = tmp_path / "a.hsr", make_hand_in_view(0)
    command = [sys.executable, "-m", "tracker.stream", "record", server.url, str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        wait_until(lambda: server.subscribed_clients == 1 or program.poll() is not None)
        for n in range(10):
            server.publish([hand], camera, time.monotonic_ns(), n)
            time.sleep(0.005)
        wait_until(lambda: len(payloads(path)) == 10)  # written at once: a crash would lose nothing
        program.send_signal(signal.SIGINT)
        said = program.stderr.read()
    assert program.returncode == 0
    assert "10 frames" in said.splitlines()[-1]
    assert [f.frame for f in read_frames(path)] == list(range(10))


def test_axes_of_any_recording_can_be_undone(wave):
    for axes in AXES:
        back = to_openxr(select(wave[1], Subscription(("joints", "verts", "vel"), axes)))
        for hand, sent in zip(back.hands, wave[1].hands, strict=True):
            assert hand.axes == "openxr"
            np.testing.assert_allclose(hand.joints, sent.joints, atol=1e-12)
            np.testing.assert_allclose(hand.verts, sent.verts, atol=1e-6)
            np.testing.assert_allclose(hand.vel, sent.vel, atol=1e-12)


def test_times_that_cannot_be_are_refused(wave, tmp_path: Path):
    path = tmp_path / "a.hsr"
    with SessionWriter(path) as file:
        file.write(Recorded(0, HELLO))
        file.write(Recorded(0, encode_frame(replace(wave[0], t_publish_ns=-5))))
    with pytest.raises(StreamError, match="cannot be"):
        open_session(path)
    for speed in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="speed"):
            ReplayClock(0, speed)


def test_the_usage_names_every_command(capsys):
    assert main(["--help"]) == 0
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == err
    for name in ("conformance", "record", "replay", "vmc"):
        assert name in out
