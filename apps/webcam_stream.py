"""Live hands on their way to the stream and to the meter."""

import threading
import time

from tracker.live.meter import LiveFacts, LiveMeter
from tracker.live.records import SourceState, TrackedFrame
from tracker.stream.server import StreamServer


class LivePublisher:
    """Publishes every tracked frame at once and notes when; a listener of `LiveTracker`.

    Args:
        server: None where nothing is streamed; times are taken all the same.
    """

    def __init__(self, server: StreamServer | None) -> None:
        self._server = server
        self._meter = LiveMeter()
        self._lock = threading.Lock()

    def tracked(self, tracked: TrackedFrame) -> None:
        """Send a frame's hands, also when there are none."""
        if self._server is not None:
            captured_ns = round(tracked.captured_s * 1e9)
            self._server.publish(tracked.hands, tracked.camera, captured_ns, tracked.frame.index)
            infer_ms = round(1000 * (tracked.tracked_s - tracked.started_s), 2)
            self._server.report(infer_ms=infer_ms)
        with self._lock:
            self._meter.tracked(tracked, time.monotonic())

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        """Tell clients how the camera is; while it is lost, empty frames go on."""
        if self._server is None:
            return
        self._server.report(camera="lost" if state == "lost" else "ok")
        if last is not None:
            captured_ns = round(last.captured_s * 1e9)
            self._server.publish(last.hands, last.camera, captured_ns, last.frame.index)

    def shown(self, tracked: TrackedFrame) -> None:
        """Note that a frame is on the screen now."""
        with self._lock:
            self._meter.shown(tracked, time.monotonic())

    def facts(self) -> LiveFacts:
        """Return rates and latencies of the last seconds."""
        with self._lock:
            return self._meter.facts(time.monotonic())
