"""One live run for a benchmark: an endless two-hand clip into `LiveTracker`, every moment noted."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float

from benchmarks.demo_clip import with_hands
from tracker.export.video import video_writer
from tracker.geometry.camera import Camera
from tracker.live.feeds import ClipFeed, FeedInfo
from tracker.live.live_tracker import LiveTracker
from tracker.live.pacing import SHOW_PERIOD_S, Pacer
from tracker.live.records import Picture, SourceState, TrackedFrame
from tracker.live.sources import SourceInfo, open_source
from tracker.stream.server import StreamServer
from tracker.view.live_keys import ViewState
from tracker.view.live_painter import LivePainter
from tracker.view.live_view import Hud, LivePicture
from tracker.view.software_renderer import SoftwareRenderer
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame

HW: Final = (720, 1280)
_WARM_UP_S: Final = 1.5
"""Left out of every measurement: hands are found, filters and caches settle."""
_FOLDER = tempfile.TemporaryDirectory(prefix="handloom-benchmark-")


@cache
def two_hand_clip() -> Path:
    """Return the demo's two-hand part as 720p H.264, to and fro, so that it can be repeated."""
    path = Path(_FOLDER.name) / "two_hands.mp4"
    shown = with_hands(2)
    with video_writer(path, 30.0) as writer:
        for n, frame in enumerate([*shown, *reversed(shown)]):
            picture = cv2.resize(frame.rgb, (HW[1], HW[0]), interpolation=cv2.INTER_LINEAR)
            writer.add(np.asarray(picture, np.uint8), n / 30.0)
    return path


@cache
def jpegs() -> list[np.ndarray]:
    """Return the clip's pictures as a webcam sends them: one JPEG each."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 90]
    pictures = (
        cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR) for frame in open_source(two_hand_clip())
    )
    return [cv2.imencode(".jpg", bgr, quality)[1] for bgr in pictures]


class WebcamLike:
    """Gives a JPEG when it is due, and decodes it then, as `CameraFeed` does."""

    def __init__(self, fps: float) -> None:
        self.info = FeedInfo("webcam", HW, fps)
        self._jpegs = jpegs()
        self._pacer = Pacer()
        self._count = 0

    def read(self) -> Picture | None:
        """Wait for the next picture and decode it."""
        number, self._count = self._count, self._count + 1
        due_s = self._pacer.due_s(number / self.info.fps, time.monotonic())
        time.sleep(max(due_s - time.monotonic(), 0.0))
        rgb = cv2.imdecode(self._jpegs[number % len(self._jpegs)], cv2.IMREAD_COLOR_RGB)
        return Picture(np.asarray(rgb, np.uint8), due_s)

    def close(self) -> None:
        """Do nothing."""


class EndlessClip:
    """The clip's file again and again, for runs at full speed."""

    def __init__(self, fps: float) -> None:
        self._path = two_hand_clip()
        self.info = SourceInfo("two_hands", HW, fps, None)
        self.warning: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames; their clock goes on from pass to pass."""
        number = 0
        while True:
            for frame in open_source(self._path):
                yield replace(frame, timestamp_s=number / self.info.fps, index=number)
                number += 1


@dataclass
class Notes:
    """When each tracked frame was captured, taken up and published; a listener of `LiveTracker`."""

    server: StreamServer | None = None
    moments: list[tuple[float, float, float, int, int]] = field(default_factory=list)

    def tracked(self, tracked: TrackedFrame) -> None:
        """Publish and note."""
        if self.server is not None:
            captured_ns = round(tracked.captured_s * 1e9)
            self.server.publish(tracked.hands, tracked.camera, captured_ns, tracked.frame.index)
        hands = sum(hand.state == "tracked" for hand in tracked.hands)
        now_s = time.monotonic()
        moment = (tracked.captured_s, tracked.started_s, now_s, tracked.dropped, hands)
        self.moments.append(moment)

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class LiveResult:
    """What a run came to, its beginning left out."""

    captured_s: Float[np.ndarray, " n"]
    started_s: Float[np.ndarray, " n"]
    published_s: Float[np.ndarray, " n"]
    dropped: int
    two_hands: float
    """Part of the frames in which both hands were followed."""
    shown: int

    @property
    def latency_ms(self) -> Float[np.ndarray, " n"]:
        """From capture until publishing."""
        return 1000 * (self.published_s - self.captured_s)

    @property
    def fps(self) -> float:
        """Tracked frames a second."""
        return (len(self.published_s) - 1) / float(self.published_s[-1] - self.published_s[0])


@cache
def ready_tracker() -> HandTracker:
    """Return the tracker as the live program sets it up, compiled."""
    tracker = HandTracker(HandTrackerConfig())
    tracker.warmup()
    return tracker


def live_run(
    fps: float,
    seconds: float,
    *,
    paced: bool = True,
    draw: bool = False,
    served: bool = False,
    while_running: Callable[[float], None] | None = None,
) -> LiveResult:
    """Run live for so many seconds after the warm-up.

    Args:
        fps: of the source.
        seconds: how long to measure.
        paced: False reads the clip as fast as it can be tracked.
        draw: paint every picture as the window does, on the calling thread.
        served: publish to a stream server with one client in another process.
        while_running: called on this thread between pictures, with the seconds that have passed.
    """
    tracker = ready_tracker()
    tracker.reset()
    feed = WebcamLike(fps) if paced else ClipFeed(EndlessClip(fps), paced=False)
    painter = LivePainter(SoftwareRenderer()) if draw else None
    with _served(served, tracker) as server, LiveTracker(feed, None, _camera) as live:
        notes = Notes(server)
        live.track(tracker, [notes])
        began_s = time.monotonic()
        end_s = began_s + _WARM_UP_S + seconds
        shown = 0
        next_s = 0.0
        while (now_s := time.monotonic()) < end_s:
            time.sleep(max(next_s - now_s, 0.0))
            tracked = live.take(0.05)
            next_s = time.monotonic() + SHOW_PERIOD_S
            if tracked is not None and painter is not None:
                _paint(painter, tracked)
                shown += now_s >= began_s + _WARM_UP_S
            if while_running is not None:
                while_running(now_s - began_s)
    return _result(notes, began_s + _WARM_UP_S, shown)


def _camera(hw: tuple[int, int]) -> Camera:
    return Camera.from_fov(hw)


def _paint(painter: LivePainter, tracked: TrackedFrame) -> None:
    hud = Hud(("30.0 fps | dropped 0", "capture to screen 20 / 30 ms", "two hands"))
    picture = LivePicture(tracked.frame, tracked.camera, tracked.hands, hud)
    painter.paint(picture, ViewState())


def _result(notes: Notes, from_s: float, shown: int) -> LiveResult:
    rows = np.array([m for m in notes.moments if m[0] >= from_s])
    captured, started, published, dropped, hands = rows.T
    return LiveResult(
        *(captured, started, published),
        dropped=int(dropped[-1] - dropped[0]),
        two_hands=float((hands == 2).mean()),
        shown=shown,
    )


@contextmanager
def _served(wanted: bool, tracker: HandTracker) -> Generator[StreamServer | None, None, None]:
    """Serve hands to one client in a process of its own."""
    if not wanted:
        yield None
        return
    with StreamServer(port=0, model=tracker.model) as server:
        client = subprocess.Popen([sys.executable, "-m", "benchmarks.live_client", server.url])
        try:
            while not server.clients:
                time.sleep(0.05)
            yield server
        finally:
            client.terminate()
            client.wait()
