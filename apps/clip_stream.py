"""Hands of a clip for `--serve`: a stream like a camera's, at the clip's own pace."""

import time
from collections.abc import Sequence

from tracker.geometry.camera import Camera
from tracker.stream.server import StreamServer
from tracker.vision.records import Frame, TrackedHand


class ClipStream:
    """Publish one clip's frames, none sooner after the one before than in the clip.

    A frame counts as captured when the clip's clock reaches it. Where tracking is slower than the
    clip, its clock stands still meanwhile: what is late is not hurried after.

    Example:
        >>> stream = ClipStream(server)
        >>> for frame in source:
        ...     stream.await_capture(frame)
        ...     stream.publish(frame, camera, tracker(frame))
    """

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._zero_ns: int | None = None
        self._capture_ns = 0

    def await_capture(self, frame: Frame) -> None:
        """Wait for the moment of the clip at which the frame is due."""
        now_ns = time.monotonic_ns()
        moment_ns = round(frame.timestamp_s * 1e9)
        if self._zero_ns is None or self._zero_ns + moment_ns < now_ns:
            self._zero_ns = now_ns - moment_ns
        self._capture_ns = self._zero_ns + moment_ns
        time.sleep((self._capture_ns - now_ns) / 1e9)

    def publish(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> None:
        """Send the hands of the frame waited for last, also when there are none."""
        self._server.report(infer_ms=round((time.monotonic_ns() - self._capture_ns) / 1e6, 2))
        self._server.publish(hands, camera, self._capture_ns, frame.index)
