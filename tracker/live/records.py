"""What passes between the threads of a live run."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tracker.geometry.camera import Camera
from tracker.vision.records import Frame, TrackedHand


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
