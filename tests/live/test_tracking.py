"""Captures become tracked frames; a lost camera loses its hands, once."""

from dataclasses import replace

from tests.live.live_fakes import FakeClock, FakeTracker, camera_of, picture
from tracker.live.records import Capture
from tracker.live.tracking import Tracking
from tracker.vision.records import Frame


def capture(captured_s: float, index: int = 0) -> Capture:
    frame = Frame(picture(captured_s).rgb, camera_of((32, 48)), captured_s, index)
    return Capture(frame, captured_s, read_ms=2.0)


def test_every_moment_is_noted() -> None:
    clock = FakeClock(100.03)
    tracker = FakeTracker(lambda frame: clock.sleep(0.01))
    tracked = Tracking(tracker, clock=clock).track(capture(100.0), dropped=3)
    assert (tracked.captured_s, tracked.started_s, tracked.tracked_s) == (100.0, 100.03, 100.04)
    assert (tracked.dropped, len(tracked.hands)) == (3, 1)
    assert tracked.stages_ms == {"read": 2.0, "landmarks": 1.0}


def test_a_frame_without_a_camera_gets_an_assumed_one() -> None:
    bare = Capture(Frame(picture(1.0).rgb), 1.0)
    assert Tracking(FakeTracker()).track(bare, 0).camera.assumed


def test_hands_are_lost_once_and_are_new_ones_afterwards() -> None:
    clock, tracker = FakeClock(), FakeTracker()
    tracking = Tracking(tracker, clock=clock)
    assert tracking.lose() is None
    before = tracking.track(capture(99.9), 0)
    clock.sleep(1.0)
    first, second = tracking.lose(), tracking.lose()
    assert first is not None
    assert second is not None
    assert [(h.state, h.track_id) for h in first.hands] == [("lost", before.hands[0].track_id)]
    assert (second.hands, tracker.resets) == ((), 1)
    assert first.captured_s == clock.now_s
    assert tracking.track(capture(105.0, 1), 0).hands[0].track_id != before.hands[0].track_id


def test_another_tracker_takes_over_without_using_a_number_twice() -> None:
    tracking = Tracking(FakeTracker())
    assert [h.track_id for h in tracking.track(capture(1.0), 0).hands] == [0]
    tracking.use(FakeTracker())
    hands = tracking.track(capture(1.1, 1), 0).hands
    assert [(h.track_id, h.state) for h in hands] == [(0, "lost"), (1, "tracked")]
    assert [h.track_id for h in tracking.track(capture(1.2, 2), 0).hands] == [1]


def test_lost_hands_are_not_lost_again() -> None:
    class Loses(FakeTracker):
        def __call__(self, frame: Frame) -> list:
            return [replace(h, state="lost") for h in super().__call__(frame)]

    tracking = Tracking(Loses())
    tracking.track(capture(1.0), 0)
    lost = tracking.lose()
    assert lost is not None
    assert lost.hands == ()
