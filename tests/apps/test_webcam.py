"""The live program on clips and stand-ins: what it shows, streams and records, and how it ends."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import apps.webcam
import apps.webcam_person
from apps.webcam_arguments import parse_arguments
from apps.webcam_source import LiveSource, open_live_source
from tests.apps.conftest import DEMO, FPS, Run, shared_tracker
from tests.live.live_fakes import ScriptedFeed, gone
from tracker.export.npz import read_npz
from tracker.live.feeds import Feed, FeedInfo
from tracker.live.records import Picture
from tracker.live.sources import open_source
from tracker.stream import HandStreamClient
from tracker.view.live_view import Command, LivePicture
from tracker.vision.hand_tracker import HandTracker

QUICK = ("--view", "none", "--as-fast-as-possible")
PATIENCE_S = 20.0


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No calibration of the person who runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith(("handloom", "drawing"))]
    assert left == []


@pytest.fixture
def webcam(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Run]:
    """Run the program with the given words as its command line."""
    monkeypatch.setattr(apps.webcam_person, "HandTracker", shared_tracker)

    def call(*words: object) -> Run:
        limit = [] if "--seconds" in words else ["--seconds", "25"]
        arguments = parse_arguments([str(word) for word in (*words, *limit)])
        code = apps.webcam.webcam(arguments.options, calibrating=arguments.command == "calibrate")
        return Run(code, capsys.readouterr().err)

    return call


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class FakeView:
    """Shows nothing, remembers everything, and presses keys when a number of pictures was shown."""

    def __init__(self, keys: dict[int, Command] | None = None) -> None:
        self.pictures: list[LivePicture] = []
        self.closed = 0
        self._keys = dict(keys or {})

    def show(self, picture: LivePicture) -> None:
        self.pictures.append(picture)

    def commands(self) -> list[Command]:
        due = [n for n in self._keys if n <= len(self.pictures)]
        return [self._keys.pop(n) for n in sorted(due)]

    def shown(self) -> np.ndarray | None:
        return np.full((10, 20, 3), 77, np.uint8) if self.pictures else None

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def looking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeView]:
    def open_view(keys: dict[int, Command] | None = None) -> FakeView:
        view = FakeView(keys)
        monkeypatch.setattr(apps.webcam, "open_view", lambda *args, **kwargs: view)
        return view

    return open_view


def only(folder: Path) -> Path:
    (inside,) = folder.iterdir()
    return inside


# What comes out -----------------------------------------------------------------------------------


def test_a_clip_is_recorded_whole(webcam: Callable[..., Run], clip: Path, tmp_path: Path) -> None:
    done = webcam("--source", clip, *QUICK, "--record", tmp_path / "out", "--export", "npz,csv")
    assert done.code == 0, done.said
    folder = only(tmp_path / "out")
    assert folder.name.startswith("hands_")
    assert {p.name for p in folder.iterdir()} == {
        *("overlay.mp4", "contact_sheet.png", "hands.npz", "joints.csv", "summary.json"),
    }
    hands = read_npz(folder / "hands.npz")
    assert sorted(set(hands.frame)) == list(range(12))
    assert set(hands.side) == {"left", "right"}
    frames = list(open_source(folder / "overlay.mp4"))
    assert len(frames) == 12
    plain = [frame.rgb for frame in open_source(clip)]
    assert np.abs(frames[6].rgb.astype(int) - plain[6]).max() > 60  # something was drawn
    assert "recorded 12 frames" in done.said


def test_what_is_shown_is_measured(
    webcam: Callable[..., Run], looking: Callable[..., FakeView], clip: Path
) -> None:
    view = looking({25: Command.QUIT})
    done = webcam("--source", clip, "--loop", "--steadiness", "steady")
    assert (done.code, view.closed) == (0, 1)
    last = view.pictures[-1]
    text = "\n".join(last.hud.lines)
    for words in (
        *(" fps", "dropped", "capture to screen", "capture to publish", "ms: wait"),
        *("landmarks", "fit", "tracked", "camera assumed (60 degrees)", "hand size assumed"),
        "| steady",
    ):
        assert words in text
    assert last.camera.hw == last.frame.rgb.shape[:2]
    assert last.hands


def test_hands_are_streamed(
    webcam: Callable[..., Run], clip: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list = []

    def listen() -> None:
        with HandStreamClient(f"ws://127.0.0.1:{port}/v1/stream") as client:
            for frame in client:
                frames.append(frame)
                if len(frames) >= 10:
                    return

    listener = threading.Thread(target=listen)
    listener.start()
    done = webcam(
        *("--source", clip, "--loop", "--view", "none", "--serve", port, "--seconds", 3),
        *("--hand-length-mm", 188),
    )
    listener.join(PATIENCE_S)
    assert done.code == 0, done.said
    assert f"http://127.0.0.1:{port}" in done.said
    assert len(frames) == 10
    assert any(frame.right for frame in frames)
    for frame in frames:
        assert 0 <= frame.t_publish_ns - frame.t_capture_ns < 2e9
    with socket.create_server(("127.0.0.1", port)):
        pass  # the port is free again


# Keys ---------------------------------------------------------------------------------------------


def test_keys_record_and_take_pictures(
    webcam: Callable[..., Run], looking: Callable[..., FakeView], clip: Path, tmp_path: Path
) -> None:
    keys = {2: Command.RECORD, 5: Command.SCREENSHOT, 6: Command.PAUSE, 9: Command.PAUSE}
    view = looking({**keys, 14: Command.RECORD, 18: Command.QUIT})
    done = webcam("--source", clip, "--loop", "--out", tmp_path / "out", "--export", "npz")
    assert done.code == 0, done.said
    notices = [picture.hud.notice or "" for picture in view.pictures]
    assert any("recording" in notice for notice in notices)
    assert any("paused" in notice for notice in notices)
    paused = [p.frame.index for p, n in zip(view.pictures, notices, strict=True) if "paused" in n]
    assert len(set(paused)) == 1
    (shot,) = (tmp_path / "out").glob("screenshot_*.png")
    assert np.asarray(Image.open(shot)).tolist() == np.full((10, 20, 3), 77).tolist()
    (recording,) = (p for p in (tmp_path / "out").iterdir() if p.is_dir())
    assert len(read_npz(recording / "hands.npz").frame) > 0


def test_calibration_begins_and_is_given_up(
    webcam: Callable[..., Run], looking: Callable[..., FakeView], clip: Path
) -> None:
    view = looking({3: Command.CALIBRATE, 8: Command.CALIBRATE, 12: Command.QUIT})
    done = webcam("--source", clip, "--loop")
    notices = [picture.hud.notice or "" for picture in view.pictures]
    assert any(notice.startswith("calibrating") for notice in notices)
    assert "calibration given up" in done.said


# Faults -------------------------------------------------------------------------------------------


class Camera:
    """A camera that shows the demo's hands, and can be unplugged."""

    def __init__(self, pictures: list[np.ndarray]) -> None:
        self.plugged_in = True
        self._pictures, self._count = pictures, 0

    def open(self) -> Feed:
        if not self.plugged_in:
            raise gone()
        info = FeedInfo("camera_0", self._pictures[0].shape[:2], FPS)
        return ScriptedFeed([self._next] * 10_000, info)

    def _next(self) -> Picture:
        time.sleep(1 / FPS)
        if not self.plugged_in:
            raise gone()
        self._count += 1
        return Picture(self._pictures[self._count % len(self._pictures)], time.monotonic())


