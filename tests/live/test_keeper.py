"""A camera that goes away is waited for, one that stands still is opened anew; a file just ends."""

import pytest

from tests.live.live_fakes import FakeClock, ScriptedFeed, gone, picture
from tracker.live.feeds import Feed, FeedEnded, FeedInfo
from tracker.live.keeper import FIRST_WAIT_S, LONGEST_WAIT_S, STALL_S, FeedKeeper


class Dock:
    """Where a camera is plugged in again: each attempt takes the next feed or error."""

    def __init__(self, *attempts: Feed | Exception) -> None:
        self.attempts = list(attempts)

    def __call__(self) -> Feed:
        attempt = self.attempts.pop(0)
        if isinstance(attempt, Exception):
            raise attempt
        return attempt


def keeper_of(feed: Feed, dock: Dock | None, clock: FakeClock) -> FeedKeeper:
    return FeedKeeper(feed, dock, clock=clock, wait=clock.sleep)


def test_a_camera_comes_back() -> None:
    clock = FakeClock()
    first, second = ScriptedFeed([picture(100.0), gone()]), ScriptedFeed([None, picture(104.0)])
    keeper = keeper_of(first, Dock(gone(), gone(), second), clock)
    assert keeper.read() is not None
    assert keeper.state == "live"
    assert keeper.read() is None
    assert (keeper.state, first.closed, keeper.problem) == ("lost", 1, "camera 0 has gone away")
    for _ in range(3):
        assert keeper.read() is None
    assert clock.sleeps == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert keeper.read() is None
    assert keeper.state == "lost"  # it is open, and has given no picture yet
    assert keeper.read() is not None
    assert (keeper.state, keeper.problem) == ("live", None)


def test_waits_grow_to_a_limit_and_begin_anew() -> None:
    clock = FakeClock()
    later = ScriptedFeed([picture(1.0), gone()])
    keeper = keeper_of(ScriptedFeed([gone()]), Dock(*[gone()] * 8, later, gone()), clock)
    for _ in range(13):
        keeper.read()
    assert max(clock.sleeps) == LONGEST_WAIT_S
    assert clock.sleeps[-2:] == [LONGEST_WAIT_S, FIRST_WAIT_S]


def test_a_camera_that_stands_still_is_opened_anew() -> None:
    clock = FakeClock()

    def silence() -> None:
        clock.sleep(1.0)

    still = ScriptedFeed([picture(100.0), *[silence] * 10])
    keeper = keeper_of(still, Dock(ScriptedFeed([picture(110.0)])), clock)
    assert keeper.read() is not None
    while keeper.state == "live":
        assert keeper.read() is None
    assert STALL_S < clock.now_s - 100.0 <= STALL_S + 1.0
    assert keeper.problem == "no picture for 4 s"
    keeper.read()
    assert keeper.read() is not None
    assert keeper.state == "live"


def test_a_stream_that_ends_may_begin_again_and_a_file_does_not() -> None:
    clock = FakeClock()
    stream = keeper_of(ScriptedFeed([FeedEnded()]), Dock(ScriptedFeed([picture(1.0)])), clock)
    stream.read()
    assert stream.state == "lost"
    file = keeper_of(ScriptedFeed([picture(1.0)]), None, clock)
    assert file.read() is not None
    assert file.read() is None
    assert (file.state, file.problem) == ("ended", None)
    assert file.read() is None


def test_a_broken_file_says_why_it_ended() -> None:
    keeper = keeper_of(ScriptedFeed([gone()]), None, FakeClock())
    keeper.read()
    assert (keeper.state, keeper.problem) == ("ended", "camera 0 has gone away")


def test_what_comes_back_may_be_another() -> None:
    clock = FakeClock()
    other = ScriptedFeed([picture(1.0)], FeedInfo("other", (99, 77), 15.0))
    keeper = keeper_of(ScriptedFeed([gone()]), Dock(other), clock)
    keeper.read()
    keeper.read()
    assert keeper.info.hw == (99, 77)


def test_a_silent_file_is_not_lost() -> None:
    clock = FakeClock()
    keeper = keeper_of(ScriptedFeed([lambda: clock.sleep(60.0)] * 2), None, clock)
    assert keeper.read() is None
    assert keeper.read() is None
    assert keeper.state == "live"


@pytest.mark.parametrize("times", [1, 2])
def test_closing_twice_is_fine(times: int) -> None:
    feed = ScriptedFeed([])
    keeper = keeper_of(feed, None, FakeClock())
    for _ in range(times):
        keeper.close()
    assert feed.closed == 1
