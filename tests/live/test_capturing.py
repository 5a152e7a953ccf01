"""Pictures become captures: numbered, with a camera, and with times that only increase."""

import numpy as np

from tests.live.live_fakes import FakeClock, ScriptedFeed, Step, camera_of, gone, picture
from tracker.live.capturing import Capturing
from tracker.live.feeds import FeedInfo
from tracker.live.keeper import FeedKeeper
from tracker.live.records import Capture, Picture


def captures(script: list[Step], again: list[Step] | None = None) -> list[Capture]:
    clock = FakeClock()
    reopen = None if again is None else (lambda: ScriptedFeed(again))
    keeper = FeedKeeper(ScriptedFeed(script), reopen, clock=clock, wait=clock.sleep)
    capturing = Capturing(keeper, camera_of, clock=clock)
    got: list[Capture] = []
    for _ in range(20):
        more = capturing.step()
        capture = capturing.box.take(0.0)
        got += [] if capture is None else [capture]
        if not more:
            break
    return got


def test_captures_are_numbered_and_timed_from_the_first() -> None:
    got = captures([picture(7.0), None, picture(7.1), picture(7.3)])
    assert [c.frame.index for c in got] == [0, 1, 2]
    np.testing.assert_allclose([c.frame.timestamp_s for c in got], [0.0, 0.1, 0.3])
    assert [c.captured_s for c in got] == [7.0, 7.1, 7.3]


def test_numbers_and_times_go_on_when_a_camera_comes_back() -> None:
    got = captures([picture(7.0), gone()], again=[picture(9.0), picture(8.0), picture(9.5)])
    times = [c.frame.timestamp_s for c in got[:4]]
    assert [c.frame.index for c in got[:4]] == [0, 1, 2, 3]
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(times, [0.0, 2.0, 2.0001, 2.5])


def test_a_size_may_change_in_mid_stream() -> None:
    got = captures([picture(1.0), picture(1.1, hw=(60, 80)), picture(1.2)])
    assert [c.frame.camera and c.frame.camera.hw for c in got] == [(32, 48), (60, 80), (32, 48)]


def test_a_clip_keeps_its_own_clock() -> None:
    stamped = [Picture(np.zeros((16, 16, 3), np.uint8), 50.0 + n, 0.04 * n) for n in range(3)]
    np.testing.assert_allclose([c.frame.timestamp_s for c in captures([*stamped])], [0, 0.04, 0.08])


def test_a_patient_source_waits_until_its_picture_was_taken() -> None:
    info = FeedInfo("file", (32, 48), 30.0, is_live=False, patient=True)
    feed = ScriptedFeed([picture(float(n)) for n in range(3)], info)
    capturing = Capturing(FeedKeeper(feed, None), camera_of)
    assert capturing.step()
    assert capturing.step()  # waits in vain
    assert capturing.captured == 1
    assert capturing.box.take(0.0) is not None
    assert capturing.step()
    assert (capturing.captured, capturing.box.dropped) == (2, 0)
    capturing.close()
    assert not capturing.step()
    assert feed.closed == 1


def test_decoding_time_does_not_hold_the_wait() -> None:
    clock = FakeClock()

    def late() -> Picture:
        clock.sleep(0.5)  # waits for the picture
        captured_s = clock()
        clock.sleep(0.004)  # decodes it
        return picture(captured_s)

    capturing = Capturing(
        FeedKeeper(ScriptedFeed([late]), None, clock=clock), camera_of, clock=clock
    )
    capturing.step()
    capture = capturing.box.take(0.0)
    assert capture is not None
    np.testing.assert_allclose(capture.read_ms, 4.0)
