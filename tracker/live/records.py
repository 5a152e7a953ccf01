"""What passes between the threads of a live run. All times are on `time.monotonic()`'s clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from tracker.geometry.camera import Camera
from tracker.vision.records import Frame, TrackedHand

SourceState = Literal["live", "lost", "ended"]
"""`lost`: the camera or the stream went away and is tried again; `ended`: a file is played out."""


@dataclass(frozen=True)
class Picture:
    """What a feed hands out: pixels and when they were taken."""

    rgb: UInt8[np.ndarray, "h w 3"]
    captured_s: float
    """When it was taken as far as anyone can tell: by the driver, else when reading returned."""
    timestamp_s: float | None = None
    """On the source's own clock, where it has one; None lets `captured_s` serve."""


@dataclass(frozen=True)
class Capture:
    """One picture on its way to the tracker."""

    frame: Frame
    """With its camera; numbered from 0, times begin at 0 and increase through every interruption."""
    captured_s: float
    read_ms: float = 0.0
    """How long getting and decoding it took, waiting left out where that can be told apart."""


@dataclass(frozen=True)
class TrackedFrame:
    """One frame with its hands, and when each thing happened on `time.monotonic()`'s clock."""

    frame: Frame
    camera: Camera
    """The frame's own, or the one assumed for it."""
    hands: tuple[TrackedHand, ...]
    captured_s: float
    """When the source handed the frame out (for a device, when its driver did)."""
    started_s: float
    """When the tracker took it."""
    tracked_s: float
    """When its hands were known."""
    dropped: int = 0
    """Frames captured so far that the tracker never saw, because newer ones had come."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """How long the parts of the tracker's work took."""
