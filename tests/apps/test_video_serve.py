"""`--serve`: hands of a clip reach clients while it is tracked, at the clip's own pace."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

import apps.serving
import apps.video_to_mesh
from apps.clip_arguments import parse_arguments
from apps.clip_options import HandOptions
from apps.clip_stream import ClipStream
from tests.apps.conftest import DEMO, Run
from tracker.export.npz import read_npz
from tracker.export.video import video_writer
from tracker.geometry.camera import Camera
from tracker.live.sources import open_source
from tracker.stream import HandStreamClient, StreamFrame, StreamServer
from tracker.stream.openxr import CAMERA_TO_OPENXR
from tracker.vision.records import Frame

COUNT, FPS = 20, 12.0
PATIENCE_S = 20.0
WRIST = 1
QUICK = ("--no-overlay", "--export", "npz")


class PatientServer(StreamServer):
    """Waits for its first client before the clip begins, so that no frame is missed."""

    def __enter__(self) -> "PatientServer":
        super().__enter__()
        deadline = time.monotonic() + PATIENCE_S
        while not self.clients:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return self


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's first frames, slow enough for every client."""
    path = tmp_path_factory.mktemp("clips") / "beginning.mp4"
    with video_writer(path, FPS) as writer:
        for n, frame in enumerate(islice(open_source(DEMO), COUNT)):
            writer.add(np.ascontiguousarray(frame.rgb[::2, ::2]), n / FPS)
    return path


@pytest.fixture
def listen(port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[StreamFrame]]]:
    """Collect, from now on, what a client receives; ask for it when the program is done."""
    monkeypatch.setattr(apps.serving, "StreamServer", PatientServer)
    frames: list[StreamFrame] = []
    client = HandStreamClient(f"ws://127.0.0.1:{port}/v1/stream")
    client.start()
    collecting = threading.Thread(target=lambda: frames.extend(client))
    collecting.start()

    def received() -> list[StreamFrame]:
        client.close()
        collecting.join()
        return frames

    yield received
    received()


def test_a_client_receives_the_hands_of_the_demo(
    beginning: Path, tmp_path: Path, run: Callable[..., Run], port: int, listen
):
    done = run(beginning, "--out", tmp_path, *QUICK, "--serve", port)
    frames = listen()
    assert done.code == 0, done.said
    assert f"http://127.0.0.1:{port}" in done.said
    assert [frame.frame for frame in frames] == list(range(COUNT))
    written = read_npz(tmp_path / "beginning" / "hands.npz")
    assert len(written.frame) == COUNT  # the demo begins with one hand
    for frame, side, joints in zip(written.frame, written.side, written.joints, strict=True):
        hand = frames[frame].hand(side)
        assert hand is not None
        in_openxr = joints[0] * CAMERA_TO_OPENXR
        np.testing.assert_allclose(hand.positions[WRIST], in_openxr, atol=1e-5)
    assert all(len(frame.hands) == 1 for frame in frames)
    steps = [(b.t_capture_ns - a.t_capture_ns) / 1e9 for a, b in pairwise(frames)]
    assert min(steps) > 0.999 / FPS


def test_frames_without_hands_are_sent_too(
    dark_clip: Path, tmp_path: Path, run: Callable[..., Run], port: int, listen
):
    assert run(dark_clip, "--out", tmp_path, *QUICK, "--serve", port).code == 0
    frames = listen()
    assert frames
    assert not any(frame.hands for frame in frames)


def test_a_port_in_use_is_one_line(clip: Path, tmp_path: Path, run: Callable[..., Run], port: int):
    with StreamServer(port=port):
        done = run(clip, "--out", tmp_path, *QUICK, "--serve", port)
    assert done.code == apps.video_to_mesh.BAD_INPUT
    assert done.lines[-1].startswith(f"error: cannot listen on 127.0.0.1:{port}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "port"),
    [(["a.mp4"], None), (["a.mp4", "--serve"], 4263), (["a.mp4", "--serve", "5000"], 5000)],
)
def test_the_port_may_be_left_out(words: list[str], port: int | None):
    arguments = parse_arguments(words)
    assert arguments.clips == (Path("a.mp4"),)
    assert arguments.options.output.serve == port


def test_a_clip_is_not_taken_for_a_port(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--serve", "a.mp4"])
    assert caught.value.code == 2
    assert "name the clips before --serve" in capsys.readouterr().err


def test_a_port_that_cannot_be_is_refused(tmp_path: Path, run: Callable[..., Run]):
    done = run("a.mp4", "--out", tmp_path, "--serve", "65536")
    assert done.code == apps.video_to_mesh.BAD_INPUT
    assert "--serve must lie between 0 and 65535" in done.said


def test_clients_are_told_what_was_chosen():
    facts = HandOptions(hand_length_mm=180.0, smooth=False).stream_facts
    assert (facts.scale_source, facts.filter) == ("calibrated", {"name": "none"})
    facts = HandOptions().stream_facts
    assert (facts.scale_source, facts.filter) == ("assumed", {"name": "one_euro"})


class Recorder:
    """Stands for a server and notes the times of capture."""

    def __init__(self) -> None:
        self.times_s: list[float] = []

    def report(self, **_: object) -> None:
        pass

    def publish(self, hands: object, camera: object, t_capture_ns: int, frame_index: int) -> None:
        self.times_s.append(t_capture_ns / 1e9)


def test_slow_tracking_holds_the_clock_of_the_clip():
    recorder, camera = Recorder(), Camera.from_fov((4, 4), 60.0)
    stream = ClipStream(recorder)  # type: ignore[arg-type]
    for index, busy_s in enumerate((0.0, 0.12, 0.0, 0.0)):
        frame = Frame(np.zeros((4, 4, 3), np.uint8), index=index, timestamp_s=index * 0.03)
        stream.await_capture(frame)
        time.sleep(busy_s)
        stream.publish(frame, camera, [])
    steps = np.diff(recorder.times_s)
    assert steps[1] >= 0.12
    assert (steps >= 0.0299).all()
