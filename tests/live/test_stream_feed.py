"""Network streams from a server of our own on loopback: whole, torn, stalled, growing, ended."""

import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tracker.errors import SourceError
from tracker.live import stream_feed
from tracker.live.feeds import FeedEnded
from tracker.live.records import Picture
from tracker.live.stream_feed import (
    StreamFeed,
    is_screen,
    is_stream,
    open_screen,
    open_stream,
    without_password,
)

HEADER = "HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n"
ServeBytes = Callable[..., str]


def transport_stream(
    count: int, hw: tuple[int, int] = (48, 64), first: int = 0, codec: str = "mpeg2video"
) -> bytes:
    """Frames of growing brightness as an MPEG transport stream, all of them key frames."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream(codec, rate=25, options={"g": "1"})
        stream.height, stream.width, stream.pix_fmt = hw[0], hw[1], "yuv420p"
        for n in range(first, first + count):
            rgb = np.full((*hw, 3), 10 * n % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture
def serve() -> Iterator[ServeBytes]:
    """Send bytes to whoever connects, then hang up, or stay silent until the test ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(data: bytes, *, hang_up: bool) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            length = f"Content-Length: {len(data)}\r\n" if hang_up else ""
            connection.sendall(f"{HEADER}{length}\r\n".encode() + data)
            if not hang_up:
                over.wait(30)

    def begin(data: bytes, *, hang_up: bool = True) -> str:
        thread = threading.Thread(target=answer, args=(data,), kwargs={"hang_up": hang_up})
        threads.append(thread)
        thread.start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/live"

    yield begin
    over.set()
    for thread in threads:
        thread.join(5)
    listener.close()


def all_of(feed: StreamFeed) -> list[Picture]:
    pictures: list[Picture] = []
    try:
        while True:
            picture = feed.read()
            pictures += [] if picture is None else [picture]
    except FeedEnded:
        feed.close()
        return pictures


def test_pictures_arrive_with_their_time_to_the_last(serve: ServeBytes) -> None:
    """Those that came while the stream was looked at are old by then, and thrown away."""
    before_s = time.monotonic()
    feed = open_stream(serve(transport_stream(60)))
    pictures = all_of(feed)
    assert (feed.info.name, feed.info.hw, feed.info.is_live) == ("127_0_0_1", (48, 64), True)
    assert len(pictures) > 20
    brightness = [p.rgb.mean() for p in pictures]
    sent = [10 * n % 250 for n in range(60)]
    np.testing.assert_allclose(brightness, sent[-len(pictures) :], atol=8)
    times = [p.captured_s for p in pictures]
    assert before_s < times[0] <= times[-1] <= time.monotonic()
    assert times == sorted(times)


def test_a_size_may_change_in_mid_stream(serve: ServeBytes) -> None:
    data = transport_stream(40) + transport_stream(20, (96, 128), first=40)
    shapes = [p.rgb.shape[:2] for p in all_of(open_stream(serve(data)))]
    assert shapes[0] == (48, 64)
    assert shapes[-1] == (96, 128)


def test_damaged_parts_are_left_out(serve: ServeBytes, rng: np.random.Generator) -> None:
    data = bytearray(transport_stream(60))
    middle = slice(len(data) // 3, len(data) // 2)
    data[middle] = rng.integers(0, 256, middle.stop - middle.start, np.uint8).tobytes()
    pictures = all_of(open_stream(serve(bytes(data))))
    assert 20 < len(pictures) < 60


def test_a_stalled_stream_is_gone_after_its_time(
    serve: ServeBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "READ_TIMEOUT_S", 0.5)
    feed = open_stream(serve(transport_stream(20), hang_up=False))
    began_s = time.monotonic()
    with pytest.raises(SourceError, match="has gone away"):
        all_of(feed)
    assert 0.4 < time.monotonic() - began_s < 3.0
    feed.close()
    feed.close()


def test_what_is_no_video_is_refused(serve: ServeBytes) -> None:
    with pytest.raises(SourceError, match="cannot be opened"):
        open_stream(serve(b"<html>this is a page</html>" * 100))


def test_nobody_there_is_said_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    address = f"rtsp://me:secret@127.0.0.1:{port}/cam"
    with pytest.raises(SourceError, match=f"rtsp://127.0.0.1:{port}/cam cannot be opened") as told:
        open_stream(address)
    assert "secret" not in str(told.value)


def test_a_playlist_cannot_make_us_read_files(serve: ServeBytes, tmp_path: Path) -> None:
    clip = tmp_path / "private.ts"
    clip.write_bytes(transport_stream(30))
    playlist = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nfile://{clip}\n#EXT-X-ENDLIST\n"
    ).encode()
    with pytest.raises(SourceError):
        open_stream(serve(playlist))


@pytest.mark.parametrize(
    ("text", "stream", "screen"),
    [
        ("rtsp://host/1", True, False),
        ("HTTP://host", True, False),
        ("udp://0.0.0.0:5000", True, False),
        ("file:///etc/passwd", False, False),
        ("screen", False, True),
        ("screen:640x480+1+2", False, True),
        ("clip.mp4", False, False),
    ],
)
def test_names(text: str, stream: bool, screen: bool) -> None:
    assert (is_stream(text), is_screen(text)) == (stream, screen)


def test_passwords_are_cut_out() -> None:
    assert without_password("rtsp://a:b@host:554/x@y") == "rtsp://host:554/x@y"
    assert without_password("http://host/p?q=a@b") == "http://host/p?q=a@b"


def test_a_screen_needs_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(SourceError, match="only under X11"):
        open_screen("screen")
    with pytest.raises(SourceError, match="write it like screen:1280x720"):
        open_screen("screen:wide")


SCREEN_PROGRAM = """
import av
from tracker.live.stream_feed import open_screen
feed = open_screen("screen:320x200+8+4", fps=30)
for _ in range(5):
    picture = feed.read()
feed.close()
print(feed.info.hw, picture.rgb.shape, picture.rgb.max())
"""


@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_part_of_the_screen(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as told:
            display = f":{told.readline().strip()}"
        # In a process of its own, where OpenCV is not loaded before PyAV.
        done = subprocess.run(
            [sys.executable, "-c", SCREEN_PROGRAM],
            env={**os.environ, "DISPLAY": display},
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.terminate()
        server.wait()
    assert done.stdout == "(200, 320) (200, 320, 3) 0\n", done.stderr


def test_libraries_loaded_in_the_wrong_order_are_refused_not_crashed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(stream_feed.sys, "platform", "linux")
    loaded = {"cv2": cv2_stand_in, "av": av}
    monkeypatch.setattr(stream_feed.sys, "modules", loaded)
    with pytest.raises(SourceError, match="write `import av` first"):
        open_screen("screen")


cv2_stand_in = object()
