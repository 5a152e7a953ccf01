"""The live window on a screen of its own, with a hand on its keyboard: Xvfb and xdotool."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import numpy as np
import pytest

from tracker.view.live_surface import fitted_box
from tracker.view.live_window import _window_size

PROGRAM = Path(__file__).with_name("live_window_program.py")
REPOSITORY = Path(__file__).resolve().parents[2]
SCREEN = (900, 700)
WAIT_S = 60.0


@pytest.fixture(scope="module")
def display() -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """A screen that nobody sees; its name and its server."""
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool: apt-get install -y xvfb xdotool")
    reading, writing = os.pipe()
    size = f"{SCREEN[0]}x{SCREEN[1]}x24"
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", size, "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        name = f":{number.readline().strip()}"
    yield name, server
    server.terminate()
    server.wait(10)


class Window:
    """The program with its window; what it prints is read as it comes."""

    def __init__(self, display: str, picture: Path, title: str = "software") -> None:
        self.picture = picture
        self._title = title
        self._display = display
        environment = {**os.environ, "DISPLAY": display, "PYTHONPATH": str(REPOSITORY)}
        environment.pop("PYOPENGL_PLATFORM", None)
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(picture), title],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._lines: Queue[dict[str, Any]] = Queue()
        Thread(target=self._read, daemon=True).start()
        self.state: dict[str, Any] = {}
        self.size: list[int] = []

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put({"ended": True})

    def next(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=WAIT_S)
        except Empty:
            line = {"ended": True}
        if "ended" in line:
            self.process.kill()
            raise AssertionError(f"no answer; it said {self.process.communicate()[1]}")
        self.state, self.size = line.get("state", self.state), line.get("size", self.size)
        return line

    def hand(self, *words: str) -> None:
        """Let xdotool press keys or move the mouse."""
        environment = {**os.environ, "DISPLAY": self._display}
        subprocess.run(["xdotool", *words], env=environment, check=True, timeout=WAIT_S)

    def find(self) -> str:
        """Return xdotool's number for the window."""
        command = ["xdotool", "search", "--name", f"^{self._title}$"]
        environment = {**os.environ, "DISPLAY": self._display}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return found.stdout.split()[0]

    def press(self, key: str) -> dict[str, Any]:
        self.hand("key", key)
        return self.next()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        assert self.process.stdout
        assert self.process.stderr
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture(scope="module")
def window(display: tuple[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Window]:
    """One window for all tests: it takes seconds to start. Each test leaves the stage switched off."""
    opened = Window(display[0], tmp_path_factory.mktemp("live") / "shown.npy")
    first = opened.next()
    assert "state" in first, first
    opened.hand("mousemove", "60", "60")  # without a window manager keys go to what is under it
    yield opened
    opened.close()


GRAB = """
import sys, av, numpy
with av.open(sys.argv[1], format="x11grab", options={"draw_mouse": "0"}) as screen:
    numpy.save(sys.argv[2], next(screen.decode(video=0)).to_ndarray(format="rgb24"))
"""


def grab(display: str, folder: Path) -> np.ndarray:
    """Photograph the screen, in a process without OpenCV, whose X libraries FFmpeg cannot bear."""
    file = folder / "screen.npy"
    subprocess.run([sys.executable, "-c", GRAB, display, str(file)], check=True, timeout=WAIT_S)
    return np.load(file)


def test_every_key_is_answered(window: Window):
    for key, field in (("b", "skeleton"), ("v", "mirror"), ("o", "stage"), ("Tab", "stage")):
        before = window.state[field]
        assert window.press(key)["state"][field] is not before
    for key, surface in (("w", "wireframe"), ("m", "mesh"), ("m", "none"), ("m", "mesh")):
        assert window.press(key)["state"]["surface"] == surface
    for key, field in (("t", "texture"), ("i", "hud"), ("h", "help"), ("F1", "help")):
        before = window.state[field]
        assert window.press(key)["state"][field] is not before
    commands = {"space": "pause", "r": "record", "s": "screenshot", "c": "calibrate"}
    for key, command in commands.items():
        assert window.press(key) == {"command": command}


def test_what_is_painted_is_on_the_screen_and_the_mouse_walks_around_it(
    display: tuple[str, Any], window: Window, tmp_path: Path
):
    window.press("s")
    shown = np.load(window.picture)
    height, width = shown.shape[:2]
    left, top, right, bottom = fitted_box((height, width), (window.size[1], window.size[0]))
    screen = grab(display[0], tmp_path)[: window.size[1], : window.size[0]]
    part = screen[top:bottom, left:right]
    if part.shape == shown.shape:
        assert np.abs(part.astype(int) - shown).max() <= 1
    assert np.abs(part.astype(int).mean((0, 1)) - shown.mean((0, 1))).max() < 2
    window.press("o")
    window.hand("mousedown", "1", "mousemove_relative", "80", "30", "mouseup", "1")
    while window.state["orbit"]["yaw_deg"] == 0:
        window.next()
    assert window.state["orbit"]["yaw_deg"] < 0
    window.hand("click", "4")
    while window.state["orbit"]["zoom"] <= 1:
        window.next()
    assert window.press("0")["state"]["orbit"]["zoom"] == 1
    assert not window.press("o")["state"]["stage"]


def test_pyrender_draws_the_same_hands_in_the_windows_own_opengl(
    display: tuple[str, Any], window: Window, tmp_path: Path
):
    """What is used on graphics cards, here on the processor: slower, and the same picture."""
    pictures: list[np.ndarray] = []
    card = Window(display[0], tmp_path / "shown.npy", "pyrender")
    try:
        drawn_by = card.next()["drawn_by"]
        for key, field in (("b", "skeleton"), ("v", "mirror"), ("t", "texture"), ("i", "hud")):
            if window.state[field] != card.state[field]:
                window.hand("key", "--window", window.find(), key)
                window.next()
        for one in (window, card):
            one.hand("key", "--window", one.find(), "s")
            assert one.next() == {"command": "screenshot"}
            pictures.append(np.load(one.picture).astype(int))
    finally:
        card.close()
    assert drawn_by == "pyrender-window"
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5


def test_a_resized_window_keeps_the_shape_of_the_picture(
    display: tuple[str, Any], window: Window, tmp_path: Path
):
    window.hand("windowsize", window.find(), "400", "600")
    while window.size != [400, 600]:
        window.next()
    time.sleep(0.3)  # until it was drawn
    screen = grab(display[0], tmp_path)[:600, :400]
    bars = np.flatnonzero((screen == 0).all((1, 2)))
    height = 600 - len(bars)
    window.press("s")
    shown = np.load(window.picture)
    assert abs(height - 400 * shown.shape[0] / shown.shape[1]) <= 2
    assert {0, 599} <= set(bars.tolist())


def test_quitting_closes_the_window_and_the_program(window: Window):
    assert window.press("Escape") == {"command": "quit"}
    assert window.next() == {"closed": True}
    assert window.process.wait(10) == 0


def test_a_screen_that_goes_away_ends_in_a_hint(tmp_path: Path):
    if not (shutil.which("Xvfb") and shutil.which("xdotool")):
        pytest.skip("needs Xvfb and xdotool: apt-get install -y xvfb xdotool")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as number:
        opened = Window(f":{number.readline().strip()}", tmp_path / "shown.npy")
    opened.next()
    server.kill()
    server.wait(10)
    assert opened.process.stderr
    said = opened.process.stderr.readline()
    assert "going on without a view" in said
    assert "--view none" in said
    assert opened.process.poll() is None
    opened.process.send_signal(signal.SIGKILL)
    opened.close()


@pytest.mark.parametrize(
    ("picture", "window_hw", "box"),
    [
        ((720, 1280), (720, 1280), (0, 0, 1280, 720)),
        ((720, 1280), (900, 1280), (0, 90, 1280, 810)),
        ((720, 1280), (360, 1280), (320, 0, 960, 360)),
        ((3, 4), (300, 100), (0, 112, 100, 187)),
    ],
)
def test_pictures_fit_into_any_window(picture, window_hw, box):
    assert fitted_box(picture, window_hw) == box


@pytest.mark.parametrize("hw", [(720, 1280), (2160, 3840), (1920, 1080), (240, 320), (16, 4000)])
def test_a_new_window_has_the_shape_of_its_pictures_and_fits_the_screen(hw):
    width, height = _window_size(hw)
    assert width <= 1280
    assert height <= 900
    if min(hw) > 100:
        assert width / height == pytest.approx(hw[1] / hw[0], rel=0.01)
