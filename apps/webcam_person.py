"""What is known of the person and the camera: said on the command line, or calibrated before."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np

from apps.camera_choice import CameraChoice
from apps.webcam_calibration import (
    Calibration,
    CalibrationRequest,
    CalibrationSession,
    load_calibration,
    parse_pattern,
)
from apps.webcam_options import WebcamOptions
from tracker.live.camera_feed import is_camera
from tracker.live.devices import found_cameras
from tracker.live.feeds import FeedInfo
from tracker.live.live_tracker import LiveTracker
from tracker.stop_request import StopRequest
from tracker.vision.hand_tracker import HandTracker, HandTrackerConfig
from tracker.vision.records import Frame, TrackedHand
from tracker.vision.smoothing import SmoothingConfig

_STRANGERS: Final = ("demo", "synthetic")
"""Sources whose hands and camera are nobody's."""


class Known:
    """Person and camera of a live run.

    Args:
        options: what the user said; it goes before what was calibrated.
        info: the open source.
        say: prints a line for the user.
    """

    def __init__(self, options: WebcamOptions, info: FeedInfo, say: Callable[[str], None]) -> None:
        self._options = options
        self._name = camera_name(options.source.source, info)
        strange = options.source.source in _STRANGERS
        self._calibration = (
            Calibration() if strange else load_calibration(self._name, options.hand.user, say)
        )
        self.camera_of = CameraChoice(options.camera, self._calibration.camera)
        """The camera of pictures of a size."""
        self._smoothing = options.hand.tracker.smoothing
        self._tracker: HandTracker | None = None

    @property
    def hand_is_calibrated(self) -> bool:
        """Whether the size of the hand is known."""
        stated = self._options.hand.hand_length_mm is not None
        return stated or self._calibration.hand is not None

    @property
    def tracker(self) -> HandTrackerConfig:
        """The tracker's configuration with the hand that is known."""
        config = replace(self._options.hand.tracker, smoothing=self._smoothing)
        return self._calibration.applied_to(config)

    def new_tracker(self) -> HandTracker:
        """Open a tracker that knows the hand, and let it get ready."""
        self._tracker = tracker = HandTracker(self.tracker)
        tracker.warmup()
        tracker(Frame(np.zeros((480, 640, 3), np.uint8)))  # the networks are slow the first time
        tracker.reset()
        return tracker

    def set_smoothing(self, smoothing: SmoothingConfig) -> None:
        """Smooth otherwise from now on; from any thread."""
        self._smoothing = smoothing
        if self._tracker is not None:
            self._tracker.set_smoothing(smoothing)

    @property
    def request(self) -> CalibrationRequest:
        """What a calibration would find out.

        Raises:
            ValueError: the pattern of the chessboard is none.
        """
        hand = self._options.hand
        board = None if hand.chessboard is None else parse_pattern(hand.chessboard)
        return CalibrationRequest(hand.hand_length_mm, board, hand.user, self._name)

    def new_session(self, tracker: HandTracker) -> CalibrationSession:
        """Begin to calibrate the hand.

        Raises:
            ValueError: the length is out of range.
        """
        return CalibrationSession(replace(self.request, chessboard=None), tracker.model)

    def learn(self, found: Calibration) -> HandTracker:
        """Take in what was calibrated, and return a tracker that knows it."""
        self._calibration = replace(self._calibration, hand=found.hand)
        return self.new_tracker()


def camera_name(source: str, info: FeedInfo) -> str:
    """Return a name for a camera that stays when it is plugged in elsewhere: its maker's."""
    if is_camera(source):
        path = f"/dev/video{source}" if source.isdecimal() else source
        return next((c.name for c in found_cameras() if c.path == path), info.name)
    return info.name


class NoTracker:
    """Stands in for the tracker where only pictures are wanted."""

    def __init__(self) -> None:
        self.stages_ms: dict[str, float] = {}

    def __call__(self, frame: Frame) -> list[TrackedHand]:
        """Return no hand."""
        return []

    def reset(self) -> None:
        """Do nothing."""


def newest_frames(live: LiveTracker, stop: StopRequest) -> Iterator[Frame]:
    """Yield the newest frame whenever asked, until the source ends or a stop is asked for."""
    live.track(NoTracker())
    while not (stop.made or live.finished):
        tracked = live.take(0.1)
        if tracked is not None:
            yield tracked.frame
