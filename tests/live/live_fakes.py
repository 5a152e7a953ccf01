"""Sources, trackers and clocks that do as they are told."""

from collections.abc import Callable, Sequence

import numpy as np

from tracker.errors import SourceError
from tracker.geometry.camera import Camera
from tracker.geometry.hand_params import HandParams
from tracker.live.feeds import FeedEnded, FeedInfo
from tracker.live.records import Picture
from tracker.vision.records import Frame, TrackedHand


class FakeClock:
    """Time passes when someone sleeps, and only then."""

    def __init__(self, now_s: float = 100.0) -> None:
        self.now_s = now_s
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


def picture(captured_s: float, brightness: int = 0, hw: tuple[int, int] = (32, 48)) -> Picture:
    """A grey picture."""
    return Picture(np.full((*hw, 3), brightness, np.uint8), captured_s)


Step = Picture | None | Exception | Callable[[], Picture | None]


class ScriptedFeed:
    """Hands out what its script says, one line a read; afterwards it has ended."""

    def __init__(self, script: Sequence[Step], info: FeedInfo | None = None) -> None:
        self.info = info or FeedInfo("fake", (32, 48), 30.0)
        self._script = list(script)
        self.closed = 0

    def read(self) -> Picture | None:
        step = self._script.pop(0) if self._script else FeedEnded()
        if isinstance(step, Exception):
            raise step
        return step() if callable(step) else step

    def close(self) -> None:
        self.closed += 1


def gone() -> SourceError:
    """What a feed raises when its camera was pulled out."""
    return SourceError("camera 0 has gone away")


def camera_of(hw: tuple[int, int]) -> Camera:
    """Any camera."""
    return Camera.from_fov(hw)


def hand(track_id: int = 0, state: str = "tracked", time_s: float = 0.0) -> TrackedHand:
    """A hand of no particular form."""
    return TrackedHand(
        track_id=track_id,
        side="right",
        state=state,  # type: ignore[arg-type]
        score=0.9,
        joints=np.zeros((21, 3), np.float32),
        uv=np.zeros((21, 2), np.float32),
        vertices=np.zeros((778, 3), np.float32),
        faces=np.zeros((1538, 3), np.int64),
        colors=np.full((778, 3), 0.5, np.float32),
        params=HandParams(np.zeros(3), np.zeros((15, 3)), np.zeros(10), np.zeros(3), 1.0),
        timestamp_s=time_s,
    )


class FakeTracker:
    """Finds one hand in every frame, and remembers what it was shown."""

    def __init__(self, on_frame: Callable[[Frame], None] = lambda frame: None) -> None:
        self.stages_ms = {"landmarks": 1.0}
        self.frames: list[Frame] = []
        self.resets = 0
        self._on_frame = on_frame

    def __call__(self, frame: Frame) -> list[TrackedHand]:
        self.frames.append(frame)
        self._on_frame(frame)
        return [hand(self.resets)]

    def reset(self) -> None:
        self.resets += 1
