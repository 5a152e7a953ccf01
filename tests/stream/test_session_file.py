"""Session files: every byte comes back, in time, whatever the end of the file looks like."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.stream_lines import wait_until
from tracker.stream import Subscription
from tracker.stream.errors import ProtocolError
from tracker.stream.protocol import BINARY, JSON
from tracker.stream.session_file import (
    Recorded,
    SessionWriter,
    read_frames,
    read_session,
    replay_session,
)
from tracker.stream.session_recorder import record_session

messages = st.lists(
    st.builds(Recorded, st.integers(0, 2**62), st.text(max_size=30) | st.binary(max_size=30))
)


def write(path: Path, session: list[Recorded]) -> bytes:
    with SessionWriter(path) as file:
        for recorded in session:
            file.write(recorded)
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions") / "a.hsr"


@given(session=messages)
def test_what_is_written_is_read(path: Path, session: list[Recorded]):
    content = write(path, session)
    assert list(read_session(path)) == session
    assert write(path, list(read_session(path))) == content


@given(session=messages.filter(len), cut=st.integers(1, 200))
def test_a_cut_file_gives_what_is_whole(path: Path, session: list[Recorded], cut: int):
    content = write(path, session)
    path.write_bytes(content[: max(4, len(content) - cut)])
    found = list(read_session(path))
    assert found == session[: len(found)]
    assert len(found) < len(session)


def test_other_files_are_refused(path: Path):
    path.write_bytes(b"RIFF")
    with pytest.raises(ProtocolError, match="no session file"):
        list(read_session(path))
    path.write_bytes(b"HSR1" + b"\7" * 16)
    with pytest.raises(ProtocolError, match="damaged"):
        list(read_session(path))


def test_text_that_is_none_is_refused(path: Path):
    content = write(path, [Recorded(0, "abcd")])
    path.write_bytes(content.replace(b"abcd", b"\xff\xff\xff\xff"))
    with pytest.raises(ProtocolError, match="no text"):
        list(read_session(path))


@pytest.mark.parametrize("encoding", [BINARY, JSON])
def test_a_live_stream_is_recorded_byte_for_byte(
    server, camera, make_hand_in_view, tmp_path: Path, encoding: str
):
    """A second replay is the first one, and its frames are what was published."""
    hand, path = make_hand_in_view(0), tmp_path / "live.hsr"
    wanted = Subscription(parts=("joints", "kp3d", "verts"), frame="camera_cv")
    options = {"subscription": wanted, "encoding": encoding}
    thread = threading.Thread(target=record_session, args=(server.url, path, 0.6), kwargs=options)
    thread.start()
    wait_until(lambda: server.clients == 1)
    for index in range(20):
        server.publish([hand], camera, time.monotonic_ns(), index)
        time.sleep(0.01)
    thread.join()
    again = tmp_path / "again.hsr"
    replayed = list(replay_session(path, speed=1000.0))
    assert write(again, replayed) == path.read_bytes()
    frames = list(read_frames(path))
    assert len(frames) >= 10
    assert frames == sorted(frames, key=lambda frame: frame.seq)
    for frame in frames:
        assert frame.hands[0].axes == "camera_cv"
        np.testing.assert_allclose(frame.hands[0].kp3d, hand.joints, atol=1e-5)


def test_replay_keeps_the_time(path: Path):
    write(path, [Recorded(0, "a"), Recorded(400_000_000, b"b")])
    start = time.perf_counter()
    assert [r.message for r in replay_session(path, speed=4.0)] == ["a", b"b"]
    assert 0.1 <= time.perf_counter() - start < 0.4
    with pytest.raises(ValueError, match="speed"):
        next(replay_session(path, speed=0.0))
