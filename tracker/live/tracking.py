"""From captures to tracked frames; what the tracking thread does, without the thread."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from tracker.geometry.camera import Camera
from tracker.live.records import Capture, TrackedFrame
from tracker.vision.records import Frame, TrackedHand


@runtime_checkable
class FrameTracker(Protocol):
    """What `HandTracker` is to a live run."""

    @property
    def stages_ms(self) -> Mapping[str, float]:
        """How long the parts of the last call took."""
        ...

    def __call__(self, frame: Frame) -> list[TrackedHand]:
        """Return the hands of a frame."""
        ...

    def reset(self) -> None:
        """Forget every hand."""
        ...


class Tracking:
    """Tracks capture after capture, and says once that hands are lost when the camera is.

    Args:
        tracker: finds the hands.
        clock: the clock of the captures.
    """

    def __init__(
        self, tracker: FrameTracker, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracker, self._clock = tracker, clock
        self._next: FrameTracker | None = None
        self._last: TrackedFrame | None = None
        self._first_id = 0
        self._free_id = 0

    def use(self, tracker: FrameTracker) -> None:
        """Go on with another tracker from the next frame on; from any thread.

        The hands of the one before are handed out as `lost` once, and their numbers stay taken.
        """
        self._next = tracker

    def track(self, capture: Capture, dropped: int) -> TrackedFrame:
        """Return the capture with its hands."""
        frame = capture.frame
        camera = frame.camera or Camera.from_fov(
            (frame.rgb.shape[0], frame.rgb.shape[1]), assumed=True
        )
        started_s = self._clock()
        given_up = self._exchanged()
        hands = (*given_up, *self._numbered(self._tracker(frame)))
        tracked = TrackedFrame(
            frame=frame,
            camera=camera,
            hands=hands,
            captured_s=capture.captured_s,
            started_s=started_s,
            tracked_s=self._clock(),
            dropped=dropped,
            stages_ms={"read": capture.read_ms, **self._tracker.stages_ms},
        )
        self._last = tracked
        return tracked

    def _exchanged(self) -> tuple[TrackedHand, ...]:
        """Take up the next tracker, if there is one; return the hands given up by that."""
        if self._next is None:
            return ()
        self._tracker, self._next = self._next, None
        self._first_id = self._free_id
        return () if self._last is None else _lost(self._last.hands)

    def _numbered(self, hands: Sequence[TrackedHand]) -> Sequence[TrackedHand]:
        """Number the hands of a later tracker behind those of the earlier ones."""
        if self._first_id:
            hands = [replace(h, track_id=h.track_id + self._first_id) for h in hands]
        self._free_id = max([self._free_id, *(h.track_id + 1 for h in hands)])
        return hands

    def lose(self) -> TrackedFrame | None:
        """Return the last frame again, now without its hands, because the camera has gone.

        The first time they are handed out as `lost`; then the list is empty. They will not be
        taken for the hands that the camera sees when it is back. None before the first frame.
        """
        if self._last is None:
            return None
        given_up = _lost(self._last.hands)
        if given_up:
            self._tracker.reset()
        now_s = self._clock()
        self._last = replace(
            self._last, hands=given_up, captured_s=now_s, started_s=now_s, tracked_s=now_s
        )
        return self._last


def _lost(hands: Sequence[TrackedHand]) -> tuple[TrackedHand, ...]:
    return tuple(replace(h, state="lost", score=0.0) for h in hands if h.state != "lost")
