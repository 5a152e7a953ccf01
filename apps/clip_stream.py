"""Hands of a clip for `--serve`: a stream like a camera's, at the clip's own pace."""

import time
from collections.abc import Sequence

from tracker.geometry.camera import Camera
from tracker.live.pacing import Pacer
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
        self._pacer = Pacer()
        self._capture_s = 0.0

    def await_capture(self, frame: Frame) -> None:
        """Wait for the moment of the clip at which the frame is due."""
        self._capture_s = self._pacer.due_s(frame.timestamp_s, time.monotonic())
        time.sleep(max(self._capture_s - time.monotonic(), 0.0))

    def publish(self, frame: Frame, camera: Camera, hands: Sequence[TrackedHand]) -> None:
        """Send the hands of the frame waited for last, also when there are none."""
        self._server.report(infer_ms=round(1000 * (time.monotonic() - self._capture_s), 2))
        self._server.publish(hands, camera, round(self._capture_s * 1e9), frame.index)
