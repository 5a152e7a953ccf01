"""From a feed to numbered captures with a camera and times that only increase."""

import time
from collections.abc import Callable
from typing import Final

from tracker.geometry.camera import Camera
from tracker.live.keeper import FeedKeeper
from tracker.live.mailbox import Mailbox
from tracker.live.records import Capture, Picture, SourceState
from tracker.vision.records import Frame

CameraOf = Callable[[tuple[int, int]], Camera]
"""Gives the camera of pictures of a height and width."""
_MIN_STEP_S: Final = 1e-4
_PATIENCE_S: Final = 0.2


class Capturing:
    """The work of the capture thread, one `step` after the other.

    Args:
        keeper: what is read.
        camera_of: the camera of pictures of a size; sizes may change in mid-stream.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        keeper: FeedKeeper,
        camera_of: CameraOf,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.box = Mailbox[Capture]()
        """Where captures lie for the tracker."""
        self._keeper, self._camera_of, self._clock = keeper, camera_of, clock
        self._count = 0
        self._zero_s: float | None = None
        self._last_s = -_MIN_STEP_S

    @property
    def keeper(self) -> FeedKeeper:
        """What is read."""
        return self._keeper

    @property
    def state(self) -> SourceState:
        """Whether pictures come."""
        return self._keeper.state

    @property
    def captured(self) -> int:
        """How many pictures came so far."""
        return self._count

    def step(self) -> bool:
        """Read once and pass on what came; return whether more can come."""
        patient = self._keeper.info.patient
        if patient and not self.box.is_empty:
            # A file that need not be dropped waits here, where an end of the program is noticed.
            self.box.wait_until_empty(_PATIENCE_S)
            return not self.box.closed
        began_s = self._clock()
        picture = self._keeper.read()
        if picture is None:
            return self.state != "ended"
        read_ms = 1000 * (self._clock() - max(began_s, picture.captured_s))
        self.box.put(self._capture(picture, max(read_ms, 0.0)))
        return True

    def _capture(self, picture: Picture, read_ms: float) -> Capture:
        height, width = picture.rgb.shape[:2]
        frame = Frame(
            picture.rgb,
            self._camera_of((height, width)),
            timestamp_s=self._stamp_s(picture),
            index=self._count,
        )
        self._count += 1
        return Capture(frame, picture.captured_s, read_ms)

    def _stamp_s(self, picture: Picture) -> float:
        """Return the picture's time since the first one; a clock that goes back is pushed on."""
        own_s = picture.captured_s if picture.timestamp_s is None else picture.timestamp_s
        self._zero_s = own_s if self._zero_s is None else self._zero_s
        self._last_s = max(own_s - self._zero_s, self._last_s + _MIN_STEP_S)
        return self._last_s

    def close(self) -> None:
        """Close the feed and let nothing more through."""
        self.box.close()
        self._keeper.close()
