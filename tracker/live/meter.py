"""Rates and latencies of the last seconds, as they are measured and not as they are hoped for."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tracker.live.records import TrackedFrame

WINDOW_S: Final = 4.0
"""Long enough for a 95th percentile at 30 fps, short enough to see what just changed."""


@dataclass(frozen=True)
class Percentiles:
    """How a time spreads, in milliseconds."""

    p50: float
    p95: float
    largest: float
    count: int

    def __str__(self) -> str:
        return f"{self.p50:.0f} / {self.p95:.0f} ms"


@dataclass(frozen=True)
class LiveFacts:
    """What a meter knows."""

    fps: float
    """Tracked frames a second."""
    shown_fps: float
    """Pictures shown a second; 0 where nothing is shown."""
    to_publish: Percentiles | None
    """From capture until hands were handed to the stream (or could have been)."""
    to_screen: Percentiles | None
    """From capture until the picture was handed to the screen."""
    dropped: int
    """Frames of the whole run that were never tracked."""
    dropped_share: float
    """Of those that came within the window."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Mean time of each part of the work."""


@dataclass(frozen=True)
class _Entry:
    """What is kept of a tracked frame: no picture."""

    published_s: float
    latency_ms: float
    dropped: int
    stages_ms: Mapping[str, float]


class LiveMeter:
    """Told of each frame, it tells of the last seconds.

    Args:
        window_s: how far it looks back.
    """

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self._window_s = window_s
        self._tracked: deque[_Entry] = deque()
        self._shown: deque[tuple[float, float]] = deque()

    def tracked(self, tracked: TrackedFrame, published_s: float) -> None:
        """Note a frame and when its hands were published."""
        latency_ms = 1000 * (published_s - tracked.captured_s)
        stages_ms = {"wait": 1000 * (tracked.started_s - tracked.captured_s), **tracked.stages_ms}
        self._tracked.append(_Entry(published_s, latency_ms, tracked.dropped, stages_ms))

    def shown(self, tracked: TrackedFrame, shown_s: float) -> None:
        """Note when a frame was shown."""
        self._shown.append((shown_s, 1000 * (shown_s - tracked.captured_s)))

    def facts(self, now_s: float) -> LiveFacts:
        """Return what is known at a time."""
        oldest_s = now_s - self._window_s
        while self._tracked and self._tracked[0].published_s < oldest_s:
            self._tracked.popleft()
        while self._shown and self._shown[0][0] < oldest_s:
            self._shown.popleft()
        frames = list(self._tracked)
        dropped = frames[-1].dropped if frames else 0
        lately = dropped - frames[0].dropped if frames else 0
        return LiveFacts(
            fps=_rate([frame.published_s for frame in frames]),
            shown_fps=_rate([shown_s for shown_s, _ in self._shown]),
            to_publish=percentiles([frame.latency_ms for frame in frames]),
            to_screen=percentiles([ms for _, ms in self._shown]),
            dropped=dropped,
            dropped_share=lately / max(lately + len(frames), 1),
            stages_ms=_means([frame.stages_ms for frame in frames]),
        )


def percentiles(ms: list[float]) -> Percentiles | None:
    """Return how times spread, or None where there are none."""
    if not ms:
        return None
    p50, p95 = np.percentile(ms, [50, 95])
    return Percentiles(float(p50), float(p95), max(ms), len(ms))


def _rate(times_s: list[float]) -> float:
    if len(times_s) < 2 or times_s[-1] <= times_s[0]:
        return 0.0
    return (len(times_s) - 1) / (times_s[-1] - times_s[0])


def _means(rows: list[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row.get(name, 0.0) for row in rows])) for name in names}
