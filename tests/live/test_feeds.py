"""Files as live sources: at their own pace, at full speed, again and again."""

from collections.abc import Iterator

import numpy as np
import pytest

from tests.live.live_fakes import FakeClock
from tracker.errors import SourceError
from tracker.live.feeds import LOOK_UP_S, ClipFeed, FeedEnded
from tracker.live.records import Picture
from tracker.live.sources import SourceInfo
from tracker.vision.records import Frame


class Clip:
    """Frames at given times; each takes `cost_s` to decode."""

    def __init__(self, times_s: list[float], clock: FakeClock, cost_s: float = 0.0) -> None:
        self.info = SourceInfo("clip", (16, 16), 10.0, len(times_s))
        self.warning: str | None = None
        self._times_s, self._clock, self._cost_s = times_s, clock, cost_s

    def __iter__(self) -> Iterator[Frame]:
        for n, time_s in enumerate(self._times_s):
            self._clock.now_s += self._cost_s
            yield Frame(np.full((16, 16, 3), n, np.uint8), timestamp_s=time_s, index=n)


def feed_of(times_s: list[float], clock: FakeClock, cost_s: float = 0.0, **how: bool) -> ClipFeed:
    return ClipFeed(Clip(times_s, clock, cost_s), clock=clock, sleep=clock.sleep, **how)


def all_of(feed: ClipFeed, limit: int = 100) -> list[Picture]:
    pictures: list[Picture] = []
    try:
        while len(pictures) < limit:
            got = feed.read()
            pictures += [] if got is None else [got]
    except FeedEnded:
        pass
    return pictures


def test_pictures_come_when_they_are_due() -> None:
    clock = FakeClock()
    pictures = all_of(feed_of([0.0, 0.1, 0.25], clock, cost_s=0.02))
    # Decoding the first picture is before the clip begins; it delays none of the others.
    np.testing.assert_allclose([p.captured_s for p in pictures], [100.02, 100.12, 100.27])
    assert [p.timestamp_s for p in pictures] == [0.0, 0.1, 0.25]


def test_what_is_late_is_not_hurried_after() -> None:
    clock = FakeClock()
    pictures = all_of(feed_of([0.0, 0.1, 0.2, 0.3], clock, cost_s=0.15))
    np.testing.assert_allclose(np.diff([p.captured_s for p in pictures]), 0.15)


def test_a_long_wait_lets_the_reader_look_up() -> None:
    clock = FakeClock()
    feed = feed_of([0.0, 1.0], clock)
    assert feed.read() is not None
    waits = 0
    while feed.read() is None:
        waits += 1
    assert waits >= 3
    assert max(clock.sleeps) <= LOOK_UP_S
    assert clock.now_s == pytest.approx(101.0)


def test_full_speed_does_not_wait() -> None:
    clock = FakeClock()
    feed = feed_of([0.0, 1.0, 5.0], clock, paced=False)
    assert (feed.info.patient, feed.info.is_live) == (True, False)
    assert len(all_of(feed)) == 3
    assert clock.now_s == 100.0


def test_a_loop_goes_on_in_time() -> None:
    clock = FakeClock()
    pictures = all_of(feed_of([0.0, 0.1], clock, looped=True), limit=5)
    stamps = [p.timestamp_s for p in pictures]
    assert [p.rgb[0, 0, 0] for p in pictures] == [0, 1, 0, 1, 0]
    assert stamps == pytest.approx([0.0, 0.1, 0.6, 0.7, 1.2])


def test_an_empty_loop_is_no_endless_one() -> None:
    with pytest.raises(SourceError, match="no picture of clip can be read"):
        feed_of([], FakeClock(), looped=True).read()
