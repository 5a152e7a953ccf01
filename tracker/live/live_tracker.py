"""LiveTracker: a capture thread, a tracking thread, and the newest tracked frame for whoever looks.

capture -> one-slot mailbox -> tracking -> listeners (stream, recorder) and a one-slot mailbox
"""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Protocol, runtime_checkable

from tracker.live.capturing import CameraOf, Capturing
from tracker.live.feeds import Feed, FeedInfo
from tracker.live.keeper import STALL_S, FeedKeeper
from tracker.live.mailbox import Mailbox
from tracker.live.records import SourceState, TrackedFrame
from tracker.live.tracking import FrameTracker, Tracking
from tracker.live.workers import Worker

_LOOK_S: Final = 0.1
"""How often the tracking thread looks around while no picture comes; also the pace of empty frames."""


@runtime_checkable
class Listener(Protocol):
    """Is told of every tracked frame, in the tracking thread; must return at once."""

    def tracked(self, tracked: TrackedFrame) -> None:
        """Take a frame."""
        ...

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        """Learn that the source is lost, again and again, or live, once.

        Args:
            state: `lost` or `live`.
            last: with `lost`, the last frame without its hands (first: with hands given up).
        """
        ...


class LiveTracker:
    """Follow hands in whatever a feed gives, in two threads.

    Example:
        >>> feed = open_feed("0")
        >>> with LiveTracker(feed, lambda: open_feed("0"), camera_of) as live:
        ...     live.track(HandTracker())
        ...     while (tracked := live.take(1.0)) is not None:
        ...         print(tracked.hands)

    Args:
        feed: open; its pictures are read from the moment the `with` block begins.
        reopen: opens it again when it went away; None for what ends for good.
        camera_of: the camera of pictures of a height and width.
    """

    def __init__(self, feed: Feed, reopen: Callable[[], Feed] | None, camera_of: CameraOf) -> None:
        keeper = FeedKeeper(feed, reopen, wait=self._wait)
        self._capturing = Capturing(keeper, camera_of)
        self._capture = Worker("capture", self._capturing.step, self._capturing.close)
        self._tracking: Tracking | None = None
        self._track: Worker | None = None
        self._listeners: Sequence[Listener] = ()
        self._box = Mailbox[TrackedFrame]()
        self._last_s = time.monotonic()
        self._was_lost = False
        self._dropped_before = 0

    # What it is at --------------------------------------------------------------------------------

    @property
    def info(self) -> FeedInfo:
        """What is known of the feed."""
        return self._capturing.keeper.info

    @property
    def state(self) -> SourceState:
        """Whether pictures come; a driver that holds the capture thread counts as lost, too."""
        state = self._capturing.state
        silent = time.monotonic() - self._last_s > STALL_S
        watched = self._track is not None and self.info.is_live
        return "lost" if state == "live" and silent and watched else state

    @property
    def problem(self) -> str | None:
        """Why the source is lost, or why it ended before its time."""
        return self._capturing.keeper.problem

    @property
    def captured(self) -> int:
        """How many pictures came so far."""
        return self._capturing.captured

    @property
    def dropped(self) -> int:
        """How many of them were never tracked, from the time on when the tracker was ready."""
        return self._capturing.box.dropped - self._dropped_before

    @property
    def finished(self) -> bool:
        """Whether all is tracked and taken, and nothing more comes."""
        return self._box.closed and self._box.is_empty

    # What it does ---------------------------------------------------------------------------------

    def __enter__(self) -> "LiveTracker":
        if self.info.is_live:
            self._capture.start()
        return self

    def track(self, tracker: FrameTracker, listeners: Sequence[Listener] = ()) -> None:
        """Begin to track. Until then pictures of live sources are thrown away, so none grows old."""
        self._tracking = Tracking(tracker)
        self._listeners = tuple(listeners)
        self._last_s = time.monotonic()
        self._dropped_before = self._capturing.box.dropped
        self._track = Worker("tracking", self._step, self._box.close)
        if not self.info.is_live:
            self._capture.start()
        self._track.start()

    def use(self, tracker: FrameTracker) -> None:
        """Go on with another tracker from the next frame on."""
        if self._tracking is not None:
            self._tracking.use(tracker)

    def take(self, timeout_s: float) -> TrackedFrame | None:
        """Wait for the newest tracked frame that was not taken yet; None when none comes in time.

        Raises:
            Exception: what a thread of ours failed with.
        """
        tracked = self._box.take(timeout_s)
        self.raise_failure()
        return tracked

    def raise_failure(self) -> None:
        """Raise what a thread of ours failed with, if one did."""
        for worker in (self._capture, self._track):
            if worker is not None and worker.failure is not None:
                raise worker.failure

    def _wait(self, seconds: float) -> None:
        self._capture.wait(seconds)

    def _step(self) -> bool:
        """Track one capture, or see why there is none."""
        assert self._tracking is not None
        box = self._capturing.box
        capture = box.take(_LOOK_S)
        if capture is None:
            if self.state == "lost":
                self._tell_lost()
            return not box.closed
        self._last_s = time.monotonic()
        self._tell_live()
        tracked = self._tracking.track(capture, self.dropped)
        for listener in self._listeners:
            listener.tracked(tracked)
        self._box.put(tracked)
        return True

    def _tell_lost(self) -> None:
        assert self._tracking is not None
        self._was_lost = True
        last = self._tracking.lose()
        for listener in self._listeners:
            listener.source_is("lost", last)

    def _tell_live(self) -> None:
        if self._was_lost:
            self._was_lost = False
            for listener in self._listeners:
                listener.source_is("live", None)

    def close(self) -> None:
        """Stop both threads and close the feed; closing again does nothing."""
        self._capture.stop()
        self._capturing.box.close()
        if self._track is not None:
            self._track.stop()
            self._track.join()
        self._capture.join()
        if not self._capture.was_started:
            self._capturing.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
