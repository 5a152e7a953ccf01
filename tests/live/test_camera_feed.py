"""A webcam, played by a stand-in for OpenCV's: what is asked of it, and all the ways it fails."""

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from tests.live.live_fakes import FakeClock
from tracker.errors import SourceError
from tracker.live import camera_feed
from tracker.live.camera_feed import CameraFeed, CameraWish, is_camera, jpeg_hw

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
YUYV = cv2.VideoWriter.fourcc(*"YUYV")


def jpeg(hw: tuple[int, int] = (48, 64), red: int = 200) -> np.ndarray:
    """A compressed picture of one colour, as a webcam gives it."""
    bgr = np.zeros((*hw, 3), np.uint8)
    bgr[..., 2] = red
    return cv2.imencode(".jpg", bgr)[1].reshape(1, -1)


class StandIn:
    """Takes `cv2.VideoCapture`'s place; `None` in its script is a read that fails."""

    def __init__(self, script: list[Any], clock: FakeClock, fourcc: int = MJPG) -> None:
        self.script: Iterator[Any] = iter(script)
        self.set_to: dict[int, float] = {}
        self.fourcc, self.clock = fourcc, clock
        self.opened, self.released = True, 0
        self.age_s = 0.02
        self._now: Any = None

    def isOpened(self) -> bool:
        return self.opened

    def set(self, name: int, value: float) -> bool:
        self.set_to[name] = value
        return True

    def get(self, name: int) -> float:
        if name == cv2.CAP_PROP_FOURCC:
            return float(self.fourcc)
        if name == cv2.CAP_PROP_POS_MSEC:
            return 1000 * (self.clock.now_s - self.age_s)
        return self.set_to.get(name, 0.0)

    def grab(self) -> bool:
        self.clock.sleep(1 / 30)
        self._now = next(self.script, None)
        return self._now is not None

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, self._now

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[StandIn, FakeClock]]:
    def plug(script: list[Any], fourcc: int = MJPG) -> tuple[StandIn, FakeClock]:
        clock = FakeClock()
        stand_in = StandIn(script, clock, fourcc)
        monkeypatch.setattr(camera_feed.cv2, "VideoCapture", lambda *_: stand_in)
        monkeypatch.setattr(camera_feed.sys, "platform", "linux")
        return stand_in, clock

    return plug


def test_what_is_asked_of_a_camera(plug_in: Callable) -> None:
    stand_in, clock = plug_in([jpeg()] * 3)
    feed = CameraFeed("0", CameraWish((720, 1280), 60.0), clock=clock)
    assert stand_in.set_to == {
        cv2.CAP_PROP_FOURCC: MJPG,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FPS: 60.0,
        cv2.CAP_PROP_BUFFERSIZE: 1,
        cv2.CAP_PROP_CONVERT_RGB: 0,
    }
    assert (feed.info.name, feed.info.hw, feed.info.fps) == ("camera_0", (48, 64), 60.0)


def test_colours_are_rgb_and_the_time_is_the_drivers(plug_in: Callable) -> None:
    _, clock = plug_in([jpeg(red=200)] * 2)
    feed = CameraFeed("0", clock=clock)
    picture = feed.read()
    assert picture is not None
    np.testing.assert_allclose(picture.rgb.mean((0, 1)), [200, 0, 0], atol=3)
    assert picture.captured_s == pytest.approx(clock.now_s - 0.02)
    assert feed.info.timing == "driver"


@pytest.mark.parametrize("age_s", [50_000.0, -5.0])
def test_a_time_of_another_clock_is_not_believed(plug_in: Callable, age_s: float) -> None:
    stand_in, clock = plug_in([jpeg()] * 2)
    stand_in.age_s = age_s
    feed = CameraFeed("0", clock=clock)
    picture = feed.read()
    assert picture is not None
    assert (picture.captured_s, feed.info.timing) == (clock.now_s, "read_return")


def test_a_camera_without_compression_works_too(plug_in: Callable) -> None:
    bgr = np.zeros((48, 64, 3), np.uint8)
    bgr[..., 0] = 90
    stand_in, clock = plug_in([bgr] * 2, fourcc=YUYV)
    picture = CameraFeed("0", clock=clock).read()
    assert picture is not None
    assert picture.rgb[0, 0].tolist() == [0, 0, 90]
    assert cv2.CAP_PROP_CONVERT_RGB not in stand_in.set_to


def test_no_camera_says_so_in_one_sentence(plug_in: Callable) -> None:
    stand_in, clock = plug_in([])
    stand_in.opened = False
    with pytest.raises(SourceError, match=r"camera 5 cannot be opened.*--source demo"):
        CameraFeed("5", clock=clock)
    assert stand_in.released == 1


def test_a_camera_that_opens_and_stays_dark_is_refused(plug_in: Callable) -> None:
    stand_in, clock = plug_in([])
    with pytest.raises(SourceError, match="opens but gives no picture"):
        CameraFeed("0", clock=clock)
    assert stand_in.released == 1


def test_damaged_pictures_are_left_out(plug_in: Callable) -> None:
    torn = jpeg()[:, :80]
    noise = np.frombuffer(b"not a picture at all", np.uint8)
    _, clock = plug_in([noise, jpeg(), torn, noise, np.empty(0, np.uint8), jpeg()])
    feed = CameraFeed("0", clock=clock)
    got = [feed.read() for _ in range(4)]
    assert [picture is not None for picture in got] == [False, False, False, True]


def test_only_damaged_pictures_are_a_lost_camera(plug_in: Callable) -> None:
    _, clock = plug_in([jpeg()] + [np.zeros(9, np.uint8)] * 200)
    feed = CameraFeed("0", clock=clock)
    assert not any(feed.read() for _ in range(camera_feed._MAX_CORRUPT))
    with pytest.raises(SourceError, match="only damaged pictures"):
        feed.read()


def test_a_camera_that_is_pulled_out_is_gone_after_some_misses(plug_in: Callable) -> None:
    stand_in, clock = plug_in([jpeg()])
    feed = CameraFeed("/dev/video2", clock=clock)
    assert feed.info.name == "camera_2"
    assert feed.read() is None
    assert feed.read() is None
    with pytest.raises(SourceError, match="gone away"):
        feed.read()
    feed.close()
    assert stand_in.released == 1


def test_a_size_may_change_and_a_giant_is_refused_before_it_is_decoded(plug_in: Callable) -> None:
    giant = bytearray(jpeg().tobytes())
    at = giant.index(b"\xff\xc0")
    giant[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    _, clock = plug_in([jpeg(), jpeg((96, 128)), np.frombuffer(bytes(giant), np.uint8)])
    feed = CameraFeed("0", clock=clock)
    larger = feed.read()
    assert larger is not None
    assert larger.rgb.shape == (96, 128, 3)
    with pytest.raises(SourceError, match="65535x65535 pixels, more than 64 million"):
        feed.read()


@pytest.mark.parametrize("hw", [(48, 64), (16, 16), (720, 1280)])
def test_the_size_is_read_from_the_header(hw: tuple[int, int]) -> None:
    data = jpeg(hw).tobytes()
    assert jpeg_hw(data) == hw
    assert jpeg_hw(data[:10]) is None
    assert jpeg_hw(b"") is None


@pytest.mark.parametrize(
    ("text", "camera"),
    [("0", True), ("12", True), ("/dev/video0", True), ("clip.mp4", False), ("1234", False)],
)
def test_names_of_cameras(text: str, camera: bool) -> None:
    assert is_camera(text) == camera
