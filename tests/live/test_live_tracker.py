"""The two threads together: latest wins, faults arrive, and nothing is left behind."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live.live_fakes import FakeTracker, ScriptedFeed, camera_of, gone, picture
from tracker.live import keeper
from tracker.live.feeds import Feed, FeedInfo
from tracker.live.live_tracker import LiveTracker
from tracker.live.records import Picture, SourceState, TrackedFrame
from tracker.vision.records import Frame

PATIENCE_S = 10.0


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(autouse=True)
def _quick_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(keeper, "LONGEST_WAIT_S", 0.02)


class Ear:
    """Remembers all it is told."""

    def __init__(self) -> None:
        self.frames: list[TrackedFrame] = []
        self.states: list[tuple[SourceState, int | None]] = []

    def tracked(self, tracked: TrackedFrame) -> None:
        self.frames.append(tracked)

    def source_is(self, state: SourceState, last: TrackedFrame | None) -> None:
        self.states.append((state, None if last is None else len(last.hands)))


def now() -> Picture:
    return picture(time.monotonic())


def live_of(feed: Feed, again: Callable[[], Feed] | None = None) -> LiveTracker:
    return LiveTracker(feed, again, camera_of)


def until(happens: Callable[[], object], live: LiveTracker | None = None) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < end_s
        if live is None:
            time.sleep(0.005)
        else:
            live.take(0.005)


def file_of(count: int, *, patient: bool) -> ScriptedFeed:
    info = FeedInfo("file", (32, 48), 30.0, is_live=False, patient=patient)
    return ScriptedFeed([now] * count, info)


def test_every_frame_of_a_patient_source_is_tracked() -> None:
    ear, tracker = Ear(), FakeTracker(lambda frame: time.sleep(0.002))
    with live_of(file_of(30, patient=True)) as live:
        live.track(tracker, [ear])
        until(lambda: live.finished, live)
    assert [f.frame.index for f in ear.frames] == list(range(30))
    assert (live.captured, live.dropped, live.state) == (30, 0, "ended")


def test_a_slow_tracker_gets_the_newest_frame_and_drops_are_counted() -> None:
    go_on = threading.Event()

    def slow(frame: Frame) -> None:
        assert go_on.wait(PATIENCE_S)

    ear = Ear()
    with live_of(file_of(50, patient=False)) as live:
        live.track(FakeTracker(slow), [ear])
        until(lambda: live.captured == 50)
        go_on.set()
        until(lambda: live.finished, live)
    assert [f.frame.index for f in ear.frames][-1] == 49
    assert len(ear.frames) <= 3
    assert live.dropped == 50 - len(ear.frames)
    assert ear.frames[-1].dropped == live.dropped


def test_pictures_that_come_while_the_tracker_gets_ready_are_thrown_away() -> None:
    feed = ScriptedFeed([now] * 40)
    ear = Ear()
    with live_of(feed) as live:
        until(lambda: live.captured == 40)
        live.track(FakeTracker(), [ear])
        until(lambda: live.finished, live)
    assert [f.frame.index for f in ear.frames] == [39]


@pytest.mark.parametrize("where", ["tracker", "listener", "source"])
def test_a_fault_of_any_thread_reaches_the_main_loop(where: str) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a fault of the program")

    feed = ScriptedFeed([now, fail if where == "source" else now])
    ear = Ear()
    if where == "listener":
        ear.tracked = fail  # type: ignore[method-assign,assignment]
    tracker = FakeTracker(fail) if where == "tracker" else FakeTracker()
    with live_of(feed) as live:
        live.track(tracker, [ear])
        with pytest.raises(ZeroDivisionError, match="a fault of the program"):
            until(lambda: False, live)
    assert feed.closed >= 1


def test_a_camera_that_goes_is_told_until_it_is_back() -> None:
    plugged_in = threading.Event()
    tracked_again = threading.Event()

    def again() -> Feed:
        if not plugged_in.is_set():
            raise gone()
        return ScriptedFeed([now, lambda: tracked_again.wait(PATIENCE_S) and None] + [now] * 3)

    ear, tracker = Ear(), FakeTracker()
    with live_of(ScriptedFeed([now, gone()]), again) as live:
        live.track(tracker, [ear])
        until(lambda: len(ear.states) >= 2, live)
        assert live.state == "lost"
        assert "gone away" in (live.problem or "")
        plugged_in.set()
        until(lambda: ("live", None) in ear.states, live)
        until(lambda: len(ear.frames) >= 2, live)
        assert live.state == "live"
        tracked_again.set()
    lost = [hands for state, hands in ear.states if state == "lost"]
    assert lost[0] in (1, None)
    assert set(lost[1:]) <= {0, 1, None}
    assert tracker.resets >= 1


def test_a_driver_that_holds_the_thread_counts_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracker.live.live_tracker.STALL_S", 0.05)
    let_go = threading.Event()
    ear = Ear()
    feed = ScriptedFeed([now, lambda: let_go.wait(PATIENCE_S) and None])
    with live_of(feed, gone) as live:
        live.track(FakeTracker(), [ear])
        until(lambda: live.state == "lost")
        until(lambda: ear.states)
        let_go.set()
    assert ear.states[0][0] == "lost"


def test_closing_before_and_during_the_run_is_clean() -> None:
    feed = file_of(3, patient=False)
    live = live_of(feed)
    with live:
        pass
    live.close()
    assert feed.closed >= 1
    endless = ScriptedFeed([now] * 100_000)
    with live_of(endless, gone) as live:
        live.track(FakeTracker(), [])
        assert live.take(PATIENCE_S) is not None
    live.close()
    assert endless.closed >= 1
    assert live.take(0.0) is None or live.finished


def test_threads_have_names() -> None:
    with live_of(ScriptedFeed([now] * 100_000), gone) as live:
        live.track(FakeTracker(), [])
        names = {thread.name for thread in threading.enumerate()}
    assert {"handloom-capture", "handloom-tracking"} <= names