def test_an_unplugged_camera_is_waited_for(
    webcam: Callable[..., Run],
    looking: Callable[..., FakeView],
    pictures: list[np.ndarray],
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    camera = Camera(pictures)
    source = LiveSource(camera.open(), camera.open)
    monkeypatch.setattr(apps.webcam, "open_live_source", lambda *args, **kwargs: source)
    view = looking()
    states: list[str] = []
    ids: list[set[int]] = []

    def play() -> None:
        with HandStreamClient(f"ws://127.0.0.1:{port}/v1/stream") as client:
            for wanted, plugged_in in (("ok", True), ("lost", False), ("ok", True)):
                camera.plugged_in = plugged_in
                deadline_s = time.monotonic() + PATIENCE_S
                seen: set[int] = set()
                while time.monotonic() < deadline_s:
                    frame = client.next_frame(PATIENCE_S)
                    seen |= {hand.id for hand in frame.hands if hand.state == "tracked"}
                    status = client.status or {}
                    if status.get("camera") == wanted and (seen if plugged_in else not frame.hands):
                        break
                states.append(str((client.status or {}).get("camera")))
                ids.append(seen)
        view._keys = {0: Command.QUIT}

    player = threading.Thread(target=play)
    player.start()
    done = webcam("--serve", port)
    player.join(PATIENCE_S)
    assert done.code == 0, done.said
    assert states == ["ok", "lost", "ok"]
    assert not ids[0] & ids[2]  # after the loss they are other hands
    lost = [p for p in view.pictures if (p.hud.notice or "").startswith("camera: lost")]
    assert lost
    assert all(not picture.hands for picture in lost)
    assert "gone away" in (lost[-1].hud.notice or "")


def test_a_fault_of_the_tracker_finishes_the_recording(
    webcam: Callable[..., Run],
    clip: Path,
    tmp_path: Path,
    port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    track, calls = HandTracker.__call__, iter(range(1000))

    def faulty(self: HandTracker, frame: object) -> list:
        if next(calls) == 8:
            raise ZeroDivisionError("a fault of the program")
        return track(self, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(HandTracker, "__call__", faulty)
    with pytest.raises(ZeroDivisionError, match="a fault of the program"):
        webcam(*("--source", clip, *QUICK, "--serve", port), *("--record", tmp_path / "out"))
    folder = only(tmp_path / "out")
    assert len(set(read_npz(folder / "hands.npz").frame)) == 7  # the first call made it ready
    assert len(list(open_source(folder / "overlay.mp4"))) == 7
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_no_camera_is_said_in_one_line(webcam: Callable[..., Run]) -> None:
    done = webcam("--source", "99", "--view", "none")
    assert done.code == apps.webcam.BAD_INPUT
    (line,) = done.lines
    assert line.startswith("error: camera 99 cannot be opened")
    assert "--source demo" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--source", "nothing.mp4"), "nothing.mp4 does not exist"),
        (("--source", "screen:big"), "write it like screen:1280x720"),
        (("--size", "huge"), "--size is written like 1280x720, found huge"),
        (("--rate", "0"), "--rate must lie between 1 and 1000"),
        (("--threads", "0"), "--threads must lie between 1 and 64"),
        (("--max-hands", "0"), "--max-hands must lie between 1 and 16"),
        (("--export", "fbx"), "unknown export format fbx"),
        (("--serve", "70000"), "--serve must lie between 0 and 65535"),
        (("--fov", "400"), "--fov must lie between 5 and 160"),
        (("--seconds", "-1"), "--seconds must be positive"),
    ],
)
def test_what_cannot_be_meant_is_said(
    webcam: Callable[..., Run], words: tuple[str, ...], said: str
) -> None:
    done = webcam("--view", "none", *words)
    assert done.code == apps.webcam.BAD_INPUT
    assert said in done.said
    assert len(done.lines) == 1


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for words in ("--source demo", "rtsp://", "doctor", "calibrate", "Ctrl-C", "--steadiness"):
        assert words in said


def test_names_of_sources(tmp_path: Path) -> None:
    options = parse_arguments(["--source", "demo"]).options.source
    demo = open_live_source(options)
    assert (demo.feed.info.name, demo.reopen) == ("demo", None)
    assert demo.feed.read() is not None
    demo.feed.close()
    assert DEMO.is_file()
